// Marks: strokes, polygons and corrected objects as vectors in pixels of the image, drawn over the view and sent to the
// server. A correction is a line over objects; the server answers with a mark that holds their outlines.
// A mark is kept when the server has acknowledged it; until then it is tried again, also while other images are shown.

import { get, post } from "./api.js";

const UNKNOWN = -1;
const CORRECTIONS = ["accept", "delete", "merge", "split", "frame"];
const REFUSED = [400, 404, 409, 413, 422]; // answers that say something about the mark itself
const PASSING = [0, 401, 403, 429, 503, 507]; // answers after which a correction may succeed
const AGAIN = 1000; // ms
const [SAME, CLOSING] = [3, 12]; // pixels of the screen: between clicks at the same place, around the first corner
const TOOLS = ["pan", "brush", "erase", "polygon", ...CORRECTIONS];

function newKey() { return crypto.getRandomValues(new Uint32Array(4)).join("-"); }

export class Marks {
  // `announce` is for who hears the page, `say` for everybody, `hint` until the next action; `correction()` is the path
  // of a correction of what is shown, "" without a result
  constructor(canvas, viewer, voices, correction) {
    Object.assign(this, { canvas, viewer, ...voices, correction });
    this.tool = "pan";
    this.radius = 6;
    this.classIndex = 1;
    this.colours = [[0, 0, 0], [230, 159, 0]];
    this.shown = null; // { id, marks, known }: an image, its marks, and how many of the server's are among them
    this.waiting = []; // { image, path, mark }
    this.current = null;
    this.pointer = null;
    this.tail = null;
    this.cross = null;
    this.hovered = null; // where the mouse is, in pixels of the screen
    this.lineStart = null;
    this.sending = null;
    this.ring = document.createElement("div"); // how large the brush is
    [this.ring.className, this.ring.hidden] = ["ring", true];
    canvas.after(this.ring);
    viewer.onChange(() => this.draw());
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerleave", () => this.hover(null));
    for (const event of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(event, (one) => { if (one.pointerId === this.pointer) this.end(); });
    }
    window.addEventListener("blur", () => this.end());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => { if (this.polygon) this.closePolygon(); });
  }

  get marks() { return this.shown ? this.shown.marks : []; }

  // Show the marks of an image; `marked`: whether the server has some. It can be painted on at once.
  async load(id, marked = true) {
    this.end();
    this.polygon = this.lineStart = this.cross = null;
    const waiting = this.waiting.filter((one) => one.image.id === id);
    this.shown = waiting.length ? waiting[0].image : { id, marks: [], known: 0 };
    this.draw();
    if (marked) await this.update();
  }

  // Whether an event is about a mark of the shown image that is not here yet.
  isNew({ image, id }) { return Boolean(this.shown) && this.shown.id === image && id > this.shown.known; }

  // Get the marks that the server has and this page has not: those of other pages, corrections, and all at the start.
  async update() {
    const image = this.shown;
    if (!image) return;
    const found = await get(`/api/images/${image.id}/marks?after=${image.known}`);
    const byId = new Map(image.marks.map((one) => [one.id, one]));
    const byKey = new Map(image.marks.filter((one) => one.key).map((one) => [one.key, one]));
    for (const mark of found) {
      const own = byId.get(mark.id) || byKey.get(mark.key);
      if (own) own.id = mark.id;
      else image.marks.push(mark);
      image.known = Math.max(image.known, mark.id);
    }
    image.marks.sort((a, b) => (a.id || Infinity) - (b.id || Infinity) || 0);
    this.draw();
  }

  setTool(tool) {
    if (!TOOLS.includes(tool)) return;
    this.end();
    this.tool = tool;
    this.polygon = null;
    this.lineStart = null;
    this.viewer.setNavigation(tool === "pan");
    this.viewer.element.classList.toggle("painting", tool !== "pan");
    this.draw();
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.viewer.toImage(event.clientX - box.left, event.clientY - box.top);
  }

  begin(event) {
    if (!this.shown || this.current || event.button !== 0 || !this.viewer.transform()) return;
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    const point = this.point(event);
    this.cross = null;
    if (this.tool === "polygon") { this.addCorner(point); return; }
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId; // a second finger draws no line of its own
    this.current = this.stroke([point]);
    this.draw();
  }

  stroke(points) {
    if (CORRECTIONS.includes(this.tool)) return { kind: "correction", action: this.tool, points };
    const index = this.tool === "erase" ? UNKNOWN : this.classIndex;
    return { kind: "stroke", class_index: index, radius: this.radius, points };
  }

  // The ring is no part of the canvas, where every mark would be drawn again.
  hover(event) {
    const box = event && this.canvas.getBoundingClientRect();
    this.hovered = event && [event.clientX - box.left, event.clientY - box.top];
    this.drawRing();
  }

  drawRing() {
    const view = this.viewer.transform();
    const place = this.hovered || (this.cross && view && [this.cross[0] * view.scale + view.x, this.cross[1] * view.scale + view.y]);
    this.ring.hidden = !["brush", "erase"].includes(this.tool) || !place || !view;
    if (this.ring.hidden) return;
    const radius = this.radius * view.scale;
    const [left, top] = place.map((value) => value - radius);
    Object.assign(this.ring.style, { width: `${2 * radius}px`, height: `${2 * radius}px`, transform: `translate(${left}px, ${top}px)` });
  }

  move(event) {
    if (this.pointer === null || event.pointerId === this.pointer) this.hover(event);
    if (!this.current || event.pointerId !== this.pointer || !this.viewer.transform()) return;
    const scale = this.viewer.transform().scale;
    const step = Math.max(0.5 / scale, this.current.radius / 16 || 0);
    const between = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of between.length ? between : [event]) {
      const point = this.point(one);
      const last = this.current.points[this.current.points.length - 1];
      const far = Math.hypot(point[0] - last[0], point[1] - last[1]) >= step;
      if (far) this.current.points.push(point);
      this.tail = far ? null : point;
    }
    this.draw();
  }

  end() {
    const { current: stroke, tail } = this;
    [this.current, this.tail, this.pointer] = [null, null, null];
    if (stroke && tail) stroke.points.push(tail);
    if (!stroke) return;
    if (stroke.kind === "correction") this.sendCorrection(stroke);
    else this.add(stroke);
  }

  // The server makes the mark, from the result that is shown now.
  async sendCorrection({ action, points }) {
    const path = this.correction();
    this.draw();
    if (!path) { this.hint("Predict the image first: corrections need a result."); return; }
    const ends = action === "frame" ? [points[0], points[points.length - 1]] : points;
    this.waiting.push({ image: this.shown, path, mark: { action, points: ends, key: newKey() } });
    await this.flush();
  }

  // The second click of a double click is no further corner.
  addCorner(point) {
    this.polygon = this.polygon || [];
    const isNear = ([x, y], most) => Math.hypot(point[0] - x, point[1] - y) * this.viewer.transform().scale < most;
    const corners = this.polygon;
    if (corners.length >= 3 && isNear(corners[0], CLOSING)) { this.closePolygon(); return; } // all that a finger can do
    if (corners.length && isNear(corners.at(-1), SAME)) return;
    corners.push(point);
    this.announce(`Corner ${this.polygon.length}.`);
    this.draw();
  }

  closePolygon() {
    if (this.tool !== "polygon") return;
    const points = this.polygon || [];
    if (points.length < 3) { this.hint("A polygon needs at least three corners: add some, then close it."); return; }
    this.polygon = null;
    this.add({ kind: "polygon", class_index: this.classIndex, points });
  }

  dab() {
    if (this.tool === "pan" || !this.shown || !this.viewer.transform()) return;
    if (this.tool === "polygon") { this.dabCorner(); return; }
    if (["merge", "split", "frame"].includes(this.tool)) { this.dabLine(); return; }
    const stroke = this.stroke([this.crossAt()]);
    if (stroke.kind === "correction") this.sendCorrection(stroke);
    else this.add(stroke);
  }

  // By keyboard, a corner is added where the cross was moved to; Enter at the last corner closes the polygon.
  dabCorner() {
    const count = this.polygon ? this.polygon.length : 0;
    if (this.cross || !count) this.addCorner(this.crossAt());
    if (count === (this.polygon || []).length) this.closePolygon();
  }

  // By keyboard, a line goes from the cross of one Enter to that of the next.
  dabLine() {
    if (!this.lineStart) {
      this.lineStart = this.crossAt();
      this.announce("Line begun; move the cross and press Enter again.");
      return;
    }
    const points = [this.lineStart, this.crossAt()];
    this.lineStart = null;
    this.sendCorrection(this.stroke(points));
  }

  crossAt() {
    if (!this.cross) {
      const { clientWidth, clientHeight } = this.canvas;
      this.cross = this.viewer.toImage(clientWidth / 2, clientHeight / 2);
    }
    return [...this.cross];
  }

  moveCross(x, y) {
    if (!this.viewer.transform()) return;
    const [left, top] = this.crossAt();
    const scale = this.viewer.transform().scale;
    [this.cross, this.hovered] = [[left + x / scale, top + y / scale], null];
    this.announce(`Cross at ${Math.round(this.cross[0])}, ${Math.round(this.cross[1])}`);
    this.draw();
  }

  active(marks = this.marks) {
    const undone = new Set();
    for (let index = marks.length - 1; index >= 0; index--) {
      const mark = marks[index];
      if (mark.kind === "undo" && !undone.has(mark.id)) undone.add(mark.of);
    }
    return marks.filter((mark) => mark.kind !== "undo" && !(mark.id && undone.has(mark.id)));
  }

  // Of the image that is shown now, also if another one is shown once everything is sent.
  async undo() {
    if (this.polygon && this.polygon.pop()) { this.draw(); this.announce("The last corner is removed."); return; }
    const image = this.shown;
    await this.flush();
    const last = image && this.active(image.marks).at(-1);
    if (!last) { this.hint("Nothing to undo."); return; }
    await this.add({ kind: "undo", of: last.id }, image);
    this.announce("Undone.");
  }

  async redo() {
    const image = this.shown;
    await this.flush();
    const marks = image ? image.marks : [];
    const undos = marks.filter((mark) => mark.kind === "undo");
    const [undone, numbers] = [new Set(undos.map((mark) => mark.of)), new Set(undos.map((mark) => mark.id))];
    const last = undos.filter((mark) => !undone.has(mark.id) && !numbers.has(mark.of)).at(-1);
    if (!last || marks.at(-1).kind !== "undo") { this.hint("Nothing to redo."); return; }
    await this.add({ kind: "undo", of: last.id }, image);
    this.announce("Done again.");
  }

  // Whether a mark touches the shown image.
  isInside({ points, radius = 0 }) {
    const { width, height } = this.viewer.image;
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    return Math.min(...xs) - radius < width && Math.max(...xs) + radius > 0 && Math.min(...ys) - radius < height && Math.max(...ys) + radius > 0;
  }

  add(mark, image = this.shown) {
    if (mark.points && !this.isInside(mark)) {
      this.draw();
      this.hint("Nothing is marked: this is outside of the image.");
      return Promise.resolve();
    }
    if (mark.points) this.announce(mark.class_index === UNKNOWN ? "Erased." : `Painted with class ${mark.class_index}.`);
    mark.key = newKey();
    image.marks.push(mark);
    this.waiting.push({ image, path: `/api/images/${image.id}/marks`, mark });
    this.draw();
    return this.flush();
  }

  // Send what waits, one after the other; the key makes a second try harmless.
  flush() {
    if (!this.sending && this.waiting.length) this.sending = this.send();
    return this.sending || Promise.resolve();
  }

  async send() {
    let failed = false;
    while (this.waiting.length) {
      const { image, path, mark } = this.waiting[0];
      try {
        const { id } = await post(path, { ...mark, id: undefined });
        this.waiting.shift();
        if (mark.action) this.acknowledge(image, mark.action);
        else mark.id = id;
        if (id === image.known + 1 && !mark.action) image.known = id;
      } catch (error) {
        if (mark.action ? !PASSING.includes(error.status) : REFUSED.includes(error.status)) {
          this.waiting.shift();
          image.marks = image.marks.filter((other) => other !== mark);
          (mark.action ? this.hint : this.say)(error.message); // another line may do
          this.draw();
        } else {
          if (!failed) this.say(`The last marks are not saved yet; they are kept here and sent again. ${error.message}`);
          failed = true;
          await new Promise((resolve) => { setTimeout(resolve, AGAIN); });
        }
      }
    }
    this.sending = null;
    if (failed) this.say("All marks are saved.");
  }

  acknowledge(image, action) {
    this.announce(`Done: ${action}.`);
    if (image === this.shown) this.update().catch((error) => this.say(error.message));
  }

  wheel(event) {
    event.preventDefault();
    this.viewer.zoomBy(event.deltaY < 0 ? 1.3 : 1 / 1.3);
  }

  draw() {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    const view = this.viewer.transform();
    this.drawRing();
    if (!view) return;
    context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
    context.lineCap = "round";
    context.lineJoin = "round";
    for (const mark of this.active()) this.paint(context, mark);
    if (this.current && this.current.kind === "correction") this.drawCorrection(context, view.scale);
    else if (this.current) this.paint(context, this.current);
    context.globalCompositeOperation = "source-over";
    context.globalAlpha = 1;
    if (this.polygon) this.drawOpen(context, view.scale);
    if (this.cross && this.tool !== "pan") this.drawCross(context, view.scale);
  }

  paint(context, mark) {
    if (mark.kind === "objects") { this.paintObjects(context, mark); return; }
    const colour = this.colours[mark.class_index] || [128, 128, 128];
    const shown = mark.class_index === 0 ? [0, 60, 160] : colour;
    context.globalCompositeOperation = mark.class_index === UNKNOWN ? "destination-out" : "source-over";
    context.globalAlpha = mark.class_index === UNKNOWN ? 1 : 0.6;
    context.strokeStyle = context.fillStyle = `rgb(${shown.join()})`;
    context.beginPath();
    const [first, ...rest] = mark.points;
    context.moveTo(...first);
    for (const point of rest) context.lineTo(...point);
    if (mark.kind === "polygon") { context.fill("evenodd"); return; }
    if (!rest.length) context.lineTo(first[0] + 1e-3, first[1]);
    context.lineWidth = 2 * mark.radius;
    context.stroke();
  }

  paintObjects(context, mark) {
    const scale = this.viewer.transform().scale;
    context.globalCompositeOperation = "source-over";
    if (mark.frame) {
      const [left, top, right, bottom] = mark.frame;
      context.globalAlpha = 1;
      context.strokeStyle = "#fff";
      context.lineWidth = 2 / scale;
      context.setLineDash([8 / scale, 6 / scale]);
      context.strokeRect(left, top, right - left, bottom - top);
      context.setLineDash([]);
    }
    for (const object of mark.objects) {
      const shown = object.class_index === 0 ? [0, 60, 160] : this.colours[object.class_index] || [128, 128, 128];
      context.beginPath();
      for (const ring of object.rings) {
        context.moveTo(...ring[0]);
        for (const point of ring.slice(1)) context.lineTo(...point);
      }
      context.fillStyle = `rgb(${shown.join()})`;
      context.globalAlpha = 0.5;
      context.fill("evenodd");
      context.globalAlpha = 1;
      context.strokeStyle = "#fff";
      context.lineWidth = 1.5 / scale;
      context.stroke();
    }
  }

  drawCorrection(context, scale) {
    const { action, points } = this.current;
    const last = this.tail || points[points.length - 1];
    context.strokeStyle = "#fff";
    context.lineWidth = 2 / scale;
    context.beginPath();
    if (action === "frame") context.rect(points[0][0], points[0][1], last[0] - points[0][0], last[1] - points[0][1]);
    else {
      context.moveTo(...points[0]);
      for (const point of [...points.slice(1), last]) context.lineTo(...point);
    }
    context.stroke();
  }

  drawOpen(context, scale) {
    if (!this.polygon.length) return;
    context.strokeStyle = context.fillStyle = "#fff";
    context.lineWidth = 2 / scale;
    for (const [x, y] of this.polygon) context.fillRect(x - 3 / scale, y - 3 / scale, 6 / scale, 6 / scale);
    context.beginPath();
    context.moveTo(...this.polygon[0]);
    for (const point of this.polygon.slice(1)) context.lineTo(...point);
    context.stroke();
  }

  drawCross(context, scale) {
    const [x, y] = this.cross;
    const arm = 12 / scale;
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width / scale;
      context.beginPath();
      context.moveTo(x - arm, y);
      context.lineTo(x + arm, y);
      context.moveTo(x, y - arm);
      context.lineTo(x, y + arm);
      context.stroke();
    }
  }
}
