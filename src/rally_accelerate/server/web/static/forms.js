/* Comfort for forms; everything works without it. */
"use strict";
(() => {
  /* Escape hides a tooltip that covers something. */
  document.addEventListener("keydown", (event) => {
    const tip = event.target instanceof Element ? event.target.closest(".tip") : null;
    if (event.key === "Escape" && tip !== null) event.target.blur();
  });

  /* Copy what stands beside the button. */
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  /* Narrow a tree while typing: what matches, and what leads to it. The page may be swapped: listen at its root. */
  document.addEventListener("input", (event) => {
    const field = event.target;
    const tree = field instanceof HTMLInputElement && field.dataset.narrows && document.getElementById(field.dataset.narrows);
    if (!tree) return;
    const wanted = field.value.trim().toLowerCase();
    const way = [];
    for (const row of tree.querySelectorAll("[class*=depth-]")) {
      const depth = Number(/depth-(\d+)/.exec(row.className)?.[1] ?? 0);
      way[depth] = row;
      way.length = depth + 1;
      const found = row.querySelector("label").textContent.toLowerCase().includes(wanted);
      row.hidden = wanted !== "" && !found;
      row.classList.toggle("match", wanted !== "" && found);
      if (found) for (const above of way) above.hidden = false;
    }
  });
})();
