"""Readers of perturbation screens as their authors publish them.

GEARS (Roohani et al. 2023) publishes ``perturb_processed.h5ad``: log-normalised expression,
conditions as "A+ctrl" or "A+B", and genes ranked for each condition. Screens with raw counts and a
target for each cell (Papalexi et al. 2021 as sceptre has it) are normalised here.
"""

import logging
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression import recognise
from sclong_core.expression.normalisation import LARGEST
from sclong_data.fetching.archives import unpack
from sclong_tasks.cells import (
    RAW,
    genes_only,
    matrix_of_kind,
    noted_log,
    other_matrices,
    read_h5ad,
)
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.genetic_perturbation.conditions import CONTROL, genes_of
from sclong_tasks.genetic_perturbation.spelling import Spelling

_LOG = logging.getLogger("sclong")
_RANKING = "rank_genes_groups_cov_all"
_YES, _NO = {"1", "true", "yes", "y", "t"}, {"0", "false", "no", "n", "f"}
_SLIPS = 0.01
_LARGEST_LOG = 15.0
"""No log1p of normalised counts is as large: there would have to be three million."""


@dataclass(frozen=True, eq=False)
class Screen:
    """Cells of a screen."""

    cells: sparse.csr_matrix
    """Expression, log1p."""
    obs: pd.DataFrame
    """One line a cell: ``condition``, and ``guide_share`` where it is known."""
    genes: tuple[str, ...]
    """Symbols, each once."""
    ranking: pd.DataFrame | None
    """One column a condition: places of all genes, ranked; None where the file has none."""


def read_screen(path: Path) -> Screen:
    """Read either format, or a zip archive that holds the file of GEARS.

    Raises:
        InputError: names what is missing, or the cell and gene that is wrong.
    """
    if zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="sclong-screen-") as scratch:
            return read_screen(_unpacked(path, Path(scratch)))
    table = genes_only(read_h5ad(path), path)
    cells = sparse.csr_matrix(table.X, dtype=np.float32)
    genes = _gene_names(path, table.var)
    _check_values(path, cells, table, genes)
    if "condition" in table.obs:
        screen = _read_gears(path, table, cells, genes)
    elif "target" in table.obs:
        screen = _read_targets(path, table, cells, genes)
    else:
        raise InputError(f"{path} has neither a column condition nor a column target in obs")
    if CONTROL not in set(screen.obs["condition"]):
        raise InputError(f"{path} has no control cells: some need the condition {CONTROL!r}")
    return screen


def _unpacked(path: Path, scratch: Path) -> Path:
    unpack(path, scratch / "unpacked")
    found = sorted((scratch / "unpacked").rglob("*.h5ad"))
    if len(found) != 1:
        raise InputError(f"{path} holds {len(found)} .h5ad files: one is needed")
    return found[0]


def _read_gears(
    path: Path, table: anndata.AnnData, cells: sparse.csr_matrix, genes: tuple[str, ...]
) -> Screen:
    obs = table.obs
    written = obs["condition"].astype(str).to_numpy()
    spelling = Spelling(genes, dict(zip(map(str, table.var_names), genes, strict=True)))
    condition = _conditions(path, written, obs.index, spelling.condition)
    spelling.report(path.name)
    if "control" in obs:
        _check_control(path, obs["control"], condition)
    _require_log(path, cells, table)
    frame = pd.DataFrame({"condition": condition})
    return Screen(cells, frame, genes, _read_ranking(path, table, condition, genes))


