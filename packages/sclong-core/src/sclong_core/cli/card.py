"""Showing the card of a model."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import print_facts, print_table

if TYPE_CHECKING:
    from sclong_core.card import CardScore, ModelCard


def show_card(card: "ModelCard") -> None:
    """Print what a model was trained on, how it was judged, and what it is not for."""
    tissues = ", ".join(f"{name} {cells:,}" for name, cells in card.tissues.items())
    print_facts(
        [
            ("model", f"{card.name}: {card.summary}"),
            ("licence", card.licence),
            ("trained on", f"{card.cells:,} cells, {card.visits:,} visits"),
            ("tissues", tissues),
            *(("found", finding) for finding in card.findings),
            *(("not for", use) for use in card.not_for),
        ]
    )
    print_table(
        ("source", "study", "tissue", "cells", "licence", "published in"),
        (
            (one.dataset, one.study, one.tissue, f"{one.cells:,}", one.licence, one.repository)
            for one in card.sources
        ),
    )
    for measure in dict.fromkeys(score.measure for score in card.scores):
        chosen = [score for score in card.scores if score.measure == measure]
        others = tuple(dict.fromkeys(name for score in chosen for name in score.beside))
        print_table((measure, card.name, *others), _rows(chosen, others))


def _rows(scores: "list[CardScore]", others: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for score in scores:
        interval = "" if score.low is None else f" [{score.low:.3f}, {score.high:.3f}]"
        beside = (score.beside.get(name) for name in others)
        shown = ("" if value is None else f"{value:.3f}" for value in beside)
        yield (score.data, f"{score.value:.3f}{interval}", *shown)
