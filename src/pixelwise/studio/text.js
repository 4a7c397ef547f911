// Texts of the page.

// The nodes of a text whose options, such as --task, do not break across lines.
export function unbroken(text) {
  return text.split(/((?<![\w-])--[a-z][a-z-]*)/).map((part, index) => {
    if (index % 2 === 0) return part;
    const option = document.createElement("span");
    option.className = "option";
    option.textContent = part;
    return option;
  });
}

// Show a text unless it is shown already: what a user has selected of it stays selected.
export function write(element, text) {
  if (element.textContent !== text) element.replaceChildren(...unbroken(text));
}

export const ended = (text) => `${text}${/[.!?]$/.test(text) ? "" : "."}`;

// A note as a sentence of its own.
export const sentence = (text) => ended(`${text[0].toUpperCase()}${text.slice(1)}`);
