"""Figures of annotated and perturbed cells, gene networks and attention, drawn as in scanpy.

Each function draws into ``ax``, or into a new figure. ``return_fig=True`` returns the figure.
Else a new figure is shown, as ``scanpy.settings.autoshow`` says, and the axes are returned where
nothing is shown: pass ``show=False`` to go on drawing, as for ``scanpy.pl``. A figure that you
bring is yours to show.

They need ``pip install 'sclong-core[scanpy]'``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.annotation.reference import has_label
from sclong_tasks.cells import obs_column
from sclong_tasks.in_silico import EXPLANATION, RECORD
from sclong_tasks.network import RECORD as NETWORK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IN_MEMORY = Path("adata")
_NORMAL = 1.96
"""Standard deviations of a 95% interval."""


class Place(TypedDict, total=False):
    """Where to draw, and what to return: what all functions here take by name."""

    ax: "Axes | None"
    """Axes to draw into; those of a new figure by default."""
    show: bool | None
    """Show the figure; by default a new one, unless ``scanpy.settings.autoshow`` is off."""
    return_fig: bool
    """Return the figure, and show nothing."""


def confusion(
    adata: anndata.AnnData,
    truth: str,
    predicted: str = "sclong_label",
    **place: Unpack[Place],
) -> "Axes | Figure | None":
    """Draw which labels the cells of each true label get, as shares of the row.

    Cells without a true label are left out.

    Args:
        adata: after :func:`sclong_tasks.annotation.annotate` or
            :func:`sclong_tasks.finetuning.predict`.
        truth: column of ``obs``.
        predicted: column of ``obs``: "sclong_nearest_label" and "predicted_label" are others.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: a column is missing.
        ConfigError: matplotlib or scanpy is not installed.
    """
    true, told = _columns(adata, truth=truth, predicted=predicted)
    counts = pd.crosstab(true, told)
    names = [*counts.index.intersection(counts.columns), *counts.columns.difference(counts.index)]
    counts = counts[names]
    sizes = counts.sum(axis=1)
    shares = counts.div(sizes, axis=0)
    down, across = _room(counts.index), _room(names)
    ax = _axes(place, (1.6 + down + 0.45 * len(names), 0.6 + across + 0.4 * len(counts)))
    _grid(ax, shares.to_numpy(), "share of cells of the true label", highest=1.0)
    for (row, column), share in np.ndenumerate(shares.to_numpy()):
        if share >= 0.005:
            colour = "white" if share > 0.6 else "black"
            ax.text(column, row, f"{share:.2f}", ha="center", va="center", color=colour, size=7)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(counts)), _sized(sizes))
    ax.set(xlabel=predicted, ylabel=f"{truth} (cells)")
    return _done(ax, place)


def coverage(
    adata: anndata.AnnData,
    truth: str,
    label_set: str = "sclong_label_set",
    *,
    stated: float = 0.95,
    **place: Unpack[Place],
) -> "Axes | Figure | None":
    """Draw how often the sets of labels contain the true one, for each label and for all cells.

    Lines are 95% intervals (Wilson). Labels that the reference lacks are in no set: leave their
    cells out.

    Args:
        adata: after :func:`sclong_tasks.annotation.annotate` or
            :func:`sclong_tasks.finetuning.predict`.
        truth: column of ``obs``.
        label_set: column of ``obs`` with labels joined by "; ": also "predicted_label_set".
        stated: share that was asked for, which a dashed line marks.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: a column is missing.
        ConfigError: matplotlib or scanpy is not installed.
    """
    true, sets = _columns(adata, truth=truth, label_set=label_set)
    pairs = zip(true, sets, strict=True)
    inside = pd.Series([label in found.split("; ") for label, found in pairs], dtype=float)
    found = inside.groupby(true).agg(["mean", "size"])
    found.loc["all cells"] = [inside.mean(), len(inside)]
    shares, sizes = found["mean"].to_numpy(), found["size"].to_numpy()
    low, high = _wilson(shares, sizes)
    ax = _axes(place, (4.2 + _room(found.index), 1.0 + 0.3 * len(found)))
    rows = np.arange(len(found))
    ax.hlines(rows, low, high, color="tab:blue")
    ax.plot(shares, rows, "o", color="tab:blue")
    ax.axvline(stated, color="0.4", linestyle="--", linewidth=1)
    ax.set_yticks(rows, _sized(found["size"]))
    ax.invert_yaxis()
    ax.set(xlabel=f"share of {label_set} with the true label", ylabel=f"{truth} (cells)")
    ax.set_xlim(right=1.02)
    return _done(ax, place)


def perturbation(
    adata: anndata.AnnData,
    value: str = "approach",
    *,
    top: int = 20,
    **place: Unpack[Place],
) -> "Axes | Figure | None":
    """Draw the changes that move cells most, with 95% intervals and the median of like genes.

    Args:
        adata: after :func:`sclong_tasks.in_silico.perturb`.
        value: "approach" or "moved", column of its table.
        top: rows to draw, those farthest from zero.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: the cells were not perturbed.
        ConfigError: there is no such value, or matplotlib or scanpy is not installed.
    """
    if value not in ("approach", "moved"):
        raise ConfigError(f"value must be approach or moved, not {value!r}")
    if top < 1:
        raise ConfigError(f"top must be positive, not {top}")
    if RECORD not in adata.uns:
        raise InputError(f"adata.uns has no {RECORD!r}: call sclong_tasks.in_silico.perturb first")
    table = pd.DataFrame(adata.uns[RECORD]["table"]).dropna(subset=[value])
    if table.empty:
        raise InputError("nothing moves towards a place: draw value='moved'")
    if value == "moved":
        table = table.drop_duplicates(["gene", "change", "group"])
    order = table[value].abs().sort_values(ascending=False, kind="stable").index
    table = table.loc[order[:top]].sort_values(value, ascending=False, kind="stable")
    varying = [name for name in ("change", "group") if table[name].nunique() > 1]
    if value == "approach" and table["towards"].nunique() > 1:
        varying.append("towards")
    names = table[["gene", *varying]].astype(str).agg(", ".join, axis=1)
    ax = _axes(place, (4.2 + _room(names), 1.0 + 0.27 * len(table)))
    rows = np.arange(len(table))
    ax.axvline(0, color="0.8", linewidth=1, zorder=0)
    ax.plot(table[f"{value}_null"], rows, "|", color="0.4", markersize=9, label="like genes")
    ax.hlines(rows, table[f"{value}_low"], table[f"{value}_high"], color="tab:blue")
    ax.plot(table[value], rows, "o", color="tab:blue", label="changed gene")
    ax.set_yticks(rows, names.tolist())
    ax.invert_yaxis()
    towards = "cosine distance moved"
    if value == "approach":
        one = table["towards"].nunique() == 1
        towards = f"gain in cosine with {table['towards'].iloc[0] if one else 'the place'}"
    ax.set_xlabel(towards)
    ax.legend(frameon=False)
    return _done(ax, place)


def explanation(
    adata: anndata.AnnData, *, top: int = 6, **place: Unpack[Place]
) -> "Axes | Figure | None":
    """Draw which genes make each group's vectors what they are: genes by groups.

    A square is a gene's attribution, as a share of the largest of its group; genes that are not
    beyond chance there (q of 5% or more) are left blank.

    Args:
        adata: after :func:`sclong_tasks.in_silico.explain`.
        top: genes of each group to draw, the first.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: the cells were not explained.
        ConfigError: ``top`` is not positive, or matplotlib or scanpy is not installed.
    """
    if top < 1:
        raise ConfigError(f"top must be positive, not {top}")
    if EXPLANATION not in adata.uns:
        raise InputError(f"adata.uns has no {EXPLANATION!r}: call sclong_tasks.in_silico.explain")
    table = pd.DataFrame(adata.uns[EXPLANATION]["table"])
    first = table[table["rank"] <= top]
    genes = list(dict.fromkeys(first["gene"]))
    groups = list(dict.fromkeys(table["group"]))
    shares = table["attribution"] / table.groupby("group")["attribution"].transform("max")
    shown = table.assign(share=shares.where(table["q"] < 0.05))
    grid = shown[shown["gene"].isin(genes)].pivot_table(
        index="gene", columns="group", values="share", aggfunc="first", dropna=False
    )
    grid = grid.reindex(index=genes, columns=groups)
    ax = _axes(place, (2.0 + _room(genes) + 0.35 * len(groups), 1.6 + 0.2 * len(genes)))
    image = ax.imshow(grid.to_numpy(dtype=float), cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    ax.set_xticks(range(len(groups)), groups, rotation=90)
    ax.set_yticks(range(len(genes)), genes)
    ax.figure.colorbar(image, ax=ax, label="attribution, of the group's largest", shrink=0.6)
    return _done(ax, place)


def network(adata: anndata.AnnData, **place: Unpack[Place]) -> "Axes | Figure | None":
    """Draw how enriched edges are in a graph of genes, beside those of two simpler ways.

    Args:
        adata: after :func:`sclong_tasks.network.network`.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: there is no network, or it was compared to no graph.
        ConfigError: matplotlib or scanpy is not installed.
    """
    if NETWORK not in adata.uns:
        raise InputError(f"adata.uns has no {NETWORK!r}: call sclong_tasks.network.network first")
    found = pd.DataFrame(adata.uns[NETWORK]["enrichment"])
    if found.empty:
        raise InputError("the network was compared to no graph: pass graph= to network")
    groups = list(dict.fromkeys(found["group"]))
    sources = list(dict.fromkeys(found["edges_by"]))
    ax = _axes(place, (4.2 + _room(groups), 1.2 + 0.28 * len(found)))
    high = 0.8 / len(sources)
    for number, source in enumerate(sources):
        odds = found[found["edges_by"] == source].set_index("group")["odds_ratio"].reindex(groups)
        rows = np.arange(len(groups)) + (number - (len(sources) - 1) / 2) * high
        ax.barh(rows, odds.to_numpy(), high, label=source.replace("_", " "))
    ax.axvline(1, color="0.4", linestyle="--", linewidth=1)
    ax.set_yticks(range(len(groups)), groups)
    ax.invert_yaxis()
    ax.set_xlabel("odds ratio, beside equal degrees")
    ax.legend(frameon=False)
    return _done(ax, place)


def attention(
    weights: npt.ArrayLike, genes: Sequence[str], **place: Unpack[Place]
) -> "Axes | Figure | None":
    """Draw attention between genes: the row attends to the column.

    Args:
        weights: ``(genes, genes)``, or ``(cells, genes, genes)`` as
            :meth:`sclong_core.ScLong.attention` returns them, to draw the mean over cells.
        genes: names.
        **place: ``ax``, ``show`` and ``return_fig``.

    Raises:
        InputError: names and weights do not fit.
        ConfigError: matplotlib or scanpy is not installed.
    """
    found = np.asarray(weights, dtype=np.float64)
    count = len(genes)
    if found.ndim not in (2, 3) or not count or found.shape[-2:] != (count, count):
        raise InputError(
            f"weights of shape {found.shape} do not fit {count} names: give (genes, genes) or "
            "(cells, genes, genes)"
        )
    mean = found if found.ndim == 2 else found.mean(axis=0)
    ax = _axes(place, (2.0 + 0.3 * count, 1.2 + 0.3 * count))
    _grid(ax, mean, "attention", highest=None)
    ax.set_xticks(range(count), list(genes), rotation=90)
    ax.set_yticks(range(count), list(genes))
    ax.set(xlabel="attended to", ylabel="gene")
    return _done(ax, place)


def _columns(adata: anndata.AnnData, **names: str) -> list[npt.NDArray[np.str_]]:
    """Columns of ``obs``, of the cells that have a value in the first."""
    found = [
        obs_column(adata.obs, [name], f"{setting}=", _IN_MEMORY) for setting, name in names.items()
    ]
    known = has_label(found[0])
    if not known.any():
        raise InputError(f"no cell has a label in obs[{names['truth']!r}]: name another column")
    return [values[known] for values in found]


def _room(names: Iterable[str]) -> float:
    """Inches that the longest of these names takes beside an axis."""
    return 0.085 * max(map(len, names))


def _sized(sizes: pd.Series) -> list[str]:
    return [f"{name} ({int(size):,})" for name, size in sizes.items()]


def _wilson(
    shares: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """95% interval of shares of so many cells; it stays within 0 and 1."""
    square = _NORMAL**2
    middle = (shares + square / (2 * sizes)) / (1 + square / sizes)
    half = _NORMAL * np.sqrt(shares * (1 - shares) / sizes + square / (4 * sizes**2))
    half = half / (1 + square / sizes)
    return middle - half, middle + half


def _grid(ax: "Axes", values: npt.NDArray[np.float64], name: str, *, highest: float | None) -> None:
    image = ax.imshow(values, cmap="Blues", vmin=0, vmax=highest, aspect="auto")
    ax.figure.colorbar(image, ax=ax, label=name)


def _axes(place: Place, inches: tuple[float, float]) -> "Axes":
    """The axes that were given, or those of a new figure."""
    require_scanpy()
    given = place.get("ax")
    if given is not None:
        return given
    from matplotlib import pyplot as plt  # noqa: PLC0415  # optional, and slow

    return plt.subplots(figsize=inches, layout="constrained")[1]


def _done(ax: "Axes", place: Place) -> "Axes | Figure | None":
    """Show or return, as scanpy does."""
    if place.get("return_fig", False):
        figure: Any = ax.figure
        return figure  # type: ignore[no-any-return]  # a figure, or a part of one
    show = place.get("show")
    if show is None:
        show = place.get("ax") is None and bool(require_scanpy().settings.autoshow)
    if not show:
        return ax
    from matplotlib import pyplot as plt  # noqa: PLC0415  # optional, and slow

    plt.show()
    return None


def require_scanpy() -> Any:
    """Import scanpy, which draws.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import scanpy  # noqa: PLC0415  # optional, and slow
    except ImportError as error:
        raise ConfigError(
            "plots need scanpy and matplotlib: pip install 'sclong-core[scanpy]'"
        ) from error
    return scanpy
