// The page: which image is shown, which layer, and what keys do.

import { Checks } from "./checks.js";
import { beginFolder, follow, get, post, readFolder, upload, uploadInto } from "./api.js";
import { describe, readChosen, readDropped, refusal } from "./drop.js";
import { Downloads } from "./downloads.js";
import { Layers } from "./layers.js";
import { Marks } from "./brush.js";
import { ObjectTable } from "./objects.js";
import { Planes } from "./planes.js";
import { sentence } from "./text.js";
import { Thumbnails } from "./thumbnails.js";
import { Training } from "./training.js";
import { Viewer } from "./viewer.js";

const NO_IMAGE = "There is no image yet: drop some on the page, or choose Add images.";
const NO_MODEL = "There is no model yet: train one, or start pixelwise serve MODEL.";
const $ = (id) => document.getElementById(id);
const column = matchMedia("(max-width: 740px), (max-width: 1000px) and (min-height: 501px)"); // as in style.css
const low = matchMedia("(min-width: 741px) and (max-width: 1000px) and (max-height: 500px)"); // a phone on its side
const state = { images: [], models: [], classes: [], colours: [], messages: [] };
let image = null;
let result = null;
let shown = null; // the image whose view is open
let [opening, wanted] = [0, null]; // number of the last wish for another image, and its id
const refused = new Set(); // sentences about dropped files that were not taken
let [progress, dropNote] = ["", ""]; // which file is being sent, and what became of the last drop
let [adding, connected] = [Promise.resolve(), true];

function announce(text) {
  if ($("notice").dataset.hint) show("");
  $("announcement").textContent = text;
}

function show(text) {
  delete $("notice").dataset.hint;
  $("notice").hidden = !text;
  $("notice").querySelector("span").textContent = text;
}

// Say something that everybody should notice; it stays until there is something else, or until it is closed.
function say(text) {
  announce(text);
  show(text);
}

// What to do first: no longer true after the next thing that is done.
function hint(text) {
  say(text);
  $("notice").dataset.hint = "yes";
}

function report(error) { say(error.message); }

const viewer = new Viewer($("viewer"), () => say("A part of the image could not be loaded; it is asked for again."));
const layers = new Layers(viewer, Object.fromEntries(
  ["labels", "compared", "layer", "opacity", "threshold", "outlines", "swipe", "compare"].map((id) => [id, $(id)])), report);
const marks = new Marks($("marks"), viewer, { announce, say, hint },
  () => (result ? `/api/images/${image.id}/corrections?model=${encodeURIComponent(result.model)}` : ""));
const downloads = new Downloads(say, { group: $("making"), text: $("making-text"), bar: $("making-bar"), stop: $("making-stop") });
const table = new ObjectTable($("objects"), (row, fly) => {
  marks.cross = null; // the cross is in the middle of the view, where the object will be
  const select = () => layers.select(result && result.task === "instance" ? row.id : 0);
  if (fly && column.matches) $("viewer").scrollIntoView({ block: "center" }); // the table is far below it
  if (!image.volume) {
    select();
    if (fly) viewer.flyTo(row.box);
    announce(`Object ${row.id}, area ${row.area} pixels.`);
    return;
  }
  if (!fly) { select(); return; }
  planes.find(row).then((box) => {
    if (table.chosen !== row) return;
    select();
    viewer.flyTo(box);
    announce(`${result.task === "instance" ? `Object ${row.id}` : `Class ${result.classes[row.class]}`}, ${row.area} voxels.`);
  }).catch(report);
});
const planes = new Planes({
  group: $("planes"), plane: $("plane"), slice: $("slice"), number: $("slice-number"), preset: $("preset"), window: $("window"), edges: $("edges"),
}, () => showPlane(), (low, high) => {
  [$("low").value, $("high").value] = [low, high];
  $("low").dispatchEvent(new Event("change"));
}, announce);
const training = new Training({
  train: $("train"), stop: $("stop"), resume: $("resume"), text: $("training"), source: $("source"), minutes: $("minutes"),
  snapshots: $("snapshots"), snapshot: $("snapshot"), snapshotImage: $("snapshot-image"), snapshotTruth: $("snapshot-truth"), curve: $("curve"), goOn: $("go-on"),
  command: $("training-command"),
}, announce);
const checks = new Checks({
  section: $("checks"), check: $("check"), fix: $("fix"), text: $("check-text"), list: $("findings"), command: $("check-command"), messages: $("messages"),
}, (id) => open(id).catch(report), announce);

