"use strict";

/* In a trigger's form, each action shows what its kind needs. Without this script all fields are there. */
(() => {
  const USES = { agents: [], deploy: ["environment", "commit_from"], sync: ["node", "commit_from"], script: ["script", "hosts", "cluster"] };
  const FIELDS = ["environment", "node", "commit_from", "script", "hosts", "cluster"];

  function rowOf(field) {
    return field.closest(".field-row") || field.closest(".form-row") || field.parentElement;
  }

  function show(kind) {
    const prefix = kind.name.replace(/-kind$/, "");
    for (const name of FIELDS) {
      const field = document.querySelector(`[name="${prefix}-${name}"]`);
      if (field) rowOf(field).hidden = !!kind.value && !USES[kind.value].includes(name);
    }
  }

  document.addEventListener("change", (event) => {
    if (/^actions-\d+-kind$/.test(event.target.name || "")) show(event.target);
  });
  const all = () => document.querySelectorAll('select[name^="actions-"][name$="-kind"]').forEach(show);
  document.addEventListener("DOMContentLoaded", all);
  document.addEventListener("formset:added", all);
})();
