// Comfort for the pages of value streams; each of them works without it.
"use strict";

// A dot's card opens beside the map instead of in its place.
const panel = document.getElementById("panel");
let opener = null;

function close() {
  if (!panel || panel.hidden) return;
  panel.hidden = true;
  panel.replaceChildren();
  if (opener) {
    opener.classList.remove("open");
    opener.focus();
  }
  opener = null;
}

async function open(link, address) {
  const answer = await fetch(address, { credentials: "same-origin" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const card = page.getElementById("card");
  if (!answer.ok || !card) {
    window.location.assign(address);
    return;
  }
  if (opener) opener.classList.remove("open");
  opener = link;
  opener.classList.add("open");
  const tools = document.createElement("p");
  tools.className = "tools";
  const whole = document.createElement("a");
  whole.href = address;
  whole.textContent = "Open as a page";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = "Close";
  button.addEventListener("click", close);
  tools.append(whole, button);
  panel.replaceChildren(tools, document.adoptNode(card));
  panel.hidden = false;
  panel.scrollTop = 0;
  const name = panel.querySelector("h2");
  if (name) name.focus();
}

if (panel) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest && event.target.closest("a.dot, a[data-card]");
    if (!link || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    const address = link.getAttribute("href");
    open(link, address).catch(() => window.location.assign(address));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
}

// In a stage one dot takes the focus, and the arrow keys lead to the others.
for (const stage of document.querySelectorAll("[data-dots]")) {
  const dots = [...stage.querySelectorAll("a.dot")];
  dots.forEach((dot, index) => dot.setAttribute("tabindex", index === 0 ? "0" : "-1"));
  stage.addEventListener("keydown", (event) => {
    const at = dots.indexOf(document.activeElement);
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    let next = -1;
    if (event.key in steps) next = (at + steps[event.key] + dots.length) % dots.length;
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = dots.length - 1;
    if (at < 0 || next < 0) return;
    event.preventDefault();
    dots[at].setAttribute("tabindex", "-1");
    dots[next].setAttribute("tabindex", "0");
    dots[next].focus();
  });
}

// Line numbers beside the editor, and the cursor on the line of the first fault.
for (const frame of document.querySelectorAll("[data-numbered]")) {
  const area = frame.querySelector("textarea");
  const gutter = document.createElement("pre");
  gutter.className = "gutter";
  gutter.setAttribute("aria-hidden", "true");
  frame.prepend(gutter);
  const number = () => {
    const lines = area.value.split("\n").length;
    gutter.textContent = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
    gutter.scrollTop = area.scrollTop;
  };
  area.addEventListener("input", number);
  area.addEventListener("scroll", () => { gutter.scrollTop = area.scrollTop; });
  number();
  const fault = document.querySelector("#problems code");
  const told = fault && /line (\d+), column (\d+)/.exec(fault.textContent);
  if (told) {
    const lines = area.value.split("\n");
    const start = lines.slice(0, Number(told[1]) - 1).join("\n").length + (Number(told[1]) > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(start, start + (lines[Number(told[1]) - 1] || "").length);
  }
}

// A map that is being counted anew is shown again, unless somebody is busy with it.
if (document.querySelector("[data-old]")) {
  const again = () => {
    const busy = (panel && !panel.hidden) || document.activeElement !== document.body;
    if (busy) setTimeout(again, 3000);
    else window.location.reload();
  };
  setTimeout(again, 3000);
}
