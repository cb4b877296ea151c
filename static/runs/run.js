/* The page of one run: brings its parts together. */

import { synchronise } from "./clock.js";
import { Connection } from "./connection.js";
import { Header } from "./header.js";
import { LogView } from "./logview.js";
import { Matches } from "./matches.js";
import { Matrix } from "./matrix.js";
import { LineStore } from "./store.js";

const data = JSON.parse(document.getElementById("run-data").textContent);
const part = (name) => document.getElementById(`run-${name}`);
const number = new Intl.NumberFormat("en");
const LINGER = 30000; // milliseconds after the end in which a late line may still come

let run = data.run;
let matches = null; // the filter's lines, null without a filter
let known = 0; // hosts in the filter's list

const header = new Header(data);
const matrix = new Matrix({
  section: part("steps"), own: part("own"), table: part("matrix"), tally: part("tally"), onJump: jumpToHost,
});
const store = new LineStore({ url: data.lines, total: run.log_lines, after: data.after, onChange: changed });
const view = new LogView({
  scroller: part("scroller"), canvas: part("canvas"), rows: part("rows"), onFollow: showFollowing, onView: looked,
});
const everything = {
  get length() { return store.total; },
  at: (index) => store.get(index + 1),
};
const filtered = {
  get length() { return matches.lines.length; },
  at: (index) => matches.lines[index] || null,
};

/* Messages of the WebSocket; see apps/runs/frames.py. */
const receive = {
  run(message) {
    synchronise(message.now);
    run = message.run;
    header.update(run);
    if (run.ended) window.setTimeout(() => run.ended && connection.finish(), LINGER);
    describe();
  },
  steps(message) {
    matrix.update(message.steps);
    for (const step of message.steps) store.hosts.add(step.host);
    listHosts();
  },
  log(message) {
    for (const chunk of message.chunks) store.add(chunk, (...line) => matches && matches.offer(...line));
    changed();
  },
  caught_up() {},
  beat(message) { synchronise(message.now); },
};

function changed() {
  listHosts();
  describe();
  view.update();
}

/* What is on the screen now; asked for a little later, so that a quick scroll does not fetch all it passes. */
let glance = 0;
let seen = [1, 1];
function looked(first, last) {
  seen = [first, last];
  if (glance || matches) return;
  glance = window.setTimeout(() => {
    glance = 0;
    if (!matches) store.lookAt(...seen);
  }, 60);
}

/* --- Filters --- */

function choice(name) {
  return part(name).value === "*" ? null : part(name).value;
}

function setFilter() {
  const [host, stream] = [choice("host"), choice("stream")];
  const text = part("text").value;
  if (matches) matches.stop();
  const before = view.source.length ? view.source.at(view.middle()) : null;
  const stay = view.following ? 0 : view.marked || (before && before.number);
  part("scroller").classList.toggle("is-one-host", host !== null);
  if (host === null && stream === null && !text) {
    matches = null;
    view.show(everything, "");
    if (stay) view.reveal(stay - 1);
  } else {
    matches = new Matches({
      url: data.matches, host, stream, text,
      onChange: () => { changed(); if (stay && !view.following) view.reveal(indexOf(stay)); },
    });
    view.show(filtered, text.toLowerCase());
    matches.load();
  }
  describe();
}

/* The row that shows the line, or the next one after it. */
function indexOf(line) {
  if (!matches) return line - 1;
  let [low, high] = [0, matches.lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches.lines[middle].number < line) low = middle + 1;
    else high = middle;
  }
  return low;
}

function listHosts() {
  if (store.hosts.size === known) return;
  known = store.hosts.size;
  part("scroller").classList.toggle("is-panel-only", known === 1 && store.hosts.has(""));
  const select = part("host");
  const chosen = select.value;
  const order = new Intl.Collator("en", { numeric: true });
  const hosts = [...store.hosts].sort(order.compare);
  select.replaceChildren(new Option("All hosts", "*"), ...hosts.map((host) => new Option(host || "Panel", host)));
  select.value = chosen;
}

function jumpToHost(host) {
  store.hosts.add(host);
  listHosts();
  part("text").value = "";
  part("stream").value = "*";
  part("host").value = host;
  view.mark(0);
  view.follow(true);
  setFilter();
  part("scroller").focus({ preventScroll: true });
  part("scroller").scrollIntoView({ block: "nearest", behavior: "smooth" });
}

