// How the folder was read, and what `doctor` finds in it: at the thumbnails, in a list that opens the images, and a
// corrected copy.

import { isOutdated, post } from "./api.js";
import { ended, sentence, unbroken, write } from "./text.js";

const ACTIVE = ["running", "stopping"];
const MOST = 200; // messages that are shown

function listed(nodes) {
  const item = document.createElement("li");
  item.append(...nodes);
  return item;
}

export class Checks {
  // `open(id)` shows an image
  constructor(elements, open, announce) {
    Object.assign(this, { elements, open, announce });
    this.check = { possible: false, findings: [], more: 0 };
    [this.problems, this.messages] = [[], []];
    this.jobs = new Map();
    this.error = "";
    elements.check.addEventListener("click", () => this.start("check"));
    elements.fix.addEventListener("click", () => this.start("fix"));
  }

  async start(kind) {
    this.error = "";
    try {
      this.take(await post("/api/jobs", { kind }));
      this.announce(kind === "check" ? "Checking images and masks." : "Writing a corrected copy.");
    } catch (error) {
      if (error.status === 409 && error.body.id) this.take(error.body);
      else this.fail(error.message);
    }
  }

  // It stays until the next start, whatever else happens.
  fail(message) {
    this.error = message;
    this.announce(message);
    this.show();
  }

  // Returns whether a check or a corrected copy has just been finished.
  take(job) {
    if (!["check", "fix"].includes(job.kind)) return false;
    const before = this.jobs.get(job.kind);
    if (before && (job.id < before.id || (job.id === before.id && isOutdated(job, before)))) return false;
    this.jobs.set(job.kind, job);
    this.show();
    return Boolean(before) && ACTIVE.includes(before.state) && job.state === "done";
  }

  update(check, problems, messages) {
    Object.assign(this, { check, problems, messages });
    this.show();
  }

  // What is wrong with an image, in words; the first words are the worst.
  of(id) {
    return [
      ...this.problems.filter((one) => one.image === id).map((one) => one.kind),
      ...this.check.findings.filter((one) => one.image === id).map((one) => one.kind),
    ];
  }

  show() {
    const { elements, check } = this;
    const running = ["check", "fix"].some((kind) => ACTIVE.includes(this.jobs.get(kind)?.state));
    elements.section.hidden = !check.possible;
    elements.check.disabled = elements.fix.disabled = running;
    elements.fix.hidden = !check.fixable;
    write(elements.command, check.command || "");
    elements.text.textContent = this.sentence(running);
    elements.list.replaceChildren(...check.findings.map((one) => this.item(one)));
    const read = [...this.messages, ...this.problems.map((one, index) => this.problem(one, index))];
    elements.messages.replaceChildren(...read.slice(0, MOST).map((text) => listed(unbroken(text))));
  }

  // What was found, where, and what to do; the latter once for problems of a kind.
  problem({ file, kind, text, hint }, index) {
    const what = file ? ended(`${file}: ${text}`) : sentence(text);
    if (this.problems.findIndex((one) => one.kind === kind) !== index) return what;
    return `${what} ${hint}${/(^|\s)--[a-z]/.test(hint) ? " Options are those of pixelwise train." : ""}`;
  }

  sentence(running) {
    const { check } = this;
    if (running) return "Working ...";
    const last = [...this.jobs.values()].sort((a, b) => Number(b.id) - Number(a.id))[0];
    if (this.error || last?.state === "failed") return this.error || last.message;
    if (!check.checked) return "";
    const count = check.findings.length + check.more;
    const found = count ? `${count} ${count === 1 ? "finding" : "findings"}.` : "No faults were found.";
    return check.copy ? `${found} Training uses the corrected copy.` : found;
  }

  item(finding) {
    const fix = finding.fix ? ` Fix: ${finding.fix.map((step) => step.action).join(", then ")}.` : "";
    const text = `${finding.kind} (${Math.round(100 * finding.confidence)} %): ${finding.text}.${fix}`;
    const item = finding.image ? listed([this.opener(finding), " ", ...unbroken(text)])
      : listed(unbroken(`${finding.files[0] || "The whole set"}: ${text}`));
    item.dataset.severity = finding.severity;
    return item;
  }

  opener(finding) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = finding.case || finding.files[0];
    button.addEventListener("click", () => this.open(finding.image));
    return button;
  }
}
