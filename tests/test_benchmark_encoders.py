import json

import numpy as np
import pytest

from benchmarks import encoders, tasks, turns
from sclong_tasks.encoders.genecompass import PRIORS, GeneCompass, GeneCompassOptions, GeneNames
from sclong_tasks.encoders.geneformer import BertSizes, Geneformer
from sclong_tasks.encoders.scfoundation import ScFoundation, ScFoundationSizes
from sclong_tasks.encoders.scgpt import ScGpt, ScGptSizes
from sclong_tasks.encoders.uce import Uce, UceOptions, UceSizes
from sclong_tasks.encoders.uce_genes import ProteinGenes

BERT = BertSizes(20_000, 16, 2, 24, 2, 64, activation="gelu")


def uce(padded):
    options = UceOptions(padding="original" if padded else "none")
    sizes = UceSizes(encoders.TOKEN_ROWS, 12, 16, 2, 24, 2, 8, 16, 1536)
    return Uce(sizes, ProteinGenes({}, {}, frozenset(), encoders.TOKEN_ROWS), options=options)


def genecompass(padded):
    options = GeneCompassOptions(padding="original" if padded else "none")
    priors = dict.fromkeys(PRIORS, 3)
    return GeneCompass(BERT, priors, GeneNames({}, {}, {}), options=options)


def scfoundation(_padded):
    sizes = ScFoundationSizes(200, 16, 2, 2, 24, 5, 1.0, 103.0, 102.0, 8, 2, 1, 4, 5)
    return ScFoundation(sizes, [])


SMALL = {
    "scgpt": lambda _padded: ScGpt(ScGptSizes(20_000, 16, 2, 24, 2), {"<pad>": 0}),
    "geneformer_v1": lambda _padded: Geneformer(BERT, {"<pad>": 0}, {}),
    "geneformer_v2": lambda _padded: Geneformer(BERT, {"<pad>": 0}, {}),
    "uce_4": uce,
    "uce_33": uce,
    "scfoundation": scfoundation,
    "genecompass": genecompass,
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Sizes and cells that take no time."""
    monkeypatch.setattr(encoders, "EXPRESSED", (7, 20, 40))
    monkeypatch.setattr(encoders, "SENTENCE", 30)
    for name, make in SMALL.items():
        published = encoders.MODELS[name]
        changed = {**vars(published), "make": make, "limit": min(published.limit, 64)}
        monkeypatch.setitem(encoders.MODELS, name, encoders.Published(**changed))


def both_ways(name, rows=3):
    return {way: encoders.measure(way, rows, name) for way in encoders.WAYS}


@pytest.mark.parametrize("name", encoders.MODELS)
def test_both_ways_compute_the_same_where_padding_takes_no_part(name):
    theirs, ours = (np.array(found["vectors"]) for found in both_ways(name).values())
    assert theirs.shape == ours.shape
    same = np.abs(theirs - ours).max() < 1e-5
    assert same == (name in encoders.SAME)


def test_all_published_models_are_measured():
    assert set(SMALL) == set(encoders.MODELS)
    names = {name.partition("_")[0] for name in encoders.MODELS}
    assert names == {"scgpt", "geneformer", "uce", "scfoundation", "genecompass"}
    assert encoders.make_model("uce_4", padded=False).limit == 1536


def test_the_report_has_a_line_for_each_way_and_belongs_to_that_of_the_tasks(tmp_path):
    found = [row for name in SMALL for row in both_ways(name).values()]
    results = {
        **turns.circumstances(0.5, 1),
        "largest_difference": encoders._difference(found),
        "measurements": [
            encoders._least(found, name, way) for name in SMALL for way in encoders.WAYS
        ],
    }
    assert results["largest_difference"] < 1e-4
    (tmp_path / "encoders.json").write_text(json.dumps(results))
    tasks.write_report(tmp_path)
    text = (tmp_path / "tasks.md").read_text()
    for name in SMALL:
        assert text.count(f"| {encoders.MODELS[name].title} |") == len(encoders.WAYS)
