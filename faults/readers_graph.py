"""Readers of what a gene graph is made of: interactions, gene sets, tables of genes and terms."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from faults.readers_data import gzip_bomb, write_text
from faults.trials import Reader
from sclong_core.testing import synthetic_gene_ids
from sclong_data.graph.interactions import read_string
from sclong_data.graph.reading import read_annotations

_GENES = 8
_IDS = synthetic_gene_ids(_GENES)
_PROTEINS = [f"9606.ENSP{number:011d}" for number in range(_GENES)]
_LINKS = "protein1 protein2 combined_score\n" + "".join(
    f"{one} {two} {800 + 10 * number}\n" for number, (one, two) in enumerate(pairwise(_PROTEINS))
)
_ALIASES = "#string_protein_id\talias\tsource\n" + "".join(
    f"{protein}\t{gene}\tEnsembl_gene\n" for protein, gene in zip(_PROTEINS, _IDS, strict=True)
)
_GMT = "".join(f"SET{n}\thttps://x/{n}\t{_IDS[n]}\t{_IDS[n + 1]},0.5\n" for n in range(_GENES - 1))
_GENE2GO = "#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\tGO_term\tPubMed\tCategory\n" + "".join(
    f"9606\t{n}\tGO:000000{n}\tIDA\tinvolved_in\tterm {n}\t-\tProcess\n" for n in range(_GENES)
)
_TABLE = "gene_id,symbol,go_id\n" + "".join(f'{gene},"A, B",GO:0000001\n' for gene in _IDS)
_OBJECT = json.dumps({gene: ["GO:0000001", "GO:0000002"] for gene in _IDS}, indent=0)


def _write_string(folder: Path) -> None:
    (folder / "links.txt").write_text(_LINKS)
    (folder / "aliases.txt").write_text(_ALIASES)


def _read_string(folder: Path) -> Any:
    found = read_string(folder / "links.txt", folder / "aliases.txt", _IDS)
    return found.rows(0, _GENES, 0.0).toarray().tobytes()


def _large_score(folder: Path, generator: np.random.Generator) -> None:
    path = folder / "links.txt"
    score = str(generator.choice(["1001", "9" * 4000, "٣٤٥", "-5", "nan"]))
    path.write_text(path.read_text().replace(" 800\n", f" {score}\n", 1), encoding="utf-8")


def _other_species(folder: Path, generator: np.random.Generator) -> None:
    path = folder / "links.txt"
    path.write_text(path.read_text().replace("9606.", f"{generator.integers(10**4)}.", 1))


def _set_twice(folder: Path, generator: np.random.Generator) -> None:
    path = folder / "sets.gmt"
    path.write_text(path.read_text() + f"SET{generator.integers(_GENES - 1)}\t\t{_IDS[0]}\n")


def _annotations(name: str) -> Any:
    return lambda folder: list(read_annotations(folder / name))


READERS = (
    Reader(
        "interactions of STRING",
        _write_string,
        _read_string,
        planted={
            "a score that is none": _large_score,
            "another species": _other_species,
            "a bomb": gzip_bomb("links.txt", b"0"),
        },
    ),
    Reader(
        "gene sets",
        write_text("sets.gmt", _GMT),
        _annotations("sets.gmt"),
        planted={"a set twice": _set_twice, "a bomb": gzip_bomb("sets.gmt", b"A\t\tB\n")},
    ),
    Reader("gene2go", write_text("gene2go.gz", _GENE2GO), _annotations("gene2go.gz")),
    Reader("table of genes and terms", write_text("terms.csv", _TABLE), _annotations("terms.csv")),
    Reader("terms of genes as JSON", write_text("terms.json", _OBJECT), _annotations("terms.json")),
)
