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

// Files that were chosen in a dialog.
export const readChosen = (files) => collect([...files].map((file) => ({ file, entry: null })));

// With masks among them, the images are a set that can be trained on: `name`, and `files` with their paths.
async function collect(dropped) {
  const found = { files: [], folders: 0, unread: [], more: false };
  for (const { file, entry } of dropped) {
    if (entry && entry.isDirectory) {
      found.folders += 1;
      await walk(entry, entry.name, found);
    } else if (file) found.files.push({ file, path: file.name });
  }
  const roots = new Set(found.files.map(({ path }) => (path.includes("/") ? path.split("/")[0] : "")));
  const stems = found.files.map(({ path }) => stemOf(path)).sort((a, b) => a.length - b.length);
  const masks = found.files.filter(({ path }) => inFolderOfMasks(path, found.files) || isBeside(stemOf(path), stems));
  const name = roots.size === 1 ? [...roots][0] : "";
  return { ...found, name: name || "dropped images", masks, images: found.files.length - masks.length };
}

const stemOf = (path) => path.split("/").pop().replace(/\.[^.]*$/, "");

// A folder with folders in it is called after what it is about: segmentation/images, segmentation/masks.
function inFolderOfMasks(path, files) {
  const folders = path.split("/").slice(0, -1);
  return folders.some((name, depth) => MASKS.test(name)
    && !(depth === 0 && files.some((one) => one.path.startsWith(`${name}/`) && one.path.split("/").length > 2)));
}

// A mask beside its image: its name is that of the image with a word for masks after it, such as cell_1_mask.png.
function isBeside(stem, stems) {
  return stems.some((image) => stem.length > image.length && stem.startsWith(image)
    && /^[ _.-]/.test(stem.slice(image.length)) && MASK_WORD.test(stem.slice(image.length)));
}

async function walk(folder, path, found) {
  for (const entry of await entriesOf(folder)) {
    if (HIDDEN.test(entry.name)) continue;
    if (found.files.length >= MOST) { found.more = true; return; }
    if (entry.isDirectory) await walk(entry, `${path}/${entry.name}`, found);
    else await take(entry, `${path}/${entry.name}`, found);
  }
}

// A file that cannot be read does not keep the others from being taken.
async function take(entry, path, found) {
  try {
    found.files.push({ file: await new Promise((resolve, reject) => { entry.file(resolve, reject); }), path });
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
  if (ARCHIVE.test(file.name)) return "An archive is not opened here: unpack it, and drop its folder.";
  if (DOCUMENT.test(file.name)) return "A document is no image: save its pictures as PNG or TIFF, best with the program that they come from.";
  if (file.size > largest * 1e6) return `It has ${Math.round(file.size / 1e6)} MB; at most ${largest} MB can be sent. Start pixelwise serve FOLDER, which opens images of any size where they are.`;
  return "";
}

// Sentences about what was taken and what was not.
export function describe({ folders = 0, masks = [], images = 0, more = false }, added, refused) {
  const parts = [];
  if (folders && !added && !refused.length) {
    parts.push(`There are ${masks.length ? "only masks" : "no files"} in ${folders === 1 ? "this folder" : "these folders"}.`);
  } else if (folders || refused.length > 1) parts.push(`${added} of ${added + refused.length} files were added.`);
  if (refused.length) parts.push(refused.length === 1 ? refused[0] : "The others are listed under Understood.");
  if (masks.length && !images) parts.push("Masks need their images: drop the folder that holds both.");
  if (more) parts.push(`Only the first ${MOST} files were read: for more, start pixelwise serve FOLDER.`);
  return parts.join(" ");
}
