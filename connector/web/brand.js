// Shows a change of the brand in the example email while it is typed. Without this script the button "Preview" does.
"use strict";
{
  const form = document.querySelector("[data-brand]");
  const button = form?.querySelector("[data-preview]");
  const DELAY_MS = 600;
  let timer = 0;
  form?.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => form.requestSubmit(button), DELAY_MS);
  });
}
