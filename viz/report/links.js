// Links: pairs sorted once by P, so that those above a threshold are a beginning of the list.

// Pairs (from[k], to[k]) with kept numbers, largest first; equal ones keep their order.
function sortedPairs(packed, pairAt) {
  const { levels, values } = unpack(packed);
  const starts = new Uint32Array(levels + 2);
  for (const q of values) starts[levels - q + 1] += 1;
  for (let k = 1; k < starts.length; k++) starts[k] += starts[k - 1];
  // above[s] pairs have P > s / steps.
  const above = Array.from({ length: data.steps + 1 }, (_, s) => starts[levels - s * levels / data.steps]);
  const from = new Uint16Array(values.length);
  const to = new Uint16Array(values.length);
  const kept = new values.constructor(values.length);
  pairAt((i, j, k) => {
    const at = starts[levels - values[k]]++;
    from[at] = i;
    to[at] = j;
    kept[at] = values[k];
  });
  return { levels, values, from, to, kept, above };
}

const U = data.modules;
const O = data.readouts;

const pairs = sortedPairs(data.link, (put) => {
  for (let i = 0, k = 0; i < U; i++) for (let j = i + 1; j < U; j++) put(i, j, k++);
});

// Read-outs are nodes U, U + 1, …
const outward = data.readoutLink && sortedPairs(data.readoutLink, (put) => {
  for (let o = 0, k = 0; o < O; o++) for (let j = 0; j < U; j++) put(U + o, j, k++);
});

// Ink: how long the first k links of a list are together, in units of the plane (0 for none).
function measure(list) {
  const { from, to } = list;
  const [x, y] = [0, 1].map((axis) => Float64Array.from(data.places, (p) => p[axis]));
  const ink = new Float64Array(from.length + 1);
  for (let k = 0; k < from.length; k++) {
    const dx = x[from[k]] - x[to[k]];
    const dy = y[from[k]] - y[to[k]];
    ink[k + 1] = ink[k] + Math.sqrt(dx * dx + dy * dy);
  }
  list.ink = ink;
}
measure(pairs);
if (outward) measure(outward);

// How far from link `first` a budget of ink goes, at most to link `end`; at least 50 links.
function within(list, first, end, budget) {
  let [low, high] = [Math.min(end, first + 50), end];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (list.ink[middle] - list.ink[first] <= budget) low = middle;
    else high = middle - 1;
  }
  return low;
}

const target = data.target && unpack(data.target);

// The place of pair i ≠ j in the upper triangle, row by row.
function pairIndex(i, j) {
  const [low, high] = i < j ? [i, j] : [j, i];
  return low * U - (low * (low + 1)) / 2 + high - low - 1;
}

function keptBetween(a, b) {
  if (a >= U && b >= U) return 0;
  if (a >= U || b >= U) return outward.values[(Math.max(a, b) - U) * U + Math.min(a, b)];
  return a === b ? pairs.levels : pairs.values[pairIndex(a, b)];
}

function probability(a, b) {
  if (a === b) return 1;
  return shown(keptBetween(a, b), a >= U || b >= U ? outward.levels : pairs.levels);
}

const targetAt = (r, c) => (r === c ? 1 : shown(target.values[pairIndex(r, c)], target.levels));

// The strongest link of each module: without one above the threshold it is isolated.
const strongest = new Uint16Array(U);
for (let k = pairs.kept.length - 1; k >= 0; k--) {
  strongest[pairs.from[k]] = pairs.kept[k];
  strongest[pairs.to[k]] = pairs.kept[k];
}

// Numbers of the graph of links with P > step / steps.
function countsAt(step) {
  const cut = (step * pairs.levels) / data.steps;
  const edges = pairs.above[step];
  let isolated = 0;
  for (const q of strongest) isolated += q <= cut;
  return {
    edges,
    readoutEdges: outward ? outward.above[step] : 0,
    meanDegree: (2 * edges) / U,
    isolated,
  };
}

// The others that node a is linked to above the threshold, strongest first.
function neighbours(a, step, withReadouts) {
  const found = [];
  for (let b = 0; b < U + (withReadouts ? O : 0); b++) {
    if (b === a || (a >= U && b >= U)) continue;
    const levels = a >= U || b >= U ? outward.levels : pairs.levels;
    if (keptBetween(a, b) > (step * levels) / data.steps) found.push(b);
  }
  return found.sort((b, c) => probability(a, c) - probability(a, b));
}
