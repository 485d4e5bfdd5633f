// Reads cells and their genes from .h5ad and 10x .h5 files, with h5wasm, a block of cells at a time.
"use strict";

// What a reader of a file may be told: a sentence, and no trace of the program.
class FileError extends Error {}

const REMAINS = /^[\ufeff\u200b\u00a0\0\s"']+|[\ufeff\u200b\u00a0\0\s"']+$/g;
const GENOME = /^(?:GRCh\d+|hg\d\d|human|Homo_sapiens)(?:_+|-+|[:.])(.+)$/i;

const cleanName = (value) => String(value ?? "").replace(REMAINS, "").replace(GENOME, "$1");
const numberOf = (value) => Number(value);
const strings = (dataset) => Array.from(dataset.value, (value) => String(value ?? ""));

// Whole arrays of a file as doubles; 64-bit whole numbers become BigInt in JavaScript otherwise.
function numbers(dataset, from = 0, to = dataset.shape[0]) {
  if (to <= from) return new Float64Array(0);
  const found = dataset.slice([[from, to]]);
  return found instanceof BigInt64Array || found instanceof BigUint64Array
    ? Float64Array.from(found, numberOf)
    : found;
}

// Rows of a matrix: `read(first, last)` returns {starts, genes, values} of these cells.
class CompressedRows {
  constructor(group, cells, genes) {
    Object.assign(this, { cells, genes });
    this.starts = numbers(group.get("indptr"));
    this.indices = group.get("indices");
    this.data = group.get("data");
    const entries = this.starts[cells];
    if (this.starts.length !== cells + 1 || this.starts[0] !== 0)
      throw new FileError("Its matrix is damaged: the starts of its cells do not fit its cells.");
    if (entries !== this.data.shape[0] || entries !== this.indices.shape[0])
      throw new FileError("Its matrix is damaged: it ends before its last cell.");
  }

  read(first, last) {
    const [from, to] = [this.starts[first], this.starts[last]];
    const starts = this.starts.slice(first, last + 1).map((start) => start - from);
    return { starts, genes: numbers(this.indices, from, to), values: numbers(this.data, from, to) };
  }
}

// A matrix stored by genes is turned round once, in memory.
class TurnedRows {
  constructor(group, cells, genes) {
    Object.assign(this, { cells, genes });
    const byGene = new CompressedRows(group, genes, cells).read(0, genes);
    this.starts = new Float64Array(cells + 1);
    for (const cell of byGene.genes) this.starts[cell + 1] += 1;
    for (let cell = 0; cell < cells; cell += 1) this.starts[cell + 1] += this.starts[cell];
    const next = this.starts.slice();
    this.at = new Uint32Array(byGene.values.length);
    this.values = new Float64Array(byGene.values.length);
    for (let gene = 0; gene < genes; gene += 1)
      for (let entry = byGene.starts[gene]; entry < byGene.starts[gene + 1]; entry += 1) {
        const place = next[byGene.genes[entry]]++;
        this.at[place] = gene;
        this.values[place] = byGene.values[entry];
      }
  }

  read(first, last) {
    const [from, to] = [this.starts[first], this.starts[last]];
    const starts = this.starts.slice(first, last + 1).map((start) => start - from);
    return { starts, genes: this.at.subarray(from, to), values: this.values.subarray(from, to) };
  }
}

class DenseRows {
  constructor(dataset, cells, genes) {
    Object.assign(this, { dataset, cells, genes });
  }

  read(first, last) {
    const all = this.dataset.slice([[first, last], [0, this.genes]]);
    const [starts, genes, values] = [new Float64Array(last - first + 1), [], []];
    for (let row = 0; row < last - first; row += 1) {
      for (let gene = 0; gene < this.genes; gene += 1) {
        const value = Number(all[row * this.genes + gene]);
        if (value !== 0) {
          genes.push(gene);
          values.push(value);
        }
      }
      starts[row + 1] = values.length;
    }
    return { starts, genes, values };
  }
}

function rowsOf(entry, cells, genes) {
  if (entry.type === "Dataset") {
    const [height, width] = entry.shape;
    if (height !== cells || width !== genes)
      throw new FileError(
        `It names ${cells} cells and ${genes} genes, but its matrix has ${height} x ${width}.`,
      );
    return new DenseRows(entry, cells, genes);
  }
  const kind = entry.attrs["encoding-type"]?.value;
  if (kind === "csr_matrix") return new CompressedRows(entry, cells, genes);
  if (kind === "csc_matrix") return new TurnedRows(entry, cells, genes);
  throw new FileError(`Its matrix is stored as ${kind ?? "something unknown"}.`);
}

// Columns of text of `obs` or `var`; the index is the first, under the name "names".
function textColumns(table) {
  const indexName = table.attrs["_index"]?.value ?? "_index";
  const index = table.get(indexName);
  if (!index) throw new FileError("It has no names of its cells or genes.");
  const columns = new Map([["names", strings(index)]]);
  for (const key of table.keys()) {
    const column = table.get(key);
    if (key === indexName || key === "__categories") continue;
    if (column.type === "Group" && column.attrs["encoding-type"]?.value === "categorical") {
      const categories = strings(column.get("categories"));
      const codes = column.get("codes").value;
      columns.set(key, Array.from(codes, (code) => (code < 0 ? "" : categories[Number(code)])));
    } else if (column.type === "Dataset" && column.metadata.type === 3 /* text */)
      columns.set(key, strings(column));
  }
  return columns;
}

// The first matrix that looks like counts: layers named so, X, the raw matrix, any other layer.
function openH5ad(file) {
  const [obs, genes] = [textColumns(file.get("obs")), textColumns(file.get("var"))];
  const layers = file.get("layers")?.keys() ?? [];
  const named = layers.filter((name) => /^(raw_?)?counts?$/i.test(name));
  const others = layers.filter((name) => !named.includes(name));
  const held = [
    ...named.map((name) => [`layers/${name}`, genes]),
    ["X", genes],
    ...(file.get("raw/X") ? [["raw/X", textColumns(file.get("raw/var"))]] : []),
    ...others.map((name) => [`layers/${name}`, genes]),
  ];
  const cells = obs.get("names").length;
  for (const [matrix, columns] of held) {
    const entry = file.get(matrix);
    if (!entry) continue;
    const rows = rowsOf(entry, cells, columns.get("names").length);
    if (cells && isWhole(rows.read(0, Math.min(cells, 32)).values))
      return { matrix, obs, genes: columns, rows };
  }
  throw new FileError(
    "None of its matrices holds raw counts, which this page needs: " +
      "sclong embed also reads log1p values.",
  );
}

function openTenx(file) {
  const [name, ...more] = file.keys().filter((key) => file.get(`${key}/barcodes`));
  if (name === undefined)
    throw new FileError("It is neither an .h5ad file nor a 10x .h5 file.");
  if (more.length)
    throw new FileError(`It holds several genomes (${[name, ...more].join(", ")}): sclong embed ` +
      "--matrix reads one of them.");
  const group = file.get(name);
  const obs = new Map([["names", strings(group.get("barcodes"))]]);
  const [ids, symbols] = group.get("features")
    ? [group.get("features/id"), group.get("features/name")]
    : [group.get("genes"), group.get("gene_names")];
  const genes = new Map([["names", strings(symbols)], ["gene_ids", strings(ids)]]);
  const rows = new CompressedRows(group, obs.get("names").length, genes.get("names").length);
  return { matrix: name, obs, genes, rows };
}

const isWhole = (values) => values.length > 0 && values.every((v) => Number.isInteger(v) && v >= 0);

// Opens a file that h5wasm has: its cells, genes, text columns, and the rows of its counts.
function openCells(file) {
  const opened = file.get("obs") && file.get("var") ? openH5ad(file) : openTenx(file);
  if (!opened.rows.cells || !opened.rows.genes) throw new FileError("It holds no cells.");
  return opened;
}
