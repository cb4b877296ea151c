/* The lines that a filter lets through: the past is searched by the server, what is new is looked at here. */

import { clip } from "./store.js";

const KEPT = 10000; // the newest; as many as the server gives

export class Matches {
  /* `host` and `stream`: null for all; the host "" is the panel itself. `onChange()` is called when lines came in. */
  constructor({ url, host, stream, text, onChange }) {
    Object.assign(this, { url, host, stream, text, onChange });
    this.needle = text.toLowerCase();
    this.lines = [];
    this.cut = false; // older matches are not shown
    this.ready = false;
    this.early = []; // live lines that came before the server's answer
    this.abort = new AbortController();
  }

  admits(text, origin) {
    if (this.host !== null && origin.host !== this.host) return false;
    if (this.stream !== null && origin.stream !== this.stream) return false;
    return !this.needle || text.toLowerCase().includes(this.needle);
  }

  async load() {
    const query = new URLSearchParams({ text: this.text });
    if (this.host !== null) query.set("host", this.host);
    if (this.stream !== null) query.set("stream", this.stream);
    try {
      const answer = await fetch(`${this.url}?${query}`, { signal: this.abort.signal });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      const found = await answer.json();
      this.lines = found.lines.map(([number, host, stream, at, text]) => ({ number, text, origin: { host, stream, at } }));
      this.cut = found.cut;
      this.ready = true;
      for (const line of this.early) if (line.number > found.upto) this.lines.push(line);
      this.early = [];
      this.onChange();
    } catch (error) {
      if (error.name !== "AbortError") window.setTimeout(() => this.abort.signal.aborted || this.load(), 2000);
    }
  }

  /* A new line from the WebSocket. */
  offer(number, text, origin) {
    if (!this.admits(text, origin)) return;
    (this.ready ? this.lines : this.early).push({ number, text: clip(text), origin });
    if (this.lines.length > KEPT * 1.2) {
      this.lines = this.lines.slice(-KEPT);
      this.cut = true;
    }
  }

  stop() {
    this.abort.abort();
  }
}
