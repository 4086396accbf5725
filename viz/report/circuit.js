// The interactive circuit: what is chosen, the frame that shows it, and the hands that move it.

const canvas = $("canvas");
const context = canvas.getContext("2d");
const state = {
  step: data.steps / 2,
  colouring: colourings()[0],
  showReadouts: O > 0,
  hovered: null,
  pinned: null,
  group: null, // of the legend
};
const listeners = []; // called after hovered, pinned, threshold or colours changed
const run = { asked: false, busy: false, moving: 0, settled: false, frames: [], gaps: [], look: paint(state.colouring) };

const degrees = column("degree");
const largest = Math.max(...degrees, 1e-9);
const sizes = degrees.map((d) => 0.5 + 0.5 * Math.sqrt(Math.max(0, d) / largest));
const active = () => (state.hovered !== null ? state.hovered : state.pinned);
const nodeName = (k) => (k < U ? `module ${k}` : `read-out ${k - U}`);

function redraw() {
  run.settled = false;
  if (!run.asked) requestAnimationFrame(frame);
  run.asked = true;
}

function changed() {
  for (const listener of listeners) listener();
  redraw();
}

function frame(now) {
  const began = performance.now();
  run.asked = false;
  const gap = now - layers.last;
  adapt(now, run.busy);
  const moving = now - run.moving < 120;
  placeNodes(sizes);
  const complete = advance(state, moving);
  show();
  run.frames.push(performance.now() - began);
  if (run.busy) run.gaps.push(gap);
  if (run.frames.length > 600) run.frames.shift();
  if (run.gaps.length > 600) run.gaps.shift();
  run.busy = !complete || moving;
  if (run.busy) redraw();
  else run.settled = true;
}

function show() {
  const chosen = active();
  const strong = chosen === null ? null : new Set([chosen, ...neighbours(chosen, state.step, state.showReadouts)]);
  const values = column(state.colouring.column);
  const inGroup = (k) => k < U && values[k] === state.group;
  const isStrong = strong ? (k) => strong.has(k) : state.group !== null ? inGroup : null;
  context.setTransform(camera.ratio, 0, 0, camera.ratio, 0, 0);
  context.clearRect(0, 0, camera.width, camera.height);
  drawLinks(context, state, isStrong !== null);
  if (strong) drawChosenLinks(chosen, strong);
  drawNodes(context, run.look.looks, state, isStrong);
  if (state.pinned !== null) ringAround(state.pinned, 3.5, 2);
  if (state.hovered !== null && state.hovered !== state.pinned) ringAround(state.hovered, 2.5, 1.25);
  drawLabels(chosen, strong);
}

