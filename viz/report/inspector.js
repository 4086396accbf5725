// Beside the circuit: the legend, the numbers of the chosen module, and the counts.

const IN_WORDS = {
  degree: "expected degree", degree_threshold: "links at P > 0.5", clustering: "clustering",
  core: "core number", community: "community", role: "role", contribution: "contribution",
  accuracy_lost: "accuracy lost", loss_gained: "loss gained", confidence: "confidence",
  read_entropy: "read entropy", read_entropy_relative: "relative entropy", position: "reads at",
};

function showCounts() {
  const counts = countsAt(state.step);
  const parts = [
    plural(counts.edges, "link"),
    `mean degree ${counts.meanDegree.toFixed(2)}`,
    `${written(counts.isolated)} isolated`,
  ];
  if (state.showReadouts && O) parts.push(`${written(counts.readoutEdges)} to read-outs`);
  $("counts").textContent = parts.join("  ·  ");
  $("threshold-value").textContent = (state.step / data.steps).toFixed(3).replace(/0$/, "");
}

function showInspector() {
  const chosen = active();
  const parts = chosen === null ? aboutGraph() : chosen < U ? aboutModule(chosen) : aboutReadout(chosen);
  $("inspector").replaceChildren(...parts);
}

function aboutGraph() {
  return [
    element("p", { class: "hint" }, "Point at a module to see its numbers and links; click or tap to keep it."),
    element("p", { class: "hint" }, "Wheel or two fingers zoom, drag moves. With the keyboard: arrows, Enter, Escape, + − 0."),
  ];
}

const row = (name, ...value) => element("div", {}, element("dt", {}, name), element("dd", {}, ...value));

function heading(k, text) {
  const free = state.pinned === k
    ? element("button", { type: "button", class: "plain", onclick: () => pin(null) }, "let go") : null;
  return element("h3", {}, text, " ", free);
}

function aboutModule(k) {
  const rows = [];
  for (const [name, values] of Object.entries(data.columns)) {
    if (name === "top_tokens" || Array.isArray(values[k]) || name.endsWith("_se")) continue;
    const value = values[k];
    const error = data.columns[`${name}_se`]?.[k];
    const text = element("span", value === null ? { class: "undefined" } : {}, written(value),
      isNumber(value) && isNumber(error) ? element("small", {}, ` ± ${rounded(error)}`) : null);
    rows.push([Object.keys(IN_WORDS).indexOf(name), row(IN_WORDS[name] || name.replace(/_/g, " "), text)]);
  }
  rows.sort((a, b) => (a[0] < 0 ? 99 : a[0]) - (b[0] < 0 ? 99 : b[0]));
  const tokens = column("top_tokens")?.[k];
  return [
    heading(k, `Module ${k}`),
    element("dl", {}, ...rows.map((r) => r[1])),
    ...(tokens ? [element("h4", {}, "Reads most"), tokenList(tokens)] : []),
    ...linkList(k),
  ];
}

function aboutReadout(k) {
  const confidence = data.readoutConfidence[k - U];
  const known = isNumber(confidence) ? [element("dl", {}, row("confidence", written(confidence)))] : [];
  return [heading(k, `Read-out ${k - U}`), ...known, ...linkList(k)];
}

function tokenList(tokens) {
  const shares = tokens.map((t) => (Array.isArray(t) && isNumber(t[1]) ? t[1] : null));
  const most = Math.max(...shares.map((s) => s || 0), 1e-9);
  return element("ol", { class: "shares" }, ...tokens.slice(0, 5).map((token, n) => {
    const name = element("code", {}, String(Array.isArray(token) ? token[0] : token));
    const bar = element("i");
    bar.style.width = `${(100 * (shares[n] || 0)) / most}%`;
    return element("li", {}, name, element("span", { class: "bar" }, bar), element("small", {}, written(shares[n])));
  }));
}

