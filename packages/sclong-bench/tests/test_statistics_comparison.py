import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sclong_bench
from sclong_bench.statistics.comparison import COLUMNS, DETAILS, compare
from sclong_bench.statistics.correction import families
from sclong_core.errors import ConfigError, InputError


def table(models, *, seeds=5, task="drug_response", metric="pearson", **columns):
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "task": task,
                "metric": metric,
                "model": model,
                "seed": seed,
                **columns,
                "value": mean + generator.normal(0, 0.01),
            }
            for model, mean in models.items()
            for seed in range(seeds)
        ]
    )


@pytest.fixture
def rows():
    return table({"scLong": 0.88, "Geneformer": 0.85, "linear": 0.75})


def values(rows, model):
    return rows[rows["model"] == model]["value"]


def test_a_row_a_comparison_with_the_columns_that_are_promised(rows):
    found = compare(rows)
    assert tuple(found.columns) == (*COLUMNS, *DETAILS)
    assert list(found["model"]) == ["Geneformer", "linear"]
    assert set(found["reference"]) == {"scLong"}
    ours = values(rows, "Geneformer")
    row = found.iloc[0]
    reference = stats.ttest_ind(ours, values(rows, "scLong"), equal_var=False)
    assert (row["n"], row["mean"], row["sd"]) == (5, pytest.approx(ours.mean()), ours.std())
    assert row["p_value"] == pytest.approx(reference.pvalue, abs=1e-12)
    assert row["difference"] < 0 > row["cohens_d"]
    assert row["ci_low"] < row["difference"] < row["ci_high"]
    assert list(found["family_size"]) == [2, 2]
    assert sclong_bench.compare is compare


def test_families_are_what_was_declared(rows):
    rows = pd.concat([rows, table({"scLong": 0.6, "linear": 0.5}, task="drug_combination")])
    assert list(compare(rows)["family_size"]) == [2, 2, 1]
    assert list(compare(rows, family=[])["family_size"]) == [3, 3, 3]
    paper = compare(rows, family="paper")
    assert set(paper["family"]) == {"Supplementary Table 13"}
    assert set(compare(rows, family=["task", "model"])["family_size"]) == {1}
    with pytest.raises(ConfigError, match="seed"):
        compare(rows, family=["seed"])
    frame = pd.DataFrame({"task": ["x"], "scenario": [""]})
    assert list(families(frame, ["scenario"])) == ["all comparisons"]


def test_missing_seeds_are_refused_or_marked(rows):
    rows = rows.drop(rows[(rows["model"] == "linear") & (rows["seed"] == 3)].index)
    with pytest.raises(InputError, match="linear lacks seed 3"):
        compare(rows)
    found = compare(rows, incomplete="mark").set_index("model")
    assert found.loc["linear", "n"] == 4
    assert np.isnan(found.loc["linear", "p_value"])
    assert found.loc["linear", "note"] == "seed 3 of 5 missing"
    # The comparison that was not made still counts: p of the other is doubled
    other = found.loc["Geneformer"]
    assert other["q_value"] == pytest.approx(2 * other["p_value"])
    with pytest.raises(InputError, match="lacks seed 5"):
        compare(rows.query("model != 'linear'"), seeds=range(6))


def test_a_failed_run_is_a_failed_run(rows):
    failed = {"task": "drug_response", "metric": "pearson", "model": "linear", "seed": 4}
    rows = pd.concat(
        [
            rows[~((rows["model"] == "linear") & (rows["seed"] == 4))],
            pd.DataFrame([{**failed, "value": np.nan, "reason": "out of memory"}]),
        ]
    )
    with pytest.raises(InputError, match="out of memory"):
        compare(rows)
    note = compare(rows, incomplete="mark").set_index("model").loc["linear", "note"]
    assert note == "seed 4 of 5 missing: out of memory"


def test_a_reference_that_lacks_seeds_is_compared_with_nothing(rows):
    rows = rows.drop(rows[(rows["model"] == "scLong") & (rows["seed"] == 0)].index)
    found = compare(rows, incomplete="mark")
    assert found["p_value"].isna().all()
    assert set(found["note"]) == {"reference: seed 0 of 5 missing"}


