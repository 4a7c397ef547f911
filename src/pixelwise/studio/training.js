// Training: start, watch, stop, continue, compare with the last round. The server tells what happens; this only shows it.

import { get, isOutdated, post, request } from "./api.js";
import { write } from "./text.js";

const ACTIVE = ["running", "stopping"];
const MASKS = "Volumes are learned from masks: start pixelwise serve with a folder that has some.";
const PAINT = "Paint some objects, and some background with class 0; then train on these marks.";
const FAULTY = "The masks in the folder cannot be learned from as they are: why is said under Understood, and Check can repair some faults.";

export class Training {
  constructor(elements, announce) {
    this.elements = elements;
    this.announce = announce;
    this.job = null;
    this.hint = PAINT;
    this.obstacle = "";
    this.jobs = new Map();
    this.rows = new Map();
    elements.train.addEventListener("click", () => this.start());
    elements.stop.addEventListener("click", () => this.stop());
    elements.resume.addEventListener("click", () => this.resume());
    elements.source.addEventListener("change", () => this.show());
    setInterval(() => this.show(), 1000);
  }

  async start() {
    if (!this.images) return;
    const { source, minutes, goOn } = this.elements;
    this.elements.train.disabled = true;
    try {
      const seconds = Math.round(60 * Number(minutes.value));
      this.take(await post("/api/jobs", { kind: "train", source: source.value, seconds, fresh: !goOn.checked }));
      this.announce("Training started.");
    } catch (error) { this.fail(error); } finally { this.show(); }
  }

  async stop() {
    try { this.take(await request("DELETE", `/api/jobs/${this.job.id}`)); } catch (error) { this.fail(error); }
  }

  async resume() {
    try { this.take(await post(`/api/jobs/${this.job.id}/resume`)); } catch (error) { this.fail(error); }
  }

  // A server where a training runs already answers with it.
  fail(error) {
    if (error.status === 409 && error.body.id) { this.take(error.body); return; }
    this.error = error.message;
    this.announce(error.message);
    this.show();
  }

  take(job) {
    if (job.kind !== "train" || isOutdated(job, this.jobs.get(job.id))) return;
    this.jobs.set(job.id, job);
    if (this.job && Number(job.id) < Number(this.job.id)) return;
    if (!this.job || this.job.id !== job.id) this.elements.snapshots.hidden = true; // they are those of another training
    this.error = "";
    this.job = job;
    if (job.snapshot >= 0) this.addSnapshot(job.id, job.snapshot);
    queueMicrotask(() => this.loadShown()); // of many jobs that are announced at once, only the shown ones are asked for
    this.show();
  }

  loadShown() {
    for (const one of [this.job, this.last()]) if (one) this.loadRows(one.id);
  }

  // The training before the one that is shown.
  last() {
    const earlier = [...this.jobs.values()].filter((one) => Number(one.id) < Number(this.job.id) && one.state !== "failed");
    return earlier.sort((a, b) => Number(b.id) - Number(a.id))[0] || null;
  }

  // Rows from before this page was opened; later ones come as events.
  async loadRows(id) {
    if (this.rows.has(id)) return;
    this.rows.set(id, []);
    try {
      for (const row of await get(`/api/jobs/${id}/metrics`)) this.addRow(id, row);
    } catch (error) {
      this.rows.delete(id);
      this.fail(error);
    }
  }

  addRow(job, row) {
    const rows = (this.rows.get(job) || []).filter((one) => one.step !== row.step);
    this.rows.set(job, [...rows, row].sort((a, b) => a.step - b.step));
    this.show();
  }

  addSnapshot(job, step) {
    if (!this.job || job !== this.job.id) return;
    const path = `/api/jobs/${job}/snapshot.png`;
    this.elements.snapshots.hidden = false;
    this.elements.snapshot.src = `${path}?step=${step}`;
    this.elements.snapshotImage.src = `${path}?what=image`;
    this.elements.snapshotTruth.src = `${path}?what=truth`;
  }

  // Slices of volumes are stored with the back of a body, or its feet, first, and drawn with them at the bottom.
  setVolume(volume) {
    this.elements.snapshots.classList.toggle("upright", Boolean(volume && volume.planes.axial.upright));
    this.hint = volume ? MASKS : PAINT;
  }

  // What keeps the page from learning anything, or from learning from the masks of the folder.
  setData({ images, trainable, check }) {
    this.images = images.length;
    this.obstacle = !trainable && check.possible ? FAULTY : "";
    this.show();
  }

  show() {
    const { job, elements } = this;
    const active = Boolean(job) && ACTIVE.includes(job.state);
    elements.train.disabled = active || !this.images;
    elements.stop.hidden = !active;
    elements.stop.disabled = active && job.state === "stopping";
    elements.resume.hidden = !job || !["stopped", "failed"].includes(job.state);
    elements.goOn.disabled = elements.source.value !== "marks";
    write(elements.text, this.error || (job ? this.sentence(job) : this.advice()));
    write(elements.command, job ? job.command : "");
    this.drawCurves();
  }

  advice() {
    if (!this.images || this.elements.source.value !== "marks") return "";
    return `${this.obstacle} ${this.hint}`.trim();
  }

  scored(job) { return (job && this.rows.get(job.id) || []).filter((row) => row.val_score !== undefined); }

  sentence(job) {
    const last = this.scored(job).at(-1);
    const score = last ? ` Validation score ${last.val_score.toFixed(3)} after ${last.step} steps.` : "";
    const before = this.scored(this.last()).at(-1);
    const compared = before ? ` The last round ended at ${before.val_score.toFixed(3)}.` : "";
    if (job.state === "running") {
      return `Training, ${this.timeLeft(job)}${score}${compared}`;
    }
    const states = { stopping: "Saving and stopping.", done: "Training done.", stopped: "Training stopped.", failed: "Training failed." };
    return `${states[job.state]}${score}${compared} ${job.message}`.trim();
  }

  timeLeft(job) {
    if (job.seconds === null) return "until its last step.";
    const left = Math.max(0, Math.round(job.started + job.seconds - Date.now() / 1000));
    return `about ${left >= 90 ? `${Math.round(left / 60)} min` : `${left} s`} left.`;
  }

  // This training and, dashed, the last one, over the fraction of each that is done.
  drawCurves() {
    const { curve } = this.elements;
    const lines = curve.querySelectorAll("polyline");
    const curves = [this.scored(this.job), this.scored(this.job && this.last())];
    curve.toggleAttribute("hidden", curves.every((points) => points.length < 2));
    curves.forEach((points, index) => {
      const end = points.length ? points.at(-1) : null;
      const along = (row) => row.progress ?? row.step / end.step;
      const place = (row) => `${(300 * along(row)).toFixed(1)},${(98 - 96 * Math.min(1, Math.max(0, row.val_score))).toFixed(1)}`;
      lines[index].setAttribute("points", points.map(place).join(" "));
    });
  }
}
