"""Training of models with a readout: what it learns, what it leaves, and that it resumes."""

import dataclasses

import numpy as np
import pytest
import torch
from anndata import AnnData
from lightning.pytorch import Trainer
from scipy import sparse

from sclong_core.config import ContextConfig, ReadoutConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.model import load_checkpoint
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.pretraining.config import PerformerOverrides
from sclong_core.pretraining.corruption import CorruptionConfig
from sclong_core.pretraining.data import AnnDataModule
from sclong_core.pretraining.datamodule import PretrainingData
from sclong_core.pretraining.export import ExportModel
from sclong_core.pretraining.metrics import HiddenGeneMetrics
from sclong_core.pretraining.module import ScLongPretraining, dense_expression
from sclong_core.pretraining.objective import ObjectiveConfig
from sclong_core.pretraining.readouts import finish_readout, start_readout
from sclong_core.pretraining.reference import SampledCells, cell_weights, reference_statistics
from sclong_core.pretraining.schedule import ScheduleConfig
from sclong_core.testing import synthetic_gene_ids
from tests.support.training import small_network

pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec:FutureWarning")

_GENES = 60
_READOUT = ReadoutConfig(width=8, hidden=16, queries=2, variable_genes=40, sums=12, components=3)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _counts(cells: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of cells of three types, each with twenty genes of its own."""
    random = np.random.default_rng(seed)
    types = np.arange(cells) % 3
    rate = np.full((3, _GENES), 0.4)
    for kind in range(3):
        rate[kind, kind * 20 : kind * 20 + 20] = 4.0
    return random.poisson(rate[types]).astype(np.float32), types


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cells.h5ad"
    counts, types = _counts(120, 0)
    made = AnnData(sparse.csr_matrix(counts))
    made.var_names = synthetic_gene_ids(_GENES)
    made.obs_names = [f"cell {number}" for number in range(len(counts))]
    made.obs["kind"] = types.astype(str)
    made.write_h5ad(path)
    return path


def _data(cells, **settings):
    return AnnDataModule(cells, **{"batch_size": 16, "validation_fraction": 0.2, **settings})


def _module(data, **settings):
    shape = {"depth": 1, "heads": 2, "dim_head": 8, "attention": "softmax"}
    network = dataclasses.replace(
        small_network(),
        high_genes=6,
        large=PerformerOverrides(dim=24, **shape),
        mini=PerformerOverrides(**shape),
        full=PerformerOverrides(**shape),
        context=ContextConfig(low_genes=4),
        readout=_READOUT,
    )
    objective = ObjectiveConfig(CorruptionConfig(hidden=4, panel_genes=30), genes=50)
    rate = ScheduleConfig(first_cycle=1000, warmup=0, maximum=5e-3, minimum=1e-5, interval="step")
    settings = {"objective": objective, "schedule": rate, **settings}
    return ScLongPretraining(
        data.vocabulary, settings.pop("network", network), input=data.input, **settings
    )


def _trainer(folder, *callbacks, **settings):
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=list(callbacks),
        **{"max_epochs": 1, "num_sanity_val_steps": 0, **settings},
    )


@pytest.fixture(scope="module")
def trained(cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    data = _data(cells)
    module = _module(data)
    trainer = _trainer(folder, ExportModel(folder), max_epochs=25, check_val_every_n_epoch=25)
    trainer.fit(module, datamodule=data)
    return folder, module, {k: float(v) for k, v in trainer.callback_metrics.items()}


def test_it_learns_which_hidden_genes_are_expressed(trained):
    _, _, figures = trained
    assert figures["val/cell_detection_auroc"] > 0.65
    assert figures["train/cell_detection"] < 0.68
    assert {"val/r2", "val/detection_auroc", "val/cell_r2", "train/gene_value"} <= figures.keys()
    assert all(np.isfinite(value) for value in figures.values())


def test_the_exported_model_tells_types_of_cells_that_it_never_saw(trained, cells):
    folder, module, _ = trained
    model = load_checkpoint(folder / "model")
    assert model.config.readout == _READOUT
    counts, types = _counts(60, 1)
    made = AnnData(sparse.csr_matrix(counts))
    made.var_names = synthetic_gene_ids(_GENES)
    embedded = model.embed(made)
    assert embedded.shape == (60, _READOUT.width + _READOUT.components)
    centres = np.stack([embedded[types == kind].mean(0) for kind in range(3)])
    nearest = ((embedded[:, None] - centres) ** 2).sum(-1).argmin(1)
    assert (nearest == types).mean() > 0.9
    assert model.require_readout().centre.abs().sum() > 0  # statistics of training cells
    assert torch.equal(model.readout.projection, module.model.readout.projection)


def test_figures_of_hidden_genes_do_not_depend_on_batches_before(trained):
    _, module, _ = trained
    counts, _ = _counts(30, 2)
    values = torch.log1p(torch.from_numpy(counts))
    measured = torch.ones_like(values, dtype=torch.bool)
    found = []
    metrics = HiddenGeneMetrics()
    for _ in range(2):
        with torch.no_grad():
            metrics.update(module.model, values, measured, seed=3)
        found.append(metrics.compute())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert 0 <= found[0]["val/cell_detection_auroc"] <= 1


def test_vectors_of_genes_start_at_the_components_unless_they_are_given(cells):
    data = _data(cells)
    data.setup("fit")
    starts = []
    for gene_vectors in (True, False):
        model = _module(data).model
        before = model.genes.vectors.detach().clone()
        start_readout(model, data, gene_vectors=gene_vectors)
        starts.append(not torch.equal(before, model.genes.vectors))
        assert model.readout.components.abs().sum() > 0
    assert starts == [True, False]


def test_the_end_of_training_centres_the_embedding_of_its_cells(cells):
    data = _data(cells)
    data.setup("fit")
    model = _module(data).model
    start_readout(model, data, gene_vectors=True)
    finish_readout(model, data)
    embedded = model.embed(cells)[data.training_cells]
    assert np.abs(embedded.mean(0)).max() < 1e-3


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(cells, tmp_path):
    def run(epochs, path=None, name="one"):
        data = _data(cells)
        module = _module(data)
        trainer = _trainer(tmp_path / name, max_epochs=epochs, limit_val_batches=0)
        trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
        return module.state_dict()

    whole = run(2)
    run(1, name="half")
    resumed = run(2, tmp_path / "half.ckpt", name="rest")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_another_objective_is_refused_when_a_run_goes_on(cells, tmp_path):
    data = _data(cells)
    trainer = _trainer(tmp_path, limit_val_batches=0)
    trainer.fit(_module(data), datamodule=data)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    other = _module(data, objective=ObjectiveConfig(CorruptionConfig(thinning=0.5, hidden=4)))
    with pytest.raises(CheckpointError, match=r"objective.*thinning: 0.1, now 0.5"):
        _trainer(tmp_path, max_epochs=2).fit(
            other, datamodule=_data(cells), ckpt_path=tmp_path / "one.ckpt", weights_only=True
        )


def test_objective_and_readout_belong_together(cells):
    data = _data(cells)
    with pytest.raises(ConfigError, match="belong together"):
        _module(data, objective=None)
    with pytest.raises(ConfigError, match="belong together"):
        _module(data, network=small_network())


def test_data_that_do_not_say_what_they_measure_are_refused():
    with pytest.raises(ConfigError, match="does not say which genes its cells measure"):
        PretrainingData().reference_cells(10)


def test_a_batch_of_expressed_genes_alone_is_the_same_batch():
    dense = torch.tensor([[0.0, 1.5, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]])
    ragged = {
        "expression": torch.tensor([1.5, 2.0, 3.0]),
        "gene": torch.tensor([1, 3, 0]),
        "offsets": torch.tensor([0, 2, 2, 3]),
    }
    assert torch.equal(dense_expression(ragged, 4), dense)


def _sampled(seed: int = 0, cells: int = 200) -> SampledCells:
    counts, _ = _counts(cells, seed)
    source = np.repeat([0, 1], [cells - 40, 40])
    measured = np.ones((2, _GENES), dtype=bool)
    measured[1, 55:] = False
    values = np.log1p(counts) * measured[source]
    return SampledCells(sparse.csr_array(values), source, measured)


def test_statistics_count_a_gene_over_the_sources_that_measure_it():
    found = reference_statistics(_sampled(), _READOUT)
    values = _sampled().expression.toarray()
    only_first = values[:160, 57]
    assert float(found.gene_rate[57]) == pytest.approx((only_first > 0).mean(), abs=1e-5)
    assert float(found.gene_level[57]) == pytest.approx(only_first[only_first > 0].mean(), abs=1e-5)


def test_a_source_weighs_as_the_square_root_of_its_cells():
    weights = cell_weights(np.repeat([0, 1], [160, 40]))
    assert weights.sum() == pytest.approx(1)
    assert weights[:160].sum() / weights[160:].sum() == pytest.approx(2)


def test_components_are_orthonormal_and_do_not_depend_on_the_order_of_cells():
    cells = _sampled()
    found = reference_statistics(cells, _READOUT)
    loadings = found.components.double()
    assert torch.allclose(loadings.T @ loadings, torch.eye(3, dtype=torch.float64), atol=1e-5)
    assert (found.component_scale.diff() <= 0).all()
    order = np.random.default_rng(0).permutation(200)
    turned = SampledCells(cells.expression[order], cells.source[order], cells.measured)
    again = reference_statistics(turned, _READOUT)
    assert torch.equal(found.variable, again.variable)
    assert torch.allclose(found.components, again.components, atol=1e-4)


def test_a_readout_may_do_without_components():
    found = reference_statistics(_sampled(), dataclasses.replace(_READOUT, components=0))
    assert found.components.shape == (40, 0)


def test_too_few_genes_or_cells_are_said():
    cells = _sampled()
    seen = cells.expression.toarray() * (np.arange(_GENES) >= 30)
    cells = cells._replace(expression=sparse.csr_array(seen))
    with pytest.raises(ConfigError, match=r"30 genes are.*readout\.variable_genes"):
        reference_statistics(cells, _READOUT)
    with pytest.raises(ConfigError, match=r"readout\.components"):
        reference_statistics(
            _sampled(cells=40), dataclasses.replace(_READOUT, components=40, variable_genes=40)
        )
