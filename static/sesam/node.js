"use strict";

/* The time until the next check runs down while the page is open. */
window.setInterval(() => {
  for (const element of document.querySelectorAll("time[data-until]")) {
    const seconds = Math.round((Date.parse(element.dateTime) - Date.now()) / 1000);
    const words = seconds >= 60 ? `In ${Math.floor(seconds / 60)} min ${seconds % 60} s` : `In ${seconds} s`;
    element.textContent = seconds > 0 ? words : "At once";
  }
}, 1000);

/* What a node's page asks before it applies. Without this script the panel asks on a page of its own. */
document.addEventListener("dp:confirm", (event) => {
  const { dialog, submitter } = event.detail;
  if (dialog.id !== "apply-dialog") return;
  const form = event.target;
  const show = (name, text) => {
    const element = dialog.querySelector(`[data-${name}]`);
    element.hidden = !text;
    if (text) element.textContent = text;
  };
  const plan = document.getElementById("plan").dataset;
  const ref = form.elements.ref.value.trim();
  const from = dialog.querySelector("[data-ref]");
  from.textContent = ref || `${from.dataset.usual}, its newest commit`;
  // The newest plan tells about this very ref, or it tells nothing.
  const same = plan.words && (ref || from.dataset.usual) === plan.ref;
  dialog.querySelector("[data-counts]").textContent = same
    ? `${plan.words} (as planned for ${plan.at})`
    : "not known: there is no plan of this yet";
  show("old", same ? plan.old : "");
  const boxes = [...form.querySelectorAll("[name=confirm]")];
  const open = boxes.filter((box) => !box.checked).length;
  show("questions", open ? "A question is not confirmed: if it still stands, the run stops before anything is written." : "");
  dialog.querySelector("[data-secrets]").hidden = !form.elements.resend_secrets?.checked;
  const waiting = submitter && submitter.name === "when_open";
  const overriding = submitter && submitter.name === "overriding";
  show("note", overriding ? `Overrides the rules, because: ${form.elements.override.value}`
    : waiting ? "It waits until the window opens; the rules are asked again then." : "");
  dialog.querySelector("[data-yes]").textContent = waiting ? "Apply when it opens" : "Apply";
});