let typing = 0;
part("text").addEventListener("input", () => {
  window.clearTimeout(typing);
  typing = window.setTimeout(setFilter, 200);
});
part("host").addEventListener("change", setFilter);
part("stream").addEventListener("change", setFilter);

/* --- Words about the log --- */

function describe() {
  const total = store.total;
  const lines = (count) => `${number.format(count)} ${count === 1 ? "line" : "lines"}`;
  if (!matches) part("count").textContent = total ? lines(total) + (run.log_cut ? ", the rest was not kept" : "") : "";
  else if (!matches.ready) part("count").textContent = "Searching…";
  else {
    const shown = matches.lines.length;
    part("count").textContent = `${matches.cut ? "the newest " : ""}${number.format(shown)} of ${lines(total)}`;
  }
  const empty = emptyText();
  part("empty").textContent = empty;
  part("empty").hidden = !empty;
  part("log").classList.toggle("is-empty", Boolean(empty) && !matches);
}

function emptyText() {
  if (matches) return matches.ready && !matches.lines.length ? "No line matches the filter." : "";
  if (store.total) return "";
  if (run.state === "waiting") return "Waiting for its time. Then the rules are asked once more, and the work begins.";
  if (run.state === "queued") return "Waiting for a worker. The first line appears here as soon as one begins.";
  return run.ended ? "This run ended without writing a line." : "The work has begun. Its first line appears here.";
}

/* --- Following --- */

function showFollowing(on) {
  part("follow").setAttribute("aria-pressed", String(on));
}

part("follow").addEventListener("click", () => view.follow(!view.following));
part("scroller").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "f") view.follow(!view.following);
  else if (event.key === "/") part("text").focus();
  else return;
  event.preventDefault();
});

/* --- Room for the log --- */

function enlarge(on) {
  part("log").classList.toggle("is-large", on);
  part("large").setAttribute("aria-pressed", String(on));
  part("large").textContent = on ? "Shrink" : "Enlarge";
  document.body.classList.toggle("run-still", on);
}
part("large").addEventListener("click", () => enlarge(!part("log").classList.contains("is-large")));
document.addEventListener("keydown", (event) => event.key === "Escape" && enlarge(false));

/* The log reaches to the bottom of the window, however much stands above it. */
function fit() {
  const top = part("scroller").getBoundingClientRect().top + window.scrollY;
  if (!part("log").classList.contains("is-large")) document.getElementById("run").style.setProperty("--run-top", `${Math.round(top)}px`);
}
new ResizeObserver(fit).observe(part("steps"));
window.addEventListener("resize", fit);

/* --- Links to a line --- */

function lineOfAddress() {
  const match = /^#L([0-9]{1,9})$/.exec(location.hash);
  return match ? Number(match[1]) : 0;
}

function goToAddress() {
  const line = lineOfAddress();
  view.mark(line);
  if (!line) return;
  const visible = view.rows.some((row) => row.number === line);
  view.follow(false);
  if (!visible) view.reveal(Math.max(0, Math.min(indexOf(line), view.source.length - 1)));
}
window.addEventListener("hashchange", goToAddress);

/* --- The connection --- */

function showConnection(state, seconds) {
  const words = {
    connecting: "Connecting…",
    live: run.ended ? "Complete" : "Live",
    lost: `Connection lost, trying again in ${Math.max(1, Math.round(seconds || 0))} s`,
    "signed-out": "Signed out: sign in again to go on",
    withdrawn: "You may no longer see this run",
    done: "Complete",
  };
  const element = part("connection");
  element.textContent = words[state];
  element.dataset.state = run.ended && state === "live" ? "done" : state;
}

/* --- Begin --- */

synchronise(data.now);
header.update(run);
matrix.update(data.steps);
matrix.render();
for (const step of data.steps) store.hosts.add(step.host);
view.measure();
view.show(everything, "");
listHosts();
describe();
goToAddress();
window.setInterval(() => { header.tick(); matrix.tick(); }, 1000);
const connection = new Connection({
  path: data.socket, after: () => store.lastSeq, onMessage: (message) => receive[message.type]?.(message), onState: showConnection,
});
