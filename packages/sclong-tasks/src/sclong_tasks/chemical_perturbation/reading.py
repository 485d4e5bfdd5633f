"""Readers of DeepCE's files, exactly as published: signatures, SMILES and gene vectors.

Source: DeepCE (Pham et al. 2021). Each reader names the file, row and column of what is wrong.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.chemical_perturbation.profiles import (
    COLUMNS,
    MISSING,
    Profiles,
    Values,
    hours_in_name,
    parse_dose,
)
from sclong_tasks.task import Rows

_FIELDS = 5
"""Of a signature before its genes: name, compound, type, cell line, dose."""


def read_signatures(paths: Mapping[str, Path]) -> Profiles:
    """``signature_{train,dev,test}.csv``: a header, then five fields and a number a gene.

    Args:
        paths: files by the part that they are: "train", "validation" or "test".

    Raises:
        InputError: a line, field or number is wrong, or the files have other genes.
    """
    tables, blocks, genes = [], [], None
    for part, path in paths.items():
        fields, values, found = _read_signatures(path)
        if genes is not None and found != genes:
            place = next(
                (i for i, pair in enumerate(zip(genes, found, strict=False)) if pair[0] != pair[1]),
                min(len(genes), len(found)),
            )
            raise InputError(
                f"{path}: its genes are not those of the other files: column "
                f"{place + _FIELDS + 1} differs"
            )
        genes = found
        tables.append(fields.assign(part=part))
        blocks.append(values)
    table = pd.concat(tables, ignore_index=True)
    together = np.concatenate(blocks)

    def read(rows: Rows) -> Iterator[Values]:
        yield together[rows]

    return Profiles(table[list(COLUMNS)], genes or (), read)


def _read_signatures(path: Path) -> tuple[pd.DataFrame, Values, tuple[str, ...]]:
    table = _table(path, header=0)
    if table.shape[1] <= _FIELDS or table.empty:
        raise InputError(
            f"{path} has {table.shape[1]} columns and {len(table)} rows: expected five fields, "
            "then genes"
        )
    genes = pd.Index(table.columns[_FIELDS:])
    # pandas renames a second column of one name.
    if genes.str.fullmatch(r".+\.\d+").any():
        twice = [name for name in genes if name.rpartition(".")[0] in set(genes)]
        if twice:
            raise InputError(f"{path}: the gene {twice[0].rpartition('.')[0]} occurs twice")
    names = table.iloc[:, 0]
    values = _numbers(path, table.iloc[:, _FIELDS:], list(names))
    doses = [parse_dose(text) for text in table.iloc[:, 4]]
    fields = pd.DataFrame(
        {
            "profile": names,
            "pert_id": table.iloc[:, 1],
            "drug": "",
            "pert_type": table.iloc[:, 2],
            "cell_id": table.iloc[:, 3],
            "dose": doses,
            "hours": [hours_in_name(name) for name in names],
            "plate": "",
        }
    )
    for column in ("pert_id", "cell_id"):
        empty = fields[column].isin(MISSING)
        if empty.any():
            row = int(np.flatnonzero(empty)[0])
            raise InputError(f"{path}, line {row + 2}: {column} is empty")
    return fields, values, tuple(map(str, genes))


def read_smiles(path: Path) -> dict[str, str]:
    """``drugs_smiles.csv``: pert_id, comma, SMILES; no header.

    A SMILES that is missing ("-666", "restricted") is left out.

    Raises:
        InputError: a line has another form, or a compound has two SMILES.
    """
    table = _table(path, header=None)
    if table.shape[1] != 2 or table.empty:
        raise InputError(f"{path} has {table.shape[1]} columns: expected pert_id and SMILES")
    found: dict[str, str] = {}
    for row, (name, smiles) in enumerate(zip(table[0], table[1], strict=True), start=1):
        if name in MISSING:
            raise InputError(f"{path}, line {row}: pert_id is empty")
        if smiles in (*MISSING, "restricted"):
            continue
        if found.setdefault(name, smiles) != smiles:
            raise InputError(f"{path}, line {row}: {name} has two SMILES")
    return found


def read_gene_vectors(path: Path) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """``gene_vector.csv``: gene symbol, then its vector; no header.

    Raises:
        InputError: a number is wrong, or a gene occurs twice.
    """
    table = _table(path, header=None)
    if table.shape[1] < 2 or table.empty:
        raise InputError(f"{path} has {table.shape[1]} columns: expected a gene and its vector")
    genes = pd.Index(table[0])
    if genes.has_duplicates:
        raise InputError(f"{path}: the gene {genes[genes.duplicated()][0]} occurs twice")
    return tuple(map(str, genes)), _numbers(path, table.iloc[:, 1:], list(genes))


def read_fields(path: Path) -> pd.DataFrame:
    """A table of L1000 metadata, tab-separated: ``sig_info.txt``, ``gene_info.txt``."""
    return _table(path, header=0, sep="\t")


def _table(path: Path, *, header: int | None, sep: str = ",") -> pd.DataFrame:
    try:
        return pd.read_csv(
            path, sep=sep, header=header, dtype=str, keep_default_na=False, encoding="utf-8"
        ).fillna("")
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty") from None
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


def _numbers(path: Path, text: pd.DataFrame, names: list[str]) -> Values:
    """Text to float32; names the first cell that is not a finite number."""
    try:
        values = text.to_numpy().astype(np.float64)
    except ValueError:
        values = text.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(
            f"{path}: {text.iat[row, column]!r} in row {names[row]}, column "
            f"{text.columns[column]} is not a number ({len(wrong)} such values)"
        )
    found: Values = values.astype(np.float32)
    return found
