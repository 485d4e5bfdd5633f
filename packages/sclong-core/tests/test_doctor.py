"""What a checkpoint needs, told from real cells."""

import shlex
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import torch
from scipy import sparse

from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.config import ContextConfig, InputConfig, ReadoutConfig
from sclong_core.doctor import RECORD, diagnose, doctor
from sclong_core.doctor.cells import embed_command, save_rescaled
from sclong_core.doctor.pools import COMPONENTS, chance_of_types, score_pools
from sclong_core.doctor.scales import InputScale, ScaleScore, known_scales, recognised, sample_cells
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import prepare_cells
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from tests.support.places import shared_folder
from tests.support.training import small_network

GENES = 40
VOCABULARY = GeneVocabulary.from_ids(synthetic_gene_ids(GENES))
NAMED = [InputConfig(total, maximum) for total in (1e3, 1e4, 1e5, 1e6) for maximum in (None, 10.0)]
OTHERS = {one.name: one for one in known_scales(InputConfig()) if one.input is None}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cells_of(count, seed):
    """Cells of three types, whose depth differs eightfold, in two batches."""
    random = np.random.default_rng(seed)
    rates = np.random.default_rng(9).gamma(0.5, size=(3, GENES)) * 3 + 0.05
    types = np.arange(count) % 3
    counts = random.poisson(rates[types] * random.uniform(0.5, 4, size=(count, 1)))
    counts[counts.sum(1) == 0, 0] = 1
    made = anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    made.var_names = synthetic_gene_ids(GENES)
    made.obs_names = [f"cell {number}" for number in range(count)]
    made.obs["type"] = np.array(["a", "b", "c"])[types]
    made.obs["batch"] = np.array(["x", "y"])[random.integers(2, size=count)]
    return made


@pytest.fixture(scope="module")
def cells():
    return cells_of(96, 2)


def trained(scale, *, readout=False, steps=50):
    """A model of a few thousand weights after some steps on the paper's task."""
    with prepare_cells(cells_of(240, 1), VOCABULARY, InputConfig()) as prepared:
        sample = sample_cells(prepared, 240)
    values = scale.values(sample.counts, sample.totals).toarray().astype(np.float32)
    network = small_network()
    config = network.build(GENES, has_graph=False, input_config=scale.input or InputConfig())
    if readout:
        config = replace(
            config, context=ContextConfig(4), high_genes=6,
            readout=ReadoutConfig(8, 16, 2, variable_genes=GENES, sums=12, components=3),
        )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = ScLong(config, VOCABULARY)
    with torch.no_grad():  # where training would arrive at last
        start = float(values[values > 0].mean())
        (model.readout.gene_bias[0] if readout else model.decoder.bias).fill_(start)
    learn(model, torch.from_numpy(values), steps, readout=readout)
    return model.eval()


def learn(model, x, steps, *, readout):
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    spread = x[x > 0].std()
    for _ in range(steps):
        batch = x[torch.randperm(len(x), generator=generator)[:32]]
        hidden = (torch.rand(batch.shape, generator=generator) < 0.2) & (batch > 0)
        found = answer(model, batch, hidden) if readout else model(batch, hidden).reconstruction
        loss = ((found - batch)[hidden] / spread).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def answer(model, batch, hidden):
    asked = torch.arange(GENES).expand(len(batch), -1)
    found = model.read_context(batch.masked_fill(hidden, 0), ~hidden, asked, hidden=hidden)
    return model.decoder(found.asked).squeeze(-1) + model.readout.gene_bias[0]


@pytest.mark.parametrize("config", NAMED, ids=str)
def test_every_scale_that_a_checkpoint_names_is_recognised(cells, config):
    model = trained(InputScale("it", config, config.target_sum))
    found = diagnose(model, cells, scale_cells=96, batch_size=48)
    assert found.scale is not None
    assert found.scale.input == config
    assert found.agrees


@pytest.mark.parametrize("config", [InputConfig(maximum=10), InputConfig(1e6), InputConfig(1e3)],
                         ids=str)  # fmt: skip
def test_weights_are_believed_and_not_what_the_checkpoint_says(cells, config, tmp_path):
    model = trained(InputScale("it", config, config.target_sum), steps=80)
    model.config = replace(model.config, input=InputConfig())
    found = diagnose(model, cells, scale_cells=96, batch_size=48)
    assert found.scale is not None
    assert found.scale.input.target_sum == config.target_sum
    assert not found.agrees
    save_rescaled(model, found, tmp_path / "right", source="it")
    again = ScLong.from_pretrained(tmp_path / "right")
    assert again.config.input == found.scale.input
    assert diagnose(again, cells, scale_cells=96, batch_size=48).agrees


