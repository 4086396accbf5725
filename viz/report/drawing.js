// Drawing: links on layers of their own, added to over several frames if they are many; then nodes.
//
// A layer that was drawn for another view is shown moved and scaled until its successor is
// complete. Since links are sorted, a lower threshold only adds to the layer that is there.

const DIRECT = 4e5; // pixels of links that are drawn anew in every frame, however the view moves
const BATCH = 1500; // links of one path: long paths are slow to fill, short ones to set up
const LEVELS = 5; // opacities, by P

const screen = { x: new Float32Array(U + O), y: new Float32Array(U + O), r: new Float32Array(U + O) };

function newLayer() {
  const canvas = document.createElement("canvas");
  return { canvas, context: canvas.getContext("2d"), inner: 0, outer: 0, view: null, ink: "" };
}

const layers = { front: newLayer(), back: newLayer(), chunk: 4e5, last: 0 };

const currentView = () => ({ x: camera.x, y: camera.y, s: scale(), w: camera.width, h: camera.height, d: camera.ratio });
const sameView = (a, b) => a && Object.keys(b).every((key) => a[key] === b[key]);

// The more links, the fainter each; in steps, so that a few more need no new drawing.
const faintness = (edges) => 1.2 ** Math.round(Math.log(clamp(5 / (edges + 1) ** 0.36, 0.045, 0.62)) / Math.log(1.2));

function wantedInk(state) {
  const { edges } = countsAt(state.step);
  return [theme(), state.showReadouts, faintness(edges).toFixed(4)].join();
}

function clearLayer(layer, view, ink) {
  const [w, h] = [Math.round(view.w * view.d), Math.round(view.h * view.d)];
  if (layer.canvas.width !== w || layer.canvas.height !== h) Object.assign(layer.canvas, { width: w, height: h });
  layer.context.setTransform(view.d, 0, 0, view.d, 0, 0);
  layer.context.clearRect(0, 0, view.w, view.h);
  Object.assign(layer, { inner: 0, outer: 0, view, ink });
}

// Stroke links first … end of a sorted list, strongest first, a path for each opacity and batch.
function strokeLinks(context, list, first, end, faint, colour) {
  const { from, to, kept, levels } = list;
  const { x, y } = screen;
  const [w, h] = [camera.width, camera.height];
  context.strokeStyle = colour;
  let at = first;
  while (at < end) {
    const level = Math.ceil((kept[at] / levels) * LEVELS);
    const floor = ((level - 1) / LEVELS) * levels;
    const stop = Math.min(end, at + BATCH);
    context.beginPath();
    for (; at < stop && kept[at] > floor; at++) {
      const [ax, ay, bx, by] = [x[from[at]], y[from[at]], x[to[at]], y[to[at]]];
      // Both ends beyond the same border: out of sight.
      if ((ax < 0 && bx < 0) || (ay < 0 && by < 0) || (ax > w && bx > w) || (ay > h && by > h)) continue;
      context.moveTo(ax, ay);
      context.lineTo(bx, by);
    }
    context.globalAlpha = faint * (0.3 + (0.7 * level) / LEVELS);
    context.stroke();
    if (at < stop && kept[at] === 0) break;
  }
  context.globalAlpha = 1;
}

// Draw some more links on a layer, up to `most` pixels of them; says whether all are there now.
function addLinks(layer, state, most) {
  const { inner, outer } = wantedLinks(state);
  const faint = faintness(inner);
  const { context } = layer;
  context.lineWidth = 1;
  const end = within(pairs, layer.inner, inner, most / scale());
  strokeLinks(context, pairs, layer.inner, end, faint, css("--link"));
  const left = most / scale() - (pairs.ink[end] - pairs.ink[layer.inner]);
  layer.inner = end;
  if (end === inner && layer.outer < outer && left > 0) {
    const last = within(outward, layer.outer, outer, left);
    strokeLinks(context, outward, layer.outer, last, Math.min(0.5, faint * 1.2), css("--readout"));
    layer.outer = last;
  }
  return layer.inner === inner && layer.outer >= outer;
}

function wantedLinks(state) {
  const { edges, readoutEdges } = countsAt(state.step);
  return { inner: edges, outer: state.showReadouts ? readoutEdges : 0 };
}

// Bring the layers nearer to the state; says whether nothing is left to draw.
function advance(state, moving) {
  const { inner, outer } = wantedLinks(state);
  const view = currentView();
  const ink = wantedInk(state);
  const { front, back } = layers;
  const pixels = (pairs.ink[inner] + (outer ? outward.ink[outer] : 0)) * scale();
  const few = pixels <= DIRECT;
  if (sameView(front.view, view)) {
    const adds = front.ink === ink && front.inner <= inner && front.outer <= outer;
    if (!adds) clearLayer(front, view, ink);
    return addLinks(front, state, few ? 2 * DIRECT : layers.chunk);
  }
  if (few) {
    clearLayer(front, view, ink);
    return addLinks(front, state, 2 * DIRECT);
  }
  if (moving) return false;
  const goesOn = sameView(back.view, view) && back.ink === ink && back.inner <= inner && back.outer <= outer;
  if (!goesOn) clearLayer(back, view, ink);
  if (!addLinks(back, state, layers.chunk)) return false;
  layers.front = back;
  layers.back = front;
  return true;
}

