// Labels over the image: tiles hold a number and a confidence per pixel, and are coloured here. Colours, opacity,
// threshold and swipe change without a request.

import { isPassing, picture } from "./api.js";

const TILE = 512;
const KEPT = 96;
const SURE = 255;
const AGAIN = 2000; // ms until a tile that failed is asked for again

// A colour for each object: hues far apart for neighbouring numbers, none of them near black.
function objectColour(number) {
  const hue = (number * 0.618033988749895) % 1;
  const part = (shift) => Math.round(255 * (0.55 + 0.45 * Math.cos(2 * Math.PI * (hue + shift))));
  return [part(0), part(1 / 3), part(2 / 3)];
}

function encoded(tile) {
  const canvas = new OffscreenCanvas(tile.width, tile.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(tile, 0, 0);
  return context.getImageData(0, 0, tile.width, tile.height);
}

export class Labels {
  // `report(error)`: a tile cannot be had; `side` of the swipe: right of it, or left of it, where nothing is shown without a swipe
  constructor(canvas, viewer, report, side = "right") {
    this.canvas = canvas;
    this.report = report;
    this.side = side;
    this.viewer = viewer;
    this.tiles = new Map();
    this.style = { opacity: 0.45, threshold: 0, outlines: true, confidence: false, selected: 0 };
    this.source = null;
    this.swipe = 0;
    this.visible = true;
    this.coloured = 0;
    viewer.onChange(() => this.draw());
  }

  // `source`: { image, id, url(level, x, y), objects, colours }, or null for no layer
  show(source) {
    if (JSON.stringify(source && source.id) !== JSON.stringify(this.source && this.source.id)) this.tiles.clear();
    this.source = source;
    this.draw();
  }

  set(style) {
    Object.assign(this.style, style);
    for (const tile of this.tiles.values()) if (tile.raw) tile.picture = null;
    this.draw();
  }

  draw() {
    const { canvas, viewer } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const view = viewer.transform();
    // while another image opens, the viewer has its levels and the layer those of the one before
    if (!view || !this.source || !this.visible || this.source.image !== viewer.image.id) return;
    context.imageSmoothingEnabled = false;
    context.globalAlpha = this.style.opacity;
    const left = this.side === "left";
    if (left && this.swipe === 0) return;
    context.save();
    context.beginPath();
    context.rect(left ? 0 : width * this.swipe, 0, left ? width * this.swipe : width, height);
    context.clip();
    const top = viewer.image.levels - 1;
    const level = Math.min(top, Math.max(0, top + Math.ceil(Math.log2(view.scale * ratio))));
    this.drawLevel(context, view, level, width, height);
    context.restore();
  }

  drawLevel(context, view, level, width, height) {
    const side = TILE * 2 ** (this.viewer.image.levels - 1 - level);
    const image = this.viewer.image;
    const first = (start, size) => Math.max(0, Math.floor(-start / view.scale / side));
    const last = (start, size, full) => Math.min(Math.ceil(full / side) - 1, Math.floor((size - start) / view.scale / side));
    for (let row = first(view.y); row <= last(view.y, height, image.height); row++) {
      for (let column = first(view.x); column <= last(view.x, width, image.width); column++) {
        const picture = this.picture(level, column, row);
        if (!picture) continue;
        const shown = [Math.min(side, image.width - column * side), Math.min(side, image.height - row * side)];
        context.drawImage(picture, view.x + column * side * view.scale, view.y + row * side * view.scale,
          shown[0] * view.scale, shown[1] * view.scale);
      }
    }
  }

  // The coloured tile; null while it is loaded.
  picture(level, column, row) {
    const key = `${level}/${column}_${row}`;
    let tile = this.tiles.get(key);
    if (!tile) {
      tile = { raw: null, picture: null };
      this.tiles.set(key, tile);
      this.load(key, tile, this.source.url(level, column, row));
    } else {
      this.tiles.delete(key);
      this.tiles.set(key, tile);
    }
    while (this.tiles.size > KEPT) this.tiles.delete(this.tiles.keys().next().value);
    if (tile.raw && !tile.picture) tile.picture = this.colour(tile.raw);
    return tile.picture;
  }

  async load(key, tile, url) {
    const isWanted = () => this.tiles.get(key) === tile;
    try {
      const bitmap = await createImageBitmap(await picture(url), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
      tile.raw = encoded(bitmap);
      bitmap.close();
      if (isWanted()) this.draw();
    } catch (error) {
      if (isPassing(error)) setTimeout(() => { if (isWanted()) { this.tiles.delete(key); this.draw(); } }, AGAIN);
      else if (isWanted()) this.report(error);
    }
  }

  colour(raw) {
    const { width, height, data } = raw;
    const out = new ImageData(width, height);
    const { threshold, outlines, confidence, selected } = this.style;
    const { objects, colours } = this.source;
    const number = (index) => (data[index] << 8) | data[index + 1];
    for (let index = 0, pixel = 0; index < data.length; index += 4, pixel++) {
      if (confidence) {
        const unsure = SURE - data[index + 2];
        out.data.set([255, 140, 0, Math.min(255, 2 * unsure)], index);
        continue;
      }
      const own = number(index);
      if (!own || data[index + 2] < threshold) continue;
      const x = pixel % width;
      const edge = outlines && ((x > 0 && number(index - 4) !== own) || (x < width - 1 && number(index + 4) !== own)
        || (pixel >= width && number(index - 4 * width) !== own) || (pixel < width * (height - 1) && number(index + 4 * width) !== own));
      const colour = own === selected ? [255, 255, 255] : objects ? objectColour(own) : colours[own] || [128, 128, 128];
      out.data.set([...colour, edge || !outlines ? 255 : 110], index);
    }
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(out, 0, 0);
    this.coloured += 1;
    return canvas;
  }
}