function drawChosenLinks(chosen, strong) {
  const { x, y } = screen;
  context.strokeStyle = css("--accent");
  for (const k of strong) {
    if (k === chosen) continue;
    const p = probability(chosen, k);
    context.globalAlpha = 0.25 + 0.6 * p;
    context.lineWidth = 0.6 + 1.6 * p;
    context.beginPath();
    context.moveTo(x[chosen], y[chosen]);
    context.lineTo(x[k], y[k]);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function ringAround(k, away, width) {
  const r = screen.r[k];
  screen.r[k] = r + away;
  tracePath(context, k);
  screen.r[k] = r;
  context.strokeStyle = css("--accent");
  context.lineWidth = width;
  context.stroke();
}

// Numbers inside nodes that have the room; beside the chosen one and its neighbours otherwise.
function drawLabels(chosen, strong) {
  const family = getComputedStyle(document.body).fontFamily;
  const last = state.showReadouts ? U + O : U;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let k = 0; k < last; k++) {
    const [x, y, r] = [screen.x[k], screen.y[k], screen.r[k]];
    const text = String(k < U ? k : k - U);
    const size = Math.min(13, (r * 2.1) / Math.max(2, text.length));
    if (size < 7.5 || x < 0 || y < 0 || x > camera.width || y > camera.height) continue;
    if (strong && !strong.has(k)) continue;
    const look = k < U ? run.look.looks[k] : { shape: "square" };
    if (look.shape === "dot") continue;
    context.font = `500 ${size}px ${family}`;
    context.fillStyle = look.shape === "full" ? inkOn(look.rgb) : css("--ink");
    context.fillText(text, x, y + 0.5);
  }
  if (chosen === null || !strong) return;
  const taken = [];
  const names = [...strong].slice(0, 24);
  for (const k of names) if (screen.r[k] < 7.5) labelBeside(k, k === chosen, taken, family);
}

function labelBeside(k, isChosen, taken, family) {
  const text = isChosen ? nodeName(k) : String(k < U ? k : k - U);
  context.font = `${isChosen ? 600 : 400} ${isChosen ? 13 : 11}px ${family}`;
  const [w, h, r] = [context.measureText(text).width, 15, screen.r[k] + 5];
  const [x, y] = [screen.x[k], screen.y[k]];
  const spots = [[x, y - r - h / 2], [x + r + w / 2, y], [x - r - w / 2, y], [x, y + r + h / 2]];
  const inside = ([cx, cy]) => cx - w / 2 > 2 && cx + w / 2 < camera.width - 2 && cy > h && cy < camera.height - h;
  const free = ([cx, cy]) => taken.every((b) => Math.abs(cx - b.x) > (w + b.w) / 2 || Math.abs(cy - b.y) > h);
  const spot = spots.find((s) => inside(s) && free(s)) || (isChosen ? spots[0] : null);
  if (!spot) return;
  taken.push({ x: spot[0], y: spot[1], w });
  context.lineWidth = 4;
  context.lineJoin = "round";
  context.strokeStyle = css("--paper");
  context.strokeText(text, ...spot);
  context.fillStyle = css("--ink");
  context.fillText(text, ...spot);
}

function nodeAt(x, y, reach) {
  let [best, nearest] = [null, Infinity];
  placeNodes(sizes);
  for (let k = 0; k < (state.showReadouts ? U + O : U); k++) {
    const distance = Math.hypot(screen.x[k] - x, screen.y[k] - y) - screen.r[k];
    if (distance < reach && distance < nearest) [best, nearest] = [k, distance];
  }
  return best;
}

function hover(k) {
  if (k === state.hovered) return;
  state.hovered = k;
  canvas.style.cursor = k === null ? "" : "pointer";
  changed();
}

function pin(k) {
  state.pinned = k;
  changed();
}

function moved() {
  run.moving = performance.now();
  canvas.style.touchAction = camera.zoom > 1.02 ? "none" : "pan-y";
  redraw();
}

// One finger pans and two pinch; a press that stays in place pins.
const fingers = new Map();
let press = null;

const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
};

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, at(event));
  press = fingers.size === 1 ? { ...at(event), still: true } : null;
});

canvas.addEventListener("pointermove", (event) => {
  const here = at(event);
  const before = fingers.get(event.pointerId);
  if (!before) {
    if (event.pointerType !== "touch") hover(nodeAt(here.x, here.y, 5));
    return;
  }
  if (fingers.size === 2) {
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, p]) => p);
    const spread = (p) => Math.hypot(p.x - other.x, p.y - other.y);
    panBy((here.x - before.x) / 2, (here.y - before.y) / 2);
    if (spread(before) > 4) zoomAt(spread(here) / spread(before), (here.x + other.x) / 2, (here.y + other.y) / 2);
    moved();
  } else if (press) {
    if (press.still && Math.hypot(here.x - press.x, here.y - press.y) < 4) return;
    press.still = false;
    panBy(here.x - before.x, here.y - before.y);
    moved();
  }
  fingers.set(event.pointerId, here);
});

canvas.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  if (press?.still) {
    const found = nodeAt(press.x, press.y, event.pointerType === "touch" ? 14 : 5);
    pin(found === state.pinned ? null : found);
  }
  press = null;
});
canvas.addEventListener("pointercancel", (event) => {
  fingers.delete(event.pointerId);
  press = null;
});
canvas.addEventListener("pointerleave", () => hover(null));

// A page that is being scrolled goes on being scrolled when the circuit comes under the pointer.
let scrolled = -1e9;
addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });
canvas.addEventListener("wheel", (event) => {
  const out = event.deltaY > 0 && camera.zoom <= 1;
  if (!event.ctrlKey && (out || performance.now() - scrolled < 180)) return;
  event.preventDefault();
  const lines = event.deltaMode === 1 ? 16 : 1;
  const here = at(event);
  zoomAt(Math.exp(clamp(-event.deltaY * lines, -120, 120) * 0.0035), here.x, here.y);
  moved();
}, { passive: false });