// Frames that come late ask for less work in each, early ones for more.
function adapt(now, goesOn) {
  const gap = now - layers.last;
  layers.last = now;
  if (!goesOn) return; // the page had nothing to do before
  if (gap > 34) layers.chunk = Math.max(1e5, layers.chunk * 0.7);
  else if (gap < 20) layers.chunk = Math.min(2e6, layers.chunk * 1.2);
}

// Where every node is on the screen, and how big: area by degree, growing slowly with zoom.
function placeNodes(sizes) {
  const s = scale();
  const roomy = 0.18 * Math.sqrt((camera.width * camera.height) / (U + O));
  // Crowded nodes are smaller, but never so small that their colour is lost.
  const free = Math.min(roomy, (0.42 * crowding * s) / camera.zoom);
  const unit = clamp(Math.max(free, 0.7 * Math.min(roomy, 6)), 2.5, 16) * camera.zoom ** 0.55;
  for (let k = 0; k < U + O; k++) {
    screen.x[k] = camera.width / 2 + (places.x[k] - camera.x) * s;
    screen.y[k] = camera.height / 2 + (places.y[k] - camera.y) * s;
    screen.r[k] = k < U ? unit * sizes[k] : Math.max(3.2, unit * 0.65);
  }
}

// The layer of links; what a moved one leaves bare gets the strongest links for the moment.
function drawLinks(context, state, dim) {
  const { view, canvas } = layers.front;
  if (!view) return;
  const k = scale() / view.s;
  const left = camera.width / 2 + (view.x - camera.x) * scale() - (k * view.w) / 2;
  const top = camera.height / 2 + (view.y - camera.y) * scale() - (k * view.h) / 2;
  context.globalAlpha = dim ? 0.22 : 1;
  context.drawImage(canvas, left, top, k * view.w, k * view.h);
  context.globalAlpha = 1;
  const covered = left <= 0.5 && top <= 0.5 && left + k * view.w >= camera.width - 0.5 && top + k * view.h >= camera.height - 0.5;
  if (covered || sameView(view, currentView())) return;
  const counts = countsAt(state.step);
  context.save();
  context.beginPath();
  context.rect(0, 0, camera.width, camera.height);
  context.rect(left, top, k * view.w, k * view.h);
  context.clip("evenodd");
  const some = within(pairs, 0, counts.edges, DIRECT / 2 / scale());
  context.lineWidth = 1;
  strokeLinks(context, pairs, 0, some, faintness(counts.edges), css("--link"));
  context.restore();
}

function tracePath(context, k, more = 0) {
  const [x, y, r] = [screen.x[k], screen.y[k], Math.max(0, screen.r[k] + more)];
  context.beginPath();
  if (k >= U) context.rect(x - r, y - r, 2 * r, 2 * r);
  else context.arc(x, y, r, 0, 2 * Math.PI);
}

// All nodes, or those for which `isStrong` says so at full strength and the others faint.
// A border is a larger disc beneath: two fills take half the time of a fill and a stroke.
function drawNodes(context, looks, state, isStrong) {
  const paper = css("--paper");
  const edge = css("--node-edge");
  const outInk = channels(css("--readout"));
  const pale = new Map(); // from looks to paled colours: most are shared by many
  const last = state.showReadouts ? U + O : U;
  for (let k = 0; k < last; k++) {
    const [x, y, r] = [screen.x[k], screen.y[k], screen.r[k]];
    if (x < -r || y < -r || x > camera.width + r || y > camera.height + r) continue;
    const { rgb, shape } = k < U ? looks[k] : { rgb: null, shape: "square" };
    const solid = shape === "full" || shape === "dot";
    const faint = isStrong !== null && !isStrong(k);
    let colour = shape === "square" ? outInk : rgb;
    if (faint) {
      if (!pale.has(colour)) pale.set(colour, paled(colour, 0.25));
      colour = pale.get(colour);
    }
    if (solid && !faint) {
      tracePath(context, k, r < 5 ? 0.5 : 0.8);
      context.fillStyle = edge;
      context.fill();
    }
    tracePath(context, k);
    context.fillStyle = rgbText(colour);
    context.fill();
    if (shape === "full") continue;
    tracePath(context, k, shape === "dot" ? -0.62 * r : shape === "square" ? -1.6 : -clamp(r * 0.42, 1.2, 5));
    context.fillStyle = paper;
    context.fill();
  }
}
