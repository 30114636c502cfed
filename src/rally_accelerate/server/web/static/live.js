/* Keeps a page fresh: fetches it again and swaps the parts that may change. Without scripts the page is loaded again.
   A part that somebody is using - focus in it, a menu open - is left alone until the next time. */
"use strict";
(() => {
  const marker = () => document.getElementById("live");
  const used = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") !== null;

  function swap(fresh) {
    for (const part of document.querySelectorAll("[data-live][id]")) {
      const next = fresh.getElementById(part.id);
      if (next === null || used(part) || next.outerHTML === part.outerHTML) continue;
      const log = part.querySelector(".log");
      const atEnd = log !== null && log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
      const top = log === null ? 0 : log.scrollTop;
      part.replaceWith(document.importNode(next, true));
      const now = document.getElementById(part.id).querySelector(".log");
      if (now !== null) now.scrollTop = atEnd ? now.scrollHeight : top;
    }
  }

  async function look() {
    const before = marker();
    let going = before !== null;
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
        if (answer.ok && !answer.redirected) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          swap(fresh);
          const next = fresh.getElementById("live");
          going = next !== null;
          const shown = marker();
          if (next !== null && shown !== null) shown.dataset.every = next.dataset.every;
          if (next === null && shown !== null) shown.remove();
        }
      } catch {
        /* The host may be restarting; the next look finds it again. */
      }
    }
    if (going) plan();
  }

  function plan() {
    const shown = marker();
    const seconds = shown === null ? 2 : Number(shown.dataset.every) || 5;
    setTimeout(look, seconds * 1000);
  }

  const log = document.querySelector(".log");
  if (marker() !== null && log !== null) log.scrollTop = log.scrollHeight;
  if (marker() !== null) plan();
})();
