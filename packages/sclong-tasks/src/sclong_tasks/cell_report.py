"""One page about one's own cells: maps, counts, coverage, and the genes behind each type."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError
from sclong_data.report.markup import tag
from sclong_data.report.page import Block, Page, Section, key_figures
from sclong_data.report.scatter import Group, legend, scatter
from sclong_data.report.svg import Text
from sclong_data.report.table import Column, Table
from sclong_tasks.annotation.vectors import Embedder
from sclong_tasks.cells import obs_column
from sclong_tasks.in_silico.explaining import FEWEST_CELLS, ExplainOptions, explain_cells
from sclong_tasks.maps import Way, plane

COUNTS, VALUES, EXPRESSED = "counts", "sum of values", "genes expressed"
OTHER, NONE = "other", "(none)"
_TYPES = ("cell_type", "sclong_label", "celltype", "cell_label", "label", "type", "annotation")
_MOST_COLUMNS, _MOST_GROUPS, _FIRST_GENES = 4, 20, 10
_STEPS, _PAIRS = 8, 60
_FEWEST_UMAP = 4


@dataclass(frozen=True)
class ReportOptions:
    """What the page shows; see :func:`cell_report`."""

    by: str | None = None
    """Column of ``obs`` whose groups are explained and counted; the first that is named like types
    if None, and none where there is none."""
    colours: Sequence[str] = ()
    """Columns that the maps are coloured by; those of few values if empty."""
    cells: int = 3_000
    """Of the maps at most, drawn by ``seed``."""
    way: Way = "umap"
    genes: bool = True
    """Tell the genes behind each group's vectors."""
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.cells < 3:
            raise ConfigError(f"cells must be at least 3, not {self.cells}")
        if self.seed < 0:
            raise ConfigError(f"the seed must not be negative, and is {self.seed}")


def cell_report(
    adata: anndata.AnnData, embedder: Embedder, options: ReportOptions, path: Path
) -> Page:
    """The page about the cells of a file; vectors that it holds are used.

    Args:
        adata: counts or log1p values; vectors and, with ``genes``, an explanation are added.
        embedder: makes the vectors.
        options: what is shown.
        path: of the file, for the page and for messages.

    Raises:
        ConfigError: UMAP is not installed.
        InputError: a column or cell cannot be used.
    """
    by, colours = _columns(adata.obs, options, path)
    explained = None
    with embedder.prepare(adata, path) as cells:
        read = cells.describe()
        vectors = embedder.vectors_of(adata, path, cells)
        totals, expressed = _quality(cells.source, len(cells))
    if by is not None and options.genes and _large_groups(adata.obs[by]) > 1:
        chosen = ExplainOptions(
            by, cells=_PAIRS, steps=_STEPS, seed=options.seed, progress=options.progress
        )
        explained = explain_cells(adata, embedder, chosen, path)
    shown = np.arange(adata.n_obs)
    if adata.n_obs > options.cells:
        drawn = np.random.default_rng(options.seed).choice(adata.n_obs, options.cells, False)
        shown = np.sort(drawn)
    if len(shown) < _FEWEST_UMAP:
        options = replace(options, way="pca")
    points = plane(np.asarray(vectors.vectors)[shown], way=options.way, seed=options.seed)
    labels = {name: obs_column(adata.obs, [name], "--color", path)[shown] for name in colours}
    amount = COUNTS if read["normalisation"] == "raw" else VALUES
    labels[amount], labels[EXPRESSED] = _fifths(totals[shown]), _fifths(expressed[shown])
    maps = _maps(adata, shown, points, labels, options)
    sections = [
        Section("Maps", [_drawn(len(shown), adata.n_obs, options), maps]),
        Section("Cells", [_groups(adata.obs, by, amount, totals, expressed)]),
    ]
    if explained is not None:
        sections.append(Section(f"Genes behind the vectors of each {by}", _genes(explained)))
    sections.append(Section("How the file was read", [_reading(read, vectors.encoder)]))
    return Page(
        title=path.name,
        lede=f"{adata.n_obs:,} cells, embedded by scLong. The page loads nothing from elsewhere.",
        summary=_facts(read, amount, totals, expressed),
        sections=sections,
    )


