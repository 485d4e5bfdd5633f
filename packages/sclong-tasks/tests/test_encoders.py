"""Encoders: scLong frozen, trained, ablated and random; gene vectors; tables from elsewhere."""

import dataclasses

import anndata
import numpy as np
import pandas as pd
import pytest
import torch

from sclong_core.errors import ConfigError, InputError
from sclong_core.model import ScLong
from sclong_core.release import convert_release
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder, make_slot
from sclong_tasks.encoders.genes import find_genes
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.encoders.raw import RawExpression
from sclong_tasks.encoders.sclong import ScLongEncoder, model_digest, random_sclong
from sclong_tasks.encoders.slots import ScLongSlot, TableSlot, add_lora
from sclong_tasks.encoders.tables import GeneVectors, vectors_of_model
from sclong_tasks.encoders.variants import encoder_of, with_defaults
from sclong_tasks.task import RunContext
from tests.support.release import write_synthetic_release

GENES = [*synthetic_gene_ids(20)[::-1], "ENSG09999999999"]


@pytest.fixture
def expression():
    values = np.random.default_rng(0).gamma(1.0, 20.0, size=(5, len(GENES))).astype(np.float32)
    values[values < 5] = 0
    return ExpressionTable(values, tuple("ABCDE"), tuple(GENES), "tpm")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    files = write_synthetic_release(folder)
    convert_release(output=folder / "checkpoint", **files)
    return folder / "checkpoint"


def context(tmp_path, **changes):
    return RunContext(1, "honest", tmp_path, **{"device": "cpu", **changes})


@pytest.mark.parametrize(("value", "what"), [(np.nan, "missing"), (-1, "negative")])
def test_impossible_expression_is_refused_by_cell_and_gene(value, what):
    values = np.ones((2, 2), np.float32)
    values[1, 0] = value
    with pytest.raises(InputError, match=rf"{what}.*cell 'b', gene 'x'"):
        ExpressionTable(values, ("a", "b"), ("x", "y"), "tpm")


def test_repeated_names_are_refused_with_counts():
    with pytest.raises(InputError, match="1 genes occur twice: x"):
        ExpressionTable(np.ones((1, 2), np.float32), ("a",), ("x", "x"), "tpm")
    with pytest.raises(InputError, match="1 cells have no expression: z"):
        ExpressionTable(np.ones((1, 1), np.float32), ("a",), ("x",), "tpm").take(["z"])


def test_scales_agree():
    tpm = np.array([[0.0, 3.0, 7.0]], np.float32)
    tables = [
        ExpressionTable(values, ("a",), ("x", "y", "z"), scale)
        for values, scale in ((tpm, "tpm"), (np.log2(1 + tpm), "log2"), (np.log1p(tpm), "log1p"))
    ]
    for table in tables:
        np.testing.assert_allclose(table.log1p, np.log1p(tpm), rtol=1e-6)
    counts = ExpressionTable(tpm, ("a",), ("x", "y", "z"), "counts")
    np.testing.assert_allclose(np.expm1(counts.log1p).sum(), 10_000, rtol=1e-5)


def test_genes_are_found_by_symbol_and_earlier_names_and_others_counted(tmp_path):
    table_file = tmp_path / "genes.csv"
    table_file.write_text("ENSG00000000001,NEW\nENSG00000000002,TWO\n")
    vocabulary = GeneVocabulary.from_ids(synthetic_gene_ids(3))
    positions, coverage = find_genes(
        ["TWO", "ENSG00000000001.4", "NONE"], vocabulary, GeneTable.read(table_file)
    )
    assert positions.tolist() == [1, 0, -1]
    assert coverage.describe() == "2 of 3 genes are known; not known: NONE"
    with pytest.raises(InputError):
        find_genes(["NONE"], vocabulary)


@pytest.mark.parametrize("pool", ["channel_mean", "gene_mean", "expressed_mean", "none"])
def test_frozen_sclong_gives_what_the_model_gives(expression, pool):
    model = make_tiny_model()
    found = ScLongEncoder(model, pool=pool).cells(expression)
    genes = model.gene_representations(expression.anndata(), normalisation="log1p")
    expressed = expression.values > 0
    expected = {
        "none": genes,
        "channel_mean": genes.mean(-1),
        "gene_mean": genes.mean(1),
        "expressed_mean": np.stack(
            [cell[seen].mean(0) for cell, seen in zip(genes, expressed, strict=True)]
        ),
    }[pool]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
    assert found.names == tuple("ABCDE")
    assert found.coverage.unknown == ("ENSG09999999999",)


