// Keeps a page as the server would draw it now: on each event of its run, or every few seconds, the page is fetched
// again and the parts that changed are put in place. Without this script the page reloads itself.
"use strict";

const root = document.querySelector("main");
const shown = new Map([...document.querySelectorAll("[data-live]")].map((part) => [part.id, part.outerHTML]));
let isBusy = false;
let isStale = false;

async function redraw() {
  isStale = true;
  if (isBusy) return;
  isBusy = true;
  while (isStale) {
    isStale = false;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-cache" });
      if (answer.ok) place(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      // Away: the next event or the stream's own reconnection tries again.
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  isBusy = false;
}

function place(fresh) {
  document.title = fresh.title;
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const old = document.getElementById(part.id);
    if (!old || shown.get(part.id) === part.outerHTML) continue;
    shown.set(part.id, part.outerHTML);
    for (const open of old.querySelectorAll("details[id]")) {
      const same = part.querySelector(`[id="${CSS.escape(open.id)}"]`);
      if (same) same.open = open.open;
    }
    old.replaceWith(part);
  }
}

if (root.dataset.events) {
  const source = new EventSource(root.dataset.events);
  source.addEventListener("progress", redraw);
  source.addEventListener("done", () => {
    source.close();
    redraw();
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 15000);
  });
} else if (root.dataset.poll) {
  setInterval(() => document.hidden || redraw(), Number(root.dataset.poll) * 1000);
}
