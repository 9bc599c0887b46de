// Shows the effect of a change beside the form while it is made. Without this script the button "Show the effect" does.
"use strict";
{
  const form = document.querySelector("[data-policy]");
  const DELAY_MS = 700;
  let timer = 0;
  let isRunning = false;
  let isChanged = false; // since the comparison under way began

  const values = () => new Map([...form.elements].filter((each) => each.name).map((each) => [each, value(each)]));
  const value = (field) => (field.type === "checkbox" ? field.checked : field.value);

  async function compare() {
    if (isRunning) return void (isChanged = true); // one at a time: the server answers one as well
    [isRunning, isChanged] = [true, false];
    const effect = form.querySelector("[data-effect]");
    effect.setAttribute("aria-busy", "true");
    const sent = values();
    const body = new URLSearchParams(new FormData(form));
    body.append("do", "effect");
    try {
      const response = await fetch(form.action, { method: "POST", body, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      if (!isChanged) show(page, sent);
    } catch {
      // offline: the button still does it, and says what is wrong
    } finally {
      effect.removeAttribute("aria-busy");
      isRunning = false;
      if (isChanged) compare();
    }
  }

  function show(page, sent) {
    const fresh = page.querySelector("[data-policy]");
    const summary = form.querySelector("[data-summary]");
    if (!fresh) { // the session is over
      summary.textContent = page.querySelector("main p")?.textContent ?? "";
      return;
    }
    for (const name of ["[data-effect]", "[data-story]"]) {
      const old = document.querySelector(name), open = [...old.querySelectorAll("details")].map((each) => each.open);
      old.replaceChildren(...page.querySelector(name).childNodes);
      old.querySelectorAll("details").forEach((each, index) => (each.open = open[index] ?? false));
    }
    summary.textContent = fresh.querySelector("[data-summary]").textContent;
    const missed = page.querySelector("[data-missed]"); // another version was saved meanwhile
    if (missed) {
      document.querySelector("[data-missed]")?.remove();
      document.querySelector("[data-story]").before(missed);
      for (const field of document.getElementsByName("version")) field.value = fresh.elements.namedItem("version").value;
    }
    for (const old of form.querySelectorAll("[data-error]")) old.remove();
    for (const field of form.elements) {
      if (!field.name || field.type === "hidden") continue;
      const twin = twinOf(field, fresh);
      if (!twin) continue;
      field.toggleAttribute("aria-invalid", false);
      if (twin.hasAttribute("aria-invalid")) field.setAttribute("aria-invalid", "true");
      if ((field === document.activeElement && !missed) || value(field) !== sent.get(field)) continue; // being typed in
      if (field.type === "checkbox") field.checked = twin.checked;
      else field.value = twin.value; // what another tone or preset brings
    }
    for (const error of [...fresh.querySelectorAll("[data-error]")]) {
      const found = form.elements.namedItem(error.dataset.error);
      (found?.length && !found.tagName ? found[0] : found)?.closest("tr, .setting")?.[error.tagName === "TR" ? "after" : "append"](error);
    }
  }

  function twinOf(field, fresh) {
    return [...fresh.querySelectorAll(`[name="${CSS.escape(field.name)}"]`)].find(
      (each) => each.type === field.type && (field.type !== "checkbox" || each.value === field.value),
    );
  }

  form?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(compare, DELAY_MS);
  });
  form?.addEventListener("submit", (event) => {
    if (event.submitter?.value !== "effect") return;
    event.preventDefault();
    clearTimeout(timer);
    compare();
  });
}
