"""The page of a corpus."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from xml.etree.ElementTree import Element

from sclong_data.corpus.layout import INDEX
from sclong_data.outputs import require_output
from sclong_data.report.markup import tag
from sclong_data.report.page import Block, Page, Section, is_page, key_figures, write_page
from sclong_data.report.table import Cell, Column, Table
from sclong_data.stats.figures import (
    annotation_figure,
    funnel_figure,
    genes_figure,
    overlap_figure,
)
from sclong_data.stats.summary import CorpusSummary

_PAIRS = 50
_DATASETS = (
    "Data sets in the corpus. Known: genes of the vocabulary among those of the data set; % of "
    "counts: share of the counts of stored cells that is on them"
)
_ANNOTATION = (
    {"tissue": "Tissue", "cell_type": "Cell type"},
    {"assay": "Assay", "disease": "Disease"},
    {"sex": "Sex", "organism": "Species"},
)
_HOW = {
    "id": "Ensembl id of the vocabulary",
    "retired": "retired Ensembl id, by its successor",
    "symbol": "approved symbol",
    "previous": "previous symbol",
    "alias": "alias",
    "ncbi": "NCBI id",
    "ambiguous": "ambiguous: not mapped",
    "unknown": "unknown: not mapped",
    "outside": "a gene that the vocabulary lacks",
}


def write_stats(corpus: str | PathLike[str], path: str | PathLike[str]) -> CorpusSummary:
    """Write the page of a corpus.

    Args:
        corpus: its folder.
        path: the HTML file to write; its folder must exist. An older page is replaced.

    Raises:
        InputError: there is no corpus, its index is damaged, or ``path`` is not a page.
    """
    require_output(Path(path), [Path(corpus) / INDEX], ours=is_page)
    summary = CorpusSummary.read(corpus)
    write_page(path, stats_page(summary))
    return summary


def stats_page(summary: CorpusSummary) -> Page:
    """The page of a corpus."""
    return Page(
        title=f"A corpus of {summary.index.cells:,} cells",
        lede=_lede(summary),
        summary=_facts(summary),
        sections=[
            Section("From data sets to cells", [funnel_figure(summary), _reasons(summary)]),
            Section("Data sets", [_datasets(summary)]),
            Section("Genes and counts of a cell", _or_nothing(genes_figure(summary))),
            Section(
                "Where the cells are from",
                _or_nothing(*(annotation_figure(summary, columns) for columns in _ANNOTATION)),
            ),
            Section("Genes", [*_or_nothing(overlap_figure(summary)), _mapping(summary)]),
            Section("Duplicates between data sets", list(_duplicates(summary))),
            Section("Normalisation", [_normalisations(summary)]),
            Section("How it was made", [_rules(summary), _provenance(summary)]),
        ],
    )


def _lede(summary: CorpusSummary) -> str:
    rejected = sum(row["status"] == "rejected" for row in summary.rows)
    failed = sum(row["status"] == "failed" for row in summary.rows)
    left = [
        *([f"{rejected:,} {_are(rejected)} left out by the rules"] if rejected else []),
        *([f"{failed:,} could not be read"] if failed else []),
    ]
    others = f"; {' and '.join(left)}" if left else ""
    kept = len(summary.kept)
    return (
        f"{kept:,} of {len(summary.rows):,} data sets {_are(kept)} in this corpus{others}. Its "
        f"cells are vectors over {len(summary.vocabulary):,} genes. Every cell that was read is "
        "either in the corpus or counted below under the reason for which it is not."
    )


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _facts(summary: CorpusSummary) -> Element:
    values = sum(record.values for record in summary.index.shards)
    stored = sum(record.cells for record in summary.index.shards)
    facts = (
        ("cells", f"{summary.index.cells:,}", f"of {summary.cells_in:,} that were read"),
        ("data sets", f"{len(summary.kept):,}", f"of {len(summary.rows):,} in the manifest"),
        (
            "genes a cell, on average",
            f"{values / stored:,.0f}" if stored else "0",
            f"of {len(summary.vocabulary):,} in the vocabulary",
        ),
    )
    return key_figures(facts)


def _or_nothing(*blocks: Block | None) -> list[Block]:
    found = [block for block in blocks if block is not None]
    return found or ["Nothing is known of them."]


def _reasons(summary: CorpusSummary) -> Table:
    rows: list[list[Cell]] = [
        [row["dataset"], row["status"], str(row.get("detail") or row["reason"])]
        for row in summary.rows
        if row["status"] != "kept"
    ]
    if not rows:
        rows = [["none", "", ""]]
    columns = (Column("data set"), Column("what became of it"), Column("why"))
    return Table(columns, rows, caption="Data sets that are not in the corpus")


def _datasets(summary: CorpusSummary) -> Table:
    columns = (
        Column("data set"),
        Column("cells", 0),
        Column("left out", 0),
        Column("duplicates", 0),
        Column("kept", 0),
        Column("genes", 0),
        Column("known", 0),
        Column("% of counts", 1),
        Column("values"),
    )
    rows: list[list[Cell]] = []
    for row in summary.kept:
        cells, genes, share = row["cells"], row["genes"], row["share_of_counts_matched"]
        rows.append(
            [
                _name(row),
                cells["in"],
                sum(cells["out"].values()),
                cells["duplicates"],
                cells["kept"],
                genes["in"],
                genes["matched"],
                None if share is None else 100 * share,
                str(row["normalisation"]),
            ]
        )
    return Table(columns, rows, caption=_DATASETS)


def _name(row: dict[str, Cell]) -> Cell:
    title = str(row.get("title") or "")
    if not title:
        return str(row["dataset"])
    return tag("span", str(row["dataset"]), " ", tag("small", title))


def _mapping(summary: CorpusSummary) -> Table:
    found = summary.genes_by()
    total = sum(found.values())
    rows: list[list[Cell]] = [
        [_HOW.get(how, how), count, 100 * count / total] for how, count in found.items()
    ]
    columns = (Column("a gene's name was"), Column("genes", 0), Column("%", 1))
    caption = "Genes of all data sets in the corpus, by how their names were understood"
    return Table(columns, rows, caption=caption)


def _duplicates(summary: CorpusSummary) -> Iterator[Block]:
    total = sum(count for _, _, count in summary.pairs)
    if not total:
        yield "No cell is stored twice."
        return
    yield (
        f"{total:,} cells are stored exactly like another one and left out. Of the copies of a "
        "cell, that of the first data set by its id stays, and in it the first row."
    )
    ordered = sorted(summary.pairs, key=lambda pair: (-pair[2], pair))
    rows: list[list[Cell]] = [[one, other, count] for one, other, count in ordered[:_PAIRS]]
    columns = (Column("the copy in ... stays"), Column("the copy in ... goes"), Column("cells", 0))
    caption = "Data sets that share cells"
    if len(ordered) > _PAIRS:
        caption += f": the {_PAIRS} pairs with most of {len(ordered):,}"
    yield Table(columns, rows, caption=caption)


def _normalisations(summary: CorpusSummary) -> Table:
    groups: dict[tuple[str, str, bool], list[int]] = {}
    for row in summary.kept:
        key = (str(row["normalisation"]), str(row["matrix"]), bool(row["normalisation_forced"]))
        groups.setdefault(key, []).append(int(row["cells"]["kept"]))
    rows: list[list[Cell]] = [
        [kind, matrix, "the manifest" if forced else "its values", len(cells), sum(cells)]
        for (kind, matrix, forced), cells in sorted(groups.items())
    ]
    columns = (
        Column("values"),
        Column("matrix"),
        Column("known by"),
        Column("data sets", 0),
        Column("cells", 0),
    )
    return Table(columns, rows, caption="What data sets held, and which of their matrices")


def _rules(summary: CorpusSummary) -> Table:
    rows: list[list[Cell]] = [
        [name.replace("_", " "), "none" if value is None else _setting(value)]
        for name, value in summary.index.rules.items()
    ]
    return Table((Column("rule"), Column("setting")), rows, caption="Rules of the harmoniser")


def _setting(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,g}" if isinstance(value, int | float) else str(value)


def _provenance(summary: CorpusSummary) -> Element:
    size = sum(record.bytes for record in summary.index.shards)
    stored = sum(record.cells for record in summary.index.shards)
    return tag(
        "p",
        f"{len(summary.index.shards):,} shards of {_bytes(size)}",
        f", {size / stored:,.0f} bytes a cell. " if stored else ". ",
        "Digest of the corpus: ",
        tag("code", summary.index.digest),
        "; of its vocabulary: ",
        tag("code", summary.index.vocabulary),
        ".",
    )


def _bytes(size: int) -> str:
    units = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
    return next((f"{size / unit:,.1f} {name}" for unit, name in units if size >= unit), f"{size} B")
