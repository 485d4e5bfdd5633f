"""Readers of the published measures of Norman et al. (2019), and of pairs in other tables."""

from pathlib import Path

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_perturbation.conditions import genes_of, perturbation_of

ALIASES = {"CBARP": "C19orf26", "FOXL2NB": "C3orf72", "RHOXF2B": "RHOXF2BB"}
"""Symbols of Norman's tables, and of the same genes in the conditions of the screen."""
CLASSES = (
    "ADDITIVE", "EPISTASIS", "NEOMORPHIC", "POTENTIATION", "REDUNDANT", "SUPPRESSOR",
    "SYNERGY_DISSIMILAR_PHENO", "SYNERGY_SIMILAR_PHENO",
)  # fmt: skip
NEGATIVE = "negative"
"""The partner of a gene that was perturbed alone, in the table of fitness."""
_NUMBERS = (
    "coef_first", "coef_second", "ts_coef_first", "ts_coef_second", "corr_fit", "dcor",
    "dcor_first", "dcor_second", "dcor_singles",
)  # fmt: skip


def pair_name(text: str, separator: str = "+") -> str:
    """One name for a pair however it is spelt: its genes as the screen calls them, sorted.

    Raises:
        InputError: it is not two different genes.
    """
    genes = [ALIASES.get(name, name) for name in text.strip().split(separator)]
    if len(genes) != 2:
        raise InputError(f"{text!r} is not a pair of genes")
    name = perturbation_of("+".join(genes))
    if len(genes_of(name)) != 2:
        raise InputError(f"{text!r} is not a pair of genes")
    return name


def read_fits(path: Path) -> pd.DataFrame:
    """``regr_fits_final.csv``: one line a pair, with coefficients and correlations.

    Raises:
        InputError: names the column, or the line and what is wrong in it.
    """
    table = _table(path, ("name", *_NUMBERS))
    names = _names(path, table["name"], "_")
    numbers = table[list(_NUMBERS)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        line, column = wrong[0]
        raise InputError(
            f"{path}, line {line + 2}, column {_NUMBERS[column]}: no number, in {len(wrong)} places"
        )
    return pd.DataFrame(numbers, columns=list(_NUMBERS), index=pd.Index(names, name="pair"))


def read_classes(path: Path) -> dict[str, str]:
    """The class of each pair that Norman et al. call by one.

    Raises:
        InputError: names the line and what is wrong in it.
    """
    table = _table(path, ("gi_class", "pair"))
    unknown = np.flatnonzero(~table["gi_class"].isin(CLASSES))
    if len(unknown):
        line = int(unknown[0])
        raise InputError(
            f"{path}, line {line + 2}: {table['gi_class'].iloc[line]!r} is not a class: "
            f"they are {', '.join(CLASSES)}"
        )
    return dict(zip(_names(path, table["pair"], "+"), table["gi_class"], strict=True))


def read_fitness(path: Path) -> pd.DataFrame:
    """Fitness of cells by both perturbed genes, the mean of both orders; ``negative`` is none.

    Raises:
        InputError: it is not a square of numbers with the same names on both sides.
    """
    table = _table(path, ("gene",))
    names = [ALIASES.get(name, name) for name in table["gene"]]
    columns = [ALIASES.get(str(name), str(name)) for name in table.columns[1:]]
    if len(set(names)) != len(names) or sorted(names) != sorted(columns):
        raise InputError(f"{path} must have the same genes as lines and as columns, each once")
    if NEGATIVE not in names:
        raise InputError(f"{path} has no line {NEGATIVE!r}: fitness of single genes is not known")
    numbers = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = np.argwhere(~np.isfinite(numbers))
    if len(wrong):
        line, column = wrong[0]
        raise InputError(
            f"{path}, line {line + 2}, column {columns[column]}: no number, in {len(wrong)} places"
        )
    square = pd.DataFrame(numbers, index=names, columns=columns).loc[sorted(names), sorted(names)]
    return (square + square.T) / 2


def read_pairs(path: Path, *, strict: bool) -> list[str]:
    """Pairs of a table with a column ``perturbation``: a user's, or predictions of a run.

    Args:
        path: .csv, .tsv or .parquet.
        strict: refuse lines that are not pairs; else they are skipped.

    Raises:
        InputError: there is no such column, no pair, or a line is none.
    """
    table = read_any(path, "perturbation")
    found = []
    for line, text in enumerate(table["perturbation"], start=2):
        try:
            found.append(pair_name(str(text)))
        except InputError as error:
            if strict:
                raise InputError(f"{path}, line {line}: {error}") from None
    if not found:
        raise InputError(f"{path} names no pair of genes")
    return found


def read_any(path: Path, column: str) -> pd.DataFrame:
    """A table of any ending, which has this column.

    Raises:
        InputError: it cannot be read, or has no such column.
    """
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            tabs = path.suffix == ".tsv"
            table = pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if tabs else ",")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if column not in table or table.empty:
        raise InputError(f"{path} needs lines and a column {column}")
    return table


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    missing = [name for name in needed if name not in table]
    if missing or table.empty:
        raise InputError(f"{path} needs lines and the columns {', '.join(missing or needed)}")
    return table


def _names(path: Path, values: pd.Series, separator: str) -> list[str]:
    names = []
    for line, text in enumerate(values, start=2):
        try:
            names.append(pair_name(text, separator))
        except InputError as error:
            raise InputError(f"{path}, line {line}: {error}") from None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path}: {len(twice)} pairs occur twice: {shown(twice)}")
    return names