const thumbnails = new Thumbnails({ list: $("thumbnails"), order: $("order"), empty: $("empty") },
  (id) => checks.of(id), (id) => open(id).catch(report));

// What tests and other programs may ask.
window.studioState = () => ({
  image: shown, result: result && result.model, objects: table.rows.length, layer: $("layer").value,
  compared: layers.compared.source && layers.compared.source.id[1], marks: marks.active().length, waiting: marks.waiting.length,
  connected, tiles: layers.labels.tiles.size, coloured: layers.labels.coloured, place: image && image.place, loaded: [...layers.labels.tiles.values()].every((tile) => tile.raw), view: viewer.transform(), tool: marks.tool,
});
window.studioZoom = (scale, x, y) => viewer.zoomTo(scale, x, y);

// Only if there are others: an open list stays as it is.
function options(select, values) {
  const before = select.value;
  if (values.length === select.options.length && values.every(([value, text], index) => String(value) === select.options[index].value && text === select.options[index].text)) return;
  select.replaceChildren(...values.map(([value, text]) => new Option(text, value)));
  if (values.some(([value]) => String(value) === before)) select.value = before;
}

function showState() {
  $("sentence").textContent = progress || `${state.sentence} ${dropNote}`.trim();
  options($("model"), state.models.length ? state.models.map((name) => [name, name]) : [["", "none yet"]]);
  $("empty").textContent = state.understood ? "Drop images here, or choose Add images." : state.sentence;
  options($("class"), state.classes.map((name, index) => [index, `${index} ${name}`]));
  marks.colours = state.colours;
  if (!$("class").dataset.chosen) $("class").value = Math.min(1, state.classes.length - 1);
  $("predict").disabled = $("predict-all").disabled = !state.models.length || !state.images.length;
  checks.update(state.check, state.problems, [...refused, ...state.messages]);
  $("source").querySelector("[value=folder]").disabled = !state.trainable;
  if (!$("source").dataset.chosen) $("source").value = state.trainable ? "folder" : "marks";
  training.setData(state);
  showThumbnails();
}

function showThumbnails() { thumbnails.show(state.images, wanted); }

// Of two wishes in a row the second one is kept, in whatever order they are answered.
async function open(id) {
  const own = ++opening;
  wanted = id;
  showThumbnails();
  thumbnails.reveal(id);
  const about = await get(`/api/images/${id}`).catch((error) => {
    if (own === opening) wanted = image && image.id;
    showThumbnails();
    throw error;
  });
  if (own !== opening) return;
  image = planes.open(about);
  training.setVolume(about.volume);
  [result, shown] = [null, null];
  setToolsEnabled(!image.volume);
  [$("low").value, $("high").value, $("gamma").value] = ["", "", 1];
  [$("low").placeholder, $("high").placeholder] = about.range[0].map((value) => Math.round(value));
  await Promise.all([viewer.open(image, {}), marks.load(id, about.marked).catch(report)]);
  if (own !== opening) return;
  shown = id;
  if (!result) { // else it was predicted meanwhile
    const newest = [...state.models].reverse().find((name) => about.results.some((one) => one.model === name));
    if (newest) $("model").value = newest;
    showResult(about.results.find((one) => one.model === newest) || null);
    if (!newest && about.labelled) $("layer").value = "truth";
  }
  layers.show(image, result, state);
  showThumbnails();
  announce(about.volume ? `${about.name}, a volume of ${about.volume.shape.join(" by ")} voxels.` : `${about.name}, ${about.width} by ${about.height} pixels.`);
}

async function openFirst() {
  try {
    if (state.images.length) await open(state.images[0].id);
  } finally { viewer.loaded().then(() => thumbnails.load()); }
}

// Show the chosen plane of the volume: in the same view while its side stays the same.
async function showPlane() {
  const view = planes.view();
  const shows = viewer.image && viewer.image.id === view.id && viewer.image.plane === view.plane
    ? viewer.replace(view) : viewer.open(view, viewer.contrast);
  image = view;
  layers.show(image, result, state);
  await shows;
}

// Volumes are looked at and predicted, not marked.
function setToolsEnabled(enabled) {
  if (!enabled) setTool("pan");
  for (const one of document.querySelectorAll("[data-tool]:not([data-tool=pan]), #class, #radius, #useful, #undo, #redo")) one.disabled = !enabled;
  $("mask-hint").textContent = enabled ? "for Fiji, napari, QuPath: PNG or TIFF" : "for 3D Slicer, ITK-SNAP, Fiji: on the grid of the volume";
  document.querySelectorAll("[data-take=corrected], [data-take=geojson]").forEach((one) => { one.parentElement.hidden = !enabled; });
}