def test_the_vector_of_a_cell_is_the_models_own(expression, tmp_path):
    model = ScLong.from_pretrained(device="cpu")
    names = model.vocabulary.ids[: len(expression.genes)]
    table = dataclasses.replace(expression, genes=tuple(names))
    expected = model.embed(table.anndata(list(names)), normalisation="log1p", allow_poor_match=True)
    found = ScLongEncoder(model, pool="cell").cells(table)
    np.testing.assert_allclose(found.values, expected, atol=1e-6)
    cache = ContentCache(tmp_path)
    kept = ScLongEncoder(model, pool="cell", cache=cache).cells(table)
    np.testing.assert_array_equal(kept.values, found.values)
    with pytest.raises(ConfigError, match="vector of the cell"):
        ScLongEncoder(make_tiny_model(), pool="cell")
    with pytest.raises(ConfigError, match="gene_mean"):
        ScLongSlot(model, table, pool="cell")


def test_frozen_representations_are_computed_once_and_mapped(expression, tmp_path, monkeypatch):
    encoder = ScLongEncoder(make_tiny_model(), cache=ContentCache(tmp_path))
    first = encoder.cells(expression)
    assert isinstance(first.values, np.memmap)
    monkeypatch.setattr("sclong_tasks.encoders.sclong.run_model", None)
    again = ScLongEncoder(make_tiny_model(), cache=ContentCache(tmp_path)).cells(expression)
    assert np.array_equal(first.values, again.values)
    with pytest.raises(TypeError):
        ScLongEncoder(make_tiny_model(seed=1), cache=ContentCache(tmp_path)).cells(expression)


def test_a_random_sclong_has_the_same_shape_and_its_seed_decides_it():
    model = make_tiny_model()
    one, same, other = (random_sclong(model.config, model.vocabulary, seed=s) for s in (1, 1, 2))
    assert model_digest(one) == model_digest(same) != model_digest(other)
    shapes = [{n: t.shape for n, t in m.state_dict().items()} for m in (model, one)]
    assert shapes[0] == shapes[1]


def test_the_channel_mean_of_an_untrained_sclong_tells_no_cells_apart(expression):
    # Its last LayerNorm still has weight 1 and bias 0, so that channels sum to 0 in every gene.
    model = make_tiny_model()
    random = random_sclong(model.config, model.vocabulary, seed=1)
    assert np.abs(ScLongEncoder(random).cells(expression).values).max() < 1e-5
    other = ScLongEncoder(random, pool="gene_mean").cells(expression).values
    assert np.ptp(other, axis=0).max() > 1e-3


def test_ablations_of_a_checkpoint_change_what_it_gives(expression, checkpoint, tmp_path):
    found = {}
    for name, settings in {
        "whole": {},
        "no low": {"low_expression": "none"},
        "random low": {"low_expression": "random"},
        "no graph": {"graph": "none"},
        "random graph": {"graph": "random"},
        "random": {"name": "random"},
        "N(0, 1)": {"name": "random", "weights": "normal"},
        "other threshold": {"high_genes": 3},
        "one encoder": {"low_expression": "none", "high_genes": -1},
        "no gene vectors": {"gene_vectors": "none"},
    }.items():
        options = EncoderOptions(**settings)
        encoder = make_encoder(options, context(tmp_path, checkpoint=checkpoint), tuple(GENES))
        found[name] = encoder.cells(expression).values
        assert np.isfinite(found[name]).all()
    tables = list(found.values())
    for place, table in enumerate(tables):
        assert not any(np.allclose(table, other) for other in tables[:place])


