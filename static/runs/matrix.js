/* Stages × hosts: what the panel itself does in one line, then a row for each host, those that failed first. */

import { duration } from "./clock.js";

// A sign and a word for each state, so that nothing is told by colour alone.
const SYMBOLS = { pending: "·", running: "▸", succeeded: "✓", failed: "✗", skipped: "–", stopped: "■" };
const WORDS = { pending: "Pending", running: "Running", succeeded: "Done", failed: "Failed", skipped: "Skipped", stopped: "Stopped" };
const ORDER = new Intl.Collator("en", { numeric: true });

export class Matrix {
  /* `onJump(host)` is called to show what a host said last. */
  constructor({ section, own, table, tally, onJump }) {
    Object.assign(this, { section, own, table, tally, onJump });
    this.steps = new Map(); // host → Map(stage → step)
    this.rows = new Map(); // host → { element, cells: Map(stage → { element, time, step, shown }) }
    this.ownCells = new Map(); // stage → the same
    this.columns = "";
    this.head = table.createTHead().insertRow();
    this.body = table.createTBody();
    this.frame = 0;
  }

  update(steps) {
    for (const step of steps) {
      if (!this.steps.has(step.host)) this.steps.set(step.host, new Map());
      this.steps.get(step.host).set(step.stage, step);
    }
    if (steps.length && !this.frame) this.frame = window.requestAnimationFrame(() => this.render());
  }

  render() {
    this.frame = 0;
    this.section.hidden = !this.steps.size;
    this.renderOwn();
    const hosts = this.hostOrder();
    const stages = this.stagesOf(hosts);
    this.table.hidden = !hosts.length;
    if (stages.join("\n") !== this.columns) this.rebuildHead(stages);
    hosts.forEach((host, place) => {
      const row = this.rows.get(host) || this.makeRow(host, stages);
      if (this.body.rows[place] !== row.element) this.body.insertBefore(row.element, this.body.rows[place] || null);
      for (const stage of stages) this.fillCell(row.cells.get(stage), this.steps.get(host).get(stage));
      row.element.classList.toggle("is-failed", this.failed(host));
    });
    this.tell(hosts);
  }

  /* What the panel does for all hosts together: fetching, building. */
  renderOwn() {
    this.own.hidden = !this.steps.has("");
    if (this.own.hidden) return;
    for (const stage of this.stagesOf([""])) {
      if (!this.ownCells.has(stage)) {
        const element = document.createElement("li");
        const name = document.createElement("strong");
        const cell = document.createElement("div");
        name.textContent = words(stage);
        element.append(name, cell);
        this.own.append(element);
        this.ownCells.set(stage, { element: cell, shown: "" });
      }
      this.fillCell(this.ownCells.get(stage), this.steps.get("").get(stage));
    }
  }

  stagesOf(hosts) {
    const positions = new Map();
    for (const host of hosts) {
      for (const step of this.steps.get(host).values()) positions.set(step.stage, step.position);
    }
    return [...positions.keys()].sort((one, other) => positions.get(one) - positions.get(other));
  }

  /* The hosts that failed, then the others by name. */
  hostOrder() {
    const hosts = [...this.steps.keys()].filter(Boolean);
    const failed = new Map(hosts.map((host) => [host, this.failed(host)]));
    return hosts.sort((one, other) => failed.get(other) - failed.get(one) || ORDER.compare(one, other));
  }

  failed(host) {
    for (const step of this.steps.get(host).values()) if (step.state === "failed") return true;
    return false;
  }

  rebuildHead(stages) {
    this.columns = stages.join("\n");
    this.head.replaceChildren(heading("Host"), ...stages.map((stage) => heading(words(stage))));
    for (const row of this.rows.values()) row.element.remove();
    this.rows.clear();
  }

  makeRow(host, stages) {
    const element = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    const button = document.createElement("button");
    button.type = "button";
    button.className = "run-hostname";
    button.textContent = host;
    button.title = `Show the lines of ${host} only`;
    button.addEventListener("click", () => this.onJump(host));
    head.append(button);
    element.append(head);
    const row = { element, cells: new Map() };
    for (const stage of stages) row.cells.set(stage, { element: element.insertCell(), shown: "" });
    this.rows.set(host, row);
    return row;
  }

  fillCell(cell, step) {
    const shown = JSON.stringify(step || null);
    if (cell.shown === shown) return;
    cell.shown = shown;
    cell.step = step;
    cell.element.className = step ? `run-cell is-${step.state}` : "run-cell";
    cell.element.replaceChildren(...(step ? this.cellContent(step) : []));
    cell.time = cell.element.querySelector(".run-took");
  }

  cellContent(step) {
    const state = document.createElement("span");
    state.className = "run-step";
    const symbol = document.createElement("span");
    symbol.className = "run-symbol";
    symbol.setAttribute("aria-hidden", "true");
    symbol.textContent = SYMBOLS[step.state] || "?";
    const took = document.createElement("span");
    took.className = "run-took";
    took.textContent = step.state === "skipped" ? "" : duration(step.started_at, step.ended_at);
    state.append(symbol, WORDS[step.state] || step.state_label, took);
    if (step.state !== "failed" && step.state !== "stopped") {
      if (step.message) state.title = step.message;
      return [state];
    }
    const button = document.createElement("button");
    button.type = "button";
    button.className = "run-why";
    button.textContent = step.message || (step.exit_status === null ? "Show its last lines" : `Exit status ${step.exit_status}`);
    button.title = `${step.message}\nShow its last lines`.trim();
    button.addEventListener("click", () => this.onJump(step.host));
    return [state, button];
  }

  tell(hosts) {
    const count = { failed: 0, running: 0, done: 0 };
    for (const host of hosts) {
      const states = [...this.steps.get(host).values()].map((step) => step.state);
      if (states.includes("failed")) count.failed += 1;
      else if (states.includes("running")) count.running += 1;
      else if (states.every((state) => state === "succeeded" || state === "skipped")) count.done += 1;
    }
    // When one has failed, the others have skipped the rest: that is an end, but not a success.
    if (count.failed) count.done = 0;
    const parts = [`${hosts.length} ${hosts.length === 1 ? "host" : "hosts"}`];
    for (const [name, number] of Object.entries(count)) if (number) parts.push(`${number} ${name}`);
    this.tally.textContent = hosts.length ? parts.join(", ") : "";
  }

  /* Each second: the durations of what runs. */
  tick() {
    for (const cells of [this.ownCells, ...[...this.rows.values()].map((row) => row.cells)]) {
      for (const { step, time } of cells.values()) {
        if (step && step.state === "running") time.textContent = duration(step.started_at, null);
      }
    }
  }
}

function heading(text) {
  const cell = document.createElement("th");
  cell.scope = "col";
  cell.textContent = text;
  return cell;
}

function words(name) {
  const text = name.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}
