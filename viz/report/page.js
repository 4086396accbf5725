// The page: controls, theme, size, paper, and the small window for tests.

for (const colouring of colourings()) {
  const input = element("input", {
    type: "radio", name: "colour", value: colouring.key, disabled: !colouring.has,
    checked: colouring.key === "degree", onchange: () => colourBy(colouring.key),
  });
  const why = colouring.has ? colouring.note : "not known for this run";
  $("colour").append(element("label", { title: why }, input, element("span", {}, colouring.title)));
}

$("threshold").max = data.steps;
$("threshold").value = state.step;
$("threshold").addEventListener("input", () => {
  state.step = Number($("threshold").value);
  changed();
});

$("show-readouts").checked = state.showReadouts;
$("readouts-switch").hidden = O === 0;
$("show-readouts").addEventListener("change", () => {
  state.showReadouts = $("show-readouts").checked;
  if (!state.showReadouts && state.pinned >= U) state.pinned = null;
  changed();
});

$("find").addEventListener("input", () => {
  const text = $("find").value.trim();
  const k = Number(text);
  const known = /^\d+$/.test(text) && k < U;
  $("find").setAttribute("aria-invalid", String(text !== "" && !known));
  if (text === "" || !known) return;
  lookAt(k);
  pin(k);
});

const zoomBy = (factor) => { zoomAt(factor, camera.width / 2, camera.height / 2); moved(); };
$("zoom-in").addEventListener("click", () => zoomBy(1.5));
$("zoom-out").addEventListener("click", () => zoomBy(1 / 1.5));
$("reset").addEventListener("click", () => { resetCamera(); moved(); });

// The system's choice of light or dark until the reader makes one; it is kept where that is allowed.
const system = matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = null;
try { chosenTheme = localStorage.getItem("nacgraph-theme"); } catch { /* a file may have no storage */ }

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  $("theme").textContent = name === "dark" ? "Light" : "Dark";
  repaint();
  drawMaps();
}

$("theme").addEventListener("click", () => {
  chosenTheme = theme() === "dark" ? "light" : "dark";
  try { localStorage.setItem("nacgraph-theme", chosenTheme); } catch { /* as above */ }
  setTheme(chosenTheme);
});
system.addEventListener("change", () => { if (!chosenTheme) setTheme(system.matches ? "dark" : "light"); });

// Paper is white; canvases are drawn for it before, and back again after.
let screenTheme = null;
addEventListener("beforeprint", () => {
  screenTheme = theme();
  setTheme("light");
  for (let k = 0; k < 1000 && !advance(state, false); k++);
  show();
});
addEventListener("afterprint", () => setTheme(screenTheme || "light"));

function fit() {
  const box = canvas.getBoundingClientRect();
  if (!box.width || !box.height) return;
  const ratio = Math.min(2, devicePixelRatio || 1);
  Object.assign(camera, { width: box.width, height: box.height, ratio });
  Object.assign(canvas, { width: Math.round(box.width * ratio), height: Math.round(box.height * ratio) });
  redraw();
  markMaps();
}

new ResizeObserver(fit).observe(canvas);
for (const map of maps) new ResizeObserver(markMaps).observe(map.canvas);

for (const button of document.querySelectorAll("[data-save]")) {
  button.addEventListener("click", () => {
    const svg = button.closest("figure").querySelector("svg").cloneNode(true);
    // Alone, a figure has no page to take its ink from.
    svg.setAttribute("color", "#1b1c1e");
    const text = new XMLSerializer().serializeToString(svg);
    const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    element("a", { href: address, download: `${button.dataset.save}.svg` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  });
}

// The section that is read is marked in the bar.
const anchors = new Map([...document.querySelectorAll("nav .links a")].map((a) => [a.hash.slice(1), a]));
const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const a of anchors.values()) a.removeAttribute("aria-current");
    const current = anchors.get(entry.target.id);
    current?.setAttribute("aria-current", "true");
    if (current) current.parentElement.scrollLeft = current.offsetLeft - 60;
  }
}, { rootMargin: "-20% 0px -70% 0px" });
for (const section of document.querySelectorAll("main > section")) sight.observe(section);

setTheme(chosenTheme || (system.matches ? "dark" : "light"));
fit();

window.nacgraph = {
  modules: U,
  readouts: O,
  get threshold() { return state.step / data.steps; },
  get edges() { return countsAt(state.step).edges; },
  get counts() { return countsAt(state.step); },
  get drawn() { return { links: layers.front.inner, readoutLinks: layers.front.outer }; },
  get hovered() { return state.hovered; },
  get pinned() { return state.pinned; },
  get colour() { return state.colouring.key; },
  get colours() { return run.look.looks.map((look) => rgbText(look.rgb)); },
  get settled() { return run.settled; },
  get frames() { return [...run.frames]; },
  get gaps() { return [...run.gaps]; },
  get camera() { return { ...camera }; },
  forgetFrames() { run.frames.length = run.gaps.length = 0; },
  place(k) { placeNodes(sizes); return { x: screen.x[k], y: screen.y[k], r: screen.r[k] }; },
  probability,
  neighbours: (k) => neighbours(k, state.step, false),
};
