"""Changes of genes in the cells of an AnnData object, in place or in a copy."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.stats import spearmanr

from sclong_core.embedding.inference import vocabulary_of
from sclong_core.embedding.pooling import check_pool
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells, ReadingOptions
from sclong_core.progress import cell_progress
from sclong_tasks.annotation.vectors import OWN_KEY, CellVectors, Embedder, keep_vectors
from sclong_tasks.cells import obs_column
from sclong_tasks.in_silico.genes import (
    ALL,
    FEWEST,
    KINDS,
    Change,
    GeneNames,
    LikeGenes,
    listed_genes,
    require_share,
)
from sclong_tasks.in_silico.moving import (
    Floats,
    Mover,
    VectorReader,
    overexpressed_levels,
    read_expression,
    unit,
)
from sclong_tasks.in_silico.ranking import first_order
from sclong_tasks.in_silico.table import Group, changed_group, corrected

_LOG = logging.getLogger("sclong")
RECORD = "sclong_perturbation"
"""Of ``uns``: the table, the ranking, and what made them."""
FEWEST_CELLS = 10
_IN_MEMORY = Path("adata")
_CHECKED = 4
_SAME = 1e-3


@dataclass(frozen=True)
class Options:
    """What is asked for; see :func:`perturb`."""

    delete: Sequence[str] | str = ()
    overexpress: Sequence[str] | str = ()
    by: str | None = None
    towards: str | None = None
    top: int = 20
    null: int = 100
    cells: int = 200
    quantile: float = 0.95
    seed: int = 0
    batch_size: int = 256
    progress: bool = False

    def __post_init__(self) -> None:
        """Read lists of genes, and refuse what cannot be done."""
        for kind in ("delete", "overexpress"):
            object.__setattr__(self, kind, listed_genes(getattr(self, kind)))
        if not self.delete and not self.overexpress:
            raise ConfigError("no gene is named: give --delete GENE or --overexpress GENE, or all")
        if self.null < FEWEST:
            raise ConfigError(
                f"null must be at least {FEWEST}, not {self.null}: fewer like genes give no "
                "p-value of 0.05"
            )
        if self.seed < 0:
            raise ConfigError(f"the seed must not be negative, and is {self.seed}")
        for name in ("top", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if self.cells < 0:
            raise ConfigError(f"cells must be positive, or 0 for all, not {self.cells}")
        if self.towards is not None and not all(self.towards.partition("=")):
            raise ConfigError(f"--towards must be COLUMN=VALUE, not {self.towards!r}")
        require_share("quantile", self.quantile)


def perturb(
    adata: anndata.AnnData,
    *,
    checkpoint: str | None = None,
    device: str = "auto",
    copy: bool = False,
    **options: Any,
) -> anndata.AnnData | None:
    """Delete or overexpress genes in the input of a model, and say how far and where cells move.

    Adds ``uns["sclong_perturbation"]``, with the table of :data:`.table.COLUMNS`, and the vectors
    of the cells to ``obsm["X_sclong"]`` unless they are there.

    Args:
        adata: counts or log1p values.
        checkpoint: folder or hub id; the model that comes with the package if None.
        device: to compute on.
        copy: return a copy and leave ``adata`` as it is.
        **options: ``delete`` and ``overexpress``: names of genes, joined by "+" to be changed at
            once, or "all", to rank all genes and compute the ``top`` (20) exactly. ``by``: column
            of ``obs`` whose groups are moved, each, and towards each other; all cells as one group
            by default. ``towards``: "COLUMN=VALUE", the cells that others are moved towards.
            ``null``: like genes that are changed the same way (100). ``cells``: of each group,
            drawn by ``seed``; 0 for all (200). ``quantile``: of the cells that express a gene,
            which overexpression sets (0.95). ``batch_size``, ``progress``; and how cells are
            read, see :class:`sclong_core.expression.ReadingOptions`.

    Returns:
        The copy, or None.

    Raises:
        ConfigError: an option is impossible.
        InputError: a gene, column or cell cannot be used.
    """
    reading = {n: options.pop(n) for n in ReadingOptions.__annotations__ if n in options}
    chosen = Options(**options)
    written = adata.copy() if copy else adata
    embedder = Embedder(checkpoint, device=device, progress=chosen.progress, **reading)
    perturb_cells(written, embedder, chosen, _IN_MEMORY)
    return written if copy else None


def perturb_cells(
    adata: anndata.AnnData, embedder: Embedder, options: Options, path: Path
) -> dict[str, Any]:
    """:func:`perturb` in place, with a model at hand; returns what it put into ``uns``."""
    names = _groups(adata, options, path)
    target = _target(adata, options, path)
    model = embedder.model
    with embedder.prepare(adata, path) as cells:
        genes = GeneNames(cells.match, vocabulary_of(model), cells.organism)
        named = [
            genes.change(name, kind)
            for kind in KINDS
            for name in getattr(options, kind)
            if name != ALL
        ]
        vectors = embedder.vectors_of(adata, path, cells)
        pool = vectors.encoder.partition(" ")[2]
        check_pool(pool)
        reader = VectorReader(model, pool, cells)  # type: ignore[arg-type]  # checked
        work = _Work(reader, cells, vectors, genes, options)
        groups = work.groups(names, target)
        work.require_expressed(named)
        ranking = work.ranking(groups)
        table, agreement = work.table(groups, named, ranking)
    keep_vectors(adata, vectors)
    record: dict[str, Any] = {
        "sclong_version": version("sclong-tasks"),
        "encoder": vectors.encoder,
        "groups": [group.name for group in groups],
        "library_size": "kept: other values stay as they were",
        **{name: getattr(options, name) for name in ("top", "null", "cells", "quantile", "seed")},
        "by": options.by or "",
        "towards": options.towards or "",
        **agreement,
        "table": table,
    }
    if ranking is not None:
        record["ranking"] = ranking
    adata.uns[RECORD] = record
    return record


def _groups(adata: anndata.AnnData, options: Options, path: Path) -> npt.NDArray[np.str_]:
    if options.by is None:
        return np.full(adata.n_obs, "all cells")
    return obs_column(adata.obs, [options.by], "--by", path)


def _target(adata: anndata.AnnData, options: Options, path: Path) -> npt.NDArray[np.bool_] | None:
    """Cells that others are moved towards."""
    if options.towards is None:
        return None
    column, _, value = options.towards.partition("=")
    found = obs_column(adata.obs, [column], "--towards COLUMN=VALUE", path)
    chosen = np.asarray(found == value, dtype=bool)
    if chosen.sum() < FEWEST_CELLS:
        counts = pd.Series(found).value_counts()
        listed = ", ".join(f"{name} ({count:,})" for name, count in counts.head(5).items())
        raise InputError(
            f"{path}: {chosen.sum():,} cells have {value!r} in {column}, and --towards needs "
            f"{FEWEST_CELLS}: it holds {listed}"
        )
    return chosen


class _Work:
    """What is computed on the cells of one file."""

    def __init__(
        self,
        reader: VectorReader,
        cells: PreparedCells,
        vectors: CellVectors,
        genes: GeneNames,
        options: Options,
    ) -> None:
        self._reader, self._cells, self._genes = reader, cells, genes
        self._vectors = np.asarray(vectors.vectors, dtype=np.float32)
        self._options = options
        self._read_g = reader.read_g()
        self._expression = sparse.csr_matrix((0, len(self._read_g)), dtype=np.float32)
        self._levels: dict[int, float] = {}

    def groups(
        self, names: npt.NDArray[np.str_], target: npt.NDArray[np.bool_] | None
    ) -> list[Group]:
        """Groups of enough cells, with the places that they may move to."""
        options = self._options
        drawn = np.random.default_rng(options.seed)
        rows: dict[str, npt.NDArray[np.int64]] = {}
        if (names == "").any():
            _LOG.info("%s cells without a group are left out", f"{(names == '').sum():,}")
        for name in np.unique(names[names != ""]).tolist():
            found = np.flatnonzero((names == name) & (True if target is None else ~target))
            if len(found) < FEWEST_CELLS:
                if len(found):
                    _LOG.warning(
                        "%s has %d cells, of the %d that a group needs: it is left out",
                        name, len(found), FEWEST_CELLS,
                    )  # fmt: skip
                continue
            if 0 < options.cells < len(found):
                found = np.sort(drawn.choice(found, options.cells, replace=False))
            rows[name] = found
        if not rows:
            raise InputError(
                f"no group has {FEWEST_CELLS} cells: too few for a mean and a null. Give more "
                "cells, or a column with larger groups to --by"
            )
        every = np.unique(np.concatenate(list(rows.values())))
        self._expression = read_expression(self._cells, every)
        self._check_vectors(every)
        if options.overexpress:
            self._levels = overexpressed_levels(self._expression, options.quantile)
        units = unit(self._vectors)
        if target is not None:
            place = {str(options.towards): unit(units[target].mean(0)[None])[0]}
            places = dict.fromkeys(rows, place)
        else:
            middles = {name: unit(units[names == name].mean(0)[None])[0] for name in rows}
            places = {
                name: {other: middle for other, middle in middles.items() if other != name}
                for name in rows
            }
        return [self._group(name, every, rows[name], places[name]) for name in rows]

    def _check_vectors(self, rows: npt.NDArray[np.int64]) -> None:
        """Refuse vectors of the file that this model does not make of its counts."""
        few = self._expression[:_CHECKED]
        found = Mover(self._reader, few, self._vectors[rows[:_CHECKED]], {}, batch_size=_CHECKED)
        again = found.again()
        limit = _SAME * max(1.0, float(np.abs(again).max()))
        if not np.abs(again - found.before_nw).max() <= limit:  # nor where one is not a number
            raise InputError(
                f"obsm[{OWN_KEY!r}] is not what this model makes of these counts: they were "
                f"changed since, or read from another matrix. Remove obsm[{OWN_KEY!r}]"
            )

    def _group(
        self,
        name: str,
        every: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
        places: dict[str, Floats],
    ) -> Group:
        x = self._expression[np.searchsorted(every, rows)]
        mean = np.asarray(x.mean(0)).ravel().astype(np.float64)
        detection = x.getnnz(0) / len(rows)
        mover = Mover(
            self._reader, x, self._vectors[rows], self._levels, batch_size=self._options.batch_size
        )
        return Group(name, mover, LikeGenes(mean, detection, self._read_g), mean, detection, places)

    def require_expressed(self, changes: Iterable[Change]) -> None:
        """Refuse genes that no cell expresses; name those that the model does not read.

        Raises:
            InputError: none of the cells expresses a gene.
        """
        expressed = np.diff(self._expression.tocsc().indptr) > 0
        for change in changes:
            silent = [gene for gene in change.positions if not expressed[gene]]
            if silent:
                name = self._genes.of(silent[0])
                other = "" if name == change.name else f" (of {change.name})"
                raise InputError(
                    f"no cell of the {self._expression.shape[0]:,} that were drawn expresses "
                    f"{name}{other}: deleting it changes nothing, and its level in "
                    "expressing cells is unknown. Choose another gene, or more cells"
                )
            if not any(self._read_g[gene] for gene in change.positions):
                _LOG.warning(
                    "the model does not read %s for the vector of a cell (it reads %s genes of "
                    "the data): changing it moves nothing", change.name, f"{self._read_g.sum():,}",
                )  # fmt: skip

    def ranking(self, groups: Sequence[Group]) -> pd.DataFrame | None:
        """First-order effects of all genes, highest first; None if that is not asked for."""
        options = self._options
        kinds = [kind for kind in KINDS if ALL in getattr(options, kind)]
        if not kinds:
            return None
        parts = []
        total = len(kinds) * sum(len(group.mover.unit_nw) for group in groups)
        with cell_progress("ranking genes", total, shown=options.progress) as advance:
            for kind in kinds:
                for group in groups:
                    towards = None
                    if options.towards is not None:
                        towards = group.places[options.towards]
                    values = first_order(
                        self._reader,
                        group.mover.expression_ng,
                        levels=None if kind == "delete" else self._levels,
                        towards_w=towards,
                        seed=options.seed,
                        batch_size=options.batch_size,
                        advance=advance,
                    )
                    found = np.flatnonzero(self._read_g & (group.detection_g > 0))
                    parts.append(
                        pd.DataFrame(
                            {
                                "gene": [self._genes.of(gene) for gene in found.tolist()],
                                "change": kind,
                                "group": group.name,
                                "first_order": values[found],
                                "position": found,
                            }
                        )
                    )
        ranking = pd.concat(parts, ignore_index=True)
        return ranking.sort_values("first_order", ascending=False, kind="stable")

    def _top(self, ranking: pd.DataFrame | None) -> list[Change]:
        """The highest genes of any group."""
        if ranking is None:
            return []
        found = []
        for kind, part in ranking.groupby("change", sort=False):
            first = part.drop_duplicates("position").head(self._options.top)
            for gene, position in zip(first["gene"], first["position"], strict=True):
                found.append(Change(str(gene), kind, (int(position),)))
        return found

    def table(
        self, groups: Sequence[Group], named: Sequence[Change], ranking: pd.DataFrame | None
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """All rows, and how the ranking agrees with what was computed exactly."""
        options = self._options
        different: dict[Any, Change] = {}
        for change in (*named, *self._top(ranking)):
            different.setdefault(change.key, change)
        changes = list(different.values())
        without = [position for change in named for position in change.positions]
        rows: list[dict[str, Any]] = []
        total = len(groups) * len(changes)
        with cell_progress("changing genes", total, shown=options.progress) as advance:
            for group in groups:
                rows += changed_group(
                    group,
                    changes,
                    without=without,
                    null=options.null,
                    seed=options.seed,
                    advance=advance,
                )
        if ranking is None:
            return corrected(rows), {}
        return (
            corrected(rows, len(ranking[["change", "position"]].drop_duplicates())),
            _agreement(groups, ranking, options.towards),
        )


def _agreement(
    groups: Sequence[Group], ranking: pd.DataFrame, towards: str | None
) -> dict[str, Any]:
    """Rank correlation of first order and exact, over all single genes computed exactly."""
    pairs = []
    for group in groups:
        part = ranking[ranking["group"] == group.name]
        for kind, gene, first in zip(
            part["change"], part["position"], part["first_order"], strict=True
        ):
            exact = group.mover.known(kind, int(gene))
            if exact is not None:
                mean, shift = exact
                value = mean if towards is None else float(shift @ group.places[towards])
                pairs.append((group.name, first, value))
    frame = pd.DataFrame(pairs, columns=["group", "first", "exact"])
    found = [
        float(spearmanr(part["first"], part["exact"]).statistic)
        for _, part in frame.groupby("group")
        if len(part) > 2
    ]
    return {
        "first_order_rank_correlation": float(np.nanmean(found)) if found else float("nan"),
        "first_order_genes_compared": len(frame),
    }
