// Files of a model that take a while to make: when one is ready, its download starts.

import { isOutdated, post } from "./api.js";

const NAMES = { onnx: "ONNX model", report: "report" };

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
    const link = document.createElement("a");
    link.href = `/api/models/${encodeURIComponent(wanted.model)}/take/${wanted.kind}`;
    link.click();
  }
}
