// Colours of modules: ordered ones of one lightness ramp, and named ones told apart by shape too.

// Ramps run away from the paper, so their order is one of contrast, to the colour-blind as well.
const RAMPS = {
  light: ["#f3f2e8", "#b4d8c5", "#4fa3b5", "#25699c", "#1a2d60"],
  dark: ["#1b232c", "#205a80", "#2f95a8", "#93cdb4", "#f3f1c6"],
};
const AROUND_ZERO = {
  light: ["#b24a00", "#e2a878", "#d9d6cd", "#86aed2", "#12508c"],
  dark: ["#ffb070", "#a8683a", "#4b4e55", "#4479ab", "#a2d2ff"],
};
// Eight hues of Okabe and Ito, moved a little for each paper.
const HUES = {
  light: ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#a89400", "#4a4a4a"],
  dark: ["#3d8fd6", "#e69f00", "#1fb88c", "#dd94ba", "#e8743b", "#8fd0f5", "#f0e442", "#d6d6d6"],
};
const SHAPES = ["full", "ring", "dot"]; // hues times shapes groups have their own look
const NONE = { light: "#c9c6bd", dark: "#565a63" };

const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const channels = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
const linear = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);

function luminance(rgb) {
  const [r, g, b] = rgb.map(linear);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

// 256 colours [r, g, b] along evenly spaced stops.
function table(stops) {
  const parts = stops.map(channels);
  return Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (parts.length - 1);
    const low = Math.min(Math.floor(at), parts.length - 2);
    return parts[low].map((c, n) => Math.round(c + (parts[low + 1][n] - c) * (at - low)));
  });
}

// Modules leave out the ramp's first part, which is hardly told from the paper.
const TABLES = Object.fromEntries(["light", "dark"].map((name) => {
  const ramp = table(RAMPS[name]);
  const nodes = ramp.map((_, k) => ramp[Math.round(36 + (219 * k) / 255)]);
  return [name, { ramp, nodes, zero: table(AROUND_ZERO[name]) }];
}));

// A colour on its way to the paper, as solid as before: what lies behind does not show through.
const paled = (rgb, share) => {
  const paper = channels(css("--paper"));
  return rgb.map((c, k) => Math.round(paper[k] + (c - paper[k]) * share));
};

const rgbText = ([r, g, b]) => `rgb(${r},${g},${b})`;
const inkOn = (rgb) => (luminance(rgb) > 0.3 ? "#15171a" : "#ffffff");

const isNumber = (value) => typeof value === "number";
const column = (name) => data.columns[name] || null;

// What modules can be coloured by: a title, a column, and whether it is a number or a name.
function colourings() {
  const contribution = ["contribution", "accuracy_lost", "loss_gained"].find(
    (name) => column(name) && column(name).some(isNumber));
  return [
    { key: "degree", title: "degree", column: "degree", kind: "number", note: "expected degree, the sum of P" },
    { key: "community", title: "community", column: "community", kind: "name", note: "of the partition with the highest modularity" },
    { key: "role", title: "role", column: "role", kind: "name", note: "what a module reads most" },
    { key: "contribution", title: "contribution", column: contribution, kind: "number",
      note: { contribution: "estimated loss gained when the module is removed",
        accuracy_lost: "accuracy lost when the module is removed",
        loss_gained: "loss gained when the module is removed" }[contribution] || "" },
  ].map((c) => ({ ...c, has: Boolean(c.column && column(c.column)?.some((v) => v !== null)) }));
}

// The look of every module under a colouring, and what its legend needs.
function paint(colouring) {
  const values = column(colouring.column) || [];
  return colouring.kind === "number" ? paintNumbers(values) : paintNames(values);
}

function paintNumbers(values) {
  const known = values.filter(isNumber);
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const around = low < 0;
  if (around) [low, high] = [-Math.max(-low, high), Math.max(-low, high)];
  const colours = TABLES[theme()][around ? "zero" : "nodes"];
  const none = channels(NONE[theme()]);
  const looks = values.map((value) => {
    if (!isNumber(value)) return { rgb: none, shape: "ring" };
    const share = high > low ? (value - low) / (high - low) : 0.5;
    return { rgb: colours[Math.round(255 * share)], shape: "full" };
  });
  return { looks, low, high, colours, missing: values.length - known.length };
}

function paintNames(values) {
  const sizes = new Map();
  for (const value of values) if (value !== null) sizes.set(value, (sizes.get(value) || 0) + 1);
  const byName = (a, b) => (isNumber(a) && isNumber(b) ? a - b : String(a).localeCompare(String(b), "en"));
  const names = [...sizes.keys()].sort(byName);
  const room = HUES.light.length * SHAPES.length;
  // With more groups than looks the largest have one, and the others share grey.
  const told = new Set([...names].sort((a, b) => sizes.get(b) - sizes.get(a)).slice(0, room));
  const hues = HUES[theme()].map(channels);
  const none = { rgb: channels(NONE[theme()]), shape: "ring" };
  const look = new Map(names.filter((name) => told.has(name)).map((name, k) => [
    name, { rgb: hues[k % hues.length], shape: SHAPES[Math.floor(k / hues.length)] },
  ]));
  return {
    looks: values.map((value) => look.get(value) || none),
    groups: names.map((name) => ({ name, size: sizes.get(name), ...(look.get(name) || none) })),
    missing: values.filter((value) => value === null).length,
    none,
  };
}
