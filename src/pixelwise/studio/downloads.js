// Files to take away: those of a result, of which some are made when they are wanted, and those of a model, which a job
// makes. When one is ready, its download starts.

import { file, get, isOutdated, isPassing, post, request } from "./api.js";

const NAMES = { onnx: "ONNX model", report: "report" };
const MADE = { corrected: "corrected mask", geojson: "file of outlines" };
const SOON = 1000; // ms without a sentence about what is being made
const ASK = 500; // ms between two questions how far a file is
const KEPT = 60000; // ms in which a browser begins to store a file

export class Downloads {
  // `parts`: group, text, bar and button of what is being made.
  constructor(say, parts) {
    Object.assign(this, { say, parts, making: null });
    parts.stop.addEventListener("click", () => this.stop());
    this.wanted = new Map(); // by the number of the job: kind, model
    this.jobs = new Map();
  }

  // Returns the job; null if there is none.
  async make(kind, model) {
    try {
      const job = await post("/api/jobs", { kind: kind === "onnx" ? "export" : "report", model });
      this.wanted.set(job.id, { kind, model });
      this.say(`The ${NAMES[kind]} of ${model} is being made; its download starts when it is ready.`);
      this.take(this.jobs.get(job.id) || job); // it may have ended before this answer came
      return job;
    } catch (error) {
      const own = error.status === 409 && this.wanted.get(error.body.id);
      if (own) this.say(`The ${NAMES[own.kind]} of ${own.model} is still being made.`);
      else if (error.status === 409 && error.body.id) this.say("Another one is being made: try again when it is ready.");
      else this.say(error.message);
      return null;
    }
  }

  take(job) {
    if (!["export", "report"].includes(job.kind) || isOutdated(job, this.jobs.get(job.id))) return;
    this.jobs.set(job.id, job);
    const wanted = this.wanted.get(job.id);
    if (!wanted || ["running", "stopping"].includes(job.state)) return;
    this.wanted.delete(job.id);
    if (job.state !== "done") { this.say(job.message); return; }
    this.say("");
    this.fetch(`/api/models/${encodeURIComponent(wanted.model)}/take/${wanted.kind}`);
  }

  // Not by following a link: what keeps the server from sending the file is said on the page, which stays.
  async fetch(path) {
    let said = "";
    const slow = setTimeout(() => { this.say(said = "The file is being made; its download starts when it is ready."); }, SOON);
    try {
      const found = await file(path);
      if (said) this.say("");
      const address = URL.createObjectURL(found);
      follow(address, found.name);
      setTimeout(() => URL.revokeObjectURL(address), KEPT);
    } catch (error) { this.say(error.message); } finally { clearTimeout(slow); }
  }

  // A file of a result: some are made first, which takes minutes for a large image.
  async takeResult(kind, path) {
    if (!MADE[kind]) { await this.fetch(path); return; }
    if (this.making) { this.say(`The ${MADE[this.making.kind]} is still being made; stop it first.`); return; }
    this.making = { kind, share: 0, state: "running" };
    try {
      this.making = await post(path);
      while (this.making.state === "running") {
        this.showMaking();
        await new Promise((resolve) => { setTimeout(resolve, this.making.share ? ASK : ASK / 5); });
        this.making = await get(`/api/takes/${this.making.id}`).catch((error) => {
          if (isPassing(error)) return this.making;
          throw error;
        });
      }
      const { id, state, message } = this.making;
      if (state === "done") follow(`/api/takes/${id}/file`, "");
      else this.say(message || "Stopped: no file was made.");
    } catch (error) { this.say(error.message); } finally {
      this.making = null;
      this.showMaking();
    }
  }

  stop() {
    if (this.making && this.making.id) request("DELETE", `/api/takes/${this.making.id}`).catch((error) => this.say(error.message));
  }

  showMaking() {
    const { group, text, bar } = this.parts;
    group.hidden = !this.making;
    if (!this.making) return;
    text.textContent = `Making the ${MADE[this.making.kind]}: ${Math.round(100 * this.making.share)} %. Its download starts when it is ready.`;
    bar.value = this.making.share;
  }
}

function follow(address, name) {
  const link = document.createElement("a");
  [link.href, link.download] = [address, name];
  link.click();
}
