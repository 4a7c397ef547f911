// The layers over the image: a result or the truth, and left of the swipe what it is compared with.

import { post } from "./api.js";
import { Labels } from "./labels.js";

export class Layers {
  // `elements` are the canvases and the controls; `report(error)` says what went wrong
  constructor(viewer, elements, report) {
    Object.assign(this, { viewer, elements, report, image: null, result: null, project: { models: [], task: "", colours: [] } });
    this.labels = new Labels(elements.labels, viewer, report);
    this.compared = new Labels(elements.compared, viewer, report, "left");
    this.both = [this.labels, this.compared];
    const { opacity, threshold, outlines, swipe, compare, layer } = elements;
    opacity.addEventListener("input", () => this.set({ opacity: Number(opacity.value) / 100 }));
    threshold.addEventListener("input", () => this.set({ threshold: Number(threshold.value) }));
    outlines.addEventListener("change", () => this.set({ outlines: outlines.checked }));
    swipe.addEventListener("input", () => {
      viewer.element.style.setProperty("--swipe", `${swipe.value}%`);
      this.drawLine();
      this.both.forEach((one) => { one.swipe = Number(swipe.value) / 100; one.draw(); });
    });
    layer.addEventListener("change", () => this.draw());
    compare.addEventListener("change", () => {
      if (compare.value && !Number(swipe.value)) this.toggleSwipe();
      this.compare();
    });
  }

  set(style) { this.both.forEach((one) => one.set(style)); }

  select(number) { this.labels.set({ selected: number }); }

  toggle() {
    this.labels.visible = !this.labels.visible;
    this.labels.draw();
    this.drawLine();
  }

  // The line of the swipe, where it divides something.
  drawLine() {
    const shows = this.labels.visible && this.labels.source || this.compared.source;
    this.viewer.element.classList.toggle("swiping", Boolean(shows) && Number(this.elements.swipe.value) > 0);
  }

  toggleSwipe() {
    const { swipe } = this.elements;
    swipe.value = Number(swipe.value) ? 0 : 50;
    swipe.dispatchEvent(new Event("input"));
  }

  // What there is: the image, its result, and the models, the task and the colours of the project.
  show(image, result, project) {
    Object.assign(this, { image, result, project });
    this.draw();
  }

  draw() {
    const { image, result } = this;
    const layer = this.elements.layer.value;
    this.labels.visible = layer !== "none";
    this.labels.set({ confidence: layer === "confidence", selected: 0 });
    if (image && layer === "truth" && image.labelled) this.labels.show(this.truthSource());
    else this.labels.show(image && result && layer !== "truth" ? this.resultSource(result) : null);
    this.compare();
    this.drawLine();
  }

  truthSource() {
    const { image: { id, place }, project } = this;
    const query = place ? `?${new URLSearchParams(place)}` : "";
    const url = (level, x, y) => `/truth/${id}/${level}/${x}_${y}.png${query}`;
    return { image: id, id: [id, "truth", query], url, objects: project.task === "instance", colours: project.colours };
  }

  resultSource(found) {
    const { id, place } = this.image;
    const query = `?${new URLSearchParams({ model: found.model, ...place })}`;
    const url = (level, x, y) => `/labels/${id}/${level}/${x}_${y}.png${query}`;
    return { image: id, id: [id, found.model, query], url, objects: found.task === "instance", colours: found.colours };
  }

  // The image, the truth, or the result of another model, such as that of the last round.
  compare() {
    const { image } = this;
    const chosen = this.offer();
    if (!image || !chosen) { this.compared.show(null); return; }
    if (chosen === "truth") { this.compared.show(this.truthSource()); return; }
    const model = chosen.slice("model ".length);
    if (this.compared.source && this.compared.source.id[1] !== model) this.compared.show(null);
    post(`/api/images/${image.id}/result?model=${encodeURIComponent(model)}`).then((found) => {
      if (this.image === image && this.elements.compare.value === chosen) this.compared.show(this.resultSource(found));
    }).catch(this.report);
  }

  // Fill the list of what can be compared; return what is chosen.
  offer() {
    const { image, result, elements: { compare } } = this;
    const others = this.project.models.filter((name) => !result || name !== result.model).reverse();
    const before = compare.value;
    compare.replaceChildren(new Option("the image", ""), ...(image && image.labelled ? [new Option("the truth", "truth")] : []),
      ...others.map((name) => new Option(`result of ${name}`, `model ${name}`)));
    if ([...compare.options].some((one) => one.value === before)) compare.value = before;
    return compare.value;
  }
}
