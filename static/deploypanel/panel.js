"use strict";

/* What every page of the panel shares: ages that stay true while a page is open, forms that ask before
   they act, and forms that cannot be sent twice. Everything here also works without it, a little less well. */
(() => {
  const AGES = [[86400 * 365, "y"], [86400 * 30, "mo"], [86400, "d"], [3600, "h"], [60, "min"]];

  function age(seconds) {
    for (const [size, unit] of AGES) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
    }
    return "just now";
  }

  function refreshAges() {
    for (const element of document.querySelectorAll("time[data-age]")) {
      const text = age((Date.now() - Date.parse(element.dateTime)) / 1000);
      const words = text === "just now" ? text : `${text} ago`;
      if (element.textContent !== words) element.textContent = words;
    }
  }

  function askFirst(form, submitter) {
    const dialog = document.getElementById(form.dataset.confirm);
    if (!dialog || !dialog.showModal) return false;
    form.dispatchEvent(new CustomEvent("dp:confirm", { bubbles: true, detail: { dialog, submitter } }));
    const yes = dialog.querySelector("[data-yes]");
    yes.onclick = () => {
      form.dataset.confirmed = "1";
      dialog.close();
      form.requestSubmit(submitter || undefined);
    };
    dialog.showModal();
    return true;
  }

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const direct = event.submitter && event.submitter.hasAttribute("data-direct");
    if (form.dataset.confirm && !direct && !form.dataset.confirmed && askFirst(form, event.submitter)) {
      event.preventDefault();
      return;
    }
    if (form.dataset.confirmed && form.elements.confirmed) form.elements.confirmed.value = "1";
    if (form.method === "post" && form.closest(".dp")) {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "1";
    }
  });

  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close]");
    if (closer) closer.closest("dialog").close();
  });

  // Back from the page that followed: the form may be sent again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent], form[data-confirmed]")) {
      delete form.dataset.sent;
      delete form.dataset.confirmed;
      if (form.elements.confirmed) form.elements.confirmed.value = "";
    }
  });

  // When a button was last pressed: one that is taken away before it is let go is not clicked.
  let pressed = -Infinity;
  document.addEventListener("pointerdown", () => { pressed = performance.now(); }, true);
  const isBeingUsed = () => document.querySelector("dialog[open]") !== null || performance.now() - pressed < 500;

  /* Regions that refresh themselves: <div data-live="URL" data-every="3">. The answer's JSON object maps
     element ids to their new inner HTML, made by the same templates as the page. A tab in the background rests. */
  function startLive(root) {
    const every = Number(root.dataset.every || 3) * 1000;
    const shown = new Map();
    // What differs in each rendering without meaning anything: form tokens and ages.
    const essence = (html) => html.replace(/(csrfmiddlewaretoken" value=")[^"]*/g, "$1").replace(/(<time[^>]*>)[^<]*/g, "$1");
    async function look() {
      if (!document.hidden) {
        try {
          const answer = await fetch(root.dataset.live, { headers: { Accept: "application/json" } });
          if (answer.redirected || answer.status === 403 || answer.status === 404) return;
          if (answer.ok) apply(await answer.json());
        } catch { /* the panel restarts: the next look finds it */ }
      }
      // A part that says that it has come to its end is not asked for any more.
      if (!root.querySelector(":scope > [data-ended]")) window.setTimeout(look, every);
    }
    function apply(regions) {
      // What a question is about, with the button that asked it and the boxes that were ticked, stays until it is answered.
      if (isBeingUsed()) return;
      for (const [id, html] of Object.entries(regions)) {
        const element = document.getElementById(id);
        const now = essence(html);
        if (!element || shown.get(id) === now) continue;
        // Never under someone's fingers: what has the focus is refreshed when it is left.
        if (element.contains(document.activeElement) && document.activeElement.matches("input, select, summary")) continue;
        element.innerHTML = html; // made by the panel's own templates, everything in it escaped
        shown.set(id, now);
      }
      document.dispatchEvent(new CustomEvent("dp:live"));
    }
    window.setTimeout(look, every);
  }

  // The admin's own search fields come without names for those who do not see.
  function nameFields() {
    for (const field of document.querySelectorAll(".select2-search__field:not([aria-label])")) {
      field.setAttribute("aria-label", "Search");
    }
    for (const field of document.querySelectorAll(".vDateField:not([aria-label]), .vTimeField:not([aria-label])")) {
      const words = field.name.replace(/_[01]$/, "").replaceAll("_", " ");
      field.setAttribute("aria-label", `${words}: ${field.matches(".vDateField") ? "date" : "time"}`);
    }
    const search = document.querySelector("#changelist-search input[type=text]:not([aria-label])");
    if (search) search.setAttribute("aria-label", search.placeholder || "Search");
  }

  /* Buttons that copy the text of another element. Without the clipboard they stay hidden: the text can be selected. */
  function startCopying() {
    if (!navigator.clipboard) return;
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const label = button.textContent;
        await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
        button.textContent = "Copied";
        window.setTimeout(() => { button.textContent = label; }, 1500);
      });
    }
  }

  document.addEventListener("dp:live", refreshAges);
  document.addEventListener("DOMContentLoaded", () => {
    refreshAges();
    window.setInterval(refreshAges, 20000);
    nameFields();
    startCopying();
    if (document.querySelector(".admin-autocomplete")) {
      new MutationObserver(nameFields).observe(document.body, { childList: true, subtree: true });
    }
    for (const root of document.querySelectorAll("[data-live]")) startLive(root);
  });
})();
