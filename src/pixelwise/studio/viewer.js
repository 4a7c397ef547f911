// Deep zoom with OpenSeadragon, and the transform between pixels of the image and of the screen.

export class Viewer {
  constructor(element) {
    this.element = element;
    this.image = null;
    this.listeners = [];
    this.contrast = {};
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
    });
    for (const event of ["update-viewport", "open", "resize", "animation", "animation-finish"]) {
      this.osd.addHandler(event, () => this.changed());
    }
    new ResizeObserver(() => this.changed()).observe(element);
  }

  onChange(listener) { this.listeners.push(listener); }

  changed() {
    for (const listener of this.listeners) listener();
  }

  open(image, contrast) {
    this.image = image;
    this.contrast = contrast;
    return new Promise((resolve) => {
      this.osd.addOnceHandler("open", () => { this.changed(); resolve(); });
      this.osd.addOnceHandler("open-failed", () => resolve());
      this.osd.open({ tileSource: this.source() });
    });
  }

  // Show the same place with another contrast.
  async setContrast(contrast) {
    if (!this.image) return;
    const bounds = this.osd.viewport.getBounds();
    await this.open(this.image, contrast);
    this.osd.viewport.fitBounds(bounds, true);
  }

  source() {
    const { id, width, height, levels } = this.image;
    const query = new URLSearchParams(this.contrast).toString();
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

  // Show a box (top, left, bottom, right) with some of its surroundings.
  flyTo([top, left, bottom, right]) {
    const width = this.image.width;
    const margin = Math.max(20, 1.5 * Math.max(bottom - top, right - left));
    this.osd.viewport.fitBounds(
      new OpenSeadragon.Rect((left - margin) / width, (top - margin) / width, (right - left + 2 * margin) / width, (bottom - top + 2 * margin) / width));
  }

  zoomBy(factor) { this.osd.viewport.zoomBy(factor); this.osd.viewport.applyConstraints(); }

  panBy(x, y) {
    this.osd.viewport.panBy(this.osd.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y)));
    this.osd.viewport.applyConstraints();
  }

  setNavigation(enabled) { this.osd.setMouseNavEnabled(enabled); }
}
