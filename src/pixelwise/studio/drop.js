// What was dropped on the page: files, and the files of folders.

export const MOST = 2000; // files of one drop

const HIDDEN = /^(\.|__MACOSX$|thumbs\.db$|desktop\.ini$)/i;
const MODEL = /\.(safetensors|onnx|pth?|ckpt)$/i;
const MASKS = /^(masks?|labels?|annotations?|ground[ _-]?truth|gt|segmentations?)$/i;

// The browser forgets what was dropped once the event is over, so this begins at once.
export function readDropped(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  return collect(items.map((item) => ({ file: item.getAsFile(), entry: item.webkitGetAsEntry ? item.webkitGetAsEntry() : null })));
}

// Folders of masks are left out and named: they are used of a folder on the command line.
async function collect(dropped) {
  const found = { files: [], folders: 0, masks: [], unread: [], more: false };
  for (const { file, entry } of dropped) {
    if (entry && entry.isDirectory) {
      found.folders += 1;
      await walk(entry, found);
    } else if (file) found.files.push(file);
  }
  return found;
}

async function walk(folder, found) {
  for (const entry of await entriesOf(folder)) {
    if (HIDDEN.test(entry.name)) continue;
    if (found.files.length >= MOST) { found.more = true; return; }
    if (!entry.isDirectory) await take(entry, found);
    else if (MASKS.test(entry.name)) found.masks.push(entry.name);
    else await walk(entry, found);
  }
}

// A file that cannot be read does not keep the others from being taken.
async function take(entry, found) {
  try {
    found.files.push(await new Promise((resolve, reject) => { entry.file(resolve, reject); }));
  } catch (error) { found.unread.push(`${entry.name}: ${error.message}`); }
}

async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) { // a browser returns a hundred at a time
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) return all.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    all.push(...some);
  }
}

// Why a file is not sent at all; "" if it is.
export function refusal(file) {
  if (file.size === 0) return "The file is empty.";
  if (MODEL.test(file.name)) return "Models are not sent to the server: start pixelwise serve MODEL.";
  return "";
}

// Sentences about what was taken and what was not.
export function describe({ folders = 0, masks = [], more = false }, added, refused) {
  const parts = [];
  if (folders || refused.length > 1) parts.push(`${added} of ${added + refused.length} files were added.`);
  if (refused.length) parts.push(refused.length === 1 ? refused[0] : "The others are listed under Understood.");
  if (masks.length) parts.push(`Masks (${[...new Set(masks)].join(", ")}) were left out: to train on them, start pixelwise serve FOLDER.`);
  if (more) parts.push(`Only the first ${MOST} files were read: for more, start pixelwise serve FOLDER.`);
  return parts.join(" ");
}
