"""Readers of L1000 matrices: GCT (text), GCTX (HDF5, read in blocks of profiles) and h5ad.

Sources: the formats as cmapPy writes them; a GCTX file keeps its matrix as profiles by genes.
"""

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.reading import require_numbers
from sclong_core.expression.store import open_hdf5, refuse_unreadable, require_stored
from sclong_tasks.cells import read_h5ad
from sclong_tasks.chemical_perturbation.profiles import (
    COLUMNS,
    GeneChoice,
    Profiles,
    Values,
    check_finite,
    choose_genes,
    profile_table,
)
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.task import Rows

_BLOCK = 4096
_MATRIX, _PROFILES, _GENES = "0/DATA/0/matrix", "0/META/COL", "0/META/ROW"


@dataclass(frozen=True)
class Beside:
    """What lies beside a matrix."""

    profiles: pd.DataFrame | None = None
    """``sig_info.txt``: metadata of profiles, by sig_id or inst_id."""
    genes: pd.DataFrame | None = None
    """``gene_info.txt``: symbols and landmarks, by gene id."""
    wanted: tuple[str, ...] = ()
    """Landmark symbols, where nothing else says which they are."""


def read_l1000(path: Path, beside: Beside | None = None) -> Profiles:
    """Profiles of a ``.gct``, ``.gct.gz``, ``.gctx`` or ``.h5ad`` file, by their content.

    Raises:
        InputError: the file is none of these, is damaged, or lacks what is needed.
    """
    beside = beside or Beside()
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if start.startswith(b"\x89HDF"):
        return _read_hdf5(path, beside)
    if start.startswith((b"#1.", b"\x1f\x8b")):
        return _read_gct(path, beside)
    raise InputError(f"{path} is neither GCT, nor GCTX, nor h5ad: it begins with {start!r}")


def _read_hdf5(path: Path, beside: Beside) -> Profiles:
    with open_hdf5(path) as file, refuse_unreadable(str(path), "the file"):
        gctx = "0" in file
    return _read_gctx(path, beside) if gctx else _read_h5ad(path, beside)


def _read_gctx(path: Path, beside: Beside) -> Profiles:
    with open_hdf5(path) as file, refuse_unreadable(str(path), "the GCTX file"):
        shape = file[_MATRIX].shape
        require_numbers(file[_MATRIX].dtype, str(path), "its matrix")
        require_stored(file[_MATRIX])
        names, fields = _metadata(file, _PROFILES)
        ids, gene_fields = _metadata(file, _GENES)
    if shape != (len(names), len(ids)):
        raise InputError(
            f"{path}: the matrix is {shape}, but there are {len(names)} profiles and {len(ids)} "
            "genes"
        )
    genes = choose_genes(path, ids, _joined(path, ids, gene_fields, beside.genes), beside.wanted)

    def read(rows: Rows) -> Iterator[Values]:
        order = np.sort(rows)
        if not np.array_equal(order, rows):
            raise ValueError("rows of a GCTX file are read in ascending order")
        with open_hdf5(path) as file:
            for start in range(0, len(names), _BLOCK):
                here = rows[(rows >= start) & (rows < start + _BLOCK)]
                if len(here):
                    with refuse_unreadable(str(path), "the matrix"):
                        block = file[_MATRIX][start : min(start + _BLOCK, len(names))]
                    yield _checked(path, block[here - start][:, genes.places], here, names, genes)

    return _profiles(path, names, _joined(path, names, fields, beside.profiles), genes, read)


def _metadata(file: h5py.File, group: str) -> tuple[list[str], pd.DataFrame]:
    for name in file[group]:
        require_stored(file[group][name])
    columns = {str(name): _text(file[group][name][:]) for name in file[group]}
    names = [name.strip() for name in columns.pop("id")]
    return names, pd.DataFrame(columns, index=names)


def _text(values: npt.NDArray[np.generic]) -> list[str]:
    if values.dtype.kind in "SO":
        return [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one)
                for one in values.tolist()]  # fmt: skip
    return [f"{one:g}" if isinstance(one, float) else str(one) for one in values.tolist()]


def _read_h5ad(path: Path, beside: Beside) -> Profiles:
    data = read_h5ad(path)
    dense = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    ids, names = list(map(str, data.var_names)), list(map(str, data.obs_names))
    genes = choose_genes(path, ids, _joined(path, ids, data.var, beside.genes), beside.wanted)
    fields = _joined(path, names, data.obs, beside.profiles)
    return _in_memory(path, dense, names, fields, genes)


