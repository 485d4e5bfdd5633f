"""Figures of a corpus, each with the numbers behind it."""

from collections.abc import Mapping, Sequence
from xml.etree.ElementTree import Element

from sclong_data.harmoniser.tallies import BINS_A_DECADE, GENES_A_BIN
from sclong_data.report.bars import Bar, bar_chart
from sclong_data.report.figure import Figure
from sclong_data.report.histogram import Column as HistogramColumn
from sclong_data.report.histogram import histogram
from sclong_data.report.svg import Text
from sclong_data.report.table import Cell, Column, Table
from sclong_data.stats.summary import CorpusSummary, shortened

_LETTERS = 18
_SHOWN = 10
_DATASETS = 25
_MOST_COLUMNS = 60
_BRIEF = {
    "data set of few genes": "small data set",
    "no gene of the vocabulary": "no gene known",
    "raw and logged cells mixed": "mixed values",
    "unknown normalisation": "unknown values",
}


def funnel_figure(summary: CorpusSummary) -> Figure:
    """From the cells of all data sets to those of the corpus."""
    kept = summary.index.cells
    steps = {"in all data sets": summary.cells_in, **summary.out, "in the corpus": kept}
    chart = _cells_chart(
        "funnel",
        "Cells in, cells out, and why",
        f"{summary.cells_in:,} cells were read; {kept:,} are in the corpus.",
        {_BRIEF.get(name, name): count for name, count in steps.items()},
        emphasis="in the corpus",
    )
    caption = (
        "All cells of the data sets that could be read, those left out by the first reason that "
        "holds for each of them, and those in the corpus. The first bar is the sum of the others."
    )
    return Figure([chart], caption, [_counts("cells", steps, "Cells by what became of them")])


def genes_figure(summary: CorpusSummary) -> Figure | None:
    """How many genes and counts cells have."""
    genes = [
        (float(start), float(start + GENES_A_BIN), float(count))
        for start, count in summary.counted("genes_a_cell").items()
    ]
    if not genes:
        return None
    counts = [
        (10 ** (step / BINS_A_DECADE), 10 ** ((step + 1) / BINS_A_DECADE), float(count))
        for step, count in summary.counted("counts_a_cell").items()
    ]
    panels = [
        histogram(
            Text("genes", "Genes a cell", f"Most cells lie {_middle(genes)} genes."),
            _merged(genes),
            x_label="genes of the vocabulary above zero",
            y_label="cells",
        )
    ]
    tables = [_bins("genes", genes, "Cells by genes of the vocabulary above zero")]
    caption = "Genes of the vocabulary that a stored cell expresses"
    if counts:
        panels.append(
            histogram(
                Text("counts", "Counts a cell", f"Most cells lie {_middle(counts)} counts."),
                counts,
                x_label="counts over all genes of the data set, logarithmic",
                y_label="cells",
                logarithmic=True,
            )
        )
        tables.append(_bins("counts", counts, "Cells of raw counts by their total"))
        caption += ", and counts of cells whose data set holds raw counts"
    return Figure(panels, f"{caption}. Copies of one cell are all among them.", tables)


def annotation_figure(summary: CorpusSummary, columns: Mapping[str, str]) -> Figure | None:
    """What cells are, by columns of their annotation.

    Args:
        summary: of the corpus.
        columns: heading of each column.
    """
    panels, tables = [], []
    for column, heading in columns.items():
        found = summary.annotated(column)
        if set(found) - {"unknown"}:
            panels.append(
                _cells_chart(
                    column.replace("_", "-"),
                    heading,
                    f"{len(set(found) - {'unknown'}):,} different ones.",
                    shortened(found, _SHOWN),
                )
            )
            tables.append(_counts(heading.lower(), found, f"Cells by {heading.lower()}"))
    if not panels:
        return None
    names = " and ".join(
        heading.lower() for column, heading in columns.items() if _known(summary, column)
    )
    caption = (
        f"Stored cells by {names}, the {_SHOWN} most frequent and all others; copies of one cell "
        "are all among them."
    )
    return Figure(panels, caption, tables)


def overlap_figure(summary: CorpusSummary) -> Figure | None:
    """How much of the vocabulary each data set has."""
    if not summary.kept:
        return None
    rows = sorted(summary.kept, key=lambda row: (-row["cells"]["kept"], row["dataset"]))
    shown = rows[:_DATASETS]
    chart = bar_chart(
        Text(
            "overlap",
            "Genes of the vocabulary in each data set",
            f"From {min(map(summary.share_matched, rows)):.0%} to "
            f"{max(map(summary.share_matched, rows)):.0%}.",
        ),
        [Bar(_short(row["dataset"]), 100 * summary.share_matched(row)) for row in shown],
        label="% of the vocabulary's genes",
        decimals=0,
    )
    which = "all data sets" if len(shown) == len(rows) else f"the {len(shown)} largest data sets"
    columns = [Column("data set"), Column("genes found", 0), Column("% of the vocabulary", 1)]
    numbers = [
        [row["dataset"], row["genes"]["matched"], 100 * summary.share_matched(row)] for row in rows
    ]
    caption = f"Share of the {len(summary.vocabulary):,} genes of the vocabulary in {which}."
    return Figure([chart], caption, [Table(columns, numbers, caption="Genes found")])


def _known(summary: CorpusSummary, column: str) -> bool:
    return bool(set(summary.annotated(column)) - {"unknown"})


def _cells_chart(
    key: str, title: str, description: str, counts: Mapping[str, int], emphasis: str = ""
) -> Element:
    """Bars of cells, in units that leave room for their numbers."""
    largest = max(counts.values(), default=0)
    unit, label, decimals = (
        (1e6, "million cells", 2)
        if largest >= 1e6
        else (1e3, "thousand cells", 1)
        if largest >= 1e5
        else (1.0, "cells", 0)
    )
    bars = [
        Bar(_short(name), count / unit, emphasis=name == emphasis) for name, count in counts.items()
    ]
    return bar_chart(
        Text(key, title, description),
        bars,
        label=label if emphasis else f"{title}: {label}",
        decimals=decimals,
    )


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


def _counts(what: str, counts: Mapping[str, int], caption: str) -> Table:
    return Table(
        [Column(what), Column("cells", 0)],
        [[name, count] for name, count in counts.items()],
        caption=caption,
    )


def _bins(what: str, columns: Sequence[HistogramColumn], caption: str) -> Table:
    rows: list[list[Cell]] = [
        [f"{start:,.0f} to {stop:,.0f}", count] for start, stop, count in columns
    ]
    return Table([Column(what), Column("cells", 0)], rows, caption=caption)


def _merged(columns: Sequence[HistogramColumn]) -> list[HistogramColumn]:
    """Wider columns where there would be too many to be told apart."""
    width = columns[0][1] - columns[0][0]
    factor = 1
    while (columns[-1][1] / width) / factor > _MOST_COLUMNS:
        factor *= 2
    wide = width * factor
    sums: dict[float, float] = {}
    for start, _, height in columns:
        at = start // wide * wide
        sums[at] = sums.get(at, 0.0) + height
    return [(start, start + wide, height) for start, height in sorted(sums.items())]


def _middle(columns: Sequence[HistogramColumn]) -> str:
    """The range of the middle 80 % of the cells."""
    total = sum(height for _, _, height in columns)
    before, ends = 0.0, []
    for start, stop, height in columns:
        if before <= 0.1 * total < before + height:
            ends.append(start)
        if before < 0.9 * total <= before + height:
            ends.append(stop)
        before += height
    return f"between {ends[0]:,.0f} and {ends[-1]:,.0f}"
