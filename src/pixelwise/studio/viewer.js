// Deep zoom with OpenSeadragon, and the transform between pixels of the image and of the screen.

const PATIENCE = 5000; // ms after which what is loaded of an image is shown
const DROPPED = Symbol("dropped");
const ABORTED = "Image load aborted."; // what OpenSeadragon says of a tile that is not wanted any more
const [AGAIN, SELDOM] = [2000, 60000]; // ms until failed tiles are asked for again: at first, and at last

export class Viewer {
  // `onFailure()`: a part of the image cannot be had yet
  constructor(element, onFailure) {
    this.element = element;
    this.image = null;
    this.again = AGAIN;
    this.retrying = null;
    this.listeners = [];
    this.contrast = {};
    this.opened = Promise.resolve();
    this.drop = () => {};
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.osd = OpenSeadragon({
      element,
      drawer: "canvas",
      showNavigationControl: false,
      animationTime: calm ? 0 : 0.3,
      springStiffness: 10,
      maxZoomPixelRatio: 40,
      minZoomImageRatio: 0.25,
      visibilityRatio: 0.2,
      zoomPerScroll: 1.3,
      gestureSettingsMouse: { clickToZoom: false },
      gestureSettingsTouch: { clickToZoom: false, dblClickToZoom: false },
      imageLoaderLimit: 6,
      timeout: 120000,
      keyboardNavEnabled: false,
      autoResize: false, // `resize()` does it: at once, and an image that is shown as a whole stays so
    });
    for (const event of ["update-viewport", "open", "resize", "animation", "animation-finish"]) {
      this.osd.addHandler(event, () => this.changed());
    }
    this.osd.addHandler("tile-load-failed", ({ message }) => {
      if (message === ABORTED || this.retrying) return;
      if (this.again === AGAIN) onFailure();
      this.retrying = setTimeout(() => this.retry(), this.again);
      this.again = Math.min(SELDOM, 2 * this.again);
    });
    new ResizeObserver(() => { this.resize(); this.changed(); }).observe(element);
  }

  // The same place in the same scale, or again the whole image, when the element gets another size.
  resize() {
    const { element, osd: { viewport } } = this;
    const size = new OpenSeadragon.Point(element.clientWidth, element.clientHeight);
    const before = viewport.getContainerSize();
    if (!size.x || !size.y || size.equals(before)) return;
    const [zoom, centre, home] = [viewport.getZoom(), viewport.getCenter(), viewport.getHomeBounds().getCenter()];
    const isWhole = zoom <= viewport.getHomeZoom() * 1.001 && centre.distanceTo(home) < 0.001;
    viewport.resize(size);
    viewport.zoomTo((zoom * before.x) / size.x, null, true);
    viewport.panTo(centre, true);
    if (isWhole) viewport.goHome(true);
    this.osd.forceRedraw();
  }

  // Ask again for tiles that failed, which OpenSeadragon never does by itself.
  retry() {
    if (!this.retrying) return Promise.resolve();
    clearTimeout(this.retrying);
    this.retrying = null;
    return this.replace(this.image);
  }

  onChange(listener) { this.listeners.push(listener); }

  changed() {
    for (const listener of this.listeners) listener();
  }

  // Show another image from its own place. What is being loaded is dropped: OpenSeadragon says nothing more about it.
  open(image, contrast) {
    this.image = image;
    this.contrast = contrast;
    this.wanted = false;
    this.again = AGAIN;
    clearTimeout(this.retrying);
    this.retrying = null;
    this.drop();
    this.opened = new Promise((resolve) => {
      this.osd.addOnceHandler("open", () => { this.changed(); resolve(); });
      this.osd.addOnceHandler("open-failed", () => resolve());
      this.osd.open({ tileSource: this.source() });
    });
    return this.opened;
  }

  // Show the same place with another contrast.
  async setContrast(contrast) {
    if (!this.image) return;
    this.contrast = contrast;
    await this.replace(this.image);
  }

  // Show another plane of the same size in the same view; what was shown stays until all of the new one is there.
  // While one is loaded only the last wish is kept.
  replace(image) {
    this.image = image;
    this.wanted = true;
    if (!this.replacing) this.replacing = this.load().finally(() => { this.replacing = null; });
    return this.replacing;
  }

  async load() {
    while (this.wanted) {
      await this.opened;
      if (!this.wanted) return; // another image was opened meanwhile
      this.wanted = false;
      const dropped = new Promise((resolve) => { this.drop = () => resolve(DROPPED); });
      const added = new Promise((resolve) => {
        this.osd.addTiledImage({ tileSource: this.source(), success: (event) => resolve(event.item), error: () => resolve(null) });
      });
      const item = await Promise.race([added, dropped]);
      if (item === DROPPED || await Promise.race([this.loaded(item), dropped]) === DROPPED) continue;
      const { world } = this.osd;
      while (world.getItemCount() > 1) world.removeItem(world.getItemAt(0));
      this.changed();
    }
  }

  // Wait until all of an image that is in view is there; by default of the shown one.
  loaded(item = this.osd.world.getItemAt(0)) {
    if (!item) return Promise.resolve();
    return new Promise((resolve) => { item.whenFullyLoaded(resolve); setTimeout(resolve, PATIENCE); });
  }

  source() {
    const { id, width, height, levels, place } = this.image;
    const query = new URLSearchParams({ ...place, ...this.contrast }).toString();
    return {
      width, height, tileSize: 512, tileOverlap: 0, minLevel: 0, maxLevel: levels - 1,
      getTileUrl: (level, x, y) => `/tiles/${id}/${level}/${x}_${y}.jpg${query ? `?${query}` : ""}`,
    };
  }

  // Screen position of the image's corner, and screen pixels per pixel of the image.
  transform() {
    if (!this.image || !this.osd.viewport || !this.osd.world.getItemCount()) return null;
    const viewport = this.osd.viewport;
    const origin = viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
    const right = viewport.pixelFromPoint(new OpenSeadragon.Point(1, 0), true);
    return { x: origin.x, y: origin.y, scale: (right.x - origin.x) / this.image.width };
  }

  toImage(x, y) {
    const { x: left, y: top, scale } = this.transform();
    return [(x - left) / scale, (y - top) / scale];
  }

  zoomTo(scale, x, y) {
    const viewport = this.osd.viewport;
    const width = this.element.clientWidth;
    viewport.zoomTo((scale * this.image.width) / width, null, true);
    viewport.panTo(new OpenSeadragon.Point(x / this.image.width, y / this.image.width), true);
    viewport.applyConstraints(true);
    this.changed();
  }

  // Show a box (top, left, bottom, right) in the middle, with some of its surroundings but no more than the image has.
  flyTo([top, left, bottom, right]) {
    const { width, height } = this.image;
    const margin = Math.max(20, 1.5 * Math.max(bottom - top, right - left));
    const [wide, high] = [Math.min(width, right - left + 2 * margin), Math.min(height, bottom - top + 2 * margin)];
    this.osd.viewport.fitBounds(
      new OpenSeadragon.Rect(((left + right - wide) / 2) / width, ((top + bottom - high) / 2) / width, wide / width, high / width));
  }

  zoomBy(factor) { this.osd.viewport.zoomBy(factor); this.osd.viewport.applyConstraints(); }

  panBy(x, y) {
    this.osd.viewport.panBy(this.osd.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y)));
    this.osd.viewport.applyConstraints();
  }

  setNavigation(enabled) { this.osd.setMouseNavEnabled(enabled); }
}
