"""Suites on a small made-up task: planned, run, killed, run by two at once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sclong_bench.suites.duration import duration
from sclong_bench.suites.grid import FAILED, make, metrics_of, state_of
from sclong_bench.suites.planning import plan
from sclong_bench.suites.running import run_here, run_on_dask, runs_left, submit_to_slurm
from sclong_bench.suites.suite import read_suite
from sclong_core.cli.main import main
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.lock import locked
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.example import write_synthetic_files

MODELS = ["pair_prior", "logistic_regression"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_synthetic_files(folder / "files")
    prepare_data(task, folder / "drug_combination", str(folder / "files"))
    return folder


@pytest.fixture
def write_suite(data, tmp_path):
    def write(*runs, **settings):
        runs = runs or ({"task": "drug_combination", "models": MODELS},)
        content = {
            "runs": list(runs),
            "seeds": [1, 2],
            "data": str(data),
            "output": str(tmp_path / "runs"),
            **settings,
        }
        path = tmp_path / "suite.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return write


@pytest.fixture
def suite(write_suite):
    return read_suite(write_suite())


def test_the_grid_is_models_by_seeds(suite):
    assert [(run.model, run.seed) for run in suite.runs] == [
        (model, seed) for model in MODELS for seed in (1, 2)
    ]
    assert {run.protocol for run in suite.runs} == {"honest"}
    assert len({run.folder for run in suite.runs}) == 4


def test_runs_may_have_seeds_of_their_own(write_suite):
    entry = {"task": "drug_combination", "models": MODELS, "seeds": [7]}
    assert {run.seed for run in read_suite(write_suite(entry)).runs} == {7}


def test_a_scenario_that_only_one_protocol_has_is_run_in_that_one(write_suite):
    (honest, *_), (published, *_) = task.scenarios["honest"], task.scenarios["published"]
    run = {"task": task.name, "models": MODELS[:1], "protocols": ["honest", "published"]}
    found = read_suite(write_suite({**run, "scenarios": [honest]}))
    assert {(run.protocol, run.scenario) for run in found.runs} >= {("honest", honest)}
    first = read_suite(write_suite(run))
    assert {run.scenario for run in first.runs} == {honest, published}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"models": ["none"]}, "no model 'none'"),
        ({"task": "none"}, "no task 'none'"),
        ({"protocols": ["none"]}, "no protocol 'none'"),
        ({"scenarios": ["none"]}, "no scenario 'none'"),
        ({"settings": {"model": {"none": 1}}}, "model.none"),
        ({"model": ["pair_prior"]}, "model"),
    ],
)
def test_what_is_not_known_is_refused(change, said, write_suite):
    path = write_suite({"task": "drug_combination", "models": MODELS, **change})
    with pytest.raises(ConfigError, match=said):
        read_suite(path)


@pytest.mark.parametrize("content", ["runs: []", "- 1", "runs: !!python/object:os.system {}", "{"])
def test_a_file_that_is_no_suite_is_refused(content, tmp_path):
    (tmp_path / "suite.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"suite\.yaml"):
        read_suite(tmp_path / "suite.yaml")


def test_a_checkpoint_that_is_none_is_refused(write_suite, tmp_path):
    with pytest.raises(CheckpointError):
        read_suite(write_suite(checkpoint=str(tmp_path)))


def test_a_task_without_data_is_said_and_stops_no_other(write_suite, data, capsys):
    path = write_suite(
        {"task": "drug_response", "models": ["drug_mean"]},
        {"task": "drug_combination", "models": MODELS},
    )
    found = read_suite(path)
    assert found.missing_data == ("drug_response",)
    assert len(found.runs) == 4
    assert main(["bench", "plan", str(path)]) == 0
    assert "no data of drug_response" in capsys.readouterr().out


def test_other_data_or_settings_are_other_runs(write_suite, data, tmp_path):
    plain = read_suite(write_suite()).runs
    run = {"task": "drug_combination", "models": MODELS}
    changed = read_suite(
        write_suite({**run, "settings": {"task": {"keep_conflicting_pairs": True}}})
    )
    other = tmp_path / "other"
    shutil.copytree(data, other)
    record = other / "drug_combination" / "data.json"
    record.write_text(record.read_text().replace(" ", "  "))
    elsewhere = read_suite(write_suite(data=str(other))).runs
    folders = [{run.folder for run in runs} for runs in (plain, changed.runs, elsewhere)]
    assert not folders[0] & folders[1]
    assert not folders[0] & folders[2]


def test_a_run_that_is_half_written_is_not_there(suite):
    run = suite.runs[0]
    half = run.folder / ".pair_prior-seed1.tmp-1"
    half.mkdir(parents=True)
    (half / "metrics.json").write_text("{}")
    assert state_of(run) == "missing"


@pytest.mark.parametrize("content", ["[" * 100_000, "{}", '{"rows": [{}]}', "["])
def test_a_run_whose_results_are_damaged_is_named(suite, content):
    run = suite.runs[0]
    made = run.folder / "pair_prior-seed1"
    made.mkdir(parents=True)
    (made / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged: remove .*pair_prior-seed1"):
        make(run)


class TestRunning:
    def test_runs_are_made_once_and_planned(self, suite):
        assert all(line.seconds is None and line.missing == 2 for line in plan(suite))
        outcomes = list(run_here(suite.runs, jobs=2))
        assert [outcome.state for outcome in outcomes] == ["done"] * 4, outcomes
        assert all(state_of(run) == "done" for run in suite.runs)
        assert runs_left(suite) == []
        for line in plan(suite):
            assert (line.done, line.missing, line.seconds_left) == (2, 0, 0.0)
            assert line.seconds > 0
        rows = json.loads(metrics_of(suite.runs[0]).read_text())["rows"]
        assert {row["seed"] for row in rows} == {1}

    def test_a_run_that_fails_says_why_and_stops_no_other(self, write_suite, capsys):
        path = write_suite(
            {"task": "drug_combination", "models": ["precomputed", "pair_prior"]}, seeds=[1]
        )
        assert main(["bench", "run", str(path)]) == 1
        said = capsys.readouterr()
        assert "failed: drug_combination precomputed" in said.out
        failed, done = read_suite(path).runs
        assert (state_of(failed), state_of(done)) == ("failed", "done")
        record = json.loads((failed.folder / FAILED).read_text())
        assert record["model"] == "precomputed"
        assert record["reason"]
        assert runs_left(read_suite(path), retry_failed=False) == []
        assert runs_left(read_suite(path)) == [failed]

    def test_what_another_runner_is_at_is_left_to_it(self, suite):
        run = suite.runs[0]
        run.folder.mkdir(parents=True)
        with locked(run.folder / ".lock", "it"):
            assert make(run).state == "elsewhere"
        assert make(run).state == "done"

    @pytest.mark.slow
    def test_dask_workers_make_the_same(self, write_suite):
        suite = read_suite(write_suite(seeds=[1]))
        outcomes = list(run_on_dask(suite.runs, cluster="local:1"))
        assert [outcome.state for outcome in outcomes] == ["done", "done"]

    def test_no_job_at_all_is_refused(self, suite):
        with pytest.raises(ConfigError, match="--jobs"):
            list(run_here(suite.runs, jobs=0))


def test_slurm_is_asked_for_as_many_runners_as_jobs(suite, tmp_path, monkeypatch):
    stand_in = tmp_path / "bin" / "sbatch"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\necho "17;cluster"\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(stand_in.parent), prepend=os.pathsep)
    assert submit_to_slurm(suite, jobs=3, options=["--time=1:00:00"]) == "17"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert {"--array=1-3", "--time=1:00:00", "--requeue"} <= set(asked)
    assert f"bench run {suite.path}" in asked[-1]


def test_without_sbatch_there_is_one_clear_error(suite, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="sbatch was not found"):
        submit_to_slurm(suite, jobs=1, options=[])


def start(path: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "sclong_core", "bench", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.fault
def test_a_killed_runner_goes_on_and_two_runners_share_the_work(write_suite):
    path = write_suite(seeds=[1, 2, 3])
    suite = read_suite(path)
    killed = start(path)
    until = time.monotonic() + 120
    while not any(state_of(run) == "done" for run in suite.runs):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = {run.folder: metrics_of(run) for run in suite.runs}
    stamps = {path: path.stat().st_mtime_ns for path in before.values() if path is not None}
    assert runs_left(suite)
    runners = [start(path), start(path)]
    said = [runner.communicate(timeout=240)[0] for runner in runners]
    assert [runner.returncode for runner in runners] == [0, 0], said
    assert runs_left(suite) == []
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    for run in suite.runs:
        assert len(list(run.folder.glob("*/metrics.json"))) == 1
        assert not list(run.folder.glob("**/.*.tmp-*"))


@pytest.mark.parametrize(
    ("seconds", "said"), [(None, "?"), (3.2, "3 s"), (61, "1 min"), (9000, "2 h 30 min")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
