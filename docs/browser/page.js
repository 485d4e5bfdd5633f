// The page: takes a file, hands it to the worker, and shows what comes back.
"use strict";

const PALETTE = [
  "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e08214", "#5e3c99",
  "#1b9e77", "#a6611a", "#7a7a7a", "#d01c8b", "#4d9221", "#2166ac", "#b2182b", "#c994c7",
];
const REST = "other";
const MOST_VALUES = 40;
const COUNTS = "counts a cell";

const at = (id) => document.getElementById(id);
const worker = new Worker("worker.js");
const shown = { cells: null, column: "", hidden: new Set(), values: [], colours: new Map() };

function say(text, wrong = false) {
  at("state").textContent = text;
  at("state").classList.toggle("wrong", wrong);
}

function begin(file) {
  if (!file) return;
  at("result").hidden = true;
  at("progress").hidden = false;
  at("file").disabled = true;
  say(`Reading ${file.name}`);
  shown.name = file.name;
  worker.postMessage(file);
}

function end() {
  at("progress").hidden = true;
  at("file").disabled = false;
}

worker.onmessage = ({ data }) => {
  if (data.kind === "progress") {
    say(`${data.stage}: ${data.total > 1 ? `${data.done} of ${data.total}` : "…"}`);
    if (data.total > 1) at("progress").value = data.done / data.total;
    else at("progress").removeAttribute("value");
  } else if (data.kind === "error") {
    end();
    say(`${shown.name}: ${data.message}`, true);
  } else {
    end();
    show(data);
  }
};
worker.onerror = (event) => {
  end();
  say(`This page cannot start: ${event.message || "its libraries or its model are missing"}`, true);
};

// Columns worth colouring by: two values or more, and fewer than there are cells.
function colourable(columns) {
  const found = [];
  for (const [name, values] of columns) {
    const count = new Set(values).size;
    if (name !== "names" && count > 1 && count < Math.max(3, values.length / 2)) found.push(name);
  }
  const byName = (name) => (/(cell.?type|label|annotation)/i.test(name) ? 0 : 1);
  return found.sort((a, b) => byName(a) - byName(b));
}

function show(cells) {
  shown.cells = cells;
  const count = cells.totals.length;
  at("result").hidden = false;
  say(`${count.toLocaleString("en")} cells embedded`);
  at("colour").replaceChildren(
    ...[...colourable(cells.columns), COUNTS].map((name) => new Option(name, name)),
  );
  const median = (values) => Float64Array.from(values).sort()[Math.floor(values.length / 2)];
  const facts = [
    ["cells", `${count.toLocaleString("en")}, counts from ${cells.matrix}`],
    [
      "genes",
      `${cells.matched.toLocaleString("en")} of ${cells.genes.toLocaleString("en")} known to the ` +
        `model, with ${(100 * cells.share).toFixed(1)} % of all counts`,
    ],
    [
      "a cell",
      `median ${median(cells.totals).toLocaleString("en")} counts of ` +
        `${median(cells.expressed).toLocaleString("en")} genes`,
    ],
    [
      "time",
      `${cells.seconds.embedding.toFixed(1)} s for the vectors ` +
        `(${Math.round(count / cells.seconds.embedding)} cells/s), ` +
        `${cells.seconds.map.toFixed(1)} s for the map`,
    ],
  ];
  at("facts").tBodies[0].replaceChildren(
    ...facts.map(([name, value]) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      [head.textContent, head.scope] = [name, "row"];
      row.append(head, Object.assign(document.createElement("td"), { textContent: value }));
      return row;
    }),
  );
  choose(at("colour").value);
}

// Colours of the values of a column: the commonest have one each, the rest share grey.
function choose(column) {
  const { cells } = shown;
  Object.assign(shown, { column, hidden: new Set(), colours: new Map() });
  if (column === COUNTS) {
    const fifths = Float64Array.from(cells.totals).sort();
    const bounds = [1, 2, 3, 4].map((n) => fifths[Math.floor((n * fifths.length) / 5)]);
    const ends = [fifths[0], ...bounds, fifths[fifths.length - 1]];
    const names = ends.slice(1).map((end, n) => `${ends[n]} to ${end}`);
    shown.values = Array.from(cells.totals, (total) => names[bounds.filter((b) => total >= b).length]);
    ["#440154", "#3b528b", "#21918c", "#5ec962", "#d8c000"].forEach((colour, n) =>
      shown.colours.set(names[n], colour),
    );
  } else {
    const counts = new Map();
    const values = cells.columns.get(column);
    for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
    const common = [...counts].sort((a, b) => b[1] - a[1]).map(([value]) => value);
    const kept = new Set(common.slice(0, MOST_VALUES));
    common.slice(0, MOST_VALUES).forEach((value, n) =>
      shown.colours.set(value, n < PALETTE.length ? PALETTE[n] : `hsl(${(n * 137) % 360} 55% 50%)`),
    );
    if (common.length > MOST_VALUES) shown.colours.set(REST, "#bbbbbb");
    shown.values = values.map((value) => (kept.has(value) ? value : REST));
  }
  legend();
  draw();
}

