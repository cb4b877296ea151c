"use strict";

/* A file's lines are fetched when it is opened. Without this script, the link within leads to the same on a page. */
const LINES_AT_ONCE = 20000; // rows in the page; beyond, the link stays

async function showLines(file) {
  const here = file.querySelector("[data-patch-here]");
  if (file.dataset.asked || document.querySelectorAll(".repos-patch tr").length > LINES_AT_ONCE) return;
  file.dataset.asked = "yes";
  here.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(file.dataset.patch);
    if (!answer.ok || answer.redirected) throw new Error(String(answer.status));
    here.innerHTML = await answer.text();
  } catch {
    delete file.dataset.asked; // the next opening tries again
  }
  here.removeAttribute("aria-busy");
}

document.addEventListener("DOMContentLoaded", () => {
  for (const file of document.querySelectorAll("[data-patch]")) file.addEventListener("toggle", () => file.open && showLines(file));
});