function showCommand(text) {
  [$("command").textContent, $("command").parentElement.hidden] = [text, !text];
}

function showResult(found) {
  result = found;
  showCommand(found ? found.command : "");
  const kind = found && image.volume && found.task !== "instance" ? ["class", "classes"] : ["object", "objects"];
  $("count").textContent = found ? `${found.objects === null ? "Predicted" : `${found.objects} ${kind[Number(found.objects !== 1)]}`} in ${found.seconds.toFixed(1)} s. ${found.warnings.map(sentence).join(" ")}`
    : state.models.length ? "Not predicted yet." : NO_MODEL;
  for (const link of document.querySelectorAll("[data-take]")) {
    if (found) link.href = `/api/images/${image.id}/take/${link.dataset.take}?model=${encodeURIComponent(found.model)}`;
    else link.removeAttribute("href");
  }
  if (found) {
    if ($("layer").value === "truth" || $("layer").value === "none") $("layer").value = "result";
    get(`/api/images/${image.id}/objects?model=${encodeURIComponent(found.model)}`)
      .then((rows) => { if (result === found) table.show(rows, found.classes, Boolean(image.volume)); }).catch(report);
  } else {
    table.show([], []);
  }
  layers.show(image, result, state);
}

async function predict() {
  if (!image || !state.models.length) { hint(image ? NO_MODEL : NO_IMAGE); return; }
  $("predict").disabled = true;
  $("count").textContent = "Predicting ...";
  announce("Predicting ...");
  const [{ id }, model] = [image, $("model").value];
  try {
    const found = await post(`/api/images/${id}/result?model=${encodeURIComponent(model)}`);
    const own = state.images.find((one) => one.id === id);
    if (own && !own.results.includes(found.model)) own.results.push(found.model);
    if (own) Object.assign(own, { uncertainty: found.uncertainty, score: found.score });
    if (image.id === id && $("model").value === model) showResult(found);
    announce(found.objects === null ? "Predicted." : `${found.objects} objects found.`);
  } catch (error) { if (image.id === id) showResult(result); report(error); } finally { $("predict").disabled = false; }
}

// One after the other, so that the page stays quick; a click in between stops it.
async function predictAll() {
  const button = $("predict-all");
  if (button.dataset.running) { delete button.dataset.running; return; }
  const model = $("model").value;
  const images = state.images.filter((one) => !one.results.includes(model));
  button.dataset.running = "yes";
  const failed = [];
  for (const [index, one] of images.entries()) {
    if (!button.dataset.running) break;
    button.textContent = `Stop (${index + 1} of ${images.length})`;
    try {
      const found = await post(`/api/images/${one.id}/result?model=${encodeURIComponent(model)}`);
      if (image && image.id === one.id && $("model").value === model) showResult(found);
    } catch (error) {
      if (error.status !== 422) { report(error); break; }
      failed.push(`${one.name}: ${error.message}`); // the image, not the server: the others can be predicted
    }
  }
  delete button.dataset.running;
  button.textContent = "Predict all";
  if (failed.length) say(`${failed.length} of ${images.length} images could not be predicted. ${failed[0]}`);
  await reload().catch(report);
}

async function useful() {
  const found = result;
  if (!image) { hint(NO_IMAGE); return; }
  if (!found) { hint(state.models.length ? "Predict the image first." : NO_MODEL); return; }
  announce("Looking for a place ...");
  $("useful").disabled = true; // of a large image it takes a while
  const { box } = await get(`/api/images/${image.id}/useful?model=${encodeURIComponent(found.model)}`).finally(() => {
    $("useful").disabled = Boolean(image.volume);
  });
  if (result !== found) return;
  if (!box) { say("No place is left: everything unsure is marked."); return; }
  marks.cross = null;
  viewer.flyTo(box);
  announce(`Place at ${box[1]}, ${box[0]}.`);
}

function showProgress(text) {
  progress = text;
  $("sentence").textContent = text;
}

// Send files one after the other; return the ids or paths of those that were taken, and sentences about the others.
async function sendAll(dropped, send) {
  const [taken, unread] = [[], [...dropped.unread]];
  for (const [index, { file, path }] of dropped.files.entries()) {
    try {
      const count = dropped.files.length > 1 ? ` (${index + 1} of ${dropped.files.length})` : "";
      showProgress(`Sending ${file.name}${count} ...`);
      const why = refusal(file, state.largest);
      if (why) throw new Error(why);
      taken.push(await send(file, path));
    } catch (error) { unread.push(`${file.name}: ${error.message}`); }
  }
  return [taken, unread];
}

