// Filters, sorts and pages lists without reloading the page, selects rows together, and focuses the search by "/".
// Without this script the forms and links do the same by loading pages.
"use strict";

const DELAY_MS = 350;
let pending = null;
let timer = 0;

function address(form) {
  const url = new URL(form.action, location.href);
  for (const [name, value] of new FormData(form)) {
    if (value !== "" || name === "company") url.searchParams.set(name, value);
  }
  return url;
}

async function show(url, { push = true, form = false } = {}) {
  if (pending) pending.abort();
  pending = new AbortController();
  const list = document.querySelector("[data-list]");
  list.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { signal: pending.signal, credentials: "same-origin" });
    if (!response.ok || response.redirected) return location.assign(url);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const found = page.querySelector("[data-list]");
    if (!found) return location.assign(url);
    const status = list.querySelector("[role=status]");
    const text = found.querySelector("[role=status]").textContent;
    found.querySelector("[role=status]").replaceWith(status); // the same element, so that its new text is announced
    list.replaceChildren(...found.childNodes);
    list.removeAttribute("aria-busy");
    status.textContent = text;
    const kept = document.querySelector("[data-kept-company]"), fresh = page.querySelector("[data-kept-company]");
    if (kept && fresh) kept.replaceWith(fresh);
    if (form) replaceForm(page);
    if (push) history.pushState({ list: true }, "", url);
    prepare();
  } catch (error) {
    if (error.name !== "AbortError") location.assign(url);
  }
}

function replaceForm(page) {
  const old = document.querySelector("[data-list-filter]"), fresh = page.querySelector("[data-list-filter]");
  if (old && fresh) old.replaceWith(fresh);
}

function prepare() {
  const all = document.querySelector("[data-select-all]");
  if (all) all.hidden = false;
  countSelected();
}

function countSelected() {
  const option = document.querySelector("[data-scope] option[value=selected]");
  if (!option) return;
  const boxes = [...document.querySelectorAll("[data-list] input[name=id]")];
  const count = boxes.filter((each) => each.checked).length;
  option.textContent = count ? `Selected (${count})` : "Selected";
  const all = document.querySelector("[data-select-all]");
  all.checked = count > 0 && count === boxes.length;
  all.indeterminate = count > 0 && count < boxes.length;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-list-filter]")) return;
  event.preventDefault();
  show(address(event.target));
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-list-filter]");
  if (form) {
    clearTimeout(timer);
    timer = setTimeout(() => show(address(form)), DELAY_MS);
  }
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of document.querySelectorAll("[data-list] input[name=id]")) box.checked = event.target.checked;
  }
  if (event.target.closest("[data-list]")) countSelected();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-list] a[data-list-link], [data-list] a.chip");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  show(link.href, { form: true }).then(() => link.rel && document.querySelector("[data-list]").scrollIntoView());
});
addEventListener("popstate", () => {
  if (document.querySelector("[data-list]")) show(location.href, { push: false, form: true });
});
document.addEventListener("keydown", (event) => {
  const act = event.key === "Enter" && event.target.matches("input") && event.target.closest("[data-act]");
  if (act) { // Enter does what the field belongs to; without this script it does nothing
    event.preventDefault();
    act.querySelector("button").click();
  }
  if (event.key !== "/" || event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const search = document.querySelector("[data-search]");
  if (!search) return;
  event.preventDefault();
  search.focus();
  search.select();
});
if (document.querySelector("[data-list]")) prepare();
const menu = document.querySelector("header nav"), current = menu && menu.querySelector("[aria-current]");
if (current) menu.scrollLeft = current.offsetLeft + current.offsetWidth / 2 - menu.clientWidth / 2; // one line on a phone
