"""The reference of each task: named, or by a rule that knows what was run and never how well."""

import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sclong_bench.results.references import FIRST, find_reference, find_references
from sclong_bench.results.roles import roles
from sclong_bench.results.schema import tidy
from sclong_core.errors import InputError
from sclong_tasks.registry import TASKS, get_task

BASELINES = {name: get_task(name).baselines for name in TASKS}


def table(models, values=None, **columns):
    """One row a task and model; ``models`` maps a task to names."""
    pairs = [(task, model) for task, names in models.items() for model in names]
    values = values or [0.5] * len(pairs)
    return tidy(
        pd.DataFrame(
            [
                {"task": task, "metric": "r", "model": model, "seed": 1, "value": value, **columns}
                for (task, model), value in zip(pairs, values, strict=True)
            ]
        )
    )


def labels(rows, wanted=None):
    return {task: one.label for task, one in find_references(rows, wanted, roles(rows)).items()}


def test_every_declared_baseline_is_a_model_of_its_task():
    assert all(BASELINES.values())
    for task, names in BASELINES.items():
        assert set(names) <= set(get_task(task).models), task
        assert len(set(names)) == len(names)


def test_the_documentation_holds_the_baselines_in_their_order():
    path = Path(__file__).resolve().parents[3] / "docs/benchmarking.md"
    if not path.is_file():
        pytest.skip("needs the whole repository")
    lines = re.findall(r"^ +\| `(\w+)` \| (`.*`) \|$", path.read_text("utf-8"), flags=re.MULTILINE)
    assert {task: tuple(re.findall(r"\w+", names)) for task, names in lines} == BASELINES


def test_sclong_comes_first_then_what_is_declared():
    rows = table(
        {
            "grn": ["correlation", "scLong", "random"],
            "drug_combination": ["pair_prior", "logistic_regression", "drug_prior"],
            "marker_clustering": ["random", "correlation"],
        }
    )
    assert labels(rows) == {
        "grn": "scLong",
        "drug_combination": "logistic_regression",
        "marker_clustering": "correlation",
    }
    why = find_references(rows)["drug_combination"].why
    assert "sclong was not run here" in why
    assert ", ".join(BASELINES["drug_combination"]) in why


def test_spelling_of_tasks_and_models_does_not_matter():
    assert labels(table({"Drug combination": ["Random", "Logistic regression"]})) == {
        "Drug combination": "Logistic regression"
    }


def test_a_task_of_ones_own_takes_its_only_simple_baseline_or_none():
    assert labels(table({"knn": ["mine", "PCA", "majority"]})) == {"knn": "PCA"}
    several = find_references(*_with_roles(table({"knn": ["mine", "PCA", "linear"]})))["knn"]
    assert several.label == ""
    assert "several simple baselines here (PCA, linear): name one with --reference" in several.why
    nothing = find_references(*_with_roles(table({"knn": ["mine", "majority"]})))["knn"]
    assert nothing.label == ""
    assert "There is no simple baseline here" in nothing.why
    declared = find_references(*_with_roles(table({"grn": ["deepsem", "random"]})))["grn"]
    assert declared.label == ""
    assert "any baseline declared for this task (correlation, genie3" in declared.why


def _with_roles(rows):
    return rows, None, roles(rows)


def test_what_is_named_is_taken_and_the_rule_holds_elsewhere():
    rows = table(
        {
            "grn": ["correlation", "scLong", "deepsem"],
            "drug_response": ["deepcdr", "drug_mean"],
            "batch_integration": ["pca", "raw"],
        }
    )
    assert labels(rows, "DeepSEM") == {
        "grn": "deepsem",
        "drug_response": "drug_mean",
        "batch_integration": "pca",
    }
    named = {"*": "sclong", "drug_response": "deepcdr"}
    assert labels(rows, named) == {
        "grn": "scLong",
        "drug_response": "deepcdr",
        "batch_integration": "pca",
    }
    why = {task: one.why for task, one in find_references(rows, named).items()}
    assert why["grn"] == "It was named for all tasks."
    assert why["drug_response"] == "It was named for this task."
    assert why["batch_integration"].startswith("sclong was not run here. Of the baselines")


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("scGPT", "no model is called 'scGPT': choose a reference among correlation, deepcdr"),
        ({"grn": "deepcdr"}, "no model is called 'deepcdr' in the task 'grn'"),
        ({"*": "scGPT"}, "no model is called 'scGPT'"),
        ({"gnr": "correlation"}, "task 'gnr', which the results do not have.*is 'grn' meant"),
        ({"grn": ""}, "no model is called ''"),
    ],
)
def test_what_is_not_there_is_refused(wanted, said):
    rows = table({"grn": ["correlation"], "drug_response": ["deepcdr"]})
    with pytest.raises(InputError, match=said):
        find_references(rows, wanted)


def test_variants_are_chosen_by_their_whole_name():
    rows = pd.concat(
        [table({"grn": ["scLong"]}, variant=name) for name in ("frozen", "fine-tuned")]
    )
    one = find_references(rows)["grn"]
    assert one.label == ""
    assert "several variants (scLong (frozen), scLong (fine-tuned))" in one.why
    with pytest.raises(InputError, match="several variants in the task 'grn'"):
        find_references(rows, {"grn": "sclong"})
    assert labels(rows, {"grn": "sclong (FROZEN)"}) == {"grn": "scLong (frozen)"}
    assert find_reference(rows.iloc[:1], "sclong") == "scLong (frozen)"
    plain = pd.concat([rows, table({"grn": ["scLong"]})])
    assert labels(plain) == labels(plain, "sclong") == {"grn": "scLong"}
    spelt = table({"grn": ["scLong", "SCLONG"]})
    assert find_reference(spelt, "SCLONG") == "SCLONG"
    with pytest.raises(InputError, match="choose one of scLong, SCLONG"):
        find_reference(spelt, "sclong")


def test_a_run_that_failed_counts_as_run():
    failed = table({"grn": ["scLong"]}, [None], reason="out of memory")
    assert labels(pd.concat([table({"grn": ["correlation"]}), failed])) == {"grn": "scLong"}


NAMES = st.sampled_from((FIRST, *BASELINES["grn"], "deepsem", "random", "linear"))


@settings(deadline=None)
@given(
    models=st.lists(NAMES, min_size=1, unique=True),
    values=st.lists(st.floats(-1e70, 1e70), min_size=8, max_size=8),
    order=st.randoms(use_true_random=False),
)
@example(models=["correlation", "genie3"], values=[0.0, 1.0] * 4, order=None)
def test_neither_values_nor_the_order_of_rows_choose(models, values, order):
    plain = labels(table({"grn": models}))
    assert labels(table({"grn": models}, values[: len(models)])) == plain
    turned = list(reversed(models))
    if order is not None:
        order.shuffle(turned)
    assert labels(table({"grn": turned}, values[: len(models)])) == plain
    there = [name for name in (FIRST, *BASELINES["grn"]) if name in models]
    if there:
        assert plain == {"grn": there[0]}
