"""What tests of published models share: fixtures beside the checkout, cells, batches of tokens."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from sclong_core.testing import synthetic_gene_ids
from sclong_tasks.encoders.published_model import Batch
from sclong_tasks.encoders.tiny import write_tiny
from tests.support.places import shared_folder

GENES = {gene: f"GENE{number}" for number, gene in enumerate(synthetic_gene_ids(40))}
"""Of tiny checkpoints and cells: symbols by id."""


@dataclass
class Fixture:
    """A checkpoint in its authors' format, cells, and what the authors' code gave for them."""

    folder: Path
    expected: dict[str, Any]
    cells: anndata.AnnData

    def tensor(self, name: str) -> Tensor:
        """An expected array as a tensor."""
        return torch.from_numpy(self.expected[name])


def fixture(name: str) -> Fixture:
    """The fixture of a model; the test is skipped without it."""
    folder = shared_folder(f"peers/{name}")
    if folder is None:
        pytest.skip(f"no folder shared/peers/{name} beside the checkout")
    with np.load(folder / "expected.npz", allow_pickle=False) as arrays:
        expected = {key: arrays[key] for key in arrays.files}
    return Fixture(folder, expected, anndata.read_h5ad(folder / "input.h5ad"))


def batch(
    ids: Tensor, real: Tensor, genes: Tensor | None = None, values: Tensor | None = None
) -> Batch:
    """Tokens that a fixture gives, as a batch."""
    return Batch(ids, real, ids if genes is None else genes, values, even=bool(real.all()))


def furthest(found: Any, expected: Any) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())


def tiny_folder(name: str, folder: Path) -> Path:
    """A folder with a tiny checkpoint of a model that knows ``GENES``."""
    write_tiny(name, folder / name, GENES)
    return folder / name


def tiny_cells(cells: int = 9, *, seed: int = 0, log: bool = False) -> anndata.AnnData:
    """Counts of ``GENES``, and of two that no model knows, in an order of their own."""
    generator = np.random.default_rng(seed)
    ids = [*GENES, "ENSG00000999998", "ENSG00000999999"]
    symbols = [*GENES.values(), "UNKNOWN1", "UNKNOWN2"]
    order = generator.permutation(len(ids))
    counts = generator.poisson(generator.gamma(0.7, 2.0, (cells, len(ids)))).astype(np.float32)
    counts[:, 0] += 1
    if log:
        counts = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    var = pd.DataFrame({"symbol": symbols}, index=ids).iloc[order]
    obs = pd.DataFrame(index=[f"cell {number}" for number in range(cells)])
    return anndata.AnnData(counts[:, order], obs=obs, var=var)


def messages(caplog: Any) -> str:
    """All that was logged."""
    return "\n".join(record.getMessage() for record in caplog.records)
