"use strict";

/* The start page's filter. It filters again after each refresh of the board. */
(() => {
  const field = document.getElementById("start-filter");
  if (!field) return;

  function filter() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.querySelectorAll("[data-row]")) {
      const name = row.querySelector("h2").textContent.toLowerCase();
      let shown = 0;
      for (const tile of row.querySelectorAll("[data-tile]")) {
        const text = `${name} ${tile.textContent.toLowerCase()}`;
        tile.hidden = !words.every((word) => text.includes(word));
        shown += tile.hidden ? 0 : 1;
      }
      row.hidden = !shown;
    }
  }

  field.addEventListener("input", filter);
  document.addEventListener("dp:live", filter);
})();
