// Tables: sorted by any column, filtered by text, and tied to the circuit row by row.

const cellNumber = (td) => {
  if (td.dataset.v !== undefined) return Number(td.dataset.v);
  const text = td.textContent.replace(/\u202f/g, "").replace(TRUE_MINUS, "-").trim();
  return text === "" ? NaN : Number(text);
};

// Numbers by size, texts by letters; what is undefined goes last, whichever way.
function sortTable(table, at, down) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((tr) => {
    const td = tr.cells[at];
    return { tr, none: td.classList.contains("undefined"), n: cellNumber(td), text: td.textContent };
  });
  const numeric = rows.every((r) => r.none || !Number.isNaN(r.n));
  const sign = down ? -1 : 1;
  rows.sort((a, b) => {
    if (a.none !== b.none) return a.none ? 1 : -1;
    return sign * (numeric ? a.n - b.n : a.text.localeCompare(b.text, "en", { numeric: true }));
  });
  body.append(...rows.map((r) => r.tr));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((th, at) => th.firstElementChild.addEventListener("click", () => {
    const before = th.getAttribute("aria-sort");
    // Numbers are asked for from the largest down, indices and names from the first on.
    const first = at === 0 || th.classList.contains("left") ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    const way = before === first ? other : first;
    for (const head of heads) head.setAttribute("aria-sort", "none");
    th.setAttribute("aria-sort", way);
    sortTable(table, at, way === "descending");
  }));
}

for (const box of document.querySelectorAll("[data-filter]")) {
  const name = box.dataset.filter;
  const rows = [...$(`table-${name}`).tBodies[0].rows];
  let texts = null; // read when first asked for
  const count = document.querySelector(`[data-shown="${name}"]`);
  box.addEventListener("input", () => {
    const asked = box.value.trim().toLowerCase();
    texts ??= rows.map((tr) => [...tr.cells].map((td) => td.textContent.toLowerCase()).join(" "));
    let found = 0;
    rows.forEach((tr, k) => {
      // A whole number means a module, not any cell with these digits.
      const fits = /^\d+$/.test(asked) ? tr.dataset.k === asked : texts[k].includes(asked);
      tr.hidden = asked !== "" && !fits;
      found += !tr.hidden;
    });
    count.textContent = asked ? `${found} of ${rows.length}` : "";
  });
}

const rowOf = new Map();
for (const [name, shift] of [["modules", 0], ["readouts", U]]) {
  for (const tr of $(`table-${name}`)?.tBodies[0].rows || []) rowOf.set(shift + Number(tr.dataset.k), tr);
}
for (const [k, tr] of rowOf) {
  tr.addEventListener("click", () => {
    if (getSelection().isCollapsed) pin(state.pinned === k ? null : k);
  });
}

let marked = [null, null];

function markRows() {
  const now = [state.hovered, state.pinned];
  if (now[0] === marked[0] && now[1] === marked[1]) return;
  for (const k of marked) rowOf.get(k)?.classList.remove("hovered", "pinned");
  rowOf.get(now[0])?.classList.add("hovered");
  const tr = rowOf.get(now[1]);
  tr?.classList.add("pinned");
  if (tr && now[1] !== marked[1]) {
    // Within the table only: the page itself stays where the reader is.
    const box = tr.closest(".scroll");
    const [top, height] = [tr.offsetTop, box.clientHeight];
    if (top < box.scrollTop + 40 || top > box.scrollTop + height - 40) box.scrollTop = top - height / 2;
  }
  marked = now;
}

listeners.push(markRows);
