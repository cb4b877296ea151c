"use strict";

/* Plans and comparisons. Without this script everything is there too: large entities on pages of their own. */
(() => {
  const ROWS_AT_ONCE = 40000; // in the page; beyond, the link to the entity's own page stays
  const DIFFERING = ".diff-changed, .diff-added, .diff-removed";

  async function showLines(entity) {
    const here = entity.querySelector("[data-lines-here]");
    if (!entity.dataset.lines || entity.dataset.asked || document.querySelectorAll(".diff > div").length > ROWS_AT_ONCE) return;
    entity.dataset.asked = "yes";
    here.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(entity.dataset.lines);
      if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
      here.innerHTML = await answer.text(); // made by the panel's own template, everything in it escaped
    } catch {
      delete entity.dataset.asked; // the next opening tries again
    }
    here.removeAttribute("aria-busy");
  }

  /* Where changes begin: the first row of each run of rows that differ, and entities that are closed. */
  function places() {
    const found = [];
    for (const entity of document.querySelectorAll("details.entity")) {
      if (!entity.open) { found.push(entity.querySelector("summary")); continue; }
      for (const row of entity.querySelectorAll(DIFFERING)) {
        const before = row.previousElementSibling;
        if (!before || !before.matches(DIFFERING)) found.push(row);
      }
    }
    return found;
  }

  function rank(from, place) {
    const position = from.compareDocumentPosition(place);
    if (position & Node.DOCUMENT_POSITION_CONTAINED_BY) return 1;
    return position & Node.DOCUMENT_POSITION_FOLLOWING ? 1 : -1;
  }

  let last = null; // where the last jump led

  async function jump(step) {
    const all = places();
    if (!all.length) return;
    const from = last && last.isConnected ? last : null;
    const ahead = from ? all.filter((place) => place !== from && rank(from, place) === step) : all;
    const place = step > 0 ? ahead[0] : ahead[ahead.length - 1];
    if (!place) return;
    if (place.matches("summary")) {
      place.parentElement.open = true;
      await showLines(place.parentElement);
    } else {
      place.tabIndex = -1;
    }
    place.scrollIntoView({ block: place.matches("summary") ? "start" : "center" });
    place.focus({ preventScroll: true });
    last = place;
  }

  function openAll(button) {
    const open = button.getAttribute("aria-pressed") !== "true";
    for (const entity of document.querySelectorAll("details.entity")) entity.open = open;
    button.setAttribute("aria-pressed", String(open));
    button.textContent = open ? "Close all" : "Open all";
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const entity of document.querySelectorAll("details.entity[data-lines]")) {
      entity.addEventListener("toggle", () => entity.open && showLines(entity));
    }
    const tools = document.querySelector("[data-plan-tools]");
    if (!tools || !document.querySelector("details.entity")) return;
    tools.hidden = false;
    tools.querySelector("[data-plan-next]").addEventListener("click", () => jump(1));
    tools.querySelector("[data-plan-all]").addEventListener("click", (event) => openAll(event.currentTarget));
    document.addEventListener("focusin", (event) => { if (event.target.matches("details.entity > summary")) last = event.target; });
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
      if (event.key === "n") jump(1);
      if (event.key === "p") jump(-1);
    });
  });

  // Both sides are known, or the run has come to its end: the whole page has something new to say.
  document.addEventListener("dp:live", () => {
    const news = document.querySelector("[data-reload] > [data-ended], [data-reload] > [data-compared]");
    if (news && ("ended" in news.dataset || !document.getElementById("entities"))) window.location.reload();
  });
})();