def test_a_model_with_a_readout_answers_as_it_was_trained_to(cells):
    model = trained(InputScale("it", InputConfig(1e3), 1e3), readout=True)
    found = diagnose(model, cells, scale_cells=96, batch_size=48)
    assert found.agrees
    assert found.scales[0].r2 > 0


@pytest.mark.parametrize("name", ["counts as they are", "log1p of counts that are not scaled"])
def test_a_scale_that_no_checkpoint_can_name_is_told_apart(cells, name, tmp_path):
    model = trained(OTHERS[name])
    found = diagnose(model, cells, scale_cells=96, batch_size=48)
    assert found.scale is not None
    assert found.scale.name == name
    with pytest.raises(ConfigError, match="nothing is written"):
        save_rescaled(model, found, tmp_path / "out", source="it")


def test_an_untrained_model_is_of_no_scale(cells):
    assert diagnose(make_tiny_model(genes=GENES), cells).scale is None


def score(config, r2, best, name="it"):
    return ScaleScore(InputScale(name, config, 1e4), r2, 0.0, 1.0, best)


def test_what_several_scales_explain_as_well_is_not_guessed():
    own, other = InputConfig(), InputConfig(maximum=10)
    tied = [score(other, 0.5, 0.6), score(InputConfig(1e5), 0.5, 0.4)]
    assert recognised(tied, own) is None
    assert recognised(tied, other).input == other  # what the checkpoint says is not contradicted
    assert recognised([score(None, 0.5, 0.6), score(other, 0.5, 0.4)], own).input == other
    assert recognised([score(other, 0.5, 0.97), score(own, 0.4, 0.03)], own).input == other
    assert recognised([score(own, -0.1, 1.0)], own) is None


def test_a_scale_that_explains_little_does_not_contradict_a_checkpoint():
    """As of cells unlike those of the training, whose values the model gets wrong on its own."""
    own, other = InputConfig(), InputConfig(1e3, 10)
    third = score(InputConfig(1e5), 0.15, 0.01)
    assert recognised([score(other, 0.26, 0.99), third, score(own, -0.2, 0.0)], own) is None
    assert recognised([score(other, 0.26, 0.99), score(own, -0.2, 0.0)], own).input == other
    assert recognised([score(own, 0.26, 0.99), score(other, -0.2, 0.0)], own).input == own


def test_log1p_values_tell_as_their_counts_do(cells):
    model = trained(InputScale("it", InputConfig(1e6), 1e6))
    logged = cells.copy()
    totals = np.asarray(logged.X.sum(1))
    logged.X = sparse.csr_matrix(np.log1p(logged.X.toarray() / totals * 1e4).astype(np.float32))
    from_counts, from_logs = (
        {one.scale.name: one.r2 for one in diagnose(model, data, scale_cells=96).scales}
        for data in (cells, logged)
    )
    assert "counts as they are" not in from_logs  # their totals are lost
    for name, value in from_logs.items():
        assert value == pytest.approx(from_counts[name], abs=1e-3)


def test_genes_that_were_left_out_after_scaling_do_not_change_the_scale(cells):
    model = trained(InputScale("it", InputConfig(), 1e4))
    logged = cells.copy()
    totals = np.asarray(logged.X.sum(1))
    logged.X = sparse.csr_matrix(np.log1p(logged.X.toarray() / totals * 1e4).astype(np.float32))
    panel = logged[:, ::2].copy()
    panel = panel[np.asarray(panel.X.sum(1)).ravel() > 0].copy()
    with prepare_cells(panel, VOCABULARY, InputConfig()) as prepared:
        sample = sample_cells(prepared, 50)
    own = known_scales(InputConfig())[0].values(sample.counts, sample.totals)
    with prepare_cells(panel, VOCABULARY, InputConfig()) as prepared:
        expected = sparse.csr_array(prepared.block(0, 1))
    np.testing.assert_allclose(own[[0]].toarray(), expected.toarray(), rtol=1e-5)
    assert diagnose(model, panel).scale in (None, known_scales(InputConfig())[0])


def test_counts_of_a_small_panel_do_not_contradict_the_checkpoint(cells):
    model = trained(InputScale("it", InputConfig(1e3), 1e3))
    model.config = replace(model.config, input=InputConfig())
    panel = cells[:, :9].copy()
    panel = panel[np.asarray(panel.X.sum(1)).ravel() > 0].copy()
    found = diagnose(model, panel)
    assert found.partial
    assert found.scale is None


