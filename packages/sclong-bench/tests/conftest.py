"""A whole demonstration on few made-up cells, made once: what several tests look at."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData
from rich.console import Console
from scipy import sparse

from sclong_bench.demo import data as demo_data
from sclong_bench.demo.outcome import Outcome
from sclong_bench.demo.run import run_demo
from sclong_bench.demo.settings import DemoSettings
from sclong_bench.demo.stages import Stages

HOSTILE = '<b>T</b> & "B" </script><img src=x onerror=alert(1)>'
"""A cell type that would be markup where it is not escaped."""


@dataclass(frozen=True)
class SmallDemo:
    """A finished demonstration."""

    folder: Path
    outcome: Outcome
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
