// Training: start, watch, stop, continue. The server tells what happens; this only shows it.

import { post, request } from "./api.js";

const ACTIVE = ["running", "stopping"];

export class Training {
  constructor(elements, announce) {
    this.elements = elements;
    this.announce = announce;
    this.job = null;
    this.rows = new Map();
    elements.train.addEventListener("click", () => this.start());
    elements.stop.addEventListener("click", () => this.stop());
    elements.resume.addEventListener("click", () => this.resume());
    setInterval(() => this.show(), 1000);
  }

  async start() {
    const { source, minutes } = this.elements;
    this.elements.train.disabled = true;
    try {
      const seconds = Math.round(60 * Number(minutes.value));
      this.take(await post("/api/jobs", { kind: "train", source: source.value, seconds }));
      this.announce("Training started.");
    } catch (error) {
      if (error.status === 409 && error.body.id) this.take(error.body);
      else this.fail(error);
    } finally {
      this.show();
    }
  }

  async stop() {
    try { this.take(await request("DELETE", `/api/jobs/${this.job.id}`)); } catch (error) { this.fail(error); }
  }

  async resume() {
    try { this.take(await post(`/api/jobs/${this.job.id}/resume`)); } catch (error) { this.fail(error); }
  }

  fail(error) {
    this.error = error.message;
    this.announce(error.message);
    this.show();
  }

  take(job) {
    if (job.kind !== "train") return;
    if (this.job && Number(job.id) < Number(this.job.id)) return;
    this.error = "";
    this.job = job;
    this.show();
  }

  addRow(job, row) {
    const rows = this.rows.get(job) || [];
    if (!rows.length || row.step > rows[rows.length - 1].step) rows.push(row);
    this.rows.set(job, rows);
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

  show() {
    const { job, elements } = this;
    const active = Boolean(job) && ACTIVE.includes(job.state);
    elements.train.disabled = active;
    elements.stop.hidden = !active;
    elements.stop.disabled = active && job.state === "stopping";
    elements.resume.hidden = !job || !["stopped", "failed"].includes(job.state);
    elements.text.textContent = this.error || (job ? this.sentence(job) : "");
    this.drawCurve(job ? this.rows.get(job.id) || [] : []);
  }

  sentence(job) {
    const rows = this.rows.get(job.id) || [];
    const last = rows[rows.length - 1];
    const score = last && last.val_score !== undefined ? ` Validation score ${last.val_score.toFixed(3)} after ${last.step} steps.` : "";
    if (job.state === "running") {
      const left = Math.max(0, Math.round(job.started + job.seconds - Date.now() / 1000));
      return `Training, about ${left >= 90 ? `${Math.round(left / 60)} min` : `${left} s`} left.${score}`;
    }
    const states = { stopping: "Saving and stopping.", done: "Training done.", stopped: "Training stopped.", failed: "Training failed." };
    return `${states[job.state]}${score} ${job.message}`.trim();
  }

  drawCurve(rows) {
    const points = rows.filter((row) => row.val_score !== undefined);
    this.elements.curve.toggleAttribute("hidden", points.length < 2);
    if (points.length < 2) return;
    const last = points[points.length - 1].step;
    const place = (row) => `${(300 * row.step / last).toFixed(1)},${(98 - 96 * Math.min(1, Math.max(0, row.val_score))).toFixed(1)}`;
    this.elements.curve.querySelector("polyline").setAttribute("points", points.map(place).join(" "));
  }
}
