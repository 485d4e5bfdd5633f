"""What several tests look at, made once: a demonstration on few cells, and runs of two tasks."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from rich.console import Console
from scipy import sparse

from sclong_bench.demo import data as demo_data
from sclong_bench.demo.demo_run import DemoRun
from sclong_bench.demo.run import run_demo
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.demo.stages import Stages
from tests.support.browser import find_browser, opened_browser

HOSTILE = '<b>T</b> & "B" </script><img src=x onerror=alert(1)>'
"""A cell type that would be markup where it is not escaped."""

TIDY_TABLE = """task,metric,model,seed,value
knn,accuracy,scLong,1,0.91
knn,accuracy,scLong,2,0.92
knn,accuracy,scLong,3,0.90
knn,accuracy,PCA,1,0.85
knn,accuracy,PCA,2,0.84
knn,accuracy,PCA,3,0.86
knn,accuracy,majority,,0.40
"""
"""Results that were not made by any command of ours."""


@dataclass(frozen=True)
class SmallDemo:
    """A finished demonstration."""

    folder: Path
    outcome: DemoRun
    said: str
    """What stood on standard error."""


def made_up_cells(cells: int = 120, genes: int = 80, *, seed: int = 0) -> AnnData:
    """Log1p values of three cell types that express different genes."""
    generator = np.random.default_rng(seed)
    kinds = generator.integers(3, size=cells)
    kinds[:30] = np.repeat([0, 1, 2], 10)
    rates = generator.gamma(1.0, size=(3, genes)) + 0.05
    counts = generator.poisson(rates[kinds] * generator.uniform(1, 3, size=(cells, 1)))
    counts[:, 0] += 1
    values = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 10_000)
    found = AnnData(sparse.csr_matrix(values.astype(np.float32)))
    found.obs_names = [f"cell{number}" for number in range(cells)]
    found.var_names = [f"GENE{number}" for number in range(genes)]
    found.obs[demo_data.CELL_TYPE] = np.array(["NK", "CD4+ <T>", HOSTILE])[kinds]
    return found


@pytest.fixture(scope="session")
def small_settings() -> DemoSettings:
    return DemoSettings(seed=3, epochs=2, masks=2, splits=3, batch_size=16)


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory, small_settings) -> SmallDemo:
    folder = tmp_path_factory.mktemp("demo") / "out"
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_data, "load_cells", made_up_cells)
        outcome = run_demo(
            folder,
            small_settings,
            command="sclong demo --seed 3",
            stages=Stages(Console(file=said, width=100)),
        )
    return SmallDemo(folder, outcome, said.getvalue())


MEANS = {
    "drug_response": {
        "sclong": 0.86,
        "random_sclong": 0.855,
        "deepcdr": 0.84,
        "linear": 0.76,
        "drug_mean": 0.843,
        HOSTILE: 0.5,
    },
    "drug_combination": {"sclong": 0.62, "deepdds": 0.6, "random_forest": 0.63, "ceiling": 0.9},
}
"""Of the headline metric, by task and model."""
_METRICS = {"drug_response": "pearson", "drug_combination": "auroc"}
_SCENARIOS = {"drug_response": "random", "drug_combination": "independent"}
_SEEDS = (0, 1, 2, 3, 4)


def write_runs(folder: Path, *, shift: float = 0.0, predictions: bool = True) -> Path:
    """Made-up runs as ``sclong task run`` writes them; one failed, one is missing.

    Args:
        folder: to write to.
        shift: added to the values of sclong.
        predictions: whether runs leave theirs.
    """
    generator = np.random.default_rng(0)
    for task, models in MEANS.items():
        truth = generator.normal(size=200)
        if task == "drug_combination":
            truth = (truth > 0).astype(float)
        for number, (model, mean) in enumerate(models.items()):
            for seed in _SEEDS:
                value = mean + 0.004 * generator.normal() + shift * (model == "sclong")
                if model == "deepcdr" and seed == 4:
                    continue
                run = folder / task / f"model{number}-seed{seed}"
                run.mkdir(parents=True)
                broken = model == "deepdds" and seed == 3
                rows = _run_rows(task, model, seed, None if broken else value)
                facts = {"epochs": 3}
                content = {"format": "sclong task metrics 1", "rows": rows, "facts": facts}
                (run / "metrics.json").write_text(json.dumps(content))
                (run / "split.json").write_text(json.dumps({"unit": "cell line", "seed": seed}))
                if predictions and not broken:
                    noise = generator.normal(0, 1.5 - mean, size=200)
                    table = pd.DataFrame({"line": [f"L{row % 20}" for row in range(200)]})
                    table["y"], table["predicted_y"] = truth, truth + noise
                    table.to_parquet(run / "predictions.parquet")
    return folder


def _run_rows(task: str, model: str, seed: int, value: float | None) -> list[dict[str, object]]:
    common = {
        "task": task,
        "protocol": "honest",
        "scenario": _SCENARIOS[task],
        "higher_is_better": True,
        "unit": "cell line",
        "model": model,
        "variant": "",
        "seed": seed,
        "n": 200,
        "split_digest": f"{seed:064x}",
        "data_digest": "d" * 64,
        "data_set": "paper",
        "config_digest": "c" * 64,
        "checkpoint_digest": "a" * 64 if "sclong" in model else "",
        "code_version": "0.1.0",
        "packages": "numpy=2.0 torch=2.4",
        "wall_seconds": 12.5,
        "peak_memory_bytes": 2**30,
        "date": "2026-01-01T00:00:00+00:00",
        "reason": "" if value is not None else "out of memory",
    }
    low, high = (None, None) if value is None else (value - 0.03, value + 0.03)
    first = {**common, "metric": _METRICS[task], "stratum": "all", "value": value}
    first |= {"low": low, "high": high}
    part = {**first, "stratum": "rare lines", "value": None if value is None else value - 0.1}
    error = {**common, "metric": "rmse", "stratum": "all", "higher_is_better": False}
    error |= {"value": None if value is None else 2 - value, "low": None, "high": None}
    return [first, part, error]


@pytest.fixture(scope="session")
def made_up_runs(tmp_path_factory) -> Path:
    return write_runs(tmp_path_factory.mktemp("runs") / "results")


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    if find_browser() is None:
        pytest.skip("no Chromium here: install it (on Debian: apt-get install chromium)")
    with opened_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def table(tmp_path) -> Path:
    path = tmp_path / "my_results.csv"
    path.write_text(TIDY_TABLE)
    return path
