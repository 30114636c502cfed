/* What a page must be for everybody, looked up in the browser itself; a list of what is not so. */
() => {
  const faults = [];
  const said = (element) => `<${element.tagName.toLowerCase()}${element.id ? ` #${element.id}` : ""}${element.className && element.className.baseVal === undefined ? ` .${element.className}` : ""}> ${(element.textContent || "").replace(/\s+/g, " ").trim().slice(0, 40)}`;
  const tell = (what, element) => faults.push(`${what}: ${said(element)}`);
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const all = (selector) => [...document.querySelectorAll(selector)];

  if (!document.documentElement.lang) faults.push("the page has no language");
  if (!/^\S.* · rally-accelerate$/.test(document.title)) faults.push(`the title says too little: ${document.title}`);
  if (all("h1").length !== 1) faults.push(`${all("h1").length} headings of the first level`);
  let before = 0;
  for (const heading of all("main :is(h1, h2, h3, h4, h5, h6)")) {
    const level = Number(heading.tagName[1]);
    if (level > before + 1) tell(`a heading of level ${level} below one of level ${before}`, heading);
    before = level;
  }

  const ids = new Set();
  for (const element of all("[id]")) {
    if (ids.has(element.id)) tell("an id that is there twice", element);
    ids.add(element.id);
  }
  for (const name of ["aria-describedby", "aria-labelledby", "aria-controls"]) {
    for (const element of all(`[${name}]`)) {
      for (const id of element.getAttribute(name).trim().split(/\s+/)) {
        if (!document.getElementById(id)) tell(`${name} leads to ${id}, which is not there`, element);
      }
    }
  }
  for (const label of all("label[for]")) if (!document.getElementById(label.htmlFor)) tell("a label of nothing", label);

  const text = (element) => (element.textContent || "").trim() || [...element.querySelectorAll("img")].map((image) => image.alt).join("");
  for (const field of all("input:not([type=hidden]), select, textarea")) {
    const labels = [...(field.labels || [])].map(text).join("");
    if (!labels && !field.getAttribute("aria-label")) tell("a field without a label", field);
  }
  for (const element of all("button, summary, a[href]")) {
    if (!text(element) && !element.getAttribute("aria-label")) tell("nothing to call it by", element);
  }
  for (const image of all("img:not([alt])")) tell("an image without a text in its place", image);
  for (const cell of all("thead th")) if (!text(cell)) tell("a column without a heading", cell);
  for (const table of all("table")) if (!table.querySelector("th")) tell("a table without headings", table);
  for (const element of all("[tabindex]")) if (element.tabIndex > 0) tell("a tab order of its own", element);
  for (const element of all("[title]:not(svg *)")) if (element.title === "") tell("an empty hint", element);
  for (const element of all("main, main *:not(select)")) {
    if (element.scrollWidth > document.documentElement.clientWidth + 1 && getComputedStyle(element).overflowX === "visible" && !element.closest(".wide, pre, .log, svg")) tell("wider than the page", element);
  }

  /* Contrast (WCAG 2.2, 1.4.3): 4.5 for texts, 3 for large ones. */
  const numbers = (colour) => {
    const made = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    made.fillStyle = colour;
    made.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = made.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const known = new Map();
  const read = (colour) => {
    if (!known.has(colour)) known.set(colour, numbers(colour));
    return known.get(colour);
  };
  const over = (above, below) => above.slice(0, 3).map((value, place) => value * above[3] + below[place] * (1 - above[3]));
  const light = (colour) => {
    const [red, green, blue] = colour.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(read(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, above) => over(above, below), [255, 255, 255]);
  };
  const bad = new Set();
  for (const element of all("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || element.closest("svg, [hidden], .unseen, option") || !shown(element) || element.matches(":disabled, :disabled *")) continue;
    const style = getComputedStyle(element);
    const below = ground(element);
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const colour = read(style.color);
    const front = over([...colour.slice(0, 3), colour[3] * opacity], below);
    const [high, low] = [light(front), light(below)].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const key = `${element.tagName}.${element.className} ${style.color} ${below}`;
    if (ratio < needed - 0.005 && !bad.has(key)) {
      bad.add(key);
      tell(`contrast ${ratio.toFixed(2)} instead of ${needed}`, element);
    }
  }
  return faults;
}
