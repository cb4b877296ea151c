/* The head of the run's page: state, sentence, times. */

import { duration } from "./clock.js";

const MARKS = { succeeded: "✓", failed: "✗", errored: "✗", lost: "✗", timed_out: "✗", stopped: "■" };

export class Header {
  constructor({ tones, mayStop }) {
    this.tones = tones;
    this.mayStop = mayStop;
    this.element = (name) => document.getElementById(`run-${name}`);
    this.title = document.title;
    this.run = null;
  }

  update(run) {
    this.run = run;
    const badge = this.element("state");
    if (badge.textContent !== run.state_label) badge.textContent = run.state_label;
    badge.className = `dp-badge ${this.tones[run.state]}`;
    this.fill("summary", run.summary, this.element("summary"));
    this.fact("not-before", run.state === "waiting" ? moment(run.not_before) : "");
    this.fact("started", moment(run.started_at));
    this.fact("stopper", run.stop_requested_by);
    this.element("stop").hidden = !(this.mayStop && run.stoppable);
    if (!run.stoppable) document.getElementById("run-stop-dialog")?.close(); // it asks about what is over
    document.title = `${MARKS[run.state] || "▸"} ${this.title}`;
    this.tick();
  }

  tick() {
    if (this.run) this.fact("duration", duration(this.run.started_at, this.run.ended_at));
  }

  fact(name, text) {
    const row = this.element(name);
    this.fill(name, text, row.querySelector("dd"));
    row.hidden = !text;
  }

  fill(name, text, element) {
    element.hidden = !text;
    if (element.textContent !== (text || "")) element.textContent = text || "";
  }
}

function moment(value) {
  if (!value) return "";
  const at = new Date(value);
  const two = (number) => String(number).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
