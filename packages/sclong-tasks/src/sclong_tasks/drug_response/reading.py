"""Readers of the original files, exactly as their authors publish them.

DeepCDR (Liu et al. 2020): ln IC50 of GDSC, DepMap expression of cancer genes, CCLE annotations, and
PubChem SMILES. Each reader names the file, row and column of what is wrong.
"""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_core.errors import InputError

LINE_ID = r"ACH-\d{6}"
_MISSING = ("", "NA", "NaN", "nan")


def read_responses(path: Path) -> pd.DataFrame:
    """``GDSC_IC50.csv``: rows ``GDSC:<id>``, columns DepMap ids, ln IC50 or NA."""
    table = _table(path, sep=",")
    _check_names(path, "row", table.index, r"GDSC:\d+")
    _check_names(path, "column", table.columns, LINE_ID)
    values = _numbers(path, table, missing=True)
    values.index = [str(name).split(":", 1)[1] for name in values.index]
    return values


def read_drug_list(path: Path) -> pd.DataFrame:
    """``1.Drug_list....csv``: ``drug_id``, ``Name`` and ``PubCHEM``, of which only digits count."""
    table = _read(path, sep=",", index=None)
    _need_columns(path, table, ("drug_id", "Name", "PubCHEM"))
    found = table[["drug_id", "Name", "PubCHEM"]].rename(columns=str.lower)
    found["pubchem"] = found["pubchem"].str.strip()
    found.loc[~found["pubchem"].str.fullmatch(r"\d+"), "pubchem"] = ""
    twice = found[found["drug_id"].duplicated(keep=False)].groupby("drug_id")["pubchem"].nunique()
    if (twice > 1).any():
        raise InputError(
            f"{path}: drug_id {twice[twice > 1].index[0]} has several PubChem ids: keep one"
        )
    return found.drop_duplicates("drug_id").set_index("drug_id")


def read_smiles(path: Path) -> dict[str, str]:
    """``223drugs_pubchem_smiles.txt``: PubChem id, tab, SMILES; no header."""
    found: dict[str, str] = {}
    for number, line in enumerate(_lines(path), start=1):
        words = line.split("\t")
        if len(words) != 2 or not words[0].strip().isdigit():
            raise InputError(f"{path}, line {number}: expected a PubChem id, a tab and a SMILES")
        name, smiles = words[0].strip(), words[1].strip()
        if found.setdefault(name, smiles) != smiles:
            raise InputError(f"{path}, line {number}: PubChem id {name} has two SMILES")
    if not found:
        raise InputError(f"{path} is empty")
    return found


def read_annotations(path: Path) -> pd.DataFrame:
    """``Cell_lines_annotations_20181226.txt``: ``depMapID``, name, tissue and TCGA label."""
    table = _read(path, sep="\t", index=None)
    _need_columns(path, table, ("depMapID", "Name", "Site_Primary", "tcga_code"))
    table = table[table["depMapID"].str.fullmatch(LINE_ID)]
    renamed = {"depMapID": "line", "Name": "name", "Site_Primary": "tissue", "tcga_code": "tcga"}
    found = table[list(renamed)].rename(columns=renamed)
    twice = found["line"].duplicated()
    if twice.any():
        raise InputError(f"{path}: {found['line'][twice].iloc[0]} is annotated twice")
    return found.set_index("line")


def read_expression(path: Path) -> pd.DataFrame:
    """``genomic_expression_...csv``: rows DepMap ids, columns gene symbols, log2 of TPM plus 1."""
    table = _table(path, sep=",")
    _check_names(path, "row", table.index, LINE_ID)
    values = _numbers(path, table, missing=False)
    if (values.to_numpy() < 0).any():
        row, column = np.argwhere(values.to_numpy() < 0)[0]
        raise InputError(
            f"{path}: {values.iat[row, column]} in row {values.index[row]}, column "
            f"{values.columns[column]}: log2 of TPM plus 1 is never negative"
        )
    return values


def read_line_names(path: Path) -> tuple[str, ...]:
    """Row names of a table of cell lines, such as ``genomic_methylation_...csv``."""
    names = [line.split(",", 1)[0].strip('"') for line in _lines(path)][1:]
    _check_names(path, "row", pd.Index(names), LINE_ID)
    return tuple(names)


def _read(path: Path, *, sep: str, index: int | None) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, sep=sep, index_col=index, dtype=str, keep_default_na=False, encoding="utf-8"
        )
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty") from None


def _table(path: Path, *, sep: str) -> pd.DataFrame:
    table = _read(path, sep=sep, index=0)
    if table.empty:
        raise InputError(f"{path} has no values")
    table.index = table.index.astype(str)
    return table


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if path.suffix == ".gz" else content
        return [line for line in text.decode("utf-8").splitlines() if line.strip()]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _numbers(path: Path, table: pd.DataFrame, *, missing: bool) -> pd.DataFrame:
    """Text to float64; names the first cell that is not a finite number."""
    text = table.replace(dict.fromkeys(_MISSING, np.nan)) if missing else table
    values = text.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    allowed = (
        text.isna() if missing else pd.DataFrame(data=False, index=text.index, columns=text.columns)
    )
    wrong = ~np.isfinite(values.to_numpy()) & ~allowed.to_numpy()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"{path}: {table.iat[row, column]!r} in row {table.index[row]}, column "
            f"{table.columns[column]} is not a number ({int(wrong.sum())} such values)"
        )
    return values


def _check_names(path: Path, what: str, names: pd.Index, pattern: str) -> None:
    wrong = ~names.astype(str).str.fullmatch(pattern)
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"{path}: {what} {place + 1} is named {names[place]!r}, which is not like {pattern}"
        )
    if names.has_duplicates:
        raise InputError(f"{path}: {what} {names[names.duplicated()][0]} occurs twice")


def _need_columns(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}: is it the original file?")