def _require_log(path: Path, cells: sparse.csr_matrix, table: anndata.AnnData) -> None:
    """Refuse values that are not log1p: the format says that they are, so few values pass."""
    wanted = "log1p of normalised counts is expected"
    if cells.nnz and cells.data.max() > _LARGEST_LOG:
        raise InputError(
            f"{path} has the value {cells.data.max():g}: these are counts, and {wanted}"
            f"{_held_elsewhere(table)}"
        )
    found = recognise(cells, logged=True)
    if found.normalisation == "raw":
        raise InputError(
            f"{path}: X {found.seen}: these are counts, and {wanted}"
            f"{_held_elsewhere(table) or '; apply sc.pp.normalize_total and sc.pp.log1p'}"
        )
    if found.normalisation is None:
        seen = recognise(cells, logged=noted_log(table)).seen  # in the words of what the file notes
        raise InputError(f"{path}: X {seen}; {wanted}{_held_elsewhere(table)}")


def _held_elsewhere(table: anndata.AnnData) -> str:
    """Where the file holds the values that are needed, or counts to make them of."""
    held = other_matrices(table)
    for kind, words, then in (
        ("log1p", "log1p values", "make it X"),
        ("raw", "counts", "make it X after sc.pp.normalize_total and sc.pp.log1p"),
    ):
        name = matrix_of_kind(held, kind)
        if name is not None:
            place = "raw" if name == RAW else f"layer {name!r}"
            return f"; {place} of the same file holds {words}: {then}"
    return ""


def _read_ranking(
    path: Path,
    table: anndata.AnnData,
    conditions: npt.NDArray[np.object_],
    genes: tuple[str, ...],
) -> pd.DataFrame | None:
    listed: Mapping[str, Any] | None = table.uns.get(_RANKING)
    if listed is None or "condition_name" not in table.obs:
        _LOG.info("%s has no ranked genes: they are ranked here", path.name)
        return None
    pairs = table.obs[["condition", "condition_name"]].astype(str)
    pairs = pairs.assign(read=conditions).drop_duplicates()
    written = pairs.groupby("read")["condition"].nunique()
    if (written > 1).any():
        _LOG.info(
            "%s: %s is written in several ways, each with ranked genes of its own: all are ranked "
            "here", path.name, written.index[written > 1][0],
        )  # fmt: skip
        return None
    found = {}
    lacking = []
    for condition, name in pairs[["read", "condition_name"]].itertuples(index=False):
        if condition == CONTROL:
            continue
        if name not in listed or condition in found:
            lacking.append(condition)
            continue
        places = table.var_names.get_indexer(np.asarray(listed[name]).astype(str))
        if sorted(places) != list(range(len(genes))):
            raise InputError(
                f"{path}: uns {_RANKING}[{name!r}] does not name each of the {len(genes)} genes "
                "once"
            )
        found[condition] = places.astype(np.int32)
    if lacking:
        raise InputError(
            f"{path}: {len(lacking)} conditions have no ranking of their own in uns {_RANKING}: "
            f"{shown(lacking)}"
        )
    return pd.DataFrame(found)


def _read_targets(
    path: Path, table: anndata.AnnData, cells: sparse.csr_matrix, genes: tuple[str, ...]
) -> Screen:
    target = table.obs["target"].astype(str).to_numpy()
    spelling = Spelling(genes, dict(zip(map(str, table.var_names), genes, strict=True)))
    condition = _conditions(path, target, table.obs_names, spelling.target)
    spelling.report(path.name)
    fraction = np.flatnonzero(cells.data != np.round(cells.data))
    if len(fraction):
        cell = int(np.searchsorted(cells.indptr, fraction[0], side="right")) - 1
        raise InputError(
            f"{path}: {cells.data[fraction[0]]:g} in cell {table.obs_names[cell]!r}, "
            f"gene {genes[cells.indices[fraction[0]]]!r} is not a count"
        )
    totals = np.asarray(cells.sum(axis=1)).ravel()
    empty = totals == 0
    if empty.any():
        _LOG.warning("%d cells of %s without any count are left out", int(empty.sum()), path.name)
    scale = np.median(totals[~empty]) / np.where(empty, 1, totals) if (~empty).any() else totals
    scaled = sparse.csr_matrix(sparse.diags(scale) @ cells, dtype=np.float32)
    scaled.data = np.log1p(scaled.data)
    frame = pd.DataFrame({"condition": condition})
    if "top_grna_fraction" in table.obs:
        frame["guide_share"] = table.obs["top_grna_fraction"].to_numpy(dtype=np.float64)
    kept = np.flatnonzero(~empty)
    return Screen(scaled[kept], frame.iloc[kept].reset_index(drop=True), genes, None)


