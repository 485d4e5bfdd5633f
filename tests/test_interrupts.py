"""Ctrl-C ends real commands, with the processes that they started; the same command goes on."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from sclong_core.children import descendants
from sclong_core.cli.main import main
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_tasks.drug_response.example import write_example
from tests.support.datasets import made_up_vocabulary, write_datasets

pytestmark = pytest.mark.fault
_PATIENCE = 120
START = "import sys; from sclong_core.cli.main import main; sys.exit(main())"


def harmonise(place):
    """Forty data sets, in two processes."""
    write_datasets(place)
    names = [f"a{number}" for number in range(40)]
    for name in names:
        shutil.copyfile(place / "a.h5ad", place / f"{name}.h5ad")
    Manifest(tuple(DatasetEntry(name, location=f"{name}.h5ad") for name in names), place).write(
        place / "manifest.tsv"
    )
    made_up_vocabulary().write(place / "vocabulary.tsv")
    (place / "rules.yaml").write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 10\n")
    return [
        "data", "harmonise", "manifest.tsv", "-o", "corpus", "--vocabulary", "vocabulary.tsv",
        "--rules", "rules.yaml", "--cluster", "local:2",
    ]  # fmt: skip


def prepared_drugs(place):
    write_example(place / "original")
    before = Path.cwd()
    os.chdir(place)
    try:
        assert main(["task", "data", "drug_response", "--source", "original"]) == 0
    finally:
        os.chdir(before)


def task_run(place):
    """Many runs of a model that is quick."""
    prepared_drugs(place)
    words = ["task", "run", "drug_response", "--model", "drug_mean", "--set", "task.bootstrap=2000"]
    return [*words, "--seed", *map(str, range(1, 200))]


def bench_run(place):
    """The same as a suite, each run in a process of its own."""
    prepared_drugs(place)
    suite = {
        "runs": [{"task": "drug_response", "models": ["drug_mean"]}],
        "seeds": list(range(1, 200)),
        "data": "task-data",
        "output": "runs",
    }
    (place / "suite.yaml").write_text(yaml.safe_dump(suite))
    return ["bench", "run", "suite.yaml"]


BEGUN = {
    "harmonise": (harmonise, lambda place: (place / "corpus").exists()),
    "task run": (task_run, lambda place: any(place.glob("task-runs/**/metrics.json"))),
    "bench run": (bench_run, lambda place: any(place.glob("runs/**/metrics.json"))),
}


@pytest.mark.parametrize("name", BEGUN)
def test_an_interrupt_ends_a_command_and_all_that_it_started(name, tmp_path):
    prepare, begun = BEGUN[name]
    words = prepare(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", START, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        until = time.monotonic() + _PATIENCE
        while not begun(tmp_path):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        started = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=_PATIENCE)
    assert process.returncode == 130, errors
    last = errors.splitlines()[-1]
    assert last.startswith("error: ")
    assert "interrupted" in last
    assert "Traceback" not in errors
    assert not [child for child in started if _lives(child)]
    assert not [path for path in tmp_path.rglob(".*.tmp-*") if path.is_file()]


def _lives(process):
    number = getattr(process, "pid", process)
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