def test_gene_vectors_are_weighted_by_expression():
    vocabulary = GeneVocabulary.from_ids(["ENSG00000000001", "ENSG00000000002"])
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    values = np.log1p(np.array([[3.0, 1.0]], np.float32))
    table = ExpressionTable(values, ("a",), ("ENSG00000000002", "ENSG00000000001"), "log1p")
    found = GeneVectors(vectors, vocabulary, "gene2vec").cells(table).values
    np.testing.assert_allclose(found, [[1 / 3, 2 / 3]], rtol=1e-6)
    silent = ExpressionTable(np.zeros((1, 2), np.float32), ("a",), table.genes, "log1p")
    with pytest.raises(InputError, match="1 cells express none of the genes"):
        GeneVectors(vectors, vocabulary, "gene2vec").cells(silent)


def test_gene_vectors_of_a_model_add_up(checkpoint):
    model = ScLong.from_pretrained(checkpoint, device="cpu")
    parts = {p: vectors_of_model(model, p).vectors for p in ("gene2vec", "graph", "both")}
    np.testing.assert_allclose(parts["gene2vec"] + parts["graph"], parts["both"], atol=1e-6)
    with pytest.raises(ConfigError, match="no gene graph"):
        vectors_of_model(make_tiny_model(), "graph")
    names = [*synthetic_gene_ids(2), "UNKNOWN"]
    found = vectors_of_model(model, "gene2vec").genes(names)
    np.testing.assert_allclose(found.values[2], parts["gene2vec"].mean(0), atol=1e-6)
    assert found.coverage.unknown == ("UNKNOWN",)


def write_table(path, names, values):
    if path.suffix == ".npz":
        np.savez(path, names=np.array(names), values=values)
    elif path.suffix == ".parquet":
        frame = pd.DataFrame(values, index=names)
        frame.columns = [f"d{number}" for number in range(values.shape[1])]
        frame.to_parquet(path)
    else:
        obs = pd.DataFrame(index=names)
        anndata.AnnData(np.zeros((len(names), 1)), obs=obs, obsm={"X_uce": values}).write_h5ad(path)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".h5ad"])
def test_precomputed_representations_are_found_by_name(tmp_path, suffix, expression):
    path, values = tmp_path / f"table{suffix}", np.arange(12.0).reshape(6, 2)
    write_table(path, list("FEDCBA"), values)
    found = Precomputed.read(path, key="X_uce" if suffix == ".h5ad" else None).cells(expression)
    assert found.values.tolist() == values[:0:-1].tolist()
    assert found.coverage.known == 5


def test_precomputed_representations_are_checked_for_coverage(tmp_path, expression):
    path = tmp_path / "table.npz"
    write_table(path, list("ABC"), np.ones((3, 2)))
    with pytest.raises(InputError, match="3 of 5 cells are known; not known: D, E; at least 100%"):
        Precomputed.read(path).cells(expression)
    assert Precomputed.read(path, need=0.5).cells(expression).values.shape == (5, 2)
    with pytest.raises(InputError, match=r"1 names occur twice: A"):
        Precomputed(("A", "A"), np.ones((2, 2), np.float32), "here")
    with pytest.raises(InputError, match="1 rows hold NaN or infinite: B"):
        Precomputed(("A", "B"), np.array([[1.0], [np.nan]], np.float32), "here")
    np.savez(tmp_path / "pickled.npz", names=np.array([object()]), values=np.ones((1, 1)))
    for file, reason in (
        ("pickled.npz", "not a table"),
        ("none.npz", "not there"),
        ("x.txt", "read"),
    ):
        with pytest.raises(InputError, match=reason):
            Precomputed.read(tmp_path / file)


def test_raw_expression_is_log1p_or_as_it_is(expression):
    assert np.array_equal(RawExpression().cells(expression).values, expression.log1p)
    assert np.array_equal(RawExpression(log=False).cells(expression).values, expression.values)
    with pytest.raises(InputError):
        RawExpression().genes(["x"])


def test_a_trained_slot_gives_what_the_frozen_encoder_gives(expression):
    slot = ScLongSlot(make_tiny_model(), expression)
    frozen = TableSlot(ScLongEncoder(make_tiny_model()).cells(expression).values)
    cells = torch.tensor([3, 0, 3])
    np.testing.assert_allclose(
        slot(cells).detach().numpy(), frozen(cells).numpy(), rtol=1e-5, atol=1e-6
    )
    assert slot.dim == frozen.dim == len(GENES)


