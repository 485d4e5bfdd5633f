"""Models with a context and a readout: what they read, the vector of a cell, and their files."""

import dataclasses

import numpy as np
import pytest
import torch

from sclong_core.checkpoint import read_checkpoint_info, save_checkpoint
from sclong_core.config import (
    ContextConfig,
    InputConfig,
    PerformerConfig,
    ReadoutConfig,
    ScLongConfig,
)
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.manifest import write_manifest
from sclong_core.model import ScLong, load_checkpoint
from sclong_core.nn.network import CellVectors, ContextOutput
from sclong_core.nn.readout import ReferenceStatistics
from sclong_core.summary import summarise_checkpoint
from sclong_core.testing import make_counts_anndata, make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

_GENES, _VARIABLE = 60, 30


def _config(**changes) -> ScLongConfig:
    side = PerformerConfig(dim=16, depth=2, heads=2, dim_head=8, attention="softmax")
    settings = {
        "genes": _GENES,
        "dim": 16,
        "high_genes": 6,
        "large": dataclasses.replace(side, dim=24),
        "mini": side,
        "full": side,
        "graph": "none",
        "context": ContextConfig(low_genes=5),
        "readout": ReadoutConfig(
            width=8, hidden=16, queries=2, variable_genes=_VARIABLE, sums=12, components=4
        ),
        **changes,
    }
    return ScLongConfig(**settings)


def _model(seed: int = 0, **changes) -> ScLong:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = ScLong(_config(**changes), GeneVocabulary.from_ids(synthetic_gene_ids(_GENES)))
        readout = model.require_readout()
        components = torch.linalg.qr(torch.randn(_VARIABLE, readout.config.components)).Q
    rate = torch.linspace(0.05, 0.9, _GENES)
    readout.set_statistics(
        ReferenceStatistics(
            gene_level=1 + rate,
            gene_rate=rate,
            variable=torch.arange(0, _GENES, 2),
            mean=rate[::2],
            scale=0.5 + rate[::2],
            components=components,
            component_scale=torch.linspace(2, 1, readout.config.components),
        )
    )
    return model.eval()


def _expression(cells: int = 5, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    counts = torch.poisson(torch.full((cells, _GENES), 1.0), generator=generator)
    return torch.log1p(counts * 3)


def test_a_configuration_without_new_parts_is_written_as_before():
    written = ScLongConfig.preset("tiny", genes=50).to_dict()
    assert {"context", "readout", "storage"}.isdisjoint(written)
    assert "attention" not in written["large"]


def test_a_configuration_with_them_comes_back():
    config = _config(storage="bfloat16")
    assert ScLongConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context": None}, "belong together"),
        ({"readout": None}, "belong together"),
        ({"low_expression": "none"}, "low_expression"),
        ({"high_genes": 28}, "together must not exceed readout.variable_genes"),
        ({"storage": "int8"}, "storage"),
        ({"mini": PerformerConfig(dim=16, depth=1, heads=2, dim_head=8)}, None),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, message):
    if message is None:
        _config(**changes)  # FAVOR+ in one encoder, softmax in the others
        return
    with pytest.raises(ConfigError, match=message):
        _config(**changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queries": 0, "sums": 0, "components": 0}, "all are 0"),
        ({"components": 3000}, "must not exceed readout.variable_genes"),
        ({"width": 0}, "readout.width"),
        ({"residual": True, "components": 0}, "readout.residual"),
        ({"residual_share": 1.5}, "readout.residual_share"),
        ({"residual": True, "width": 64, "components": 100}, "readout.residual"),
        ({"sums": -1}, "readout.sums"),
    ],
)
def test_a_readout_of_nothing_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ReadoutConfig(**settings)


@pytest.mark.parametrize("attention", ["softmax", "favor"])
@pytest.mark.parametrize("parts", [{}, {"queries": 0}, {"sums": 0}, {"components": 0}])
def test_a_cells_vector_depends_on_that_cell_alone(attention, parts):
    side = PerformerConfig(dim=16, depth=1, heads=2, dim_head=8, attention=attention)
    readout = dataclasses.replace(_config().readout, **parts)
    model = _model(large=side, mini=side, full=side, readout=readout)
    x = _expression()
    found = model.cell_vectors(x)
    assert isinstance(found, CellVectors)
    together = found.embedding
    alone = torch.cat([model.cell_vectors(row[None]).embedding for row in x])
    assert together.shape == (5, 8 + readout.components)
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_encoders_read_the_genes_that_lie_farthest_from_their_mean():
    model, x = _model(), _expression()
    measured = torch.ones_like(x, dtype=torch.bool)
    high, low = model.choose_context(x, measured)
    variable = model.readout.variable
    assert torch.isin(torch.cat([high, low], dim=1), variable).all()
    assert (x.gather(1, high) > 0).all()
    surprise = x[:, variable] - model.readout.mean
    for row in range(len(x)):
        expressed = variable[x[row, variable] > 0]
        ordered = expressed[surprise[row][x[row, variable] > 0].argsort(descending=True)]
        assert set(high[row].tolist()) == set(ordered[:6].tolist())
        assert not set(high[row].tolist()) & set(low[row].tolist())


