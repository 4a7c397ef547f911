// What was dropped on the page: files, and the files of folders.

export const MOST = 2000; // files of one drop

const HIDDEN = /^(\.|__MACOSX$|thumbs\.db$|desktop\.ini$)/i;
const MODEL = /\.(safetensors|onnx|pth?|ckpt)$/i;
const MASKS = /^(masks?|labels?|annotations?|ground[ _-]?truth|gt|segmentations?)$/i;
const MASK_WORD = /(^|[ _.-])(masks?|labels?|annotations?|ground[ _-]?truth|gt|seg(mentation)?s?)([ _.-]|\d|$)/i;
const VIDEO = /\.(mp4|m4v|mov|avi|mkv|webm|wmv|mpe?g)$/i;
const ARCHIVE = /\.(zip|rar|7z|tar|tgz|tar\.\w+)$/i;
const DOCUMENT = /\.(docx?|pptx?|xlsx?|od[tps])$/i;

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
      if (await isFolderOfMasks(entry)) found.masks.push(entry.name);
      else await walk(entry, found);
    } else if (file) found.files.push(file);
  }
  return leaveOutMasks(found);
}

// A folder with folders in it is called after what it is about: segmentation/images, segmentation/masks.
async function isFolderOfMasks(folder) {
  return MASKS.test(folder.name) && !(await entriesOf(folder)).some((one) => one.isDirectory);
}

// A mask beside its image: its name is that of the image with a word for masks after it, such as cell_1_mask.png.
function leaveOutMasks(found) {
  const stem = (file) => file.name.replace(/\.[^.]*$/, "");
  const stems = found.files.map(stem).sort((a, b) => a.length - b.length);
  const isMask = (file) => stems.some((image) => stem(file).length > image.length && stem(file).startsWith(image)
    && /^[ _.-]/.test(stem(file).slice(image.length)) && MASK_WORD.test(stem(file).slice(image.length)));
  const beside = found.files.filter(isMask);
  if (beside.length) found.masks.push(beside[0].name + (beside.length > 1 ? ` and ${beside.length - 1} more` : ""));
  return { ...found, files: found.files.filter((file) => !beside.includes(file)) };
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

// Why a file is not sent at all; "" if it is. `largest` is the size that the server takes, in megabytes.
export function refusal(file, largest = Infinity) {
  if (file.size === 0) return "The file is empty.";
  if (MODEL.test(file.name)) return "Models are not sent to the server: start pixelwise serve MODEL.";
  if (VIDEO.test(file.name)) return "A video is not sent to the server: start pixelwise serve VIDEO, and its frames are images.";
  if (ARCHIVE.test(file.name)) return "An archive is not opened here: unpack it, and drop its folder; if there are masks in it, start pixelwise serve FOLDER.";
  if (DOCUMENT.test(file.name)) return "A document is no image: save its pictures as PNG or TIFF, best with the program that they come from.";
  if (file.size > largest * 1e6) return `It has ${Math.round(file.size / 1e6)} MB; at most ${largest} MB can be sent. Start pixelwise serve FOLDER, which opens images of any size where they are.`;
  return "";
}

// Sentences about what was taken and what was not.
export function describe({ folders = 0, masks = [], more = false }, added, refused) {
  const parts = [];
  if (folders && !added && !refused.length) {
    parts.push(`There are ${masks.length ? "only masks" : "no files"} in ${folders === 1 ? "this folder" : "these folders"}.`);
  } else if (folders || refused.length > 1) parts.push(`${added} of ${added + refused.length} files were added.`);
  if (refused.length) parts.push(refused.length === 1 ? refused[0] : "The others are listed under Understood.");
  if (masks.length) parts.push(`Masks (${[...new Set(masks)].join(", ")}) were left out: to train on them, start pixelwise serve FOLDER, with images and masks in it.`);
  if (more) parts.push(`Only the first ${MOST} files were read: for more, start pixelwise serve FOLDER.`);
  return parts.join(" ");
}