async function addImage(file) {
  const one = await upload(file);
  if (!state.images.some((known) => known.id === one.id)) {
    state.images.push({ ...one, split: "", labelled: false, marked: false, results: [] });
  }
  return one.id;
}

// Images with masks become a set that can be trained on; images alone are added one by one.
async function addFiles(dropped) {
  const together = dropped.masks.length > 0 && dropped.images > 0;
  let first = null;
  let [taken, unread] = [[], []];
  if (together) {
    const folder = await beginFolder(dropped.name);
    [taken, unread] = await sendAll(dropped, (file, path) => uploadInto(folder, file, path));
    if (taken.length) {
      showProgress("Reading the images and masks ...");
      [first = null] = (await readFolder(folder)).images;
    }
  } else if (dropped.images) {
    [taken, unread] = await sendAll(dropped, addImage);
    [first = null] = taken;
  }
  unread.forEach((text) => refused.add(text));
  [progress, dropNote] = ["", describe(dropped, taken.length, unread)];
  await reload();
  if (unread.length || !taken.length) say(dropNote);
  else {
    show(""); // what was said of an earlier drop
    announce(dropNote);
  }
  if (!first) return;
  await open(first);
  if (state.models.length && image.id === first) await predict();
}

// One drop after the other: each has its own sentence.
function add(dropped) {
  adding = adding.then(() => addFiles(dropped)).catch(report).finally(() => { progress = ""; });
}

// One request at a time. What happens while it is answered may be missing in the answer: then there is another one.
let [reloading, outdated] = [null, false];

function reload() {
  outdated = true;
  reloading = reloading || load();
  return reloading;
}

async function load() {
  try {
    while (outdated) {
      outdated = false;
      const fresh = await get("/api/state");
      if (state.understood && !fresh.understood) fresh.images = state.images; // a server that was started again reads them
      Object.assign(state, fresh);
      showState();
      state.jobs.forEach(takeJob);
    }
    return state.event;
  } finally { reloading = null; }
}

async function make(kind) {
  const job = await downloads.make(kind, $("model").value);
  if (job) showCommand(job.command);
}

function takeJob(job) {
  training.take(job);
  downloads.take(job);
  return checks.take(job);
}

function onConnection(now) {
  if (now === connected) return;
  connected = now;
  if (!now) { get("/api/state").catch((error) => { if (!connected) report(error); }); return; }
  say("");
  viewer.retry().catch(report);
  thumbnails.retry();
  reload().catch(report);
}

function onEvent(event) {
  outdated = true;
  switch (event.kind) {
    case "job": if (takeJob(event.job)) reload().catch(report); break;
    case "metrics": training.addRow(event.job, event.row); break;
    case "snapshot": training.addSnapshot(event.job, event.step); break;
    case "mark":
      for (const one of state.images) {
        if (one.id !== event.image || one.marked) continue;
        one.marked = true;
        showThumbnails();
      }
      if (marks.isNew(event)) marks.update().catch(report);
      break;
    case "model":
      reload().then(() => { $("model").value = event.name; announce("The new model can be used now."); return predict(); }).catch(report);
      break;
    case "understood":
      reload().then(() => (image ? null : openFirst())).catch(report);
      break;
    default: reload().catch(report);
  }
}

function setTool(tool) {
  if (image && image.volume && tool !== "pan") { hint("Volumes cannot be marked here: paint their masks in another program."); return; }
  marks.setTool(tool);
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  announce(`Tool: ${tool}.`);
}

function setClass(index) {
  if (index >= state.classes.length) return;
  $("class").value = index;
  $("class").dataset.chosen = "yes";
  marks.classIndex = index;
  announce(`Class ${state.classes[index]}.`);
}

function setRadius(radius) {
  marks.radius = Math.min(5000, Math.max(0.5, radius || 0.5));
  marks.drawRing();
  $("radius").value = marks.radius;
}

function step(count) {
  const next = thumbnails.next(count);
  if (next) open(next.id).catch(report);
}

function arrow(x, y) {
  if (marks.tool === "pan") viewer.panBy(60 * x, 60 * y);
  else marks.moveCross(10 * x, 10 * y);
}