def test_unmeasured_is_something_else_than_zero():
    model, x = _model(), _expression()
    silent = int(model.readout.variable[3])
    x[:, silent] = 0
    measured = torch.ones(_GENES, dtype=torch.bool)
    measured[silent] = False
    zero, unknown = model.cell_vectors(x), model.cell_vectors(x, measured)
    assert not torch.allclose(zero.vector, unknown.vector, atol=1e-4)
    assert not torch.allclose(zero.components, unknown.components, atol=1e-4)


def test_a_value_that_counts_as_unmeasured_is_not_seen():
    model, x = _model(), _expression()
    measured = torch.rand(_GENES, generator=torch.Generator().manual_seed(3)) < 0.6
    other = x.clone()
    other[:, ~measured] = 7.0
    assert torch.equal(
        model.cell_vectors(x, measured).embedding, model.cell_vectors(other, measured).embedding
    )


def test_a_gene_is_represented_alike_whichever_others_are_asked_for():
    model, x = _model(), _expression()
    measured = torch.ones_like(x, dtype=torch.bool)
    two = torch.tensor([[50, 3]]).expand(len(x), -1)
    alone = model.read_context(x, measured, two[:, :1]).asked
    both = model.read_context(x, measured, two)
    assert isinstance(both, ContextOutput)
    assert torch.allclose(alone[:, 0], both.asked[:, 0], atol=1e-6)
    bare = model.read_context(x, measured)
    assert torch.allclose(bare.context, both.context, atol=1e-6)


def test_a_hidden_gene_is_represented_without_its_value():
    model, x = _model(), _expression()
    measured = torch.ones_like(x, dtype=torch.bool)
    asked = torch.full((len(x), 1), 51)  # not a variable gene: it is never in the context
    hidden = torch.ones_like(asked, dtype=torch.bool)
    other = x.clone()
    other[:, 51] += 2
    seen = [model.read_context(v, measured, asked).asked for v in (x, other)]
    unseen = [model.read_context(v, measured, asked, hidden=hidden).asked for v in (x, other)]
    assert not torch.allclose(*seen, atol=1e-4)
    assert torch.equal(*unseen)


def test_all_genes_are_represented_and_reconstructed():
    model, x = _model(), _expression()
    output = model(x)
    assert output.gene_representations.shape == (5, _GENES, 16)
    assert output.reconstruction.shape == (5, _GENES)
    assert torch.isfinite(output.gene_representations).all()
    found = model.read_context(x, torch.ones_like(x, dtype=torch.bool))
    places = found.positions.unsqueeze(-1).expand_as(found.context)
    assert torch.equal(output.gene_representations.gather(1, places), found.context)


