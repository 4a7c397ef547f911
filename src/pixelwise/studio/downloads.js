// Files to take away: those of a result, and those of a model, which a job makes. When one is ready, its download starts.

import { file, isOutdated, post } from "./api.js";

const NAMES = { onnx: "ONNX model", report: "report" };
const SOON = 1000; // ms without a sentence about what is being made
const KEPT = 60000; // ms in which a browser begins to store a file

export class Downloads {
  constructor(say) {
    this.say = say;
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
      const link = document.createElement("a");
      [link.href, link.download] = [URL.createObjectURL(found), found.name];
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), KEPT);
    } catch (error) { this.say(error.message); } finally { clearTimeout(slow); }
  }
}
