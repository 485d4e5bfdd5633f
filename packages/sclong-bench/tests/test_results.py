import json

import numpy as np
import pandas as pd
import pytest

from sclong_bench.results.integrity import (
    expected_seeds,
    refuse_missing_seeds,
    refuse_mixed_digests,
)
from sclong_bench.results.reading import read_results
from sclong_bench.results.schema import failed, measured, tidy
from sclong_core.errors import InputError

ROW = {"task": "t", "metric": "mse", "model": "m", "seed": 1, "value": 0.5}


def many(*changes):
    return pd.DataFrame([{**ROW, **change} for change in changes])


def test_five_columns_are_enough_in_any_order_and_case():
    frame = pd.DataFrame(
        [{"Value": "0.5", "SEED": "1", "Model ": "m", "task": "t", "metric": "mse"}]
    )
    row = tidy(frame).iloc[0]
    assert (row["value"], row["seed"], row["label"], row["scenario"]) == (0.5, 1, "m", "")
    assert not row["higher_is_better"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "high"}, "row 1, column 'value': 'high' is not a number"),
        ({"value": ""}, "row 1, column 'value' is empty"),
        ({"value": None}, "row 1, column 'value' is empty"),
        ({"seed": "one"}, "row 1, column 'seed': 'one' is not a number"),
        ({"seed": 1.5}, "column 'seed': 1.5 is not a whole number"),
        ({"model": " "}, "row 1, column 'model' is empty"),
        ({"n": "many"}, "row 1, column 'n'"),
        ({"higher_is_better": "perhaps"}, "column 'higher_is_better': 'perhaps'"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_column(change, words):
    with pytest.raises(InputError, match=words):
        tidy(many(change))


def test_missing_columns_are_named_with_what_is_there():
    with pytest.raises(InputError, match=r"'value' is missing.*is 'values' meant"):
        tidy(many({}).rename(columns={"value": "values"}))
    with pytest.raises(InputError, match="occurs twice"):
        tidy(many({"Seed": 2}))


def test_repeated_rows_name_each_other():
    with pytest.raises(InputError, match="row 2 repeats row 1: t, mse, m, seed 1"):
        tidy(many({}, {"value": 0.6}))
    with pytest.raises(InputError, match="no seed"):
        tidy(many({"seed": None}, {"seed": None}))


def test_a_metric_has_one_direction():
    rows = tidy(many({"higher_is_better": "true"}, {"seed": 2, "higher_is_better": None}))
    assert rows["higher_is_better"].all()
    with pytest.raises(InputError, match="one direction"):
        tidy(many({"higher_is_better": True}, {"seed": 2, "higher_is_better": False}))


def test_failed_and_undefined_are_two_things():
    rows = tidy(many({"value": None, "reason": "no GPU"}, {"seed": 2, "value": "nan"}))
    assert list(failed(rows)["seed"]) == [1]
    assert list(measured(rows)["seed"]) == [2]


def write(path, frame):
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(frame.to_dict("records")))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.json", "r.parquet"])
def test_tables_of_every_kind_are_the_same(tmp_path, name):
    frame = many({}, {"seed": 2, "value": 0.25}, {"model": 'a "b", c', "seed": 7, "value": 1e-17})
    write(tmp_path / name, frame)
    found = read_results(tmp_path / name)
    pd.testing.assert_frame_equal(
        found.rows.drop(columns="source"), tidy(frame).drop(columns="source")
    )
    assert found.name == "r"


def run_folder(folder, **changes):
    folder.mkdir(parents=True)
    rows = [{**ROW, "low": None, "high": None, **changes}]
    (folder / "metrics.json").write_text(
        json.dumps({"format": "sclong task metrics 1", "rows": rows, "facts": {"epochs": 3}})
    )


def test_a_folder_of_runs(tmp_path):
    for seed in (1, 2):
        run_folder(tmp_path / "deep" / f"run{seed}", seed=seed)
    run_folder(tmp_path / "undefined", seed=3, value=None)
    found = read_results(tmp_path)
    assert list(found.rows["source"]) == ["deep/run1", "deep/run2", "undefined"]
    assert found.facts["deep/run1"] == {"epochs": 3}
    assert found.folders["undefined"] == tmp_path / "undefined"
    assert np.isnan(found.rows["value"].iloc[2])
    run_folder(tmp_path / "copy", seed=1)
    with pytest.raises(InputError, match="deep/run1 repeats copy"):
        read_results(tmp_path)


