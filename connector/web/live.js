// Shows how far a sync has come, from the server's events. The page itself is never reloaded: a link offers it.
"use strict";
for (const place of document.querySelectorAll("[data-live]")) {
  const text = place.querySelector("[data-text]");
  const bar = place.querySelector("progress");
  const source = new EventSource(place.dataset.live);
  const show = (event) => {
    const state = JSON.parse(event.data);
    text.textContent = state.text;
    bar.hidden = state.is_ended;
    if (state.expected) {
      bar.max = state.expected;
      bar.value = Math.min(state.records, state.expected);
    } else {
      bar.removeAttribute("value");
    }
  };
  source.addEventListener("progress", show);
  source.addEventListener("end", (event) => {
    show(event);
    source.close();
    place.querySelector("[data-result]").hidden = false;
  });
  source.addEventListener("full", () => source.close());
  bar.hidden = false;
}
