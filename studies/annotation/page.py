"""Tables and the figure of the page on annotation, from the rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from sclong_core.files import atomic_file
from sclong_data.report.lines import Series, line_chart
from sclong_data.report.standalone import write_svg
from sclong_data.report.svg import Text
from sclong_tasks.tables import fill_block
from studies.annotation.judge import (
    ALIGNED,
    LOGISTIC,
    NEAREST,
    ON_COMPONENTS,
    OURS,
    ROOT,
    Row,
)

FIGURE = ROOT / "docs" / "images" / "annotation.svg"
METHODS = (OURS, ALIGNED, ON_COMPONENTS, NEAREST, LOGISTIC)
_SHOWN = 50
"""Cells that a point of the figure stands for at least."""
_NOT_MEASURED = "-"


def fill(page: Path, rows: Sequence[Row]) -> None:
    """Write the tables of a page, and the figure beside it."""
    text = filled_page(page.read_text(encoding="utf-8"), rows)
    with atomic_file(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_svg(FIGURE, figure(rows))


def filled_page(text: str, rows: Sequence[Row]) -> str:
    """The page with its tables written from the rows."""
    tables = {
        "summary": _summary(rows),
        "pairs": _pairs(rows, "pair"),
        "fresh": _fresh(rows),
        "unknown": _unknown(rows),
        "within": _within(rows),
        "across": _across(rows),
    }
    for name, lines in tables.items():
        text = fill_block(text, name, "\n".join([*lines, ""]))
    return text


def figure(rows: Sequence[Row]) -> Element:
    """Share of correctly labelled cells over the stated probability."""
    words = {"within": "within", "across": "between", "aligned": "aligned"}
    curves = [
        Series(
            words[kind],
            [
                (row.values[0], row.values[1])
                for row in rows
                if row.kind == "curve" and row.method == kind and row.cells >= _SHOWN
            ],
        )
        for kind in words
    ]
    curves.append(Series("exact", [(0.0, 0.0), (1.0, 1.0)]))
    said = "Within a study labels are correct about as often as stated, between studies less often."
    return line_chart(
        Text("annotation-calibration", "Correct labels and stated probability", said),
        curves,
        x_label="stated probability",
        y_label="share correct",
    )


def _of(rows: Sequence[Row], kind: str, method: str, measure: str) -> list[Row]:
    return [r for r in rows if (r.kind, r.method, r.measure) == (kind, method, measure)]


def _shown(found: Sequence[Row]) -> str:
    """Mean over pairs of studies; behind it the range over seeds of that mean."""
    if not found:
        return _NOT_MEASURED
    seeds = np.mean([row.values for row in found], axis=0)
    mean = f"{seeds.mean():.3f}"
    return mean if len(seeds) == 1 else f"{mean} ({seeds.min():.3f} to {seeds.max():.3f})"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    yield "| | accuracy | macro-F1 | AUROC of unknown, a type left out |"
    yield "| --- | ---: | ---: | ---: |"
    for method in METHODS:
        parts = (
            _of(rows, "pair", method, "accuracy"),
            _of(rows, "pair", method, "macro_f1"),
            _of(rows, "type", method, "auroc_unknown"),
        )
        yield f"| {method} | {' | '.join(map(_shown, parts))} |"


def _pairs(rows: Sequence[Row], kind: str) -> Iterator[str]:
    heads = " | ".join(f"{method}: accuracy, macro-F1" for method in METHODS)
    yield f"| reference | query | cells | {heads} |"
    yield "| --- | --- | ---: |" + " ---: |" * len(METHODS)
    mine = [row for row in rows if row.kind == kind]
    for reference, query in dict.fromkeys((row.reference, row.query) for row in mine):
        here = [row for row in mine if (row.reference, row.query) == (reference, query)]
        value = {(row.method, row.measure): row.mean for row in here}
        shown = " | ".join(
            f"{value[m, 'accuracy']:.3f}, {value[m, 'macro_f1']:.3f}" for m in METHODS
        )
        yield f"| {reference} | {query} | {here[0].cells:,} | {shown} |"


def _fresh(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| query | references | cells of shared types | method | accuracy | macro-F1 | "
        "AUROC of unknown |"
    )
    yield "| --- | ---: | ---: | --- | ---: | ---: | ---: |"
    mine = [row for row in rows if row.kind == "fresh"]
    for query in dict.fromkeys(row.query for row in mine):
        here = [row for row in mine if row.query == query]
        cells = [row.cells for row in _of(here, "fresh", OURS, "accuracy")]
        for method in METHODS:
            shown = " | ".join(
                _shown(_of(here, "fresh", method, measure))
                for measure in ("accuracy", "macro_f1", "auroc_unknown")
            )
            few, many = min(cells), max(cells)
            count = f"{few:,}" if few == many else f"{few:,} to {many:,}"
            yield f"| {query} | {len(cells)} | {count} | {method} | {shown} |"


def _unknown(rows: Sequence[Row]) -> Iterator[str]:
    yield "| type that the reference lacks | pairs | " + " | ".join(METHODS) + " |"
    yield "| --- | ---: |" + " ---: |" * len(METHODS)
    mine = [row for row in rows if (row.kind, row.measure) == ("type", "auroc_unknown")]
    for left_out in sorted({row.left_out for row in mine}):
        found = [
            [row.mean for row in mine if (row.left_out, row.method) == (left_out, method)]
            for method in METHODS
        ]
        shown = " | ".join(
            f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})" for values in found
        )
        yield f"| {left_out} | {len(found[0])} | {shown} |"


def _within(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| study | cells labelled | accuracy | true label in the set (guaranteed: .95) "
        "| labels per set | called unknown (guaranteed: at most .05) |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    mine = [row for row in rows if row.kind == "within"]
    for query in dict.fromkeys(row.query for row in mine):
        here = [row for row in mine if row.query == query]
        shown = " | ".join(
            _shown(_of(here, "within", OURS, measure))
            for measure in ("accuracy", "covered", "labels_a_cell", "falsely_unknown")
        )
        yield f"| {query} | {here[0].cells:,} | {shown} |"


def _across(rows: Sequence[Row]) -> Iterator[str]:
    yield (
        "| | true label in the set (stated: .95) | labels per set | called unknown, type in the "
        "reference (stated: .05) | called unknown, type left out of the reference |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for method in (OURS, ALIGNED, ON_COMPONENTS):
        parts = (
            _of(rows, "pair", method, "covered"),
            _of(rows, "pair", method, "labels_a_cell"),
            _of(rows, "pair", method, "falsely_unknown"),
            _of(rows, "type", method, "called_unknown"),
        )
        yield f"| {method} | {' | '.join(map(_shown, parts))} |"
