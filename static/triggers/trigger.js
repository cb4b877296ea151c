"use strict";

/* What a trigger's page asks before it fires. Without this script the panel asks on a page of its own. */
document.addEventListener("dp:confirm", (event) => {
  const { dialog, submitter } = event.detail;
  if (dialog.id !== "fire-dialog") return;
  const form = event.target;
  const overriding = submitter && submitter.name === "overriding";
  const text = overriding ? `Overrides the rules, because: ${form.elements.override.value}` : submitter?.dataset.note || "";
  const note = dialog.querySelector("[data-note]");
  note.hidden = !text;
  note.textContent = text;
});