def test_each_distinct_cell_passes_once_and_gradients_reach_the_model(expression, monkeypatch):
    slot = ScLongSlot(make_tiny_model(), expression, pool="gene_mean")
    sizes = []
    slot.model.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    slot(torch.tensor([1, 2, 1, 1])).square().sum().backward()
    assert sizes == [2]
    assert slot.model.large.layers[0].attention.query.weight.grad.abs().sum() > 0


def test_lora_trains_adapters_only_and_starts_from_the_same_output(expression):
    before = ScLongSlot(make_tiny_model(), expression)(torch.tensor([0, 1])).detach()
    model = add_lora(make_tiny_model(), rank=2, alpha=4)
    slot = ScLongSlot(model, expression)
    torch.testing.assert_close(slot(torch.tensor([0, 1])).detach(), before)
    trained = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1.0)
    slot(torch.tensor([0, 1])).square().sum().backward()
    optimizer.step()
    assert not torch.allclose(slot(torch.tensor([0, 1])).detach(), before)
    with pytest.raises(ConfigError, match="rank"):
        add_lora(make_tiny_model(), rank=0)


def test_without_peft_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ConfigError, match=r"pip install 'sclong-tasks\[lora\]'"):
        add_lora(make_tiny_model())


def test_options_choose_the_slot(expression, tmp_path, checkpoint, caplog):
    caplog.set_level("INFO", "sclong")
    place = context(tmp_path, checkpoint=checkpoint)
    for tuning, kind in (("frozen", TableSlot), ("full", ScLongSlot), ("lora", ScLongSlot)):
        slot, facts = make_slot(EncoderOptions(tuning=tuning), place, expression)
        assert isinstance(slot, kind)
        assert "20 of 21 genes are known" in facts["coverage"]
        assert "20 of 21 genes are known; not known: ENSG09999999999" in caplog.text
        assert facts["model"] == model_digest(ScLong.from_pretrained(checkpoint, device="cpu"))
    slot, _ = make_slot(EncoderOptions("random"), context(tmp_path), expression)
    assert slot.dim == len(GENES)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "scgpt", "options": {"colour": 1}}, "colour is not an option of scgpt"),
        ({"name": "raw", "options": {"seed": 1}}, "encoder.options are of published models"),
        ({"name": "nothing"}, "must be one of"),
        ({"tuning": "some"}, "must be one of"),
        ({"name": "raw", "tuning": "lora"}, "scLong and published models are trained, not raw"),
        ({"weights": "normal"}, "goes with a random scLong"),
        ({"gene_vectors": "some"}, 'gene_vectors "" or "none"'),
    ],
)
def test_options_that_cannot_be_are_refused(settings, reason):
    with pytest.raises(ConfigError, match=reason):
        EncoderOptions(**settings)


def test_what_an_encoder_lacks_is_said(tmp_path):
    with pytest.raises(ConfigError, match="give --checkpoint"):
        make_encoder(EncoderOptions(), context(tmp_path), tuple(GENES))
    with pytest.raises(ConfigError, match=r"needs encoder\.path"):
        make_encoder(EncoderOptions("precomputed"), context(tmp_path), tuple(GENES))


def test_options_with_another_encoder_differ_in_it_alone():
    @dataclasses.dataclass
    class Options:
        pool: str = "mean"
        encoder: EncoderOptions = dataclasses.field(default_factory=EncoderOptions)

    made = with_defaults(Options, encoder_of("random", weights="normal"), pool="sum")()
    assert isinstance(made, Options)
    assert made.pool == "sum"
    assert made.encoder == EncoderOptions(name="random", weights="normal")
    assert with_defaults(Options)().encoder == EncoderOptions()


def test_tables_name_what_the_name_of_a_model_does_not_say():
    usual = EncoderOptions(name="scgpt")
    assert usual.variant(usual) == ""
    assert EncoderOptions(name="scgpt", tuning="lora").variant(usual) == "lora"
    drawn = EncoderOptions(name="scgpt", options={"draws": "cell", "seed": 3})
    assert drawn.variant(usual) == "draws=cell, seed=3"
    assert EncoderOptions().variant(EncoderOptions()) == "frozen, channel_mean"
    assert EncoderOptions(name="raw").variant(EncoderOptions(name="raw")) == ""
