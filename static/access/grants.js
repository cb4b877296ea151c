"use strict";

/* The permissions page: results while one types, and “Set” only where something was changed.
   Without it the search button and all forms work just the same. */
(() => {
  const field = document.getElementById("grants-q");
  const found = document.getElementById("grants-found");
  let timer = 0;
  let latest = "";

  async function search() {
    const query = field.value.trim();
    if (query === latest) return;
    latest = query;
    if (!query) { found.replaceChildren(); return; }
    const url = new URL(window.location.href);
    url.searchParams.set("q", query);
    const response = await fetch(url, { credentials: "same-origin" });
    if (!response.ok || query !== latest) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("grants-found");
    if (fresh) found.replaceChildren(...fresh.childNodes);
  }

  if (field && found) {
    latest = field.value.trim();
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 200); });
  }

  for (const select of document.querySelectorAll("select[data-held]")) {
    const button = select.form.querySelector("button:not([data-remove])");
    const update = () => {
      const changed = select.value !== select.dataset.held;
      button.disabled = !changed;
      button.classList.toggle("dp-button-primary", changed);
    };
    select.addEventListener("change", update);
    update();
  }
})();
