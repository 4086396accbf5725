// Numbers: how they are unpacked from the page's data, and how they are written.

const data = JSON.parse(document.getElementById("nacgraph-data").textContent);
const $ = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Whole numbers 0 … levels from base64 of one or two bytes each; runs are written out.
function unpack(packed) {
  const values = whole(packed.values, packed.bytes);
  if (!packed.lengths) return { levels: packed.levels, values };
  const lengths = whole(packed.lengths, 2);
  const total = lengths.reduce((sum, n) => sum + n, 0);
  const out = packed.bytes === 1 ? new Uint8Array(total) : new Uint16Array(total);
  for (let k = 0, at = 0; k < lengths.length; at += lengths[k++]) {
    out.fill(values[k], at, at + lengths[k]);
  }
  return { levels: packed.levels, values: out };
}

function whole(text, bytes) {
  const raw = atob(text);
  const out = bytes === 1 ? new Uint8Array(raw.length) : new Uint16Array(raw.length / 2);
  for (let k = 0; k < out.length; k++) {
    out[k] = bytes === 1 ? raw.charCodeAt(k)
      : raw.charCodeAt(2 * k) | (raw.charCodeAt(2 * k + 1) << 8);
  }
  return out;
}

// The probability that a kept number stands for: the middle of its step.
const shown = (kept, levels) => (kept === 0 ? 0 : (kept - 0.5) / levels);

const TRUE_MINUS = "\u2212";
const RAISED = { "+": "", "-": "⁻", ...Object.fromEntries([..."⁰¹²³⁴⁵⁶⁷⁸⁹"].map((sign, k) => [k, sign])) };

function written(value) {
  if (value === null || value === undefined) return "undefined";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value)) text = String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  else if (size >= 1e-3 && size < 1e6) {
    text = value.toFixed(clamp(3 - Math.floor(Math.log10(size)), 0, 4));
  } else {
    const [mantissa, exponent] = value.toExponential(2).split("e");
    text = `${mantissa}×10${[...exponent].map((sign) => RAISED[sign]).join("")}`;
  }
  return text.replace(/-/g, TRUE_MINUS);
}

// An error or spread: two digits do.
const rounded = (value) => written(value === 0 ? 0 : Number(value.toPrecision(2)));

function plural(count, noun) {
  return `${written(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// An element with attributes, properties and children; texts are texts, never markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}
