/* Terminal output as DOM: the basic colours and bold are kept, every other escape is dropped. */

const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
const CONTROLS = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f]/g;
const COLOUR = /^\x1b\[([0-9;]*)m$/;

export function plain(text) {
  return text.replace(ESCAPES, "").replace(CONTROLS, "").replaceAll("\x1b", "");
}

/* Put `text` into `element`; the occurrences of `needle` (lower case) are marked. */
export function show(element, text, needle) {
  if (needle) {
    mark(element, plain(text), needle);
  } else if (text.includes("\x1b")) {
    colour(element, text);
  } else {
    element.textContent = text.replace(CONTROLS, "");
  }
}

function mark(element, text, needle) {
  const parts = [];
  const lower = text.toLowerCase();
  let done = 0;
  for (let at = lower.indexOf(needle); at >= 0 && parts.length < 200; at = lower.indexOf(needle, done)) {
    const hit = document.createElement("mark");
    hit.textContent = text.slice(at, at + needle.length);
    parts.push(text.slice(done, at), hit);
    done = at + needle.length;
  }
  element.replaceChildren(...parts, text.slice(done));
}

function colour(element, text) {
  const parts = [];
  let style = { ink: "", bold: false };
  let done = 0;
  for (const match of text.matchAll(ESCAPES)) {
    if (match.index > done) parts.push(piece(text.slice(done, match.index), style));
    const codes = COLOUR.exec(match[0]);
    if (codes) style = apply(codes[1], style);
    done = match.index + match[0].length;
  }
  if (done < text.length) parts.push(piece(text.slice(done), style));
  element.replaceChildren(...parts);
}

function piece(text, { ink, bold }) {
  const clean = plain(text);
  if (!ink && !bold) return clean;
  const span = document.createElement("span");
  span.className = [ink && `ansi-${ink}`, bold && "ansi-bold"].filter(Boolean).join(" ");
  span.textContent = clean;
  return span;
}

function apply(codes, before) {
  const style = { ...before };
  const list = codes.split(";").map(Number);
  for (let i = 0; i < list.length; i += 1) {
    const code = list[i];
    if (code === 0) Object.assign(style, { ink: "", bold: false });
    else if (code === 1) style.bold = true;
    else if (code === 22) style.bold = false;
    else if (code === 39) style.ink = "";
    else if (code >= 30 && code <= 37) style.ink = String(code - 30);
    else if (code >= 90 && code <= 97) style.ink = String(code - 90);
    else if (code === 38 || code === 48) i += list[i + 1] === 5 ? 2 : 4; // 256 and true colours: left out
  }
  return style;
}
