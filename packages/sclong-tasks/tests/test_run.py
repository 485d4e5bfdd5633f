"""The frame on the worked examples of the documentation: a task and a model, run, predicted."""

import json
import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import yaml

import sclong_tasks
from sclong_core.errors import ConfigError, InputError
from sclong_tasks import figures, memory
from sclong_tasks.data_files import find_files, prepare_data, read_record
from sclong_tasks.drug_response import task as drug_response
from sclong_tasks.drug_response.example import write_example
from sclong_tasks.predict import PredictRequest, predict, write_table
from sclong_tasks.registry import TASKS, get_model, get_task
from sclong_tasks.results import read_metrics, read_runs, summarise
from sclong_tasks.run import RunRequest, load_task, run_exists, run_task
from sclong_tasks.splits import Split
from sclong_tasks.tables import collect, fill_page, markdown_tables, read_rows, write_rows

PAGE = Path(__file__).parents[3] / "docs" / "tasks" / "extending.md"


def example(number, name, monkeypatch):
    """The page's example as a module."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(blocks[number], f"{PAGE.name}, example {number + 1}", "exec"), vars(module))  # noqa: S102  # the documentation's own code
    return module


@pytest.fixture
def request_(tmp_path, monkeypatch):
    module = example(1, "doubling_example", monkeypatch)
    monkeypatch.setitem(TASKS, "doubling_time", "doubling_example")
    generator = np.random.default_rng(0)
    size = generator.normal(10, 2, 40)
    table = pd.DataFrame(
        {
            "line": [f"L{number}" for number in range(40)],
            "tissue": [f"T{number % 8}" for number in range(40)],
            "size": size,
            "hours": 3 * size + generator.normal(0, 1, 40),
        }
    )
    (tmp_path / "original").mkdir()
    table.to_csv(tmp_path / "original" / "lines.csv", index=False)
    prepare_data(module.task, tmp_path / "data", str(tmp_path / "original"))
    return RunRequest(
        "doubling_time", "straight", 0, tmp_path / "data", tmp_path / "runs", device="cpu"
    )


def test_a_run_leaves_one_folder_with_everything(request_):
    result = run_task(request_)
    folder = result.folder
    assert result.metrics[0].value > 0.9
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["settings"]["task"] == {"test_fraction": 0.3}
    rows = read_metrics(folder / "metrics.json")
    split = Split.read(folder)
    assert rows["split_digest"].tolist() == [split.digest]
    assert rows["peak_memory_bytes"].iloc[0] > 1e7
    table = pd.read_parquet(folder / "predictions.parquet")
    assert list(table) == ["line", "tissue", "hours", "predicted_hours"]
    assert len(table) == len(split.test)
    assert (folder / "figures").is_dir()
    assert [path.name for path in request_.output.iterdir()] == [folder.name]


def test_the_same_run_is_refused_and_another_seed_is_not(request_):
    loaded = load_task(request_)
    run_task(request_, loaded)
    assert run_exists(request_, loaded)
    with pytest.raises(InputError, match="already exists"):
        run_task(request_, loaded)
    run_task(replace(request_, overwrite=True))
    assert not run_exists(replace(request_, seed=1), loaded)


def test_a_run_that_fails_leaves_nothing(request_, monkeypatch):
    model = get_model(get_task("doubling_time"), "straight")
    monkeypatch.setattr(model, "save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_task(request_)
    assert not list(request_.output.iterdir())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(lambda found: found.iloc[1:], "other rows"), (lambda found: found * np.nan, "not finite")],
)
def test_predictions_that_are_none_are_refused(request_, monkeypatch, wrong, said):
    model = get_model(get_task("doubling_time"), "straight")
    honest = model.predict
    monkeypatch.setattr(model, "predict", lambda *args: wrong(honest(*args)))
    with pytest.raises(InputError, match=said):
        run_task(request_)


def test_a_finished_run_predicts_new_rows(request_, tmp_path):
    run = run_task(request_).folder
    new = tmp_path / "new.csv"
    pd.DataFrame({"line": ["N1", "N2"], "tissue": ["T0", "T0"], "size": [5, 15]}).to_csv(new)
    ask = PredictRequest("doubling_time", run, {"lines": new}, request_.data)
    table = predict(ask)
    assert table["line"].tolist() == ["N1", "N2"]
    assert np.diff(table["predicted_hours"])[0] == pytest.approx(30, rel=0.2)
    for name in ("x.csv", "x.tsv", "x.parquet"):
        write_table(table, tmp_path / name)
    assert len(pd.read_csv(tmp_path / "x.tsv", sep="\t")) == 2
    with pytest.raises(ConfigError, match="must end in"):
        write_table(table, tmp_path / "x.xlsx")
    with pytest.raises(ConfigError, match="no input"):
        predict(replace(ask, inputs={"cells": new}))
    with pytest.raises(InputError, match="not a folder of a run"):
        predict(replace(ask, run=tmp_path))
    for content in (b"\xff", b"protocol: x", b"- task", b"{" * 9999, b"!!python/name:os.system"):
        (run / "config.yaml").write_bytes(content)
        with pytest.raises(InputError, match=r"config\.yaml is damaged"):
            predict(ask)


def test_the_added_model_works(tmp_path, monkeypatch):
    example(0, "nearest_example", monkeypatch)
    models = {**drug_response.models, "nearest": "nearest_example:NearestDrug"}
    monkeypatch.setattr(type(drug_response), "models", models)
    write_example(tmp_path / "original")
    prepare_data(drug_response, tmp_path / "data", str(tmp_path / "original"))
    request = RunRequest(
        "drug_response", "nearest", 0, tmp_path / "data", tmp_path / "runs", scenario="drug"
    )
    assert run_task(request).metrics[3].value < 4


def test_results_of_many_runs_make_one_table(request_, tmp_path):
    for seed in range(3):
        run_task(replace(request_, seed=seed))
    rows = read_runs(request_.output)
    summary = summarise(rows, seeds=range(4)).iloc[0]
    assert (summary["seeds"], summary["missing"]) == (3, "3")
    assert summary["mean"] == pytest.approx(rows["value"].mean())
    assert summary["sd"] == pytest.approx(rows["value"].std(ddof=1))
    text = markdown_tables(rows, range(4))
    assert "| straight | 3 (missing: 3) |" in text
    for name in ("rows.csv", "rows.csv.gz"):
        write_rows(rows, tmp_path / name)
        assert markdown_tables(read_rows(tmp_path / name), range(4)) == text
    page = fill_page("a\n<!-- results x -->old<!-- end -->\nb", "x", text)
    assert page == f"a\n<!-- results x -->\n\n{text}\n<!-- end -->\nb"
    assert fill_page(page, "x", text) == page
    with pytest.raises(InputError, match="no block"):
        fill_page(page, "y", text)


def test_rows_of_earlier_runs_and_new_runs_make_one_table(request_, tmp_path):
    for seed in range(2):
        run_task(replace(request_, seed=seed, output=tmp_path / f"runs{seed}"))
    first, second = (tmp_path / f"runs{seed}" for seed in range(2))
    write_rows(collect([first]), tmp_path / "rows.csv.gz")
    together = markdown_tables(collect([first, second]))
    assert "| straight | 2 |" in together
    assert markdown_tables(collect([tmp_path / "rows.csv.gz", second])) == together
    with pytest.raises(InputError, match="two runs in"):
        collect([tmp_path / "rows.csv.gz", first])


@pytest.mark.parametrize(
    ("column", "said"),
    [("data_digest", "data"), ("split_digest", "splits"), ("config_digest", "settings")],
)
def test_runs_that_do_not_belong_together_are_refused(request_, column, said):
    run_task(request_)
    rows = read_runs(request_.output)
    other = rows.assign(**{column: "other"})
    with pytest.raises(InputError, match=f"different {said}"):
        summarise(pd.concat([rows, other], ignore_index=True))


def test_a_run_twice_in_a_folder_is_refused(request_):
    run = run_task(request_).folder
    copy = run.with_name("copy")
    copy.mkdir()
    (copy / "metrics.json").write_bytes((run / "metrics.json").read_bytes())
    with pytest.raises(InputError, match="two runs"):
        read_runs(request_.output)


@pytest.mark.parametrize("text", ["", "[]", '{"format": "x"}'])
def test_a_file_that_is_no_metrics_is_refused(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(InputError):
        read_runs(tmp_path)


def test_data_that_changed_are_refused(request_):
    task = get_task("doubling_time")
    assert "lines.csv" in read_record(task, request_.data)["sources"]
    (request_.data / "lines.parquet").write_bytes(b"x")
    with pytest.raises(InputError, match="missing or damaged"):
        load_task(request_)
    with pytest.raises(InputError, match="holds data of doubling_time"):
        read_record(drug_response, request_.data)
    with pytest.raises(InputError, match="run sclong task data"):
        read_record(task, request_.data / "none")


def test_sources_that_are_none_are_refused(request_, tmp_path):
    task = get_task("doubling_time")
    with pytest.raises(InputError, match="already exists"):
        prepare_data(task, request_.data, str(tmp_path))
    with pytest.raises(InputError, match="does not exist: give a folder"):
        prepare_data(task, tmp_path / "x", "ftp://somewhere")
    with pytest.raises(InputError, match=r"lacks 1 file.*lines\.csv"):
        prepare_data(task, tmp_path / "x", str(tmp_path))
    with pytest.raises(InputError, match=r"lacks 1 file"):
        prepare_data(task, tmp_path / "x")
    (tmp_path / "other.csv").write_text("a\n")
    with pytest.raises(InputError, match="not a file of doubling_time"):
        prepare_data(task, tmp_path / "x", str(tmp_path / "other.csv"))
    prepare_data(task, tmp_path / "one", str(tmp_path / "original" / "lines.csv"))
    assert find_files(task, tmp_path / "original")


def test_files_are_fetched_and_checked_against_their_checksums(request_, tmp_path, monkeypatch):
    asked = []

    def fetch(url, path, *, sha256=None, **_):
        asked.append((url, sha256))
        path.write_bytes((tmp_path / "original" / "lines.csv").read_bytes())

    monkeypatch.setattr(import_module("sclong_data.fetching.download"), "download", fetch)
    task = get_task("doubling_time")
    file = replace(task.data_files[0], url="https://example.org/lines.csv", sha256="ab")
    monkeypatch.setattr(type(task), "data_files", (file,))
    prepare_data(task, tmp_path / "a")
    prepare_data(task, tmp_path / "b", "https://example.org/mirror")
    assert asked == [
        ("https://example.org/lines.csv", "ab"),
        ("https://example.org/mirror/lines.csv", "ab"),
    ]


def test_the_package_gives_its_names_when_they_are_asked_for():
    assert sclong_tasks.get_task("drug_response") is drug_response
    assert set(sclong_tasks.__all__) <= set(dir(sclong_tasks))
    for name in sclong_tasks.__all__:
        assert getattr(sclong_tasks, name)
    with pytest.raises(AttributeError):
        sclong_tasks.nothing  # noqa: B018  # the attribute is looked up


def test_unknown_names_are_refused_with_those_there_are(request_):
    with pytest.raises(ConfigError, match="no task 'x': choose one of"):
        get_task("x")
    for wrong in ({"model": "x"}, {"scenario": "x"}, {"changes": {"task": {"x": 1}}}):
        with pytest.raises(ConfigError):
            run_task(replace(request_, **wrong))


def test_figures_are_files_that_stand_alone(tmp_path):
    history = [{"epoch": 1.0, "training_loss": 2.0}, {"epoch": 2.0, "training_loss": 1.0}]
    curve = figures.training_curve(history)
    figures.write_svg(tmp_path / "curve.svg", curve)
    drawn = figures.predicted_and_true([1.0, 2.0, np.nan], [1.5, 1.0, 0.0], name="ln IC50")
    figures.write_svg(tmp_path / "predicted.svg", drawn)
    for name in ("curve", "predicted"):
        text = (tmp_path / f"{name}.svg").read_text()
        assert text.startswith("<svg")
        assert 'xmlns="http://www.w3.org/2000/svg"' in text
        assert "<style>" in text
    assert figures.training_curve([]) is None


def test_memory_is_measured_since_it_was_reset():
    memory.reset_peak()
    before = memory.peak_bytes()
    block = np.ones(20_000_000)
    assert memory.peak_bytes() >= before + 100_000_000
    del block


def test_a_metrics_file_is_plain_json(request_):
    content = json.loads((run_task(request_).folder / "metrics.json").read_text())
    assert {row["metric"] for row in content["rows"]} == {"pearson"}
    assert content["rows"][0]["low"] is None
