// Reads a file, embeds its cells and draws their map, beside the page. Nothing leaves the machine.
"use strict";

importScripts(
  "libraries/h5wasm.js",
  "libraries/ort.wasm.min.js",
  "libraries/umap-js.min.js",
  "cells.js",
  "genes.js",
);

const BLOCK = 256;
const LEAST_KNOWN = 0.5;
const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]; // of HDF5
const NEIGHBOURS = 15;
const EPOCHS = 200;

ort.env.wasm.wasmPaths = new URL("libraries/", self.location.href).href;
ort.env.wasm.numThreads = 1;

const loaded = (async () => {
  const [about, graph] = await Promise.all([
    fetch("model/genes.json").then((answer) => answer.json()),
    fetch("model/student.onnx").then((answer) => answer.arrayBuffer()),
  ]);
  const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  return { about, session, vocabulary: new Vocabulary(about) };
})();

const tell = (stage, done, total) => postMessage({ kind: "progress", stage, done, total });

async function embed({ rows, genes, obs }, { about, session, vocabulary }) {
  const match = vocabulary.match(genes);
  const { size } = vocabulary;
  const measured = new Float32Array(size);
  for (const position of match.positions) if (position >= 0) measured[position] = 1;
  const vectors = new Float32Array(rows.cells * about.width);
  const [totals, expressed] = [new Float64Array(rows.cells), new Uint32Array(rows.cells)];
  let [all, known] = [0, 0];
  for (let first = 0; first < rows.cells; first += BLOCK) {
    tell("Embedding", first, rows.cells);
    const last = Math.min(first + BLOCK, rows.cells);
    const counts = new Float32Array((last - first) * size);
    const read = rows.read(first, last);
    for (let row = 0; row < last - first; row += 1) {
      for (let entry = read.starts[row]; entry < read.starts[row + 1]; entry += 1) {
        const [value, gene] = [Number(read.values[entry]), read.genes[entry]];
        if (!Number.isInteger(value) || value < 0)
          throw new FileError(
            `Cell ${obs.get("names")[first + row]} holds ${value}, which is not a count.`,
          );
        if (!(gene >= 0 && gene < rows.genes)) throw new FileError("Its matrix is damaged.");
        totals[first + row] += value;
        if (value > 0) expressed[first + row] += 1;
        const position = match.positions[gene];
        if (position < 0) continue;
        known += value;
        counts[row * size + position] += value;
      }
      if (!totals[first + row])
        throw new FileError(`Cell ${obs.get("names")[first + row]} has no counts: remove it.`);
      all += totals[first + row];
    }
    const found = await session.run({
      counts: new ort.Tensor("float32", counts, [last - first, size]),
      totals: new ort.Tensor("float32", Float32Array.from(totals.subarray(first, last)), [
        last - first,
        1,
      ]),
      measured: new ort.Tensor("float32", measured, [1, size]),
    });
    vectors.set(found.vectors.data, first * about.width);
  }
  if (known < LEAST_KNOWN * all)
    throw new FileError(
      `The model knows only ${((100 * known) / all).toFixed(0)} % of its counts: are these human cells?`,
    );
  return { vectors, totals, expressed, matched: match.matched, share: known / all };
}

// A generator of numbers that always begins alike, so that a file has one map.
function seeded(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// Directions of the vectors around their mean: Euclidean neighbours of these are those by cosine.
function directions(vectors, cells, width) {
  const mean = new Float64Array(width);
  for (let at = 0; at < vectors.length; at += 1) mean[at % width] += vectors[at] / cells;
  return Array.from({ length: cells }, (_, cell) => {
    const row = Array.from({ length: width }, (__, d) => vectors[cell * width + d] - mean[d]);
    const length = Math.hypot(...row) || 1;
    return row.map((value) => value / length);
  });
}

function map(vectors, cells, width) {
  if (cells < 4) return Float32Array.from({ length: 2 * cells }, (_, at) => at % 2 ? 0 : at);
  const umap = new UMAP.UMAP({
    nNeighbors: Math.min(NEIGHBOURS, cells - 1),
    nEpochs: EPOCHS,
    random: seeded(0),
  });
  tell("Finding neighbours", 0, 1);
  const epochs = umap.initializeFit(directions(vectors, cells, width));
  for (let epoch = 0; epoch < epochs; epoch += 1) {
    if (epoch % 10 === 0) tell("Drawing the map", epoch, epochs);
    umap.step();
  }
  return Float32Array.from(umap.getEmbedding().flat());
}

self.onmessage = async ({ data: file }) => {
  const begun = performance.now();
  const { FS } = await h5wasm.ready;
  let opened;
  try {
    const model = await loaded;
    tell("Reading", 0, 1);
    if (!FS.analyzePath("/work").exists) FS.mkdir("/work");
    FS.mount(FS.filesystems.WORKERFS, { files: [file] }, "/work");
    const start = new Uint8Array(await file.slice(0, SIGNATURE.length).arrayBuffer());
    if (start.length < SIGNATURE.length || start.some((byte, n) => byte !== SIGNATURE[n]))
      throw new FileError("It is not an HDF5 file: choose an .h5ad or a 10x .h5 file.");
    opened = new h5wasm.File(`/work/${file.name}`, "r");
    if (opened.file_id < 0) throw new FileError("It is damaged, or ends too early.");
    const cells = openCells(opened);
    const found = await embed(cells, model);
    const embedded = performance.now();
    const { width } = model.about;
    const place = map(found.vectors, cells.rows.cells, width);
    postMessage({
      kind: "done",
      ...found,
      width,
      place,
      matrix: cells.matrix,
      genes: cells.rows.genes,
      columns: cells.obs,
      seconds: { embedding: (embedded - begun) / 1e3, map: (performance.now() - embedded) / 1e3 },
    });
  } catch (error) {
    const said = error instanceof FileError ? error.message : `It cannot be read (${error.message}).`;
    postMessage({ kind: "error", message: said });
  } finally {
    if (opened?.file_id >= 0) opened.close();
    if (FS.analyzePath(`/work/${file.name}`).exists) FS.unmount("/work");
  }
};
