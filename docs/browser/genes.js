// Finds the genes of a model among those of a file, by the rules of sclong_core.expression.genes.
"use strict";

const VERSION = /^(ENS[A-Z]*G\d+)\.\d+$/;
const COPY_ON_Y = /^(?:(ENSG\d+)(?:\.\d+)?_PAR_Y|ENSGR(\d+)(?:\.\d+)?)$/;
const FRAME = /^(C(?:\d+|X|Y))ORF(\d+)$/;

function plainId(name) {
  const copy = COPY_ON_Y.exec(name);
  if (copy) return copy[1] ?? `ENSG0${copy[2]}`;
  return VERSION.exec(name)?.[1] ?? name;
}

class Vocabulary {
  constructor(about) {
    this.size = about.ids.length;
    this.byId = new Map(about.ids.map((id, position) => [id, position]));
    this.bySymbol = new Map();
    about.symbols.forEach((symbol, position) => {
      if (symbol) this.bySymbol.set(symbol, this.bySymbol.has(symbol) ? -1 : position);
    });
    this.approved = new Map(Object.entries(about.approved));
    this.other = new Map(Object.entries(about.other));
  }

  own(name) {
    return this.byId.get(plainId(name)) ?? this.bySymbol.get(name) ?? -1;
  }

  // Positions of names, -1 where unknown: the model's own names first, then HGNC's symbols, then
  // earlier symbols and aliases, each only for a gene that no other column names.
  find(names) {
    const found = names.map((name) => this.own(name));
    const taken = new Set(found);
    const framed = (name) => name.replace(FRAME, "$1orf$2");
    const open = (row) => found[row] < 0 && names[row] && !this.bySymbol.has(names[row]);
    names.forEach((name, row) => {
      const position = open(row) ? this.approved.get(framed(name)) : undefined;
      if (position !== undefined && !taken.has(position)) found[row] = position;
    });
    const proposed = new Map();
    const held = new Set(found);
    names.forEach((name, row) => {
      const position = open(row) ? this.other.get(framed(name)) : undefined;
      if (position !== undefined && !held.has(position))
        proposed.set(position, [...(proposed.get(position) ?? []), row]);
    });
    for (const [position, rows] of proposed) if (rows.length === 1) found[rows[0]] = position;
    return found;
  }

  // The column of names that holds most genes of the model, and their positions.
  match(columns) {
    let best = { matched: 0 };
    for (const [column, values] of columns) {
      const names = values.map(cleanName);
      const positions = this.find(names);
      const known = positions.filter((position) => position >= 0);
      const matched = new Set(known).size;
      if (matched > best.matched) best = { column, names, positions, matched, known: known.length };
    }
    if (!best.matched)
      throw new FileError("None of its genes is known to the model, which knows human genes.");
    if (best.matched < best.known) {
      const seen = new Set();
      best.positions.forEach((position, row) => {
        if (position < 0 || COPY_ON_Y.test(best.names[row])) return;
        if (seen.has(position))
          throw new FileError(`Two of its columns are one gene (${best.names[row]}): join them first.`);
        seen.add(position);
      });
    }
    return best;
  }
}
