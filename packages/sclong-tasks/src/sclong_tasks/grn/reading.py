"""Readers of BEELINE's files as they are published: expression, networks, transcription factors."""

import csv
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import recognise
from sclong_core.expression.units import LOG1P
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import ExpressionTable

_LOG = logging.getLogger("sclong")
_GENE_COLUMNS = ("Gene1", "Gene2")
_TF_COLUMNS = ("TF", "Gene", "gene")
_TASTE = 512


def read_expression(path: Path) -> ExpressionTable:
    """``ExpressionData.csv``: one line a gene, one column a cell, names in the first of each.

    Raises:
        InputError: names the file and the gene and cell that are wrong.
    """
    text = _read(path, index_col=0)
    if not len(text.columns) or not len(text):
        raise InputError(f"{path} holds {len(text)} genes and {len(text.columns)} cells")
    genes = [str(name).strip() for name in text.index]
    unnamed = [place + 2 for place, name in enumerate(genes) if not name]
    if unnamed:
        raise InputError(f"{path}, line {unnamed[0]}: {len(unnamed)} genes have no name")
    numbers = text.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        gene, cell = wrong[0]
        raise InputError(
            f"{path}: {len(wrong)} values are not numbers, the first, "
            f"{text.iat[gene, cell]!r}, of gene {genes[gene]!r} in cell "
            f"{text.columns[cell]!r}"
        )
    values = np.ascontiguousarray(numbers.T, dtype=np.float32)
    _say_constant(values, genes)
    return ExpressionTable(values, tuple(map(str, text.columns)), tuple(genes), "log1p")


def unlike_log1p(values: npt.NDArray[np.float32]) -> str | None:
    """What expression is that is not log1p, and the setting for it; None where it may be one.

    BEELINE's own tables are logarithms of values that cells do not share a unit or a sum of, and
    simulated cells have neither: what is not recognised as another thing is taken as log1p.

    Args:
        values: ``(cells, genes)``, not negative.
    """
    highest = float(values.max())
    taste = values[:_TASTE]
    found = recognise(taste)
    if found.normalisation == "raw" and highest > 0:
        return f"{found.seen}, as counts are: set task.scale=counts"
    if highest > 0 and np.array_equal(taste, np.rint(taste)):
        return (
            f"{found.seen}: give counts or their log1p, or take them as counts, task.scale=counts"
        )
    if found.normalisation is None and found.other is not None:
        return (
            f"{found.seen}; task.scale=tpm takes log1p of scaled values as they are, task.scale="
            "log2 reads log2(1 + x)"
        )
    if highest > LOG1P.largest:
        return (
            f"holds values up to {highest:,.6g}, too high for logarithms: say what they are with "
            "task.scale=counts, or task.scale=tpm for scaled values (CPM, TPM)"
        )
    return None


def read_network(path: Path) -> pd.DataFrame:
    """Edges of a network: columns ``Gene1`` (the regulator) and ``Gene2``, each edge once.

    Other columns (``Type``, ``Score``) are not used. Edges that occur twice are counted.

    Raises:
        InputError: a column is missing, or a gene has no name; the line is given.
    """
    table = _read(path)
    missing = [name for name in _GENE_COLUMNS if name not in table]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}: it has {', '.join(table.columns)}"
        )
    edges = table[list(_GENE_COLUMNS)].apply(lambda column: column.str.strip())
    empty = np.flatnonzero((edges == "").any(axis=1))
    if len(empty):
        raise InputError(
            f"{path}, line {empty[0] + 2}: {len(empty)} edges have a gene without name"
        )
    if not len(edges):
        raise InputError(f"{path} has no edge")
    twice = int(edges.duplicated().sum())
    if twice:
        _LOG.info("%d edges of %s occur twice and count once", twice, path.name)
    return edges.drop_duplicates(ignore_index=True)


def read_factors(path: Path) -> tuple[str, ...]:
    """Names of transcription factors: a column ``TF``, whatever stands beside it.

    Raises:
        InputError: there is no such column, or no name in it.
    """
    table = _read(path)
    column = next((name for name in _TF_COLUMNS if name in table), None)
    if column is None:
        raise InputError(f"{path} has no column TF: it has {', '.join(table.columns)}")
    names = [name for name in table[column].str.strip() if name]
    if not names:
        raise InputError(f"{path} names no transcription factor in column {column}")
    return tuple(dict.fromkeys(names))


def read_weights(path: Path) -> pd.DataFrame:
    """Weighted edges of another program: ``Gene1``, ``Gene2`` and ``EdgeWeight``.

    This is what DeepSEM writes, and BEELINE's ``rankedEdges.csv``, separated by tabs or commas.

    Raises:
        InputError: a column is missing, a weight is not a number, or an edge has two weights.
    """
    table = _read(path)
    missing = [name for name in (*_GENE_COLUMNS, "EdgeWeight") if name not in table]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}: it has {', '.join(table.columns)}"
        )
    weight = pd.to_numeric(table["EdgeWeight"], errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(weight))
    if len(wrong):
        raise InputError(
            f"{path}, line {wrong[0] + 2}: {len(wrong)} weights are not numbers, the "
            f"first {table['EdgeWeight'].iloc[wrong[0]]!r}"
        )
    found = table[list(_GENE_COLUMNS)].assign(weight=weight)
    twice = found[found.duplicated(list(_GENE_COLUMNS))]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(
            f"{path}: {len(twice)} edges occur twice, {first['Gene1']} to {first['Gene2']} first"
        )
    return found


def _say_constant(values: npt.NDArray[np.float32], genes: list[str]) -> None:
    constant = np.flatnonzero(np.ptp(values, axis=0) == 0)
    if len(constant):
        _LOG.info(
            "%d genes never vary, so expression cannot show their edges: %s",
            len(constant),
            shown([genes[place] for place in constant]),
        )


def _read(path: Path, index_col: int | None = None) -> pd.DataFrame:
    """A table as text; "NA" is a name like any other."""
    try:
        # BEELINE separates ranked edges by tabs, though it names the file .csv.
        separator = "\t" if pd.read_csv(path, sep="\t", nrows=0).shape[1] > 1 else ","
        table: pd.DataFrame = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, index_col=index_col
        )
    except (OSError, ValueError, csv.Error, EOFError) as error:
        raise InputError(f"{path} is not a table: {' '.join(str(error).split())}") from error
    return table