const KEYS = {
  v: () => setTool("pan"), b: () => setTool("brush"), e: () => setTool("erase"), p: () => setTool("polygon"),
  a: () => setTool("accept"), Delete: () => setTool("delete"), m: () => setTool("merge"), x: () => setTool("split"), f: () => setTool("frame"),
  "[": () => setRadius(marks.radius / 1.25), "]": () => setRadius(marks.radius * 1.25),
  z: () => marks.undo().catch(report), Z: () => marks.redo().catch(report),
  u: () => useful().catch(report), n: () => step(1), N: () => step(-1), r: predict, t: () => training.start(), s: () => layers.toggleSwipe(), "?": () => $("help").showModal(),
  "+": () => viewer.zoomBy(1.5), "=": () => viewer.zoomBy(1.5), "-": () => viewer.zoomBy(1 / 1.5),
  " ": () => layers.toggle(),
  PageUp: () => planes.step(1).catch(report), PageDown: () => planes.step(-1).catch(report), c: () => planes.next().catch(report),
  ArrowLeft: () => arrow(-1, 0), ArrowRight: () => arrow(1, 0), ArrowUp: () => arrow(0, -1), ArrowDown: () => arrow(0, 1),
  Enter: () => marks.dab(), Escape: () => { marks.polygon = marks.lineStart = null; marks.draw(); },
};

document.addEventListener("keydown", (event) => {
  const inField = event.target.closest("input, select, textarea, dialog, summary, a");
  const pressesButton = event.target.closest("button") && [" ", "Enter"].includes(event.key);
  if (inField || pressesButton || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = KEYS[event.key] || (/^[0-9]$/.test(event.key) ? () => setClass(Number(event.key)) : null);
  if (!action) return;
  event.preventDefault();
  action();
});

for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => setTool(button.dataset.tool));
for (const link of document.querySelectorAll("[data-take]")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    if (link.href) downloads.takeResult(link.dataset.take, link.href);
  });
}
for (const button of document.querySelectorAll("[data-make]")) button.addEventListener("click", () => make(button.dataset.make));
$("source").addEventListener("change", () => { $("source").dataset.chosen = "yes"; });
$("class").addEventListener("change", () => setClass(Number($("class").value)));
$("radius").addEventListener("change", () => setRadius(Number($("radius").value)));
$("undo").addEventListener("click", () => marks.undo().catch(report));
$("redo").addEventListener("click", () => marks.redo().catch(report));
$("predict").addEventListener("click", predict);
$("predict-all").addEventListener("click", () => predictAll());
$("useful").addEventListener("click", () => useful().catch(report));
$("model").addEventListener("change", () => {
  if (!image) return;
  const own = image.id;
  get(`/api/images/${own}`).then((about) => {
    if (image.id === own) showResult(about.results.find((one) => one.model === $("model").value) || null);
  }).catch(report);
});
for (const id of ["low", "high", "gamma"]) {
  $(id).addEventListener("change", () => {
    const values = [["low", $("low").value], ["high", $("high").value], ["gamma", $("gamma").value]].filter(([, value]) => value !== "");
    viewer.setContrast(Object.fromEntries(values)).catch(report);
  });
}
$("show-help").addEventListener("click", () => $("help").showModal());
$("copy").addEventListener("click", () => navigator.clipboard.writeText($("command").textContent).then(() => announce("Copied.")).catch(report));
$("open-file").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  readChosen($("file").files).then(add).catch(report);
  $("file").value = ""; // the same file can be chosen again
});
$("notice").querySelector("button").addEventListener("click", () => say(""));
// Over the image; in one column below everything that scrolls, and beside a low image: so no control is covered, and
// the image keeps its size.
function placeNotice() {
  if (low.matches) document.querySelector("aside").prepend($("notice"));
  else (column.matches ? document.body : $("viewer")).append($("notice"));
}
for (const one of [column, low]) one.addEventListener("change", placeNotice);
placeNotice();
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  readDropped(event.dataTransfer).then(add).catch(report);
});
viewer.osd.addHandler("canvas-click", (event) => {
  if (!event.quick || !image || !result || marks.tool !== "pan" || !viewer.transform()) return;
  const found = result;
  const [x, y] = viewer.toImage(event.position.x, event.position.y).map(Math.floor);
  if (result.task === "instance" || image.volume) {
    get(`/api/images/${image.id}/at?${new URLSearchParams({ row: y, column: x, model: result.model, ...image.place })}`)
      .then(({ id }) => { if (id && result === found) table.selectId(id); }).catch(report);
  } else {
    const row = table.rows.find((one) => one.box[0] <= y && y < one.box[2] && one.box[1] <= x && x < one.box[3]);
    if (row) table.selectId(row.id);
  }
});

try {
  follow(await reload(), onEvent, onConnection);
  await openFirst();
} catch (error) { report(error); }
