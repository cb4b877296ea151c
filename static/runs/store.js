/* The lines of a log, as far as anyone has looked at them: pages of a fixed number of lines, the least
   recently used ones are forgotten and fetched again by line number when they are scrolled to. */

export const PAGE = 500; // lines
const PAGES_KEPT = 240; // in memory: 120,000 lines
const TAIL_KEPT = 4; // pages at the end that are never forgotten
const SHOWN = 4000; // characters of one line; the whole of it is in the download

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

  /* The line, or null when it is not here (any more): `lookAt` fetches it. */
  get(number) {
    const page = this.pages.get(Math.floor((number - 1) / PAGE));
    const text = page && page.texts[(number - 1) % PAGE];
    return text === undefined ? null : { number, text, origin: page.origins[(number - 1) % PAGE] };
  }

  /* These lines are on the screen: keep their pages, fetch what is missing of them, call off all else. */
  lookAt(first, last) {
    const missing = new Set();
    for (let number = first; number <= last; number += 1) {
      const index = Math.floor((number - 1) / PAGE);
      if (!missing.has(index) && !this.get(number)) missing.add(index);
    }
    this.touch(first, last);
    for (const [index, abort] of this.fetching) if (!missing.has(index)) abort.abort();
    for (const index of missing) if (!this.fetching.has(index)) this.fetch(index);
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