DEEP = 60


def fits_by_depth(model, sample, scales, **_settings):
    """Scores as of shallow cells, which look like deeper ones on a smaller scale."""
    shallow = np.median(sample.depths) < DEEP
    best = next(one for one in scales if one.input == InputConfig(1e3 if shallow else 1e4))
    return sorted(
        (ScaleScore(one, 0.5 if one is best else 0.1, 0, 1, float(one is best)) for one in scales),
        key=lambda score: -score.r2,
    )


@pytest.mark.parametrize("logged", [False, True])
def test_the_deepest_cells_have_the_last_word(cells, logged, monkeypatch, caplog):
    monkeypatch.setattr("sclong_core.doctor.cells.score_scales", fits_by_depth)
    counts = cells.X.toarray()
    counts[np.arange(96) % 8 != 7] = 0
    counts[:, 0] = np.maximum(counts[:, 0], 1)
    mixed = cells.copy()
    values = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4) if logged else counts
    mixed.X = sparse.csr_matrix(values.astype(np.float32))
    with caplog.at_level("INFO", logger="sclong"):
        found = diagnose(make_tiny_model(genes=GENES), mixed, scale_cells=12)
    assert "trying it on the deepest cells" in caplog.text
    assert found.agrees
    assert found.depth > DEEP
    assert found.scales[0].scale == found.own


def test_shallow_cells_do_not_contradict_the_checkpoint(cells, monkeypatch):
    monkeypatch.setattr("sclong_core.doctor.cells.score_scales", fits_by_depth)
    few = np.random.default_rng(0).permuted(np.tile([2, 1, 1] + [0] * 37, (96, 1)), axis=1)
    few[::3] *= 1 - np.eye(40, dtype=int)[few[::3].argmax(1)]
    shallow = cells.copy()
    shallow.X = sparse.csr_matrix(few.astype(np.float32))
    found = diagnose(make_tiny_model(genes=GENES), shallow)
    assert found.shallow
    assert found.scale is None
    assert found.scales[0].scale.input == InputConfig(1e3)
    deeper = shallow.copy()
    deeper.X = sparse.csr_matrix((few * np.arange(4, 44)).astype(np.float32))
    monkeypatch.setitem(globals(), "DEEP", 1e9)
    found = diagnose(make_tiny_model(genes=GENES), deeper)
    assert not found.shallow
    assert found.scale.input == InputConfig(1e3)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["pbmc_sorted_zheng_garnett", "lung_tumour_dc_rogue"])
def test_the_packaged_model_is_not_contradicted_by_shallow_cells(name):
    folder = shared_folder("data")
    if folder is None:
        pytest.skip(f"needs {name}.h5ad")
    found = diagnose(ScLong.from_pretrained(device="cpu"), folder / "cells" / f"{name}.h5ad",
                     batch_size=32)  # fmt: skip
    assert found.scale in (None, found.own)


def test_cells_without_a_type_are_left_out_of_pools(cells, caplog):
    model = make_tiny_model(genes=GENES)
    known = diagnose(model, cells[:48].copy(), by="type", pool_cells=96)
    some = cells.copy()
    some.obs["type"] = some.obs["type"].astype(object).where(np.arange(96) < 48, None)
    some.obs["batch"] = some.obs["batch"].astype("category")
    with caplog.at_level("INFO", logger="sclong"):
        found = diagnose(model, some, by="type", pool_cells=96)
    assert "without 48 cells" in caplog.text
    assert found.chance == known.chance
    assert [one.types for one in found.pools] == [one.types for one in known.pools]
    some.obs["type"] = None
    with pytest.raises(InputError, match="0 cells have a value"):
        diagnose(model, some, by="type")


def test_pools_are_told_apart_by_types_and_batches():
    random = np.random.default_rng(0)
    types, batches = np.repeat(["a", "b"], 60), np.tile(["x", "y"], 60)
    apart = random.standard_normal((120, 4)) + 6 * (types == "a")[:, None] * np.eye(4)[0]
    split = random.standard_normal((120, 4)) + 6 * (batches == "x")[:, None] * np.eye(4)[0]
    good, bad = score_pools({"good": apart, "bad": split}, types, batches)
    assert good.types > 0.95
    assert bad.types < 0.7
    assert good.mixing > 0.8
    assert bad.mixing < 0.2
    assert good.best_types == good.best_mixing == 1
    assert chance_of_types(types) == 0.5
    [only] = score_pools({"good": apart}, types, None)
    assert np.isnan(only.mixing)


