"""A reproduction succeeds as long as nothing moved, and fails over what was planted."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sclong_bench.results.schema import tidy
from sclong_bench.statistics.comparison import compare
from sclong_bench.suites.bands import KEYS, judge, make_bands, read_bands, write_bands
from sclong_bench.suites.reproduction import expected_file, prepare_sources, suite_file
from sclong_bench.suites.suite import read_suite
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.registry import TASKS, get_task

WRONG_SIGN = """
from sclong_tasks.drug_combination.models.simple import RandomForest
right = RandomForest.predict
RandomForest.predict = lambda self, data, rows: 1 - right(self, data, rows)
"""
LEAK = """
import dataclasses
import numpy as np
from sclong_tasks.drug_combination.data import CombinationData
from sclong_tasks.drug_combination.models.simple import RandomForest
CombinationData.hide = lambda self, rows: self
right = RandomForest.fit
def leaking(self, data, split, context):
    everything = np.arange(len(data.labels))
    right(self, data, dataclasses.replace(split, train=everything), context)
RandomForest.fit = leaking
"""


def rows(**means):
    return pd.DataFrame(
        [
            {**dict.fromkeys(KEYS, "x"), "model": model, "seed": seed, "value": mean + step}
            for model, mean in means.items()
            for seed, step in ((1, -0.01), (2, 0.0), (3, 0.01))
        ]
    )


class TestBands:
    def test_a_band_is_two_standard_deviations_wide_on_either_side(self):
        (band,) = make_bands(rows(a=0.5)).to_dict("records")
        assert band["seeds"] == "1 2 3"
        np.testing.assert_allclose([band["low"], band["mean"], band["high"]], [0.48, 0.5, 0.52])

    def test_a_figure_that_no_seed_moves_has_half_a_percent(self):
        same = rows(a=0.5).assign(value=0.5)
        (band,) = make_bands(same).to_dict("records")
        np.testing.assert_allclose([band["low"], band["high"]], [0.4975, 0.5025])

    def test_figures_are_judged(self):
        expected = make_bands(rows(same=0.5, low=0.5, high=0.5, gone=0.5, fewer=0.5))
        now = rows(same=0.51, low=0.4, high=0.6, new=0.5, fewer=0.5)
        now = now[~(now["model"].eq("fewer") & now["seed"].eq(3))]
        verdicts = {one.name[-1]: (one.verdict, one.moved) for one in judge(now, expected)}
        assert verdicts == {
            "same": ("as expected", False),
            "low": ("too low", True),
            "high": ("too high", True),
            "gone": ("missing", True),
            "fewer": ("other seeds", True),
            "new": ("new", False),
        }

    def test_a_figure_that_became_undefined_is_missing(self):
        now = rows(a=0.5)
        now.loc[0, "value"] = np.nan
        (one,) = judge(now, make_bands(rows(a=0.5)))
        assert one.verdict == "missing"

    def test_bands_come_back_from_their_file(self, tmp_path):
        bands = make_bands(rows(a=0.5, b=-3.0))
        write_bands(bands, tmp_path / "bands.tsv")
        pd.testing.assert_frame_equal(read_bands(tmp_path / "bands.tsv"), bands, rtol=1e-5)

    @pytest.mark.parametrize("text", ["", "task\tmodel\nx\ty\n", "no table"])
    def test_a_file_that_is_none_is_refused(self, text, tmp_path):
        (tmp_path / "bands.tsv").write_text(text)
        with pytest.raises(InputError, match="no expected results"):
            read_bands(tmp_path / "bands.tsv")


def test_the_suite_of_ci_comes_with_the_package_and_has_expected_results():
    path = suite_file("ci")
    bands = read_bands(expected_file(path))
    suite = read_suite(path, data=Path("nowhere"))
    assert set(bands["task"]) == set(suite.missing_data)
    asked = [entry.seeds or suite.config.seeds for entry in suite.config.runs]
    assert set(bands["seeds"]) == {" ".join(map(str, seeds)) for seeds in asked}
    assert suite.config.seeds == [1, 2, 3, 4, 5]
    assert set(bands["task"][bands["model"].str.startswith("sclong")]) == {
        "batch_integration",
        "drug_response",
    }


def test_every_task_of_the_suite_of_ci_has_comparisons_in_the_report_of_the_workflow():
    """The rule finds a reference in each task that other models of the suite stand beside."""
    path = Path(__file__).resolve().parents[3] / ".github/workflows/reproduction.yml"
    if not path.is_file():
        pytest.skip("needs the whole repository")
    steps = yaml.safe_load(path.read_text())["jobs"]["reproduce"]["steps"]
    (report,) = [step["run"].split() for step in steps if "bench report" in step.get("run", "")]
    assert "--reference" not in report
    bands = read_bands(expected_file(suite_file("ci")))
    results = tidy(bands.assign(seed=1, value=bands["mean"]))
    found = compare(results)
    assert set(found["task"]) == set(bands["task"])
    baselines = {name for task in TASKS for name in get_task(task).baselines}
    assert set(found["reference"]) <= baselines | {"sclong"}


def test_original_files_are_found_where_an_entry_names_them(tmp_path):
    write_synthetic_files(tmp_path / "files" / "elsewhere")
    entry = {"task": "drug_combination", "models": ["drug_prior"], "source": "elsewhere"}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({"runs": [entry]}))
    suite = read_suite(tmp_path / "small.yaml", data=tmp_path / "data")
    assert suite.missing_data == ("drug_combination",)
    prepare_sources(suite, tmp_path / "files")
    assert not read_suite(tmp_path / "small.yaml", data=tmp_path / "data").missing_data


def test_a_suite_that_does_not_come_with_it_is_refused():
    with pytest.raises(ConfigError, match="ci"):
        suite_file("none")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A suite on made-up files, with what is expected of it."""
    folder = tmp_path_factory.mktemp("made")
    write_synthetic_files(folder / "files" / "drug_combination")
    suite = {"runs": [{"task": "drug_combination", "models": ["random_forest"]}], "seeds": [1]}
    suite["runs"][0]["scenarios"] = ["pair"]
    (folder / "small.yaml").write_text(yaml.safe_dump(suite))
    assert reproduce(folder, folder / "first", "--update") == 0
    return folder


def reproduce(made, output, *options):
    words = ["bench", "reproduce", f"--suite={made / 'small.yaml'}", f"--output={output}"]
    return main([*words, f"--source={made / 'files'}", *options])


@pytest.mark.slow
def test_what_did_not_move_is_reproduced(made, tmp_path, capsys):
    assert reproduce(made, tmp_path / "again", f"--summary={tmp_path / 'summary.md'}") == 0
    assert "as expected" in capsys.readouterr().out
    assert "| drug_combination" in (tmp_path / "summary.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("planted", [WRONG_SIGN, LEAK], ids=["wrong sign", "leak"])
def test_a_planted_regression_fails(planted, made, tmp_path, monkeypatch, capsys):
    (tmp_path / "sitecustomize.py").write_text(planted)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert reproduce(made, tmp_path / "out") == 1
    said = capsys.readouterr().out
    assert "auroc" in said
    assert "too low" in said or "too high" in said


def test_without_original_files_nothing_is_claimed(made, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    words = ["bench", "reproduce", f"--suite={made / 'small.yaml'}", f"--output={tmp_path / 'o'}"]
    assert main([*words, f"--source={empty}"]) == 2
    assert "no task of small.yaml has its files (drug_combination)" in capsys.readouterr().err
