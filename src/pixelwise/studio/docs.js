// The description of the interface, from openapi.json.

const make = (name, text = "", parent = null) => {
  const element = document.createElement(name);
  element.textContent = text;
  if (parent) parent.append(element);
  return element;
};

function rows(parent, head, pairs) {
  if (!pairs.length) return;
  const table = make("table", "", parent);
  make("caption", head, table);
  for (const [name, text] of pairs) {
    const row = make("tr", "", table);
    make("th", name, row).scope = "row";
    make("td", text, row);
  }
}

const answer = await fetch("/openapi.json");
const description = await answer.json();
document.getElementById("about").textContent = description.info.description;
const parent = document.getElementById("routes");
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    make("code", `${method.toUpperCase()} ${path}`, make("h2", "", parent));
    make("p", route.description || "", parent);
    rows(parent, "Parameters", (route.parameters || []).map((one) => [one.name, one.description || one.schema.type || ""]));
    rows(parent, "Body", Object.keys((route.requestBody || { content: {} }).content).map((kind) => [kind, ""]));
    rows(parent, "Answers", Object.entries(route.responses).map(([status, one]) => [status, one.description]));
  }
}