def test_genes_synonyms_and_the_command_are_reported(cells):
    model = make_tiny_model(genes=GENES)
    found = diagnose(model, cells, by="type", batch="batch", pool_cells=30)
    assert (found.genes, found.matched, found.counts) == (GENES, GENES, pytest.approx(1))
    assert {one.pool for one in found.pools} == {
        "mean", "mean_expressed", "expression_weighted", "gene_sums", COMPONENTS,
    }  # fmt: skip
    words = shlex.split(embed_command(replace(found, pool="mean"), Path("a b.h5ad"), "my model"))
    assert words == [
        "sclong", "embed", "a b.h5ad", "-o", "a b.embedded.h5ad", "--checkpoint", "my model",
        "--pool", "mean",
    ]  # fmt: skip


def test_the_command_reads_the_cells_as_they_were_examined(cells, tmp_path, capsys):
    reading = {"matrix": "counts", "gene_column": None, "normalisation": "auto",
               "organism": "mouse",
               "feature_types": ("RNA", "genes"), "allow_other_species": True}  # fmt: skip
    found = diagnose(make_tiny_model(genes=GENES), cells)
    words = embed_command(replace(found, pool=None), Path("a.h5ad"), None, reading=reading)
    assert words == (
        "sclong embed a.h5ad -o a.embedded.h5ad --matrix counts --organism mouse "
        "--feature-types RNA,genes --allow-other-species"
    )
    layered = cells.copy()
    layered.layers["counts"], layered.X = cells.X, -cells.X
    layered.write_h5ad(tmp_path / "cells.h5ad")
    make_tiny_model(genes=GENES).save_pretrained(tmp_path / "model")
    files = [f"{tmp_path}/model", f"{tmp_path}/cells.h5ad"]
    assert main(["doctor", *files, "--matrix", "counts", "--duplicates", "sum"]) == 0
    assert "--matrix counts --duplicates sum" in capsys.readouterr().out


def test_the_function_writes_into_the_cells_or_a_copy(cells):
    whole = cells.copy()
    whole.var_names = ScLong.from_pretrained().vocabulary.ids[:GENES]
    found = doctor(whole, copy=True)
    assert RECORD not in whole.uns
    assert found.uns[RECORD]["genes_matched"] == GENES
    assert doctor(whole) is None
    assert whole.uns[RECORD]["scales"]["r2"].is_monotonic_decreasing


@pytest.mark.real_data
def test_the_packaged_model_is_recognised_on_blood():
    folder = shared_folder("data")
    if folder is None:
        pytest.skip("needs pbmc3k_10x.h5ad")
    model = ScLong.from_pretrained(device="cpu")
    model.config = replace(model.config, input=InputConfig(maximum=10))
    found = diagnose(model, folder / "cells" / "pbmc3k_10x.h5ad", scale_cells=32)
    assert found.scale.input == InputConfig()
    assert found.scales[0].r2 > 0.3
    assert found.by_other_name > 500


@pytest.fixture
def files(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    model = trained(InputScale("it", InputConfig(1e3), 1e3))
    model.config = replace(model.config, input=InputConfig())
    model.save_pretrained(tmp_path / "model")
    return [str(tmp_path / "model"), str(tmp_path / "cells.h5ad")]


def test_the_command_prints_scale_pools_and_command_and_saves(files, tmp_path, capsys):
    asked = ["--by", "type", "--save", f"{tmp_path}/right", "--scale-cells", "96"]
    assert main(["doctor", *files, *asked]) == 0
    printed = capsys.readouterr().out
    assert "the checkpoint is wrong" in printed
    assert f"--checkpoint {tmp_path}/right" in printed
    assert "types by chance" in printed
    assert ScLong.from_pretrained(tmp_path / "right").config.input == InputConfig(1e3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "absent"], "has no column 'absent'"),
        (["--scale-cells", "0"], "must be positive"),
        (["--save", "{tmp}/model"], "already exists"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(cells, tmp_path, capsys, words, message):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    make_tiny_model(genes=GENES).save_pretrained(tmp_path / "model")
    filled = [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert main(["doctor", f"{tmp_path}/model", f"{tmp_path}/cells.h5ad", *filled]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error


def test_too_few_cells_are_refused(cells):
    with pytest.raises(InputError, match="give at least 10"):
        diagnose(make_tiny_model(genes=GENES), cells[:5].copy())
