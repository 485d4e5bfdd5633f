"""``sclong demo`` as a person runs it, on the real cells."""

import json
import signal
import subprocess
import sys
import time
from statistics import fmean

import pytest

from sclong_bench.demo.folder import FILES
from sclong_core.manifest import verify_checkpoint

pytestmark = pytest.mark.slow
COMMAND = (sys.executable, "-m", "sclong_core", "demo")


def run(folder, *words):
    return subprocess.run(
        [*COMMAND, "--output", str(folder), *words], capture_output=True, text=True, check=False
    )


def mean(results, measure, method):
    return fmean(
        row["value"]
        for row in results["rows"]
        if (row["measure"], row["method"]) == (measure, method)
    )


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full") / "demo"
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder, done, json.loads((folder / "results.json").read_text())


def test_the_model_beats_all_averages_by_a_margin(full):
    _, _, results = full
    score = mean(results, "r2", "scLong")
    assert score > mean(results, "r2", "gene + cell offsets") + 0.07
    assert score > mean(results, "r2", "gene mean") + 0.09
    assert score > mean(results, "r2", "cell mean") + 0.3


def test_the_averages_are_where_they_belong(full):
    """They depend on the data and the masks alone, so these bands are narrow."""
    _, _, results = full
    assert mean(results, "r2", "gene mean") == pytest.approx(0.443, abs=0.005)
    assert mean(results, "r2", "gene + cell offsets") == pytest.approx(0.470, abs=0.005)
    assert mean(results, "accuracy", "PCA") == pytest.approx(0.813, abs=0.015)


def test_the_embedding_tells_cell_types(full):
    _, _, results = full
    assert mean(results, "accuracy", "scLong") > mean(results, "accuracy", "largest type") + 0.3


def test_the_loss_falls_in_held_out_cells_too(full):
    _, _, results = full
    for cells in ("training", "held out"):
        curve = [point["value"] for point in results["loss"] if point["cells"] == cells]
        assert curve[-1] < 0.9 * curve[0]


def test_all_files_are_there_and_the_terminal_says_where(full):
    folder, done, _ = full
    assert {item.name for item in folder.iterdir()} == FILES
    verify_checkpoint(folder / "model")
    assert "report.html" in done.stdout
    assert "held-out R2" in done.stdout
    stages = [line.split()[0] for line in done.stderr.splitlines()]
    last = ["pretraining", "reconstruction", "embedding", "maps"]
    assert stages == ["cells", "scLong-mini", *last]


@pytest.mark.fault
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(tmp_path, sign):
    with subprocess.Popen(
        [*COMMAND, "--output", str(tmp_path / "demo")], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr.readline().startswith("cells")
        assert process.stderr.readline().startswith("scLong-mini")
        time.sleep(10)  # into pretraining; wherever it is, nothing may be left
        process.send_signal(sign)
        said = process.stderr.read()
        status = process.wait(120)
    assert status == 130
    assert said.strip() == "error: interrupted"
    assert not list(tmp_path.iterdir())
