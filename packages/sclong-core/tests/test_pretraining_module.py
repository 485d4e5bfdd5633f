import logging

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from sclong_core.errors import CheckpointError, ConfigError, InputError, ScLongError
from sclong_core.graph import GeneGraph
from sclong_core.model import load_checkpoint
from sclong_core.nn.features import draw_features
from sclong_core.pretraining.checkpoint_io import AtomicCheckpointIO
from sclong_core.pretraining.data import AnnDataModule
from sclong_core.pretraining.export import ExportModel
from sclong_core.pretraining.loss import scored_error
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.module import OptimiserConfig, ScLongPretraining
from sclong_core.vocabulary import GeneVocabulary
from tests.support.training import PlantNan, small_network, write_cells

# Lightning asks PyTorch about trees in a way that PyTorch deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec:FutureWarning")


@pytest.fixture(autouse=True)
def one_thread():
    """A network this small gains nothing from more, and waits for them where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return write_cells(tmp_path_factory.mktemp("data") / "cells.h5ad")


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.npz"
    edges = np.stack([np.arange(40), np.roll(np.arange(40), 1)])
    GeneGraph(40, edges, np.ones(40, dtype=np.float32)).write(path)
    return path


def data_of(cells, **settings):
    return AnnDataModule(cells, **{"batch_size": 4, "validation_fraction": 0.2, **settings})


def module_of(data, **settings):
    return ScLongPretraining(data.vocabulary, small_network(), input=data.input, **settings)


def trainer_of(folder, *callbacks, **settings):
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
        callbacks=list(callbacks),
        **{"max_epochs": 1, **settings},
    )


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


class Features(Callback):
    """Records which features each batch was computed with, and each validation."""

    def __init__(self):
        self.training, self.validation = [], []

    def on_before_backward(self, trainer, pl_module, loss):
        self.training.append(pl_module.model.large.layers[0].attention.features.clone())

    def on_validation_batch_end(self, trainer, pl_module, *args, **kwargs):
        if not trainer.sanity_checking:
            self.validation.append(int(pl_module.model.redraw_index))


def test_features_are_redrawn_as_a_function_of_batches_seen(cells, tmp_path):
    data, features = data_of(cells), Features()
    module = module_of(data, feature_redraw_interval=5)
    trainer = trainer_of(tmp_path, features, max_epochs=2, accumulate_grad_batches=3)
    trainer.fit(module, datamodule=data)
    attention = module.model.large.layers[0].attention
    assert len(features.training) == 2 * trainer.num_training_batches > 20
    for batch, found in enumerate(features.training):
        expected = draw_features(*attention.features.shape, key=(*attention.key, batch // 5))
        assert torch.equal(found, expected)
    last = (len(features.training) - 1) // 5
    assert int(module.model.redraw_index) == last
    assert set(features.validation) == {(len(features.training) // 2 - 1) // 5, last}
    trainer.validate(module, datamodule=data, verbose=False)
    assert int(module.model.redraw_index) == last


def test_training_lowers_the_loss_and_leaves_the_global_random_state(cells, tmp_path):
    data = data_of(cells)
    module = module_of(data)
    before = torch.get_rng_state()
    trainer_of(tmp_path, max_epochs=2).fit(module, datamodule=data)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_figures_of_validation_are_those_of_the_held_out_cells(cells, tmp_path):
    data = data_of(cells)
    module = module_of(data)
    trainer = trainer_of(tmp_path)
    trainer.fit(module, datamodule=data)
    (found,) = trainer.validate(module, datamodule=data, verbose=False)
    module.eval()
    errors, values, means = [], [], []
    with torch.no_grad():
        for batch in data.val_dataloader():
            assert torch.equal(batch["masked"], batch["scored"])
            output = module.model(batch["expression"], batch["masked"]).reconstruction
            scored = batch["scored"]
            errors.append((output - batch["expression"])[scored])
            values.append(batch["expression"][scored])
            means.append(torch.from_numpy(data.gene_means).expand_as(scored)[scored])
    error, value, mean = torch.cat(errors), torch.cat(values), torch.cat(means)
    varies = ((value - value.mean()) ** 2).sum()
    assert found["val/loss"] == pytest.approx(float((error**2).mean()), rel=1e-5)
    assert found["val/r2"] == pytest.approx(float(1 - (error**2).sum() / varies), rel=1e-4)
    expected = float(1 - ((mean - value) ** 2).sum() / varies)
    assert found["val/r2_gene_mean"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("place", "message"), [("expression", "loss is nan"), ("gradient", "norm of the gradient")]
)
def test_a_number_that_is_not_finite_stops_before_the_step(cells, tmp_path, place, message):
    data = data_of(cells)
    module = module_of(data)
    trainer = trainer_of(tmp_path, PlantNan(3, place), accumulate_grad_batches=2)
    steps = []
    log = Callback()
    log.on_train_batch_end = lambda *args: steps.append((state_of(module), args[3]["cell"]))
    trainer.callbacks.insert(0, log)
    with pytest.raises(ScLongError, match=message) as caught:
        trainer.fit(module, datamodule=data)
    assert len(steps) == 3
    assert "at step 2" in str(caught.value)
    before, after = steps[1][0], state_of(module)
    del before["model.expression.mask"]  # clipped to norm 1 at every use, as in the release
    assert same(before, after)
    # Both batches that were accumulated are named: either may have spoilt the gradient.
    named = str(caught.value).partition("by number: ")[2].split(", ")
    assert len(named) == 8
    assert named[:4] == [str(int(cell)) for cell in steps[2][1]]


@pytest.mark.fault
@pytest.mark.parametrize("change", ["vocabulary", "graph", "masking", "network"])
def test_a_checkpoint_of_something_else_is_refused(cells, graph, tmp_path, change):
    data = data_of(cells)
    trainer = trainer_of(tmp_path)
    trainer.fit(module_of(data, graph=graph), datamodule=data)
    path = tmp_path / "step=1.ckpt"
    trainer.save_checkpoint(path)
    settings = {"graph": graph}
    stored = {"vocabulary": data.vocabulary.digest, "graph": GeneGraph.read(graph).digest}
    if change == "vocabulary":  # of the same length
        GeneVocabulary.from_ids(data.vocabulary.ids[::-1]).write(tmp_path / "other.tsv")
        data = data_of(cells, vocabulary=tmp_path / "other.tsv")
        expected = [stored["vocabulary"], data.vocabulary.digest]
    elif change == "graph":  # one edge
        old = GeneGraph.read(graph)
        weight = old.edge_weight.copy()
        weight[7] = 0.5
        other = GeneGraph(40, old.edge_index, weight)
        other.write(tmp_path / "other.npz")
        settings["graph"] = tmp_path / "other.npz"
        expected = [stored["graph"], other.digest]
    elif change == "masking":
        data = data_of(cells, masking=MaskingConfig(seed=3))
        expected = ["seed: 0, now 3"]
    else:
        expected = ["large.depth: 1, now 2"]
    module = module_of(data, **settings)
    if change == "network":
        network = small_network(feature_seed=0)
        deeper = network.__class__(
            **{
                **vars(network),
                "large": network.large.__class__(**{**vars(network.large), "depth": 2}),
            }
        )
        module = ScLongPretraining(data.vocabulary, deeper, graph=graph)
    with pytest.raises(CheckpointError) as caught:
        trainer_of(tmp_path).fit(module, datamodule=data, ckpt_path=path)
    assert all(part in str(caught.value) for part in expected), caught.value


def test_a_model_without_graph_and_vectors_says_so(cells, graph, tmp_path, caplog):
    data = data_of(cells)
    with caplog.at_level(logging.WARNING, logger="sclong"):
        module = module_of(data)
    assert module.model.config.graph == "none"
    assert "no gene graph is set" in caplog.text
    assert "no gene vectors are set" in caplog.text
    vectors = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)
    np.save(tmp_path / "vectors.npy", vectors)
    module = module_of(data, graph=graph, gene_vectors=tmp_path / "vectors.npy")
    assert module.model.graph.digest == GeneGraph.read(graph).digest
    assert np.array_equal(module.model.genes.vectors.detach()[:-1], vectors)


def test_equal_seeds_start_from_equal_weights(cells):
    data = data_of(cells)
    one, other, third = (module_of(data, seed=seed).state_dict() for seed in (1, 1, 2))
    assert same(one, other)
    assert not same(one, third)


@pytest.mark.parametrize("setting", ["activation_checkpointing", "precision"])
def test_ways_to_save_memory_train_alike(cells, tmp_path, setting):
    results = []
    for saves in (False, True):
        data = data_of(cells)
        module = module_of(
            data, activation_checkpointing=saves and setting == "activation_checkpointing"
        )
        precision = "bf16-mixed" if saves and setting == "precision" else "32-true"
        trainer = trainer_of(tmp_path, precision=precision)
        trainer.fit(module, datamodule=data)
        results.append(float(trainer.callback_metrics["val/loss"]))
    tolerance = 1e-6 if setting == "activation_checkpointing" else 1e-2
    assert results[1] == pytest.approx(results[0], rel=tolerance)


def test_the_export_is_a_checkpoint_to_embed_with(cells, graph, tmp_path):
    data = data_of(cells)
    module = module_of(data, graph=graph)
    trainer = trainer_of(tmp_path, ExportModel(tmp_path))
    trainer.fit(module, datamodule=data)
    loaded = load_checkpoint(tmp_path / "model")
    assert same(loaded.state_dict(), module.model.state_dict())
    assert loaded.vocabulary.ids == data.vocabulary.ids
    named = dict(zip(loaded.vocabulary.ids, loaded.vocabulary.symbols, strict=True))
    assert named["ENSG00000000003"] == "TSPAN6"  # ids without symbols are given theirs
    assert loaded.config.graph == "edges"


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_a_precision_that_training_is_wrong_in_is_refused(cells, tmp_path, precision):
    data = data_of(cells)
    with pytest.raises(ConfigError, match="32-true or bf16-mixed"):
        trainer_of(tmp_path, precision=precision).fit(module_of(data), datamodule=data)


def test_impossible_settings_are_refused(cells, tmp_path):
    data = data_of(cells)
    with pytest.raises(ConfigError, match="feature_redraw_interval"):
        module_of(data, feature_redraw_interval=0)
    with pytest.raises(InputError, match=r"absent\.npz does not exist"):
        module_of(data, graph="absent.npz")
    with pytest.raises(InputError, match=r"absent\.npy is not a \.npy file of gene vectors"):
        module_of(data, gene_vectors="absent.npy")
    np.save(tmp_path / "short.npy", np.zeros((3, 16)))
    with pytest.raises(ConfigError, match="gene vectors are"):
        module_of(data, gene_vectors=tmp_path / "short.npy")
    for wrong in ({"beta1": 1.0}, {"epsilon": 0.0}, {"weight_decay": -1.0}):
        with pytest.raises(ConfigError, match="optimiser"):
            OptimiserConfig(**wrong)


def test_the_loss_is_the_mean_over_scored_values_alone():
    reconstruction = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, torch.inf]], requires_grad=True)
    expression = torch.tensor([[0.0, 2.0, 9.0], [2.0, 5.0, 1.0]])
    scored = torch.tensor([[True, True, False], [True, False, False]])
    error = scored_error(reconstruction, expression, scored)
    assert float(error.loss) == pytest.approx((1 + 0 + 4) / 3)
    error.for_backward.backward()
    expected = torch.tensor([[2.0, 0.0, 0.0], [4.0, 0.0, 0.0]]) / 3
    torch.testing.assert_close(reconstruction.grad, expected)
