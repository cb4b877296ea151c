/* A log of any length, of which only the visible rows exist. Rows have one height; the canvas is as high as all
   of them together, or, beyond what browsers can lay out, so high as they can, and scrolls proportionally. */

import { show } from "./ansi.js";

const TALLEST = 8_000_000; // pixels; Firefox ends at 17.8 million, Chromium at 33 million
const MARGIN = 12; // rows beyond each edge, so that quick scrolling shows no gap

export class LogView {
  /* `source` has `length` and `at(index)` → { number, text, origin } or null; `onFollow(on)` hears of following,
     `onView(first, last)` of the line numbers that are being looked at. */
  constructor({ scroller, canvas, rows, onFollow, onView }) {
    Object.assign(this, { scroller, canvas, box: rows, onFollow, onView });
    this.source = { length: 0, at: () => null };
    this.needle = "";
    this.following = true;
    this.marked = 0;
    this.rows = []; // { element, index, number } in order, without gaps
    this.spare = [];
    this.widest = 0;
    this.lastTop = 0;
    this.height = -1;
    this.frame = 0;
    this.stale = false;
    this.rowHeight = 20;
    scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(scroller);
  }

  measure() {
    this.rowHeight = parseFloat(getComputedStyle(this.scroller).getPropertyValue("--run-row")) || 20;
    this.viewport = this.scroller.clientHeight;
    this.height = -1;
    this.update();
  }

  /* Other lines than before: a filter was set or taken away. */
  show(source, needle) {
    this.source = source;
    this.needle = needle;
    this.clear();
    this.layout();
    this.lastTop = this.scroller.scrollTop; // it may have become less, but nobody scrolled
    this.update();
  }

  /* Lines came in, at the end or in places that were still empty. */
  update() {
    this.stale = true;
    if (!this.frame) this.frame = window.requestAnimationFrame(() => this.render());
  }

  follow(on) {
    if (this.following !== on) {
      this.following = on;
      this.onFollow(on);
    }
    if (on) this.update();
  }

  scrolled() {
    const top = this.scroller.scrollTop;
    // Only a person scrolls up; lines that come in never do. Whoever scrolls down to the end follows again.
    if (top < this.lastTop - 1) this.follow(false);
    else if (top > this.lastTop && top + this.viewport >= this.canvasHeight() - 2) this.follow(true);
    this.lastTop = top;
    if (!this.frame) this.frame = window.requestAnimationFrame(() => this.render());
  }

  /* Scroll to a row, and leave following. */
  reveal(index) {
    this.follow(false);
    this.layout();
    const whole = this.source.length * this.rowHeight - this.viewport;
    const wanted = Math.max(0, Math.min(whole, (index + 0.5) * this.rowHeight - this.viewport / 2));
    this.scrollTo(whole > 0 ? wanted / this.ratio() : 0);
    this.update();
  }

  scrollTo(top) {
    this.scroller.scrollTop = top;
    this.lastTop = this.scroller.scrollTop;
  }

  /* The index of the row in the middle of what is seen. */
  middle() {
    return Math.min(this.source.length - 1, Math.floor((this.scroller.scrollTop * this.ratio() + this.viewport / 2) / this.rowHeight));
  }

  canvasHeight() {
    return Math.max(this.viewport, Math.min(TALLEST, this.source.length * this.rowHeight));
  }

  /* Pixels of log for one pixel of scrolling: 1 unless the log is taller than the canvas may be. */
  ratio() {
    const canvas = this.canvasHeight() - this.viewport;
    const whole = this.source.length * this.rowHeight - this.viewport;
    return canvas > 0 && whole > canvas ? whole / canvas : 1;
  }

  layout() {
    const height = this.canvasHeight();
    if (height !== this.height) {
      this.height = height;
      this.canvas.style.height = `${height}px`;
    }
  }

  render() {
    this.frame = 0;
    if (!this.viewport) return;
    this.layout();
    if (this.following) this.scrollTo(this.canvasHeight() - this.viewport);
    const top = this.scroller.scrollTop;
    const seen = top * this.ratio();
    const first = Math.max(0, Math.floor(seen / this.rowHeight) - MARGIN);
    const last = Math.min(this.source.length, Math.ceil((seen + this.viewport) / this.rowHeight) + MARGIN);
    this.place(first, last);
    this.box.style.transform = `translateY(${top + first * this.rowHeight - seen}px)`;
    if (last > first) this.onView(this.rows.at(0).number, this.rows.at(-1).number);
  }

  /* Make the rows those from `first` to before `last`; a row that stays is not touched. */
  place(first, last) {
    while (this.rows.length && this.rows[0].index < first) this.free(this.rows.shift());
    while (this.rows.length && this.rows.at(-1).index >= last) this.free(this.rows.pop());
    if (this.stale) {
      for (const row of this.rows) if (!row.filled) this.fill(row);
      this.stale = false;
    }
    if (this.rows.length) {
      for (let index = this.rows[0].index - 1; index >= first; index -= 1) this.rows.unshift(this.make(index, true));
    }
    for (let index = this.rows.length ? this.rows.at(-1).index + 1 : first; index < last; index += 1) {
      this.rows.push(this.make(index, false));
    }
  }

  make(index, before) {
    const row = this.spare.pop() || this.build();
    row.index = index;
    this.fill(row);
    if (before) this.box.prepend(row.element);
    else this.box.append(row.element);
    return row;
  }

  build() {
    const element = document.createElement("div");
    const link = document.createElement("a");
    const host = document.createElement("span");
    const text = document.createElement("span");
    link.className = "run-n";
    link.tabIndex = -1; // hundreds of stops for the tab key help nobody; the address bar takes #L123
    host.className = "run-h";
    text.className = "run-t";
    element.append(link, host, text);
    return { element, link, host, text };
  }

  fill(row) {
    const line = this.source.at(row.index);
    row.filled = line !== null;
    row.number = line ? line.number : row.index + 1;
    row.link.textContent = row.number;
    row.link.href = `#L${row.number}`;
    row.element.className = "run-row";
    if (!line) {
      row.host.textContent = "";
      row.text.textContent = "…";
      row.element.classList.add("is-coming");
      return;
    }
    row.element.classList.add(`is-${line.origin.stream}`);
    row.element.classList.toggle("is-marked", row.number === this.marked);
    row.link.title = new Date(line.origin.at).toLocaleString();
    row.host.textContent = line.origin.host;
    row.host.title = line.origin.host;
    show(row.text, line.text, this.needle);
    if (line.text.length > this.widest) {
      this.widest = line.text.length;
      this.canvas.style.setProperty("--run-widest", `${this.widest}ch`);
    }
  }

  mark(number) {
    this.marked = number;
    for (const row of this.rows) row.element.classList.toggle("is-marked", row.number === number);
  }

  free(row) {
    row.element.remove();
    if (this.spare.length < 200) this.spare.push(row);
  }

  clear() {
    for (const row of this.rows) this.free(row);
    this.rows = [];
    this.widest = 0;
    this.canvas.style.removeProperty("--run-widest");
  }
}