def test_a_run_that_failed_is_one_in_every_metric_of_its_split(tmp_path):
    common = {"protocol": "honest", "scenario": "random"}
    run_folder(tmp_path / "one", **common)
    run_folder(tmp_path / "two", **common, metric="r")
    (tmp_path / "broken").mkdir()
    failure = {"task": "t", "model": "n", **common, "seed": 1, "reason": "no memory", "status": 2}
    (tmp_path / "broken" / "failed.json").write_text(json.dumps(failure))
    rows = failed(read_results(tmp_path).rows)
    assert list(rows["metric"]) == ["mse", "r"]
    assert set(rows["reason"]) == {"no memory"}
    assert set(rows["source"]) == {"broken"}
    for damage in ("{}", "[" * 100_000):
        (tmp_path / "broken" / "failed.json").write_text(damage)
        with pytest.raises(InputError, match="does not tell what failed"):
            read_results(tmp_path)


def test_the_rows_that_tasks_write_are_read(tmp_path):
    from sclong_tasks.results import ResultRow, write_metrics  # noqa: PLC0415  # only here

    values = dict.fromkeys(ResultRow.__dataclass_fields__, "")
    values |= {"task": "t", "metric": "r", "model": "m", "seed": 1, "value": 0.5, "n": 9}
    values |= {"higher_is_better": True, "low": 0.4, "high": None, "wall_seconds": 1.5}
    values |= {"peak_memory_bytes": 10, "stratum": "all"}
    write_metrics(tmp_path / "metrics.json", [ResultRow(**values)], {"rows": {"train": 3}})
    row = read_results(tmp_path).rows.iloc[0]
    assert (row["value"], row["low"], row["n"], row["stratum"]) == (0.5, 0.4, 9, "")
    assert np.isnan(row["high"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("r.csv", "task,metric,model,seed,value\nt,mse,m,1,x\n", "r.csv, line 2, column 'value'"),
        ("r.csv", "task,metric,model,seed,value\nt,mse,m,1\n", "line 2 has 4 cells"),
        ("r.csv", "", "holds no rows"),
        ("r.csv", b"\xff\xfe\x00", "UTF-8"),
        ("r.json", "{", "is not JSON"),
        ("r.json", "[1]", "not a list of rows"),
        ("r.json", '{"rows": "x"}', "not a list of rows"),
        ("r.parquet", "no", "not a parquet"),
        ("r.xlsx", "", "results are read from"),
    ],
)
def test_files_that_are_no_results(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words):
        read_results(path)


def test_folders_that_hold_none(tmp_path):
    with pytest.raises(InputError, match=r"no metrics\.json below"):
        read_results(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_results(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([{"data_digest": "a"}, {"model": "n", "data_digest": "b"}], "different data"),
        ([{"split_digest": "a"}, {"model": "n", "split_digest": "b"}], "different splits"),
        (
            [{"seed": s, "config_digest": d} for s, d in ((1, "a"), (2, "a"), (3, "b"))],
            "different settings",
        ),
        (
            [{"seed": s, "checkpoint_digest": d} for s, d in ((1, "a"), (2, "b"), (3, "b"))],
            "different checkpoints",
        ),
    ],
)
def test_results_of_different_origin_make_no_table(changes, words):
    with pytest.raises(InputError, match=words):
        refuse_mixed_digests(tidy(many(*changes)))


def test_digests_that_may_differ():
    """Splits by seed, and a checkpoint for each seed: then each run has its own."""
    refuse_mixed_digests(
        tidy(
            many(
                *(
                    {"seed": s, "split_digest": str(s), "checkpoint_digest": f"c{s}", "model": m}
                    for s in (1, 2, 3)
                    for m in ("m", "n")
                )
            )
        )
    )


def test_seeds_that_lack():
    rows = tidy(many({}, {"seed": 2}, {"model": "n"}, {"model": "constant", "seed": None}))
    found = expected_seeds(rows)
    assert list(found["label"]) == ["n"]
    assert list(found["missing"]) == ["2"]
    with pytest.raises(InputError, match="n lacks seed 2 in t, mse"):
        refuse_missing_seeds(rows)
    refuse_missing_seeds(rows.query("label != 'n'"))


def test_columns_of_a_table_may_say_of_leakage_and_tuning(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(
        "task,metric,model,seed,value,tuning_budget,leakage_in_pretraining\n"
        "t,r2,a,1,0.5,none,\n"
        "t,r2,a,2,0.5,none,no cell was seen\n"
    )
    first, second = read_results(path).facts.values()
    assert first == {"tuning_budget": "none"}
    assert second == {"tuning_budget": "none", "leakage_in_pretraining": "no cell was seen"}