function linkList(k) {
  const found = neighbours(k, state.step, state.showReadouts);
  const most = found.slice(0, 8).map((other) => element("li", {},
    element("button", { type: "button", class: "plain", onclick: () => pin(other) }, nodeName(other)),
    element("small", {}, probability(k, other).toFixed(2))));
  const title = `${plural(found.length, "link")} with P > ${$("threshold-value").textContent}`;
  if (found.length > 8) most.push(element("li", { class: "faint" }, `and ${written(found.length - 8)} more`));
  return [element("h4", {}, title), element("ol", { class: "links-of" }, ...most)];
}

function showLegend() {
  const { look, colouring } = { look: run.look, colouring: state.colouring };
  const title = element("p", { class: "title" }, element("b", {}, colouring.title), ` ${colouring.note}`);
  const missing = look.missing
    ? [element("p", { class: "faint" }, `${plural(look.missing, "module")} undefined, drawn hollow grey`)] : [];
  const body = look.groups ? groupLegend(look) : [scaleLegend(look)];
  const readouts = O
    ? [element("p", { class: "faint" }, element("span", { class: "square" }), " read-out")] : [];
  $("legend").replaceChildren(title, ...body, ...missing, ...readouts);
}

function scaleLegend(look) {
  const strip = element("canvas", { width: "256", height: "1", "aria-hidden": "true" });
  const pen = strip.getContext("2d");
  look.colours.forEach((rgb, k) => { pen.fillStyle = rgbText(rgb); pen.fillRect(k, 0, 1, 1); });
  const ends = element("div", { class: "ends" }, element("span", {}, written(look.low)),
    element("span", {}, written(look.high)));
  return element("div", { class: "ramp" }, strip, ends);
}

function groupLegend(look) {
  const most = 14;
  const items = look.groups.map((group, n) => {
    const mark = element("span", { class: `mark ${group.shape}` });
    mark.style.color = rgbText(group.rgb);
    return element("li", n >= most ? { class: "rest" } : {}, element("button", {
      type: "button", class: "plain one", "aria-pressed": String(state.group === group.name),
      onclick: () => { state.group = state.group === group.name ? null : group.name; changed(); showLegend(); },
    }, mark, ` ${group.name} `, element("small", {}, String(group.size))));
  });
  return [element("ul", { class: "groups" }, ...items)];
}

// Choose a colouring by its key, and repaint for the theme.
function colourBy(key) {
  state.colouring = colourings().find((c) => c.key === key && c.has) || colourings()[0];
  state.group = null;
  repaint();
}

function repaint() {
  run.look = paint(state.colouring);
  showLegend();
  changed();
}

listeners.push(showCounts, showInspector);

// The keyboard: the next module in the direction of an arrow, from the one that is pinned.
function nextTowards(dx, dy) {
  const from = state.pinned;
  if (from === null) return 0;
  let [best, least] = [from, Infinity];
  for (let k = 0; k < (state.showReadouts ? U + O : U); k++) {
    const [x, y] = [screen.x[k] - screen.x[from], screen.y[k] - screen.y[from]];
    const along = x * dx + y * dy;
    const cost = along + 2.5 * Math.abs(x * dy - y * dx);
    if (k !== from && along > 0.5 && cost < least) [best, least] = [k, cost];
  }
  return best;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const middle = [camera.width / 2, camera.height / 2];
  if (ARROWS[event.key]) {
    pin(nextTowards(...ARROWS[event.key]));
    if (!isSeen(state.pinned)) lookAt(state.pinned);
  } else if (event.key === "Escape") pin(null);
  else if (event.key === "Enter") pin(state.hovered !== null ? state.hovered : state.pinned ?? 0);
  else if (event.key === "+" || event.key === "=") zoomAt(1.4, ...middle);
  else if (event.key === "-") zoomAt(1 / 1.4, ...middle);
  else if (event.key === "0") resetCamera();
  else return;
  event.preventDefault();
  moved();
});