def _read_gct(path: Path, beside: Beside) -> Profiles:
    lines = _gct_lines(path)
    version, sizes = lines[0], lines[1].split("\t")
    if version not in ("#1.2", "#1.3") or len(lines) < 3:
        raise InputError(f"{path}: GCT {version!r} is not read: #1.2 and #1.3 are")
    try:
        counts = [int(size) for size in sizes if size]
        genes, profiles, gene_fields, fields = [*counts, 1, 0][:4] if version == "#1.2" else counts
    except ValueError:
        raise InputError(f"{path}, line 2: expected the numbers of rows and columns") from None
    if len(lines) != 3 + fields + genes:
        raise InputError(
            f"{path} has {len(lines)} lines: {genes} genes and {fields} fields need "
            f"{3 + fields + genes}"
        )
    width = 1 + gene_fields + profiles
    cells = [line.split("\t") for line in lines[2:]]
    for number, row in enumerate(cells, start=3):
        if len(row) != width:
            raise InputError(f"{path}, line {number}: {len(row)} fields, not {width}")
    first, names = 1 + gene_fields, cells[0][1 + gene_fields :]
    columns = {row[0]: row[first:] for row in cells[1 : 1 + fields]}
    rows = cells[1 + fields :]
    ids = [row[0] for row in rows]
    about = pd.DataFrame(
        [row[1:first] for row in rows], columns=cells[0][1:first], index=ids, dtype=str
    )
    choice = choose_genes(path, ids, _joined(path, ids, about, beside.genes), beside.wanted)
    table = pd.DataFrame(columns, index=names, dtype=str)
    values = _gct_values(path, rows, first, names)
    return _in_memory(path, values, names, _joined(path, names, table, beside.profiles), choice)


def _gct_lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        return [line for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
    except (OSError, EOFError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _gct_values(path: Path, rows: list[list[str]], first: int, names: list[str]) -> Values:
    values = np.empty((len(names), len(rows)), np.float32)
    for place, row in enumerate(rows):
        try:
            values[:, place] = np.array(row[first:], dtype=np.float64)
        except ValueError:
            bad = next(i for i, text in enumerate(row[first:]) if not _is_number(text))
            raise InputError(
                f"{path}: {row[first + bad]!r} of gene {row[0]}, profile {names[bad]} "
                "is not a number"
            ) from None
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _in_memory(
    path: Path, dense: Values, names: list[str], fields: pd.DataFrame, genes: GeneChoice
) -> Profiles:
    chosen = np.asarray(dense[:, genes.places], dtype=np.float32)

    def read(rows: Rows) -> Iterator[Values]:
        yield _checked(path, chosen[rows], rows, names, genes)

    return _profiles(path, names, fields, genes, read)


def _checked(path: Path, values: Values, rows: Rows, names: list[str], genes: GeneChoice) -> Values:
    found = np.asarray(values, dtype=np.float32)
    check_finite(path, found, [names[int(row)] for row in rows], genes.symbols)
    return found


def _profiles(
    path: Path,
    names: list[str],
    fields: pd.DataFrame,
    genes: GeneChoice,
    read: Callable[[Rows], Iterator[Values]],
) -> Profiles:
    table = profile_table(path, names, fields)
    known = table[table["smiles"] != ""]
    smiles = dict(zip(known["pert_id"], known["smiles"], strict=True))
    return Profiles(table[list(COLUMNS)], genes.symbols, read, smiles)


def _joined(
    path: Path, names: list[str], own: pd.DataFrame, beside: pd.DataFrame | None
) -> pd.DataFrame:
    """A file's own fields, and those of a table beside it, by name."""
    fields = own.set_axis(names)
    if beside is None:
        return fields
    key = next(
        (column for column in beside.columns if set(names) <= set(beside[column])),
        beside.columns[0],
    )
    other = beside.drop_duplicates(key).set_index(key)
    absent = [name for name in names if name not in other.index]
    if absent:
        raise InputError(
            f"{path}: {len(absent)} of {len(names)} names are not in the table beside it: "
            f"{shown(absent)}"
        )
    new = other.loc[names, [name for name in other.columns if name not in fields.columns]]
    return pd.concat([fields, new.set_axis(names)], axis=1)