def _gene_names(path: Path, var: pd.DataFrame) -> tuple[str, ...]:
    """Symbols; one that several genes share is followed by the gene's own id."""
    symbols = (var["gene_name"] if "gene_name" in var else var.index.to_series()).astype(str)
    shared = symbols.duplicated(keep=False).to_numpy()
    names = symbols.to_numpy(dtype=object)
    if shared.any():
        _LOG.info(
            "%d genes of %s share a symbol, and are named with their ids: %s",
            int(shared.sum()), path.name, shown(sorted(set(names[shared]))),
        )  # fmt: skip
        names[shared] = [f"{symbols.iloc[at]} ({var.index[at]})" for at in np.flatnonzero(shared)]
    if len(set(names)) != len(names) or not len(names):
        raise InputError(f"{path} names no genes, or one twice, in var")
    return tuple(names)


def _conditions(
    path: Path, written: npt.NDArray[Any], cells: pd.Index, read: Callable[[str], str]
) -> npt.NDArray[np.object_]:
    """The condition of each cell, from what is written."""
    found: dict[str, str] = {}
    for text in sorted(set(written)):
        try:
            found[text] = read(text)
            genes_of(found[text])
        except InputError as error:
            cell = cells[int(np.flatnonzero(written == text)[0])]
            raise InputError(f"{path}, cell {cell!r}: {error}") from None
    return np.array([found[text] for text in written], dtype=object)


def _check_control(path: Path, column: pd.Series, condition: npt.NDArray[np.object_]) -> None:
    """Refuse a column ``control`` that the conditions contradict; gaps in it say nothing."""
    given = column.notna().to_numpy()
    words = column.astype(str).str.strip().str.lower().str.removesuffix(".0").to_numpy()
    other = np.flatnonzero(given & ~np.isin(words, list(_YES | _NO)))
    if len(other):
        raise InputError(
            f"{path}: column control of obs has {words[other[0]]!r} in cell "
            f"{column.index[other[0]]!r}, and {len(other)} such in all: write 1 for control cells "
            "and 0 for others, or remove the column"
        )
    if not given.all():
        _LOG.info(
            "%s: %d of %d cells have nothing in column control: their condition decides",
            path.name, int((~given).sum()), len(given),
        )  # fmt: skip
    control = np.isin(words, list(_YES))
    wrong = np.flatnonzero(given & (control != (condition == CONTROL)))
    if len(wrong):
        cell = wrong[0]
        raise InputError(
            f"{path}: cell {column.index[cell]!r} has control {int(control[cell])} and condition "
            f"{condition[cell]!r}, which contradict each other; so do {len(wrong) - 1} others"
        )


def _check_values(
    path: Path, cells: sparse.csr_matrix, table: anndata.AnnData, genes: tuple[str, ...]
) -> None:
    wrong = np.flatnonzero(~((cells.data >= 0) & (cells.data <= LARGEST)))
    if np.isfinite(cells.data).all() and len(wrong) > _SLIPS * cells.data.size:
        found = recognise(cells)
        raise InputError(
            f"{path}: X {found.seen}; log1p of normalised counts is expected"
            f"{_held_elsewhere(table)}"
        )
    if len(wrong):
        cell = int(np.searchsorted(cells.indptr, wrong[0], side="right")) - 1
        raise InputError(
            f"{path}: {len(wrong)} values are missing, infinite, negative or beyond any count: the "
            f"first in cell {table.obs_names[cell]!r}, gene {genes[cells.indices[wrong[0]]]!r}"
        )