def test_components_of_a_part_of_the_genes_stay_near_those_of_all():
    model = _model()
    x = _expression(200, seed=4)
    whole = model.cell_vectors(x).components
    measured = torch.ones(_GENES, dtype=torch.bool)
    measured[model.readout.variable[::5]] = False
    part = model.cell_vectors(x, measured).components
    for one, other in zip(whole.T, part.T, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.7


def test_predictions_are_for_any_genes_in_any_order():
    model, x = _model(), _expression()
    vector = model.cell_vectors(x).vector
    table = model.gene_embedding()
    genes = torch.tensor([41, 2, 7])
    found = model.readout.predict(vector, table[genes], genes)
    each = model.readout.predict_each(vector, table, genes.expand(len(x), -1))
    assert torch.allclose(found.value, each.value, atol=1e-5)
    assert torch.allclose(found.detection, each.detection, atol=1e-5)


def test_a_residual_vector_starts_as_the_components():
    readout = dataclasses.replace(_config().readout, residual=True)
    model = _model(readout=readout)
    found = model.cell_vectors(_expression())
    expected = found.components * model.readout.component_scale
    part = found.vector[:, :4]
    assert torch.allclose(part / part.norm(), expected / expected.norm(), atol=1e-5)
    assert not found.vector[:, 4:].any()
    assert found.embedding.shape == (5, 8)  # the components are in it


def _residual_model(share):
    readout = dataclasses.replace(_config().readout, residual=True, residual_share=share)
    model = _model(readout=readout)
    torch.nn.init.normal_(model.readout.vector.weight, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model.cell_vectors(_expression(50))
        model.readout.set_output(found.vector, found.components, torch.ones(50))
    return model


def test_a_share_of_what_the_network_adds_is_handed_out():
    def pattern(values):
        values = values - values.mean(0)
        return values / values.norm()

    with torch.no_grad():
        found = {s: _residual_model(s).cell_vectors(_expression(50)) for s in (0.0, 0.5, 1.0)}
    scales = _residual_model(0.0).readout.component_scale
    none, half, whole = (pattern(found[share].embedding) for share in (0.0, 0.5, 1.0))
    assert torch.allclose(none[:, :4], pattern(found[0.0].components * scales), atol=1e-4)
    assert torch.allclose(whole, pattern(found[1.0].vector), atol=1e-4)
    assert (half - none).norm() < (whole - none).norm()
    assert (half - whole).norm() < (whole - none).norm()


def test_statistics_of_training_cells_centre_and_scale_what_is_handed_out():
    model = _model()
    with torch.no_grad():
        vectors = model.cell_vectors(_expression(300, seed=2))
        model.readout.set_output(vectors.vector, vectors.components, torch.ones(300))
        embedding = model.cell_vectors(_expression(300, seed=2)).embedding
    assert torch.allclose(embedding.mean(0), torch.zeros(12), atol=1e-4)
    variance = embedding.var(0, correction=0)
    assert variance[:8].sum() == pytest.approx(1, rel=1e-3)
    assert variance[8:].sum() == pytest.approx(1, rel=1e-3)


def test_its_pools_are_refused_by_a_model_without_a_readout():
    cells = make_counts_anndata(4, 60)
    with pytest.raises(ConfigError, match="does not compute a vector of the cell"):
        make_tiny_model().embed(cells, pool="cell")


def test_a_model_with_a_readout_embeds_by_it_unless_asked_otherwise():
    model = _model(input=InputConfig())
    cells = make_counts_anndata(6, _GENES)
    embedded = model.embed(cells)
    assert embedded.shape == (6, 12)
    assert np.array_equal(embedded, model.embed(cells, pool="cell"))
    assert np.allclose(embedded, model.embed(cells, batch_size=1), atol=1e-5)
    assert model.embed(cells, pool="components").shape == (6, 4)
    assert model.embed(cells, pool="mean").shape == (6, 16)


def test_genes_that_a_file_lacks_count_as_unmeasured():
    model = _model()
    cells = make_counts_anndata(6, _GENES)
    lacking = cells[:, ::3].copy()
    measured = torch.zeros(_GENES, dtype=torch.bool)
    measured[::3] = True
    counts = torch.from_numpy(np.asarray(lacking.X.todense(), dtype=np.float64))
    values = torch.zeros(6, _GENES)
    values[:, ::3] = torch.log1p(counts / counts.sum(1, keepdim=True) * 10_000).float()
    expected = model.cell_vectors(values, measured).embedding
    assert np.allclose(model.embed(lacking), expected.detach(), atol=1e-4)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    model = _model()
    save_checkpoint(model, tmp_path / "model")
    loaded = load_checkpoint(tmp_path / "model")
    x = _expression()
    assert torch.equal(model.cell_vectors(x).embedding, loaded.cell_vectors(x).embedding)


def test_rounded_numbers_take_half_of_the_space_and_change_little(tmp_path):
    model = _model()
    save_checkpoint(model, tmp_path / "exact")
    save_checkpoint(_model(storage="bfloat16"), tmp_path / "rounded")
    sizes = [
        read_checkpoint_info(tmp_path / name).files["model.safetensors"].bytes
        for name in ("exact", "rounded")
    ]
    assert sizes[1] < 0.65 * sizes[0]
    loaded = load_checkpoint(tmp_path / "rounded", device="cpu")
    assert loaded.dtype == torch.float32
    x = _expression()
    exact, rounded = (m.cell_vectors(x).embedding for m in (model, loaded))
    assert torch.nn.functional.cosine_similarity(exact, rounded).min() > 0.999
    save_checkpoint(loaded, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again", device="cpu")
    assert torch.equal(rounded, again.cell_vectors(x).embedding)


def test_exact_numbers_in_a_file_that_should_be_rounded_are_refused(tmp_path):
    model = _model(storage="bfloat16")
    folder = tmp_path / "model"
    save_checkpoint(_model(), folder)
    (folder / "config.json").unlink()
    write_manifest(
        folder,
        config=model.config,
        vocabulary_digest=model.vocabulary.digest,
        graph_digest=None,
        origin={},
    )
    with pytest.raises(CheckpointError, match="should be bfloat16"):
        load_checkpoint(folder)


def test_statistics_are_no_parameters(tmp_path):
    model = _model()
    save_checkpoint(model, tmp_path / "model")
    found = summarise_checkpoint(tmp_path / "model")
    assert found.parameters == sum(p.numel() for p in model.parameters())
