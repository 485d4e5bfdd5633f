import json

import pandas as pd
import pytest

from sclong_bench.report.checklist import checklist
from sclong_bench.report.comparison import gather
from sclong_bench.results.reading import Results, read_results
from sclong_bench.results.schema import tidy
from sclong_bench.statistics.comparison import Plan


def answers(evidence):
    return {check.letter: check for check in checklist(evidence)}


@pytest.fixture(scope="module")
def made_up(made_up_runs):
    return answers(gather(read_results(made_up_runs)))


def perfect(**change):
    """A table that has everything that a table can have."""
    metrics = ("pearson", "rmse", "sign_accuracy", "wasserstein")
    models = {"scLong": 0.9, "mean": 0.5, "linear": 0.6, "technical duplicate": 1.0}
    digests = dict.fromkeys(("data_digest", "config_digest", "checkpoint_digest"), "a" * 64)
    rows = [
        {
            "task": "t",
            "metric": metric,
            "stratum": stratum,
            "model": model,
            "seed": seed,
            "value": mean + seed * (0.01 + mean / 100),
            "low": 0.1,
            "high": 0.9,
            "unit": "drug",
            "split_digest": str(seed),
            **digests,
            "wall_seconds": 1,
            "peak_memory_bytes": 1,
            "code_version": "1",
            "packages": "x",
            **change,
        }
        for metric in metrics
        for stratum in ("all", "rare")
        for model, mean in models.items()
        for seed in range(5)
    ]
    return tidy(pd.DataFrame(rows))


def test_ten_questions_each_with_a_reason(made_up):
    assert list(made_up) == list("abcdefghij")
    assert all(check.because for check in made_up.values())


def test_what_is_there_is_ticked_and_what_is_not_is_not(made_up):
    states = {letter: check.state for letter, check in made_up.items()}
    assert states["a"] == "partly"  # two models lack a seed
    assert "8 of 10 models" in made_up["a"].because
    assert states["b"] == "partly"
    assert "not paired" in made_up["b"].because
    assert states["c"] == "partly"
    assert "ceiling: none" in made_up["c"].because
    assert states["d"] == states["f"] == "yes"
    assert states["e"] == "partly"
    assert "lacks direction, distribution" in made_up["e"].because
    assert states["g"] == "partly"
    assert "no cell line is in two parts" in made_up["g"].because
    assert states["h"] == "partly"
    assert states["i"] == "yes"
    assert states["j"] == "yes"
    assert "in 3 of them sclong is not ahead" in made_up["j"].because


def test_a_table_can_tick_nearly_all(tmp_path):
    rows = perfect()
    facts = {"tuning_budget": "20 trials", "leakage": "none of the drugs"}
    found = answers(
        gather(
            Results(rows, "x", dict.fromkeys(rows["source"], facts)),
            plan=Plan(test="paired"),
        )
    )
    states = {letter: check.state for letter, check in found.items()}
    assert [letter for letter, state in states.items() if state != "yes"] == ["g"]


def test_a_leakage_statement_needs_splits_and_pretraining(tmp_path):
    rows = perfect()
    (tmp_path / "split.json").write_text(json.dumps({"unit": "drug"}))
    sources = dict.fromkeys(rows["source"])
    results = Results(
        rows,
        "x",
        {source: {"leakage_in_pretraining": "none"} for source in sources},
        dict.fromkeys(sources, tmp_path),
    )
    assert answers(gather(results))["g"].state == "yes"


@pytest.mark.parametrize(
    ("change", "letter", "words"),
    [
        ({"code_version": ""}, "i", "code version"),
        ({"peak_memory_bytes": None}, "i", "peak memory"),
        ({"checkpoint_digest": ""}, "i", "checkpoint of scLong"),
        ({"low": None}, "a", "0 of 4 have an interval over units"),
        ({"data_digest": "", "split_digest": ""}, "h", "No digests"),
    ],
)
def test_taking_one_thing_away_unticks_its_question(change, letter, words):
    found = answers(gather(Results(perfect(**change), "x"), plan=Plan(test="paired")))[letter]
    assert found.state != "yes"
    assert words in found.because
