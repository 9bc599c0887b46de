// Keys for the review: each button or link names its key in data-key. Without this script the buttons do the same.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const at = event.target;
  if (event.key === "Escape" && at.matches("input, textarea")) at.blur();
  if (at.matches("input, textarea, select") || at.isContentEditable) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.tagName === "DETAILS") {
    target.open = true;
    target.querySelector("input:not([type=hidden]), textarea").focus();
  } else {
    target.click();
  }
});
