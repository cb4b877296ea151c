"use strict";

/* The commit picker of an environment's control page. Without this script the form still works: a branch
   or any ref is typed, and the panel asks for confirmation on a page of its own. */
(() => {
  const form = document.getElementById("deploy-form");
  if (!form) return;

  const list = document.getElementById("pick-list");
  const more = document.getElementById("pick-more");
  const search = document.getElementById("pick-search");
  const branch = document.getElementById("pick-branch");
  const ref = document.getElementById("pick-ref");
  const target = document.getElementById("pick-target");
  const trouble = document.getElementById("pick-trouble");
  const betweenBox = document.getElementById("between");
  let wanted = list.dataset.commit;
  let page = 0;
  let asked = 0; // the newest request; older answers are dropped
  let compared = 0;
  let difference = null;

  async function json(address, query) {
    const url = new URL(address, window.location.href);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const answer = await fetch(url, { headers: { Accept: "application/json" } });
    const type = answer.headers.get("Content-Type") || "";
    if (!type.startsWith("application/json")) throw new Error("The panel did not answer. Reload the page.");
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.error || "The panel did not answer.");
    return data;
  }

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function ago(at) {
    const time = element("time", "dp-muted dp-nowrap");
    time.dateTime = at;
    time.dataset.age = "";
    time.title = new Date(at).toLocaleString();
    time.textContent = at.slice(0, 10);
    return time;
  }

  function option(value, deployed, parts) {
    const label = element("label", "dp-commit");
    const radio = element("input");
    radio.type = "radio";
    radio.name = "commit";
    radio.value = value;
    radio.checked = value === wanted;
    label.append(radio, ...parts);
    if (deployed) label.append(element("span", "dp-badge dp-good", "deployed"));
    return label;
  }

  function show(data) {
    if (data.page === 1) {
      list.replaceChildren();
      const newest = data.commits.length ? `Newest on ${branch.value}` : "Nothing found";
      if (!search.value) list.append(option("", false, [element("span", "dp-commit-what dp-strong", newest)]));
      else if (!data.commits.length) list.append(element("p", "dp-muted dp-commit", newest));
    }
    for (const commit of data.commits) {
      const what = element("span", "dp-commit-what");
      const code = element("code", "", commit.short);
      code.title = commit.sha;
      const subject = element("span", "dp-commit-subject", commit.subject);
      subject.title = commit.subject;
      what.append(code, subject, element("span", "dp-muted dp-commit-author", commit.author));
      list.append(option(commit.sha, commit.sha === data.deployed, [what, ago(commit.at)]));
    }
    page = data.page;
    more.hidden = !data.more;
    document.dispatchEvent(new CustomEvent("dp:live"));
  }

  async function load(number) {
    const mine = ++asked;
    trouble.textContent = "";
    try {
      const data = await json(form.dataset.commits, { branch: branch.value, search: search.value, page: number });
      if (mine === asked) show(data);
    } catch (error) {
      if (mine === asked) { list.replaceChildren(); more.hidden = true; trouble.textContent = error.message; }
    }
  }

  function chosen() {
    return ref.value.trim() || new FormData(form).get("commit") || branch.value;
  }

  async function compare() {
    const mine = ++compared;
    difference = null;
    try {
      const data = await json(form.dataset.between, { ref: chosen() });
      if (mine !== compared) return;
      difference = data;
      const open = betweenBox.querySelector("details")?.open;
      betweenBox.innerHTML = data.html; // made by the panel's own template, everything in it escaped
      if (open) betweenBox.querySelector("details").open = true;
      tellDialog();
    } catch (error) {
      if (mine === compared) betweenBox.replaceChildren(element("p", "dp-banner dp-banner-warn", error.message));
    }
  }

  function later(act, wait) {
    let timer;
    return () => { window.clearTimeout(timer); timer = window.setTimeout(act, wait); };
  }

  function brings() {
    if (!difference) return "not known yet";
    if (difference.same) return "nothing new: this commit runs there now";
    if (!difference.deployed) return "the first deployment";
    if (!difference.compared) return "not known: what runs there now is no longer in the repository";
    const count = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
    const back = difference.removed ? `, takes ${difference.removed} back` : "";
    return `${count(difference.added, "commit")}${back}, ${count(difference.files, "file")}`;
  }

  function named() {
    const commit = difference && difference.commit;
    const what = commit ? `${commit.short} ${commit.subject}` : chosen();
    const newest = !ref.value.trim() && !new FormData(form).get("commit");
    return newest ? `The newest on ${branch.value}: ${what} (as of the last fetch)` : what;
  }

  // A comparison that was still on its way when the dialog opened completes it when it arrives.
  function tellDialog() {
    const dialog = document.getElementById("deploy-dialog");
    dialog.querySelector("[data-commit]").textContent = named();
    dialog.querySelector("[data-brings]").textContent = brings();
  }

  form.addEventListener("dp:confirm", (event) => {
    const { dialog, submitter } = event.detail;
    tellDialog();
    dialog.querySelector("[data-target]").textContent = target.selectedOptions[0].textContent.trim();
    const note = dialog.querySelector("[data-override]");
    const yes = dialog.querySelector("[data-yes]");
    const overriding = submitter && submitter.name === "overriding";
    const waiting = submitter && submitter.name === "when_open";
    note.hidden = !overriding && !waiting;
    if (overriding) note.textContent = `Overrides the rules, because: ${form.elements.override.value}`;
    if (waiting) note.textContent = "It waits until the window opens; the rules are asked again then.";
    yes.textContent = waiting ? "Deploy when it opens" : "Deploy";
  });

  // A deployment that ends while the page is open moves the mark in the list.
  const deployedNow = () => document.querySelector("#control-head [data-deployed]").dataset.deployed;
  let deployed = deployedNow();
  document.addEventListener("dp:live", () => {
    if (deployedNow() === deployed || document.querySelector("dialog[open]")) return;
    deployed = deployedNow();
    load(1).then(compare);
  });

  list.addEventListener("change", (event) => { wanted = event.target.value; ref.value = ""; compare(); });
  branch.addEventListener("change", () => { wanted = ""; search.value = ""; ref.value = ""; load(1).then(compare); });
  search.addEventListener("input", later(() => load(1), 250));
  ref.addEventListener("input", later(compare, 400));
  more.addEventListener("click", () => load(page + 1));
  // Enter in the search field searches; it must never be the way to deploy.
  search.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); load(1); } });

  if ("trouble" in form.dataset) return; // the page says why; a ref can still be typed
  document.getElementById("picker").hidden = false;
  load(1).then(compare);
})();

document.addEventListener("dp:confirm", (event) => {
  const { dialog, submitter } = event.detail;
  if (dialog.id !== "rollback-dialog") return;
  dialog.querySelector("[data-commit]").textContent = `${submitter.value.slice(0, 8)} ${submitter.dataset.subject}`;
  dialog.querySelector("[data-how]").textContent = submitter.dataset.how;
});
