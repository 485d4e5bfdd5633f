"""The report of a corpus: one row a data set, saying what became of it and of its cells."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from sclong_core.files import atomic_file, read_json, write_json
from sclong_data.dataset_manifest import DatasetEntry
from sclong_data.harmoniser.survey import Survey
from sclong_data.harmoniser.tallies import Tally
from sclong_data.reading import GENES_AXIS

REPORT: Final = "report.tsv"
FOLDER: Final = "datasets"
DUPLICATES: Final = "duplicates.json"
Status = Literal["kept", "rejected", "failed"]
Row = dict[str, Any]
"""What is known of a data set: plain JSON values."""
_COLUMNS = (
    "dataset",
    "status",
    "reason",
    "cells",
    "kept",
    "duplicates",
    "out",
    "genes",
    "matched",
    "mapped by",
    "ambiguous",
    "lost",
    "summed",
    "matrix",
    "normalisation",
    "recognised",
    "title",
)


def failed_row(entry: DatasetEntry, reason: str) -> Row:
    """The row of a data set that could not be read."""
    return {**_entry(entry, None), "status": "failed", "reason": reason, "cells": None}


def rejected_row(entry: DatasetEntry, sha256: str, survey: Survey) -> Row:
    """The row of a data set that the rules leave out."""
    return {
        **_entry(entry, sha256),
        "status": "rejected",
        "reason": survey.rejected,
        "detail": survey.detail,
        "cells": {"in": survey.cells, "out": {str(survey.rejected): survey.cells}, "kept": 0},
        **_survey(survey),
    }


def kept_row(entry: DatasetEntry, sha256: str, survey: Survey, tally: Tally, shards: int) -> Row:
    """The row of a data set whose cells are in the corpus, before duplicates are looked for."""
    return {
        **_entry(entry, sha256),
        "status": "kept",
        "reason": "",
        "cells": {
            "in": tally.cells,
            "out": dict(tally.out),
            "stored": tally.stored,
            "rescaled": tally.rescaled,
            "clipped": tally.clipped,
        },
        "shards": shards,
        "values": tally.values,
        "share_of_counts_matched": tally.counts_matched / tally.counts if tally.counts else None,
        "genes_a_cell": dict(tally.genes_a_cell),
        "counts_a_cell": dict(tally.counts_a_cell),
        "annotation": {name: dict(counts) for name, counts in tally.annotation.items()},
        **_survey(survey),
    }


def with_duplicates(row: Row, duplicates: int) -> Row:
    """The row of a data set whose duplicates are known."""
    cells = row["cells"]
    kept = cells["stored"] - duplicates
    return {
        **row,
        "reason": row["reason"] if kept else "no cell is left",
        "cells": {**cells, "duplicates": duplicates, "kept": kept},
    }


def brief(row: Row) -> Row:
    """What the index of the corpus holds of a data set."""
    names = ("dataset", "title", "status", "reason", "sha256", "cells", "normalisation")
    return {name: row.get(name) for name in names}


def write_rows(corpus: Path, rows: Sequence[Row], pairs: Mapping[tuple[str, str], int]) -> None:
    """Write ``datasets/<id>.json``, ``datasets/duplicates.json`` beside it, and ``report.tsv``."""
    folder = corpus / FOLDER
    folder.mkdir(exist_ok=True)
    for row in rows:
        write_json(row_path(corpus, row["dataset"]), row)
    shared = [
        {"kept_in": one, "left_out_of": other, "cells": count}
        for (one, other), count in sorted(pairs.items())
    ]
    write_json(corpus / DUPLICATES, shared)
    with (
        atomic_file(corpus / REPORT) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(report_line(row) for row in rows)


def row_path(corpus: Path, dataset: str) -> Path:
    """The file of a row."""
    return corpus / FOLDER / f"{dataset}.json"


def read_rows(corpus: Path) -> list[Row]:
    """The rows of a finished corpus, by the ids of the data sets."""
    found = (read_row(path) for path in (corpus / FOLDER).glob("*.json"))
    return sorted((row for row in found if row), key=lambda row: str(row["dataset"]))


def read_row(path: Path) -> Row | None:
    """The row in a file; None where the file is something else that somebody put there."""
    try:
        row = read_json(path)
    except ValueError:
        return None
    ours = isinstance(row, dict) and row.get("dataset") == path.stem and "status" in row
    return row if ours else None


def read_pairs(corpus: Path) -> list[tuple[str, str, int]]:
    """Pairs of data sets that share cells: whose copy stays, whose is left out, and how many."""
    found = json.loads((corpus / DUPLICATES).read_text(encoding="utf-8"))
    return [(row["kept_in"], row["left_out_of"], int(row["cells"])) for row in found]


def report_line(row: Row) -> list[str]:
    """A row as text, one cell a column of ``report.tsv``."""
    cells, genes = row["cells"] or {}, row.get("genes", {})
    values = {
        **row,
        "reason": row.get("detail") or row["reason"],
        "cells": cells.get("in"),
        "kept": cells.get("kept"),
        "duplicates": cells.get("duplicates"),
        "out": listed(cells.get("out", {})),
        "genes": genes.get("in"),
        # A table of text holds the same cells either way round; datasets/<id>.json says which.
        "matrix": "table" if row.get("matrix") in GENES_AXIS else row.get("matrix"),
        "mapped by": listed(_mapped(genes.get("by", {}))),
        **{name: genes.get(name) for name in ("matched", "ambiguous", "lost", "summed")},
    }
    texts = ("" if values.get(name) is None else str(values[name]) for name in _COLUMNS)
    # Spreadsheet programs run what looks like a formula.
    return [f"'{text}" if text.startswith(("=", "+", "-", "@")) else text for text in texts]


def listed(counts: Mapping[str, int]) -> str:
    """Counts by name in one line, the largest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{name} {count}" for name, count in ordered)


def out_by_reason(rows: Iterable[Row]) -> dict[str, int]:
    """Cells left out of all data sets, by reason."""
    found: dict[str, int] = {}
    for row in rows:
        for reason, count in (row["cells"] or {}).get("out", {}).items():
            found[reason] = found.get(reason, 0) + count
    return found


def _mapped(by: Mapping[str, int]) -> dict[str, int]:
    lost = {"ambiguous", "unknown", "outside"}
    return {how: count for how, count in by.items() if how not in lost}


def _entry(entry: DatasetEntry, sha256: str | None) -> Row:
    return {
        "dataset": entry.dataset,
        "title": entry.title,
        "source": entry.source,
        "file": entry.file_name,
        "sha256": sha256,
    }


def _survey(survey: Survey) -> Row:
    by = survey.genes_by
    return {
        "organism": survey.organism,
        "matrix": survey.matrix,
        "normalisation": survey.normalisation,
        "normalisation_forced": survey.forced,
        "recognised": survey.recognised,
        "logged_sum": survey.logged_sum,
        "common_sum": survey.common_sum,
        "genes": {
            "in": survey.genes,
            "column": survey.gene_column,
            "by": dict(by),
            "matched": survey.genes_matched,
            "summed": survey.genes_summed,
            "ambiguous": by.get("ambiguous", 0),
            "lost": by.get("unknown", 0) + by.get("outside", 0),
            "ambiguous_names": list(survey.ambiguous),
            "lost_names": list(survey.lost),
        },
    }