def test_a_deterministic_model_has_no_seed(rows):
    mean = {"task": "drug_response", "metric": "pearson", "model": "drug mean", "value": 0.84}
    found = compare(pd.concat([rows, pd.DataFrame([{**mean, "seed": None}])])).set_index("model")
    assert found.loc["drug mean", "test"] == "one-sample t"
    both = pd.DataFrame([{**mean, "seed": None}, {**mean, "seed": 1, "value": 0.85}])
    with pytest.raises(InputError, match="with and without a seed"):
        compare(pd.concat([rows, both]), incomplete="mark")


def test_one_model_only_and_no_reference(rows):
    alone = compare(rows.query("model == 'scLong'"))
    assert alone.empty
    assert tuple(alone.columns) == (*COLUMNS, *DETAILS)
    with pytest.raises(InputError, match="scLong, Geneformer, linear"):
        compare(rows, reference="scGPT")
    with pytest.raises(InputError, match="task 'drug', which the results do not have"):
        compare(rows, reference={"drug": "scLong"})


def test_settings_without_the_reference_are_no_comparisons(rows):
    other = table({"Geneformer": 0.7, "linear": 0.6}, metric="spearman")
    found = compare(pd.concat([rows, other]), family=[])
    assert set(found["metric"]) == {"pearson"}
    assert set(found["family_size"]) == {2}


def test_each_task_has_its_reference(rows):
    other = table({"linear": 0.7, "knn": 0.6, "deepce": 0.65}, task="chemical_perturbation")
    nothing = table({"a": 0.7, "b": 0.6}, task="another")
    both = pd.concat([rows, other, nothing])
    found = compare(both)
    pairs = set(zip(found["task"], found["reference"], strict=True))
    assert pairs == {("drug_response", "scLong"), ("chemical_perturbation", "linear")}
    assert set(found.query("reference == 'linear'")["model"]) == {"knn", "deepce"}
    named = compare(both, {"chemical_perturbation": "deepce", "another": "b"}, family=[])
    assert list(dict.fromkeys(named["reference"])) == ["scLong", "deepce", "b"]
    assert set(named["family_size"]) == {5}
    alone = compare(other, "deepce")  # the tests of a task do not depend on other tasks
    shared = named.query("task == 'chemical_perturbation'")
    assert list(shared["p_value"]) == list(alone["p_value"])


def test_a_task_without_a_reference_is_named(rows, caplog):
    nothing = table({"a": 0.7, "b": 0.6}, task="another")
    with pytest.raises(InputError, match="nothing can be compared; another: sclong was not run"):
        compare(nothing)
    compare(pd.concat([rows, nothing]))
    assert "another is compared with nothing: sclong was not run here." in caplog.text


def test_variants_are_models_of_their_own(rows):
    variant = rows.query("model == 'scLong'").assign(variant="fine-tuned")
    both = pd.concat([rows, variant])
    assert "scLong (fine-tuned)" in set(compare(both)["model"])
    only = pd.concat([rows.query("model != 'scLong'"), variant])
    assert set(compare(only)["reference"]) == {"scLong (fine-tuned)"}
    with pytest.raises(InputError, match="several variants"):
        compare(pd.concat([only, variant.assign(variant="frozen")]))


def test_values_that_are_no_numbers_are_not_tested(rows):
    rows.loc[rows["model"].eq("linear") & rows["seed"].eq(2), "value"] = np.inf
    row = compare(rows).set_index("model").loc["linear"]
    assert np.isnan(row["p_value"])
    assert "not a finite number" in row["note"]


def test_settings_that_make_no_sense_are_refused(rows):
    with pytest.raises(ConfigError, match="confidence"):
        compare(rows, confidence=95)
    with pytest.raises(ConfigError, match="incomplete"):
        compare(rows, incomplete="drop")


def test_a_path_is_read(rows, tmp_path):
    rows.to_csv(tmp_path / "r.csv", index=False)
    pd.testing.assert_frame_equal(compare(tmp_path / "r.csv"), compare(rows))