function legend() {
  const counts = new Map();
  for (const value of shown.values) counts.set(value, (counts.get(value) ?? 0) + 1);
  at("legend").replaceChildren(
    ...[...shown.colours].map(([value, colour]) => {
      const [item, button, dot] = ["li", "button", "i"].map((tag) => document.createElement(tag));
      button.type = "button";
      button.setAttribute("aria-pressed", "true");
      dot.style.backgroundColor = colour;
      button.append(dot, `${value || "(none)"} (${counts.get(value) ?? 0})`);
      button.onclick = () => {
        if (!shown.hidden.delete(value)) shown.hidden.add(value);
        button.setAttribute("aria-pressed", String(!shown.hidden.has(value)));
        draw();
      };
      item.append(button);
      return item;
    }),
  );
}

// Places of the cells on the canvas, in its own pixels.
function places() {
  const { place } = shown.cells;
  const { width, height } = at("map");
  const [low, high] = [[Infinity, Infinity], [-Infinity, -Infinity]];
  place.forEach((value, n) => {
    low[n % 2] = Math.min(low[n % 2], value);
    high[n % 2] = Math.max(high[n % 2], value);
  });
  const margin = 0.04 * Math.min(width, height);
  const size = [width, height].map((pixels) => pixels - 2 * margin);
  const scale = Math.min(...size.map((pixels, n) => pixels / (high[n] - low[n] || 1)));
  const middle = [width / 2, height / 2];
  return place.map(
    (value, n) => middle[n % 2] + (n % 2 ? -1 : 1) * scale * (value - (low[n % 2] + high[n % 2]) / 2),
  );
}

function draw() {
  if (!shown.cells) return;
  const canvas = at("map");
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
  const pen = canvas.getContext("2d");
  shown.places = places();
  const radius = ratio * Math.max(1, Math.min(4, 130 / Math.sqrt(shown.values.length)));
  shown.values.forEach((value, n) => {
    if (shown.hidden.has(value)) return;
    pen.fillStyle = shown.colours.get(value);
    pen.beginPath();
    pen.arc(shown.places[2 * n], shown.places[2 * n + 1], radius, 0, 7);
    pen.fill();
  });
}

function hover(event) {
  const { cells } = shown;
  if (!cells || !shown.places) return;
  const ratio = window.devicePixelRatio || 1;
  const [x, y] = [event.offsetX * ratio, event.offsetY * ratio];
  let [best, nearest] = [(12 * ratio) ** 2, -1];
  for (let n = 0; n < shown.values.length; n += 1) {
    if (shown.hidden.has(shown.values[n])) continue;
    const away = (shown.places[2 * n] - x) ** 2 + (shown.places[2 * n + 1] - y) ** 2;
    if (away < best) [best, nearest] = [away, n];
  }
  at("hint").hidden = nearest < 0;
  if (nearest < 0) return;
  const name = cells.columns.get("names")[nearest];
  at("hint").textContent = `${name}: ${shown.values[nearest] || "(none)"}, ` +
    `${cells.totals[nearest].toLocaleString("en")} counts`;
  at("hint").style.left = `${Math.min(event.offsetX + 12, at("map").clientWidth - 160)}px`;
  at("hint").style.top = `${event.offsetY + 12}px`;
}

// Vectors and map as a table: quotes, tabs and line breaks in names would break its rows.
function table() {
  const { cells } = shown;
  const dimensions = Array.from({ length: cells.width }, (_, n) => `sclong_${n + 1}`);
  const lines = [["cell", "map_1", "map_2", ...dimensions].join("\t")];
  cells.columns.get("names").forEach((name, n) => {
    const vector = cells.vectors.subarray(n * cells.width, (n + 1) * cells.width);
    const place = cells.place.subarray(2 * n, 2 * n + 2);
    lines.push([name.replace(/[\t\r\n"]/g, " "), ...place, ...vector].join("\t"));
  });
  return new Blob([lines.join("\n"), "\n"], { type: "text/tab-separated-values" });
}

function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(table());
  link.download = `${shown.name.replace(/\.[^.]*$/, "")}.sclong.tsv`;
  link.click();
  URL.revokeObjectURL(link.href);
}

at("file").onchange = (event) => begin(event.target.files[0]);
at("colour").onchange = (event) => choose(event.target.value);
at("download").onclick = download;
at("map").onmousemove = hover;
at("map").onmouseleave = () => (at("hint").hidden = true);
window.addEventListener("resize", draw);
for (const kind of ["dragover", "dragleave", "drop"])
  at("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !at("file").disabled) begin(event.dataTransfer.files[0]);
  });