def _columns(obs: pd.DataFrame, options: ReportOptions, path: Path) -> tuple[str | None, list[str]]:
    """The column whose groups are counted and explained, and those of the maps."""
    for name in (*([options.by] if options.by else []), *options.colours):
        obs_column(obs, [name], "--by or --color", path)
    few = [
        str(name)
        for name in obs.columns
        if not pd.api.types.is_numeric_dtype(obs[name])
        and 1 < obs[name].nunique() <= max(2, min(60, len(obs) // 3))
    ]
    plain = {name: name.lower().replace(" ", "_") for name in few}
    named = [name for kind in _TYPES for name in few if plain[name] == kind]
    named += [name for kind in _TYPES for name in few if kind in plain[name]]
    by = options.by or next(iter(named), None)
    if options.colours:
        return by, list(dict.fromkeys(options.colours))
    first = [by] if by is not None else []
    return by, [*first, *(name for name in few if name != by)][:_MOST_COLUMNS]


def _large_groups(values: pd.Series) -> int:
    return int((values.astype(str).value_counts() >= FEWEST_CELLS).sum())


def _quality(source: Any, cells: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum of the values and number of genes expressed, of each cell."""
    totals, expressed = np.zeros(cells), np.zeros(cells)
    for start in range(0, cells, 1_000):
        rows = source.read_rows(start, min(start + 1_000, cells))
        totals[start : start + rows.shape[0]] = np.asarray(rows.sum(axis=1)).ravel()
        expressed[start : start + rows.shape[0]] = np.asarray((rows > 0).sum(axis=1)).ravel()
    return totals, expressed


def _fifths(values: npt.NDArray[np.float64]) -> npt.NDArray[np.str_]:
    """Values in five groups of like size, named by their limits."""
    limits = np.unique(np.quantile(values, np.linspace(0, 1, 6)))
    if len(limits) < 3:
        return np.full(len(values), f"{limits[0]:,.0f} to {limits[-1]:,.0f}")
    places = np.clip(np.searchsorted(limits, values, side="right") - 1, 0, len(limits) - 2)
    names = np.array([f"{a:,.0f} to {b:,.0f}" for a, b in pairwise(limits)])
    return np.asarray(names[places])


def _facts(
    read: Mapping[str, Any],
    amount: str,
    totals: npt.NDArray[np.float64],
    expressed: npt.NDArray[np.float64],
) -> Element:
    share = read["share_of_counts_matched"]
    return key_figures(
        (
            ("cells", f"{read['cells']:,}", f"{read['matrix']}, read as {read['normalisation']}"),
            (
                "genes known to the model",
                f"{read['genes_matched']:,}",
                f"of {read['genes']:,}; {share:.1%} of what the cells express",
            ),
            (
                f"{amount} of the median cell",
                f"{np.median(totals):,.0f}",
                f"least {totals.min():,.0f}",
            ),
            (
                "genes expressed by it",
                f"{np.median(expressed):,.0f}",
                f"least {expressed.min():,.0f}",
            ),
        )
    )


def _drawn(shown: int, cells: int, options: ReportOptions) -> str:
    which = "all cells" if shown == cells else f"{shown:,} of {cells:,} cells, drawn at random"
    way = "UMAP" if options.way == "umap" else "the first two principal components"
    return (
        f"{way} of the vectors of {which}. Cells that are near on the map are near in the vectors; "
        "far ones need not be far. A click on a name hides its cells; a cell under the pointer "
        "says its name."
    )


def _maps(
    adata: anndata.AnnData,
    shown: npt.NDArray[np.int64],
    points: npt.NDArray[np.float64],
    labels: Mapping[str, npt.NDArray[np.str_]],
    options: ReportOptions,
) -> Element:
    """A drawing for each column, with its legend and which cells it shows."""
    axes = options.way.upper()
    radius = min(2.7, 75 / len(shown) ** 0.5)
    drawings = []
    for number, (name, values) in enumerate(labels.items()):
        groups, order = [], []
        for value, rows in _grouped(values, by_size=name not in (COUNTS, VALUES, EXPRESSED)):
            groups.append(Group(value, [(float(x), float(y)) for x, y in points[rows]]))
            order.append(rows.tolist())
        said = ", ".join(f"{group.name} {len(group.points)}" for group in groups)
        text = Text(f"map-{number}", f"{axes} by {name}", f"{len(shown)} cells: {said}.")
        drawing = scatter(text, groups, heading=f"by {name}", axes=axes, radius=radius)
        drawings.append(
            tag("div", drawing, legend(groups), class_="cell-map", data_order=_json(order))
        )
    names = [str(name) for name in adata.obs_names[shown]]
    return tag("div", *drawings, class_="cell-maps", data_cells=_json(names))


def _json(value: object) -> str:
    """JSON without a character that begins markup, though an attribute is quoted."""
    return json.dumps(value).replace("<", "\\u003c")


def _grouped(
    values: npt.NDArray[np.str_], *, by_size: bool
) -> Iterator[tuple[str, npt.NDArray[np.int64]]]:
    """Values with the cells that have them; beyond the commonest, all together."""
    counts = pd.Series(values).value_counts(sort=True)
    common = list(counts.index[:_MOST_GROUPS])
    if not by_size:
        common.sort(key=lambda name: float(str(name).split(" to ")[0].replace(",", "")))
    for value in common:
        yield str(value) or NONE, np.flatnonzero(values == value)
    rest = np.flatnonzero(~np.isin(values, common))
    if len(rest):
        yield f"{OTHER} ({len(counts) - len(common)})", rest


def _groups(
    obs: pd.DataFrame,
    by: str | None,
    amount: str,
    totals: npt.NDArray[np.float64],
    expressed: npt.NDArray[np.float64],
) -> Block:
    if by is None:
        return "No column of obs is named like types of cells: name one with --by."
    names = obs[by].astype(str).to_numpy()
    kinds, counts = np.unique(names, return_counts=True)
    rows = []
    for kind in kinds[np.argsort(-counts, kind="stable")].tolist():
        cells = names == kind
        rows.append(
            [kind, int(cells.sum()), 100 * float(cells.mean()), float(np.median(totals[cells])),
             float(np.median(expressed[cells]))]
        )  # fmt: skip
    columns = (
        Column(by), Column("cells", 0), Column("% of cells", 1), Column(f"median {amount}", 0),
        Column("median genes", 0),
    )  # fmt: skip
    return Table(columns, rows, caption=f"Cells of each {by}.", sortable=True)


def _genes(explained: Mapping[str, Any]) -> list[Block]:
    table, rows = explained["table"], []
    for about in explained["groups"].itertuples():
        part = table[(table["group"] == about.group) & (table["q"] < 0.05)]
        first = part[part["attribution"] > 0].head(_FIRST_GENES)
        rows.append([about.group, about.pairs, ", ".join(first["gene"]) or "none", about.agreement])
    columns = (
        Column("group"), Column("cells", 0), Column("genes", words=True),
        Column("agreement with occlusion", 2),
    )  # fmt: skip
    words = (
        "The genes that most bring the vectors of a group into its direction, by integrated "
        "gradients, with a false discovery rate of 5%; sclong explain writes them all."
    )
    return [words, Table(columns, rows, caption="Genes behind the vectors.")]


def _reading(read: Mapping[str, Any], encoder: str) -> Table:
    rows = [
        [name.replace("_", " "), "" if value is None else str(value)]
        for name, value in (*read.items(), ("model and pool", encoder))
    ]
    return Table(
        (Column("what"), Column("found", words=True)), rows, caption="How the file was read."
    )
