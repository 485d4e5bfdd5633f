import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sclong_bench.results.schema import tidy
from sclong_bench.statistics.comparison import Plan
from sclong_bench.statistics.movement import COLUMNS, movements
from sclong_core.errors import InputError


def table(models, *, seed=0, seeds=5, metric="r", **columns):
    generator = np.random.default_rng(seed)
    return tidy(
        pd.DataFrame(
            [
                {
                    "task": "t",
                    "metric": metric,
                    "model": model,
                    "seed": number if sd else None,
                    "value": mean + generator.normal(0, sd),
                    **columns,
                }
                for model, (mean, sd) in models.items()
                for number in range(seeds if sd else 1)
            ]
        )
    )


def test_what_moved_and_what_is_noise():
    a = table({"moved": (0.8, 0.01), "still": (0.5, 0.05), "fixed": (0.3, 0)})
    b = table({"moved": (0.7, 0.01), "still": (0.5, 0.05), "fixed": (0.4, 0)}, seed=1)
    found = movements(a, b).set_index("model")
    assert tuple(movements(a, b).columns) == COLUMNS
    assert found["verdict"].to_dict() == {"moved": "moved", "still": "noise", "fixed": "changed"}
    assert not found.loc["moved", "better"]
    assert found.loc["fixed", "better"]
    one, other = (rows[rows["model"] == "moved"]["value"] for rows in (a, b))
    reference = stats.ttest_ind(other, one, equal_var=False)
    assert found.loc["moved", "p_value"] == pytest.approx(reference.pvalue, abs=1e-12)
    assert found.loc["moved", "difference"] == pytest.approx(other.mean() - one.mean())
    assert found.loc["still", "smallest_detectable"] > abs(found.loc["still", "difference"])


def test_equal_results_are_the_same_whatever_the_rounding():
    a = table({"m": (0.8, 0.01)})
    b = a.assign(value=a["value"] * (1 + 1e-15))
    assert list(movements(a, b)["verdict"]) == ["same"]


def test_what_has_no_counterpart():
    a, b = table({"m": (0.8, 0.01), "gone": (1, 0.1)}), table({"m": (0.8, 0.01), "new": (1, 0.1)})
    found = movements(a, b).set_index("model")["verdict"]
    assert found.to_dict() == {"gone": "only in a", "new": "only in b", "m": "same"}


def test_values_that_are_no_numbers():
    a = table({"m": (0.8, 0.01)})
    b = a.assign(value=[np.nan, *a["value"][1:]])
    row = movements(a, b).iloc[0]
    assert (row["verdict"], np.isnan(row["p_value"])) == ("not defined", True)


def test_pairs_where_seeds_are_shared_and_said_where_not():
    generator = np.random.default_rng(0)
    a = table({"m": (0.8, 0.1)})
    b = a.assign(value=a["value"] + 0.01 + generator.normal(0, 0.001, 5))
    assert movements(a, b)["verdict"].item() == "noise"
    assert movements(a, b, Plan(test="paired"))["verdict"].item() == "moved"
    fewer = movements(a, b[b["seed"] < 4], Plan(test="paired")).iloc[0]
    assert (fewer["test"], fewer["n_b"]) == ("welch", 4)
    assert "not paired" in fewer["note"]


def test_what_the_results_rest_on_is_named_where_it_changed():
    a = table({"m": (0.8, 0.01)}, config_digest="x", code_version="1")
    b = table({"m": (0.8, 0.01)}, config_digest="y", code_version="2", seed=3)
    assert movements(a, b)["changed"].item() == "config code"
    mixed = pd.concat([a, table({"n": (1, 0.1)}, data_digest="q")])
    assert len(movements(a, mixed)) == 2
    with pytest.raises(InputError, match="different data"):
        movements(a.assign(data_digest=["1", "1", "1", "1", "2"]), b)


def test_noise_is_seldom_called_movement():
    wrong = 0
    for seed in range(60):
        models = dict.fromkeys("abcdef", (0.5, 0.02))
        a, b = table(models, seed=2 * seed), table(models, seed=2 * seed + 1)
        wrong += bool((movements(a, b)["verdict"] == "moved").any())
    assert stats.binomtest(wrong, 60, 0.05, alternative="greater").pvalue > 1e-3
