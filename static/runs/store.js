/* The lines of a log, as far as anyone has looked at them: pages of a fixed number of lines, the least
   recently used ones are forgotten and fetched again by line number when they are scrolled to. */

export const PAGE = 500; // lines
const PAGES_KEPT = 240; // in memory: 120,000 lines
const TAIL_KEPT = 4; // pages at the end that are never forgotten
const SHOWN = 4000; // characters of one line; the whole of it is in the download
const FETCHES = 3; // at once

export function clip(text) {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)} … ${text.length - SHOWN} more characters` : text;
}

export class LineStore {
  /* `onChange()` is called when lines came in. Line numbers begin with 1. */
  constructor({ url, total, after, onChange }) {
    Object.assign(this, { url, total, onChange });
    this.lastSeq = after;
    this.hosts = new Set();
    this.pages = new Map(); // index → { texts, origins }, least recently used first
    this.wanted = new Set();
    this.fetching = new Map(); // index → AbortController
  }

  /* A chunk from the WebSocket. Gives its lines to `each(number, text, origin)`. */
  add(chunk, each) {
    if (chunk.seq <= this.lastSeq) return;
    this.lastSeq = chunk.seq;
    const origin = { host: chunk.host, stream: chunk.stream, at: Date.parse(chunk.at) };
    const lines = chunk.text.endsWith("\n") ? chunk.text.slice(0, -1).split("\n") : chunk.text.split("\n");
    let number = chunk.first_line;
    for (const text of lines) {
      this.put(number, clip(text), origin);
      each(number, text, origin);
      number += 1;
    }
    this.forget();
  }

  /* The line, or null when it is not here yet (it is asked for with the next `fetchWanted`). */
  get(number) {
    const index = Math.floor((number - 1) / PAGE);
    const page = this.pages.get(index);
    const text = page && page.texts[(number - 1) % PAGE];
    if (text === undefined) {
      this.wanted.add(index);
      return null;
    }
    return { number, text, origin: page.origins[(number - 1) % PAGE] };
  }

  /* Fetch the pages that were asked for since the last time; what nobody looks at any more is called off. */
  fetchWanted() {
    for (const [index, abort] of this.fetching) {
      if (!this.wanted.has(index)) abort.abort();
    }
    for (const index of this.wanted) {
      if (!this.fetching.has(index) && this.fetching.size < FETCHES) this.fetch(index);
    }
    this.wanted.clear();
  }

  async fetch(index) {
    const abort = new AbortController();
    this.fetching.set(index, abort);
    try {
      const answer = await fetch(`${this.url}?from=${index * PAGE + 1}&count=${PAGE}`, { signal: abort.signal });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      for (const [number, host, stream, at, text] of (await answer.json()).lines) {
        this.put(number, text, { host, stream, at });
      }
    } catch (error) {
      // Called off, or the panel is away: whoever still looks asks again.
      if (error.name !== "AbortError") await new Promise((wake) => window.setTimeout(wake, 2000));
    }
    this.fetching.delete(index);
    this.forget();
    this.onChange();
  }

  put(number, text, origin) {
    const index = Math.floor((number - 1) / PAGE);
    let page = this.pages.get(index);
    if (!page) {
      page = { texts: [], origins: [] };
      this.pages.set(index, page);
    }
    page.texts[(number - 1) % PAGE] = text;
    page.origins[(number - 1) % PAGE] = origin;
    if (number > this.total) this.total = number;
    this.hosts.add(origin.host);
  }

  /* These lines are being looked at: keep their pages. */
  touch(first, last) {
    for (let index = Math.floor((first - 1) / PAGE); index <= Math.floor((last - 1) / PAGE); index += 1) {
      const page = this.pages.get(index);
      if (page) {
        this.pages.delete(index);
        this.pages.set(index, page);
      }
    }
  }

  forget() {
    const tail = Math.floor((this.total - 1) / PAGE) - TAIL_KEPT;
    for (const index of this.pages.keys()) {
      if (this.pages.size <= PAGES_KEPT) return;
      if (index <= tail) this.pages.delete(index);
    }
  }
}
