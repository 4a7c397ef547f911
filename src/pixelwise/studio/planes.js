// The planes of a volume: which one is shown, and where a voxel is drawn in it.

const NAMES = ["axial", "coronal", "sagittal"];
const SIDES = ["top", "right", "bottom", "left"];
// Windows of computed tomography in Hounsfield units: [dark, bright].
const WINDOWS = { "soft tissue": [-160, 240], lung: [-1350, 150], bone: [-450, 1050], brain: [0, 80] };
const AIR = -500; // volumes with lower values are shown with the windows

export class Planes {
  // `elements`: the group and its controls; `onChange` shows the plane; `setWindow(low, high)` sets the contrast
  constructor(elements, onChange, setWindow, announce) {
    Object.assign(this, { elements, onChange, announce, about: null, plane: "axial", at: {} });
    const { plane, slice, window: preset } = elements;
    plane.addEventListener("change", () => this.choose(plane.value));
    slice.addEventListener("input", () => this.goTo(Number(slice.value)));
    preset.replaceChildren(new Option("automatic", ""), ...Object.keys(WINDOWS).map((name) => new Option(name, name)));
    preset.addEventListener("change", () => setWindow(...(WINDOWS[preset.value] || ["", ""])));
  }

  // What the server says about an image; one of two dimensions has no planes.
  open(about) {
    this.about = about.volume ? about : null;
    this.elements.group.hidden = !this.about;
    this.drawEdges();
    if (!this.about) return about;
    this.plane = "axial";
    this.at = Object.fromEntries(NAMES.map((name) => [name, Math.floor(about.volume.planes[name].count / 2)]));
    this.elements.preset.hidden = about.range[0][0] >= AIR;
    this.elements.window.value = "";
    this.update();
    return this.view();
  }

  get own() { return this.about.volume.planes[this.plane]; }

  // The shown plane as an image: its size, its levels, and the query that its tiles are asked for with.
  view() {
    const { width, height, levels } = this.own;
    return { ...this.about, width, height, levels, plane: this.plane, place: { plane: this.plane, at: this.at[this.plane] } };
  }

  choose(plane) {
    if (!this.about || plane === this.plane) return Promise.resolve();
    this.plane = plane;
    return this.changed();
  }

  next() { return this.choose(NAMES[(NAMES.indexOf(this.plane) + 1) % NAMES.length]); }

  goTo(number) {
    if (!this.about) return Promise.resolve();
    const at = Math.min(this.own.count - 1, Math.max(0, number));
    if (at === this.at[this.plane]) return Promise.resolve();
    this.at[this.plane] = at;
    return this.changed();
  }

  step(count) { return this.about ? this.goTo(this.at[this.plane] + count) : Promise.resolve(); }

  changed() {
    this.update();
    this.announce(`${this.plane} plane ${this.at[this.plane] + 1} of ${this.own.count}`);
    return this.onChange();
  }

  // The box of a row of the table where it is drawn, after going to its slice.
  async find(row) {
    this.at.axial = row.slice;
    this.plane = "axial";
    const { stored: [rows, columns], height, width, upright } = this.own;
    await this.changed();
    const [top, left, bottom, right] = row.box;
    const [first, last] = upright ? [rows - bottom, rows - top] : [top, bottom];
    return [(first * height) / rows, (left * width) / columns, (last * height) / rows, (right * width) / columns];
  }

  update() {
    const { plane, slice, number } = this.elements;
    plane.value = this.plane;
    slice.max = this.own.count - 1;
    slice.value = this.at[this.plane];
    const { spacing, unit } = this.about.volume;
    const place = spacing && unit ? `, ${(spacing[NAMES.indexOf(this.plane)] * this.at[this.plane]).toFixed(1)} ${unit}s` : "";
    number.textContent = `${this.at[this.plane] + 1} of ${this.own.count}${place}`;
    slice.setAttribute("aria-valuetext", number.textContent);
    this.drawEdges();
  }

  // Letters of the directions: right and left, anterior and posterior, superior and inferior.
  drawEdges() {
    const letters = this.about ? this.own.edges : "";
    this.elements.edges.replaceChildren(...[...letters].map((letter, index) => {
      const edge = document.createElement("span");
      edge.className = SIDES[index];
      edge.textContent = letter;
      return edge;
    }));
  }
}
