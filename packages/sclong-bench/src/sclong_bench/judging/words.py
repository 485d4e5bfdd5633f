"""Blocks of a Markdown page that follow from judged rows and a card.

A block stands between ``<!-- judged NAME -->`` and ``<!-- end -->`` and is written from the rows.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sclong_bench.judging.measure import PRIMARY
from sclong_bench.judging.run import JudgedRow
from sclong_bench.judging.verdict import bars
from sclong_core.card import ModelCard
from sclong_core.errors import InputError

_BLOCK = re.compile(r"(<!-- judged (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True)
class Judged:
    """What a page is filled from."""

    report: Sequence[JudgedRow]
    development: Sequence[JudgedRow]
    card: ModelCard
    model: str
    """Its name among the rows."""


def filled_page(text: str, judged: Judged) -> str:
    """The page with its blocks written from the rows.

    Raises:
        InputError: the page has no block, or one of an unknown name.
    """
    blocks: Mapping[str, Callable[[], Iterator[str]]] = {
        "report": lambda: _table(judged.report, PRIMARY, centred=False),
        "report-centred": lambda: _table(judged.report, PRIMARY, centred=True),
        "report-cilisi": lambda: _table(judged.report, "cilisi", centred=False),
        "report-bras": lambda: _table(judged.report, "bras", centred=False),
        "report-nmi": lambda: _table(judged.report, "nmi", centred=False),
        "development": lambda: _table(judged.development, PRIMARY, centred=False),
        "bars": lambda: _bars(judged),
        "sources": lambda: _sources(judged.card),
    }
    found = _BLOCK.findall(text)
    if not found:
        raise InputError("the page has no block <!-- judged NAME --> ... <!-- end -->")

    def written(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in blocks:
            raise InputError(f"no judged block is called {name!r}: {', '.join(blocks)}")
        lines = "\n".join(blocks[name]())
        return f"{match[1]}\n{lines}\n\n{match[3]}"

    return _BLOCK.sub(written, text)


def _table(rows: Sequence[JudgedRow], measure: str, *, centred: bool) -> Iterator[str]:
    """One line a model and seed, one column a set, intervals over cells where there are any."""
    chosen = [r for r in rows if r.measure == measure and r.centred is centred]
    sets = list(dict.fromkeys(row.data for row in chosen))
    if not chosen:
        yield "Not measured."
        return
    yield "| model | seed | " + " | ".join(sets) + " | mean |"
    yield "| --- | --- | " + " | ".join("---" for _ in sets) + " | --- |"
    for model, seed in dict.fromkeys((row.model, row.seed) for row in chosen):
        by_set = {r.data: r for r in chosen if (r.model, r.seed) == (model, seed)}
        values = [_shown(by_set.get(name)) for name in sets]
        whole = all(name in by_set for name in sets)
        mean = f"{np.mean([by_set[name].value for name in sets]):.3f}" if whole else ""
        yield f"| {model} | {seed} | " + " | ".join(values) + f" | {mean} |"


def _shown(row: JudgedRow | None) -> str:
    if row is None or pd.isna(row.value):
        return ""
    interval = "" if row.low is None else f" [{row.low:.3f}, {row.high:.3f}]"
    return f"{row.value:.3f}{interval}"


def _bars(judged: Judged) -> Iterator[str]:
    for centred in (False, True):
        words = "centred on the target" if centred else "vectors as they are"
        mixing = not centred  # clusters and mixing are measured of vectors as they are
        for bar in bars(judged.report, judged.model, centred=centred, mixing=mixing):
            yield f"- **{'met' if bar.met else 'missed'}** ({words}): {bar.words}: {bar.found}"


def _sources(card: ModelCard) -> Iterator[str]:
    yield "| source | study | tissue | cells | licence | repository at commit |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in card.sources:
        place = f"{one.repository} @ {one.commit[:12]}"
        yield (
            f"| {one.dataset} | {one.study} | {one.tissue} | {one.cells:,} | {one.licence} | "
            f"{place} |"
        )
