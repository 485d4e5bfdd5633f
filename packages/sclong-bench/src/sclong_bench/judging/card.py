"""The card of a model from what is known of it: manifest, corpus, judged rows, checkpoint."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sclong_bench.judging.models import OWN_COMPONENTS
from sclong_bench.judging.run import JudgedRow
from sclong_bench.judging.sets import JudgingSet
from sclong_bench.judging.verdict import Bar, bars
from sclong_core.card import CardScore, CardSource, ModelCard
from sclong_core.manifest import read_checkpoint_info
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.dataset_manifest import Manifest

MEAN = "mean"
"""Name of the average over data sets."""
_MEASURES = {
    ("macro_f1", False): "macro-F1 of types",
    ("macro_f1", True): "macro-F1 of types, centred on the target",
    ("cilisi", False): "CiLISI of batches",
    ("bras", False): "BRAS of batches",
}
NOT_FOR = (
    "decisions about patients: it was trained on few cells and judged on few data sets",
    "other species than human, bulk samples and spatial spots",
    "cells of which fewer than about 200 genes are expressed",
    "claims about single genes: its gene vectors were not judged",
)


@dataclass(frozen=True)
class CardFacts:
    """What no file says."""

    name: str
    """Of the model, for people."""
    model: str
    """Its name among the rows."""
    visits: int
    """Cells seen in training, repeats included."""
    seed: int = 0
    """Of the training of what ships."""
    summary: str = "a small scLong trained on public human cells"
    licence: str = "Apache-2.0; sources keep their own licences, listed below"
    not_for: Sequence[str] = NOT_FOR


def make_card(
    facts: CardFacts,
    *,
    checkpoint: Path,
    corpus: Path,
    manifest: Path,
    rows: Sequence[JudgedRow],
    sets: Sequence[JudgingSet],
) -> ModelCard:
    """Put a card together.

    Args:
        facts: what no file says.
        checkpoint: folder of the model that ships.
        corpus: that it was trained on.
        manifest: of that corpus.
        rows: of all models.
        sets: that judged.

    Raises:
        InputError: a file is missing or damaged.
    """
    kept = pd.Series(np.asarray(CellCorpus(corpus).datasets())).value_counts()
    sources = tuple(
        CardSource(
            entry.dataset,
            entry.study or "not stated",
            entry.licence or "not stated",
            entry.tissue or "not stated",
            int(kept.get(entry.dataset, 0)),
            entry.repository or "",
            entry.commit or "",
        )
        for entry in Manifest.read(manifest)
    )
    studies = [source.study.lower() for source in sources]
    without = {  # judged by another model than the one that ships, where that knows the study
        one.name: one.trained_without
        for one in sets
        if one.trained_without and any(s.startswith(one.trained_without.lower()) for s in studies)
    }
    return ModelCard(
        name=facts.name,
        checkpoint=read_checkpoint_info(checkpoint).digest,
        licence=facts.licence,
        summary=facts.summary,
        visits=facts.visits,
        not_for=tuple(facts.not_for),
        findings=tuple(map(_words, bars(rows, facts.model, centred=False))),
        sources=sources,
        scores=tuple(_scores(rows, facts.model, facts.seed, without)),
    )


def _words(bar: Bar) -> str:
    return f"{'met' if bar.met else 'missed'}: {bar.words} ({bar.found})"


def _scores(
    rows: Sequence[JudgedRow], model: str, seed: int, without: Mapping[str, str]
) -> Iterator[CardScore]:
    # What is derived from a checkpoint is named after it: "mini, untrained".
    derived = re.compile(rf"{re.escape(model)}, .*")
    for (measure, centred), words in _MEASURES.items():
        chosen = [row for row in rows if row.measure == measure and row.centred is centred]
        others = [
            name
            for name in dict.fromkeys(row.model for row in chosen)
            if name != model
            and (name == f"{model}, {OWN_COMPONENTS}" or not derived.fullmatch(name))
        ]
        ours = [row for row in chosen if row.model == model and row.seed == seed]
        means = {
            (name, data): float(np.mean(values))
            for name in others
            for data in dict.fromkeys(row.data for row in ours)
            if (values := [r.value for r in chosen if r.model == name and r.data == data])
        }
        for row in ours:
            study = without.get(row.data)
            yield CardScore(
                f"{row.data} (model trained without {study})" if study else row.data,
                words,
                round(row.value, 4),
                None if row.low is None else round(row.low, 4),
                None if row.high is None else round(row.high, 4),
                {
                    name: round(means[name, row.data], 4)
                    for name in others
                    if (name, row.data) in means
                },
            )
        if len(ours) > 1:
            yield CardScore(
                MEAN,
                words,
                round(float(np.mean([row.value for row in ours])), 4),
                None,
                None,
                {
                    name: round(float(np.mean([means[name, row.data] for row in ours])), 4)
                    for name in others
                    if all((name, row.data) in means for row in ours)
                },
            )
