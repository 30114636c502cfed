// Menus that open over the page close as people expect: with Escape, and when something else is pressed.
"use strict";

(() => {
  const open = () => document.querySelectorAll("details.menu[open], details.chooser[open]");

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of open()) {
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector("summary").focus();
    }
  });

  document.addEventListener("click", (event) => {
    for (const menu of open()) if (!menu.contains(event.target)) menu.open = false;
  });
})();
