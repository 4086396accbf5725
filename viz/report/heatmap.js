// P as a picture of pixels in matched order, the target beside it, and a pointer that reads both.

const place = new Int32Array(U); // of module k in the matched order
data.order.forEach((k, at) => { place[k] = at; });

const maps = [{ canvas: $("map-link"), at: (r, c) => probability(data.order[r], data.order[c]) }];
if (target) maps.push({ canvas: $("map-target"), at: targetAt });
else $("map-target-figure").remove();

let cell = null; // [row, column] under the pointer

function drawMaps() {
  const colours = TABLES[theme()].ramp;
  const packed = new Uint32Array(Uint8ClampedArray.from(colours.flatMap((rgb) => [...rgb, 255])).buffer);
  for (const map of maps) {
    const pixels = new ImageData(U, U);
    const whole = new Uint32Array(pixels.data.buffer);
    // Both matrices are symmetric: each value is looked up once.
    for (let r = 0; r < U; r++) {
      for (let c = r; c < U; c++) {
        whole[r * U + c] = whole[c * U + r] = packed[Math.round(255 * map.at(r, c))];
      }
    }
    map.bitmap = element("canvas", { width: U, height: U });
    map.bitmap.getContext("2d").putImageData(pixels, 0, 0);
    map.base = null;
  }
  const scalePen = $("map-scale").getContext("2d");
  for (let k = 0; k < 200; k++) {
    scalePen.fillStyle = rgbText(colours[Math.round(255 * (1 - k / 199))]);
    scalePen.fillRect(0, k, 12, 1);
  }
  markMaps();
}

// The bitmap at the size it is seen, kept: the pointer moves often, the size seldom.
function scaled(bitmap, side) {
  const made = element("canvas", { width: side, height: side });
  const pen = made.getContext("2d");
  pen.imageSmoothingEnabled = side < U; // cells stay sharp until there are more than pixels
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, 0, 0, side, side);
  return made;
}

function markMaps() {
  for (const map of maps) {
    const side = map.canvas.clientWidth;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (!map.bitmap || !side) continue;
    const whole = Math.round(side * ratio);
    if (map.canvas.width !== whole) Object.assign(map.canvas, { width: whole, height: whole });
    if (map.base?.width !== whole) map.base = scaled(map.bitmap, whole);
    const pen = map.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.drawImage(map.base, 0, 0);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    const step = side / U;
    pen.strokeStyle = css("--cross");
    pen.lineWidth = 1;
    const chosen = active();
    const lines = cell ? cell : chosen !== null && chosen < U ? [place[chosen], place[chosen]] : null;
    if (!lines) continue;
    const [y, x] = lines.map((k) => (k + 0.5) * step);
    pen.globalAlpha = cell ? 1 : 0.7;
    pen.beginPath();
    for (const [ax, ay, bx, by] of [[0, y, side, y], [x, 0, x, side]]) { pen.moveTo(ax, ay); pen.lineTo(bx, by); }
    pen.stroke();
    pen.globalAlpha = 1;
  }
  $("map-readout").replaceChildren(...readout());
}

function readout() {
  if (!cell) return [element("span", { class: "faint" }, "Point at a cell to read it; click to pin its row's module in the circuit.")];
  const [i, j] = cell.map((k) => data.order[k]);
  const fields = [["i", i], ["j", j], ["P", probability(i, j).toFixed(3)]];
  if (target) fields.push(["T", targetAt(...cell).toFixed(3)]);
  return fields.map(([name, value]) => element("span", {}, element("i", {}, name), ` ${value}`));
}

for (const map of maps) {
  const find = (event) => {
    const box = map.canvas.getBoundingClientRect();
    const index = (v) => clamp(Math.floor(v * U), 0, U - 1);
    return [index((event.clientY - box.top) / box.height), index((event.clientX - box.left) / box.width)];
  };
  map.canvas.addEventListener("pointermove", (event) => { cell = find(event); markMaps(); });
  map.canvas.addEventListener("pointerleave", () => { cell = null; markMaps(); });
  map.canvas.addEventListener("click", (event) => pin(data.order[find(event)[0]]));
  map.canvas.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    const [r, c] = cell || [0, 0];
    cell = [clamp(r + arrow[1], 0, U - 1), clamp(c + arrow[0], 0, U - 1)];
    markMaps();
  });
}

listeners.push(markMaps);
