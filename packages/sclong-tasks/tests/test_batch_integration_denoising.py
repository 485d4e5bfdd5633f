"""The plain denoising network as a model of batch integration."""

import anndata
import numpy as np
import pytest

from sclong_core.errors import ConfigError
from sclong_core.testing import synthetic_gene_ids
from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.batch_integration.data import read_cells
from sclong_tasks.batch_integration.models.denoising import CorpusDenoisingOptions, Denoising
from sclong_tasks.splits import Split
from sclong_tasks.task import RunContext
from tests.support.corpora import write_made_up_corpus

SMALL = {"genes": 12, "hidden": 16, "width": 6, "steps": 3, "batch_size": 8}


@pytest.fixture
def data(tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, size=(20, 24)).astype(np.float32)
    cells = anndata.AnnData(counts)
    cells.var_names = synthetic_gene_ids(24)
    cells.obs["batch"] = ["x", "y"] * 10
    cells.obs["cell_type"] = ["a"] * 10 + ["b"] * 10
    cells.write_h5ad(tmp_path / "cells.h5ad")
    settings = IntegrationSettings(min_genes=2, min_cells=2)
    return read_cells(tmp_path / "cells.h5ad", settings)


def fitted(data, tmp_path, **changes):
    write_made_up_corpus(tmp_path / "corpus")
    model = Denoising(
        CorpusDenoisingOptions(**{**SMALL, "corpus": f"{tmp_path}/corpus", **changes})
    )
    context = RunContext(seed=3, protocol="honest", scratch=tmp_path)
    none = np.arange(0)
    model.fit(data, Split("all", 3, "cell", none, none, np.arange(20)), context)
    return model, context


def test_it_is_trained_on_the_corpus_and_embeds_other_cells(data, tmp_path):
    model, context = fitted(data, tmp_path)
    found = model.predict(data, np.arange(20))
    assert found.shape == (20, 6)
    assert np.isfinite(found.to_numpy()).all()
    assert "24 of 24 genes are known" in model.describe()["coverage"]
    folder = tmp_path / "model"
    folder.mkdir()
    model.save(folder)
    again = Denoising.load(folder, context).predict(data, np.arange(20))
    np.testing.assert_array_equal(found.to_numpy(), again.to_numpy())


def test_without_a_corpus_it_says_what_it_needs(data, tmp_path):
    with pytest.raises(ConfigError, match=r"model\.corpus=FOLDER"):
        fitted(data, tmp_path, corpus="")
