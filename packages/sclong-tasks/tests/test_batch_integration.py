"""Batch integration on made-up cells: reading, models, metrics, commands, and bad input."""

import logging
import shutil
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.cli.main import main
from sclong_core.config import InputConfig
from sclong_core.errors import ConfigError, InputError
from sclong_core.model import ScLong
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.batch_integration import task
from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.batch_integration.data import read_cells
from sclong_tasks.batch_integration.metrics import measure, over_types
from sclong_tasks.batch_integration.models.sclong import ScLongOptions, VariantOptions
from sclong_tasks.batch_integration.models.simple import expression_of, highly_variable
from sclong_tasks.cells import read_h5ad
from sclong_tasks.data_files import prepare_data
from sclong_tasks.encoders.choose import EncoderOptions, model_with
from sclong_tasks.registry import get_model
from sclong_tasks.run import RunRequest, fit_and_predict, run_task
from sclong_tasks.settings import defaults, resolve
from sclong_tasks.task import RunContext
from tests.support.places import shared_folder

CELLS, GENES = 60, 24
SETTINGS = IntegrationSettings(min_genes=2, min_cells=3, bootstrap=20)
SIMPLE = (
    "raw", "hvg", "pca", "obsm", "permuted_pca", "random_embedding", "constant_and_noise",
    "label_embedding",
)  # fmt: skip
SCLONG = (
    "sclong", "sclong_mean", "sclong_mean_expressed", "sclong_expression_weighted",
    "sclong_no_low_expression", "sclong_random_low_expression", "gene2vec",
)  # fmt: skip
CHANGES = {"obsm": {"key": "X_made"}}


def make_cells(*, logged=False, seed=0):
    """Three types with genes of their own, in two batches of different depth."""
    generator = np.random.default_rng(seed)
    types, batches = np.repeat(["B", "NK", "T"], CELLS // 3), np.tile(["x", "y"], CELLS // 2)
    means = np.full((CELLS, GENES), 1.0)
    for place, kind in enumerate(["B", "NK", "T"]):
        means[types == kind, 8 * place : 8 * place + 4] = 12
    means[batches == "y"] *= 1.5
    values = generator.poisson(means).astype(np.float32)
    adata = anndata.AnnData(
        sparse.csr_matrix(
            np.log1p(values * 20 / values.mean(1, keepdims=True)) if logged else values
        ),
        obs=pd.DataFrame(
            {"tech": pd.Categorical(batches), "celltype": types},
            index=[f"cell{number}" for number in range(CELLS)],
        ),
        var=pd.DataFrame(index=synthetic_gene_ids(GENES)),
    )
    adata.obsm["X_made"] = generator.normal(size=(CELLS, 3)).astype(np.float32)
    return adata


@pytest.fixture
def path(tmp_path):
    make_cells().write_h5ad(tmp_path / "any name.h5ad")
    return tmp_path / "any name.h5ad"


@pytest.fixture
def data(path):
    return read_cells(path, SETTINGS)


@pytest.fixture
def checkpoint(tmp_path):
    make_tiny_model(genes=GENES).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def context(tmp_path, **changes):
    return RunContext(
        **{"seed": 0, "protocol": "honest", "scratch": tmp_path, "device": "cpu"} | changes
    )


def embedded(name, data, place, changes=None):
    kind = get_model(task, name)
    model = kind(resolve(kind.Options, "honest", changes or CHANGES.get(name, {}), "model"))
    split = task.split(data, scenario="zero_shot", seed=place.seed, settings=SETTINGS)
    return model, fit_and_predict(task, model, data, split, place, SETTINGS)


def test_cells_are_read_with_what_they_are_named(data):
    assert data.labels.columns.tolist() == ["cell", "batch"]
    assert (len(data.batch), len(data.expression.genes)) == (CELLS, GENES)
    assert data.expression.scale == "counts"
    assert data.truth["cell_type"].iloc[0] == "B"
    assert data.hide(np.arange(CELLS)).truth["cell_type"].isna().all()
    np.testing.assert_allclose(np.expm1(data.expression.log1p).sum(1), 10_000, rtol=1e-3)


def test_scales_and_layers(path, tmp_path):
    stored = read_cells(path, replace(SETTINGS, as_stored=True))
    np.testing.assert_array_equal(stored.expression.log1p, stored.expression.values)
    adata = make_cells(logged=True)
    adata.layers["counts"] = make_cells().X
    adata.write_h5ad(tmp_path / "logged.h5ad")
    assert read_cells(tmp_path / "logged.h5ad", SETTINGS).expression.scale == "log1p"
    layer = read_cells(tmp_path / "logged.h5ad", replace(SETTINGS, layer="counts"))
    assert layer.expression.scale == "counts"
    assert layer.digest != stored.digest
    with pytest.raises(InputError, match="no layer 'spliced': it has counts"):
        read_cells(tmp_path / "logged.h5ad", replace(SETTINGS, layer="spliced"))


def test_what_is_left_out_is_named(tmp_path, caplog):
    caplog.set_level(logging.INFO, "sclong")
    adata = make_cells()
    adata.X = adata.X.toarray()
    adata.obs["celltype"] = adata.obs["celltype"].astype(object)
    adata.obs.iloc[3, 1] = None
    adata.X[5] = 0
    adata.X[:, 7] = 0
    adata.obs.iloc[40:, 0] = "x"
    adata.write_h5ad(tmp_path / "x.h5ad")
    data = read_cells(tmp_path / "x.h5ad", SETTINGS)
    assert "1 cells without batch or cell type are left out: cell3" in caplog.text
    assert "1 cells with fewer than 2 genes are left out: cell5" in caplog.text
    assert f"1 genes in fewer than 3 cells are left out: {synthetic_gene_ids(8)[-1]}" in caplog.text
    assert "1 cell types of one batch alone, in metrics of mixing are left out: T" in caplog.text
    assert len(data.batch) == CELLS - 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.obs.drop(columns="tech", inplace=True), "no column batch, tech"),
        (lambda a: a.obs.drop(columns="celltype", inplace=True), "no column cell_type, celltype"),
        (lambda a: a.obs.__setitem__("tech", "only"), "one batch, 'only'"),
        (lambda a: a.X.data.__setitem__(4, np.nan), "missing, infinite, negative"),
        (lambda a: a.X.data.__setitem__(4, -1), "missing, infinite, negative"),
        (lambda a: a.X.data.__setitem__(4, 1e30), "beyond any count: the first in cell 'cell"),
        (lambda a: a.X.data.__setitem__(slice(None), 1), "as presence and absence do.*task.scale"),
        (lambda a: a.obs.__setitem__("tech", ""), "0 cells"),
    ],
)
def test_impossible_files_are_refused(tmp_path, change, said):
    adata = make_cells()
    change(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match=said):
        read_cells(tmp_path / "x.h5ad", SETTINGS)


def test_names_that_occur_twice_and_other_files_are_refused(tmp_path):
    adata = make_cells()
    adata.obs_names = ["cell1", *adata.obs_names[1:]]
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="1 cells occur twice: cell1"):
        read_cells(tmp_path / "x.h5ad", SETTINGS)
    (tmp_path / "y.h5ad").write_text("cells")
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_h5ad(tmp_path / "y.h5ad")


def test_one_cell_type_is_said_and_its_metrics_are_undefined(tmp_path, caplog):
    adata = make_cells()
    adata.obs["celltype"] = "T"
    adata.write_h5ad(tmp_path / "x.h5ad")
    data = read_cells(tmp_path / "x.h5ad", SETTINGS)
    assert "one cell type, 'T'" in caplog.text
    found = measure(
        data.embeddings["X_made"], data.batch, data.cell_type, seed=0, settings=SETTINGS
    )
    undefined = {metric.name for metric in found if np.isnan(metric.value)}
    assert undefined == {"cell_type_asw", "nmi", "ari", "clisi"}


def test_no_type_with_two_batches_leaves_mixing_undefined():
    metric = over_types("batch_asw", {}, 10)
    assert np.isnan(metric.value)
    assert metric.n == 0


@pytest.mark.parametrize(
    "wrong", [{"scale": "tpm"}, {"neighbours": 2}, {"min_genes": -1}, {"bootstrap": -1}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        IntegrationSettings(**wrong)


def test_the_published_protocol_measures_what_the_paper_does(data):
    settings = defaults(IntegrationSettings, "published")
    assert settings.as_stored
    found = measure(
        data.embeddings["X_made"], data.batch, data.cell_type, seed=0, settings=settings
    )
    assert [metric.name for metric in found] == ["batch_asw"]


def test_variable_genes_are_those_of_scanpy():
    scanpy = pytest.importorskip("scanpy")
    generator = np.random.default_rng(3)
    logged = np.log1p(
        generator.poisson(generator.gamma(1, 3, 300), (80, 300)) * generator.gamma(1, 1, (80, 300))
    )
    logged[:, 5] = 0
    adata = anndata.AnnData(logged.astype(np.float64))
    scanpy.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=50)
    expected = np.flatnonzero(adata.var["highly_variable"])
    np.testing.assert_array_equal(highly_variable(logged, 50), expected)
    assert len(highly_variable(logged, 10_000)) == 300
    with pytest.raises(ConfigError):
        highly_variable(logged, 0)


@pytest.mark.parametrize("name", SIMPLE)
def test_models_embed_save_load_and_repeat_with_their_seed(name, data, tmp_path):
    place = context(tmp_path)
    model, found = embedded(name, data, place)
    assert len(found) == CELLS
    pd.testing.assert_frame_equal(embedded(name, data, place)[1], found)
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", place)
    rows = np.arange(CELLS)
    pd.testing.assert_frame_equal(again.predict(data.hide(rows), rows), found)


@pytest.mark.parametrize("name", [name for name in SIMPLE if name != "label_embedding"])
def test_no_model_but_the_ceiling_looks_at_batches_or_types(name, data, tmp_path):
    generator = np.random.default_rng(1)
    other = replace(
        data,
        batch=generator.permutation(data.batch),
        cell_type=generator.permutation(data.cell_type),
    )
    _, found = embedded(name, data, context(tmp_path))
    pd.testing.assert_frame_equal(embedded(name, other, context(tmp_path))[1], found)


def test_planted_types_are_found_better_than_by_floors(data, tmp_path):
    values = {}
    for name in ("pca", "random_embedding", "permuted_pca", "label_embedding"):
        _, found = embedded(name, data, context(tmp_path))
        metrics = measure(found.to_numpy(), data.batch, data.cell_type, seed=0, settings=SETTINGS)
        values[name] = {metric.name: metric.value for metric in metrics}
    for metric in ("nmi", "ari", "cell_type_asw", "clisi"):
        floor = max(values["random_embedding"][metric], values["permuted_pca"][metric])
        assert values["pca"][metric] > floor + 0.05
        assert values["label_embedding"][metric] > 0.94
    assert values["random_embedding"]["batch_asw"] > 0.9  # which is why it is not measured alone


def test_the_commands_run_and_predict(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["task", "data", "batch_integration", "--source", str(path)]) == 0
    words = ["task", "run", "batch_integration", "--model", "pca", "raw", "label_embedding"]
    words += ["--set", "task.min_genes=2", "--set", "task.bootstrap=20"]
    assert main(words) == 0
    runs = tmp_path / "task-runs/batch_integration"
    new = make_cells(seed=5)
    del new.obs["tech"], new.obs["celltype"]
    new.write_h5ad("new.h5ad")
    run = str(next(runs.glob("pca-*")))
    ask = ["task", "predict", "batch_integration", "--run", run, "--input"]
    assert main([*ask, "new.h5ad", "--output", "out.csv"]) == 0
    table = pd.read_csv("out.csv")
    assert table["cell"].tolist()[:2] == ["cell0", "cell1"]
    assert "predicted_0" in table
    new[:, :20].copy().write_h5ad("few.h5ad")
    assert main([*ask, "few.h5ad"]) == 2
    assert "the cells lack 4 genes of the model" in " ".join(capsys.readouterr().err.split())
    label = str(next(runs.glob("label_embedding-*")))
    assert (
        main(["task", "predict", "batch_integration", "--run", label, "--input", "new.h5ad"]) == 2
    )
    assert main(["task", "results", "task-runs", "--markdown", "t.md"]) == 0
    assert "| label_embedding | 1 |" in (tmp_path / "t.md").read_text()


@pytest.mark.parametrize("name", SCLONG)
def test_sclong_embeds_by_each_rule(name, data, tmp_path, checkpoint):
    place = context(tmp_path, checkpoint=checkpoint, cache=tmp_path / "cache")
    model, found = embedded(name, data, place)
    sums = name == "sclong" or name.startswith(("sclong_no", "sclong_random"))
    assert found.shape == (CELLS, GENES if sums else 8)
    assert f"{GENES} of {GENES} genes" in model.describe()["coverage"]
    pd.testing.assert_frame_equal(embedded(name, data, place)[1], found)
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    again = type(model).load(tmp_path / "model", place)
    rows = np.arange(CELLS)
    pd.testing.assert_frame_equal(again.predict(data, rows), found)


@pytest.mark.parametrize("name", ["random_sclong", "random_sclong_mean"])
@pytest.mark.parametrize("weights", ["own", "normal"])
def test_random_weights_give_finite_numbers(name, weights, data, tmp_path):
    changes = {"weights": weights}
    _, found = embedded(name, data, context(tmp_path), changes)
    assert np.isfinite(found.to_numpy()).all()
    _, other = embedded(name, data, context(tmp_path, seed=1), changes)
    assert not np.allclose(found, other)


def test_the_number_of_high_genes_can_be_changed(tmp_path, checkpoint):
    genes = tuple(synthetic_gene_ids(GENES))
    here = context(tmp_path, checkpoint=checkpoint)
    model = model_with(EncoderOptions(), here, genes, high_genes=10, weights="own")
    assert model.config.high_genes == 10


@pytest.fixture
def known_cells(tmp_path):
    """Cells of genes that the packaged model knows, as the task reads them."""
    adata = make_cells()
    adata.var_names = list(
        GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:GENES]
    )
    adata.write_h5ad(tmp_path / "known.h5ad")
    return adata, read_cells(tmp_path / "known.h5ad", SETTINGS)


@pytest.mark.parametrize(("name", "pool"), [("sclong_cell", "cell"), ("sclong", "components")])
def test_the_models_own_vector_of_a_cell_is_that_of_embed(name, pool, known_cells, tmp_path):
    adata, data = known_cells
    here = context(tmp_path, checkpoint=packaged_checkpoint())
    model, found = embedded(name, data, here, {"pool": pool})
    expected = ScLong.from_pretrained(device="cpu").embed(adata, pool=pool, allow_poor_match=True)
    np.testing.assert_allclose(found.to_numpy(), expected, atol=2e-5)
    assert f"{GENES} of {GENES}" in model.facts["coverage"]


@pytest.mark.parametrize("maximum", [None, 10.0])
@pytest.mark.parametrize(("suffix", "pool"), [("", "gene_sums"), ("_mean", "mean")])
def test_variants_scale_the_input_and_leave_out_what_is_not_measured(
    maximum, suffix, pool, checkpoint, tmp_path
):
    adata = make_cells()
    unknown = [*adata.var_names[:-3], "GENEX1", "GENEX2", "GENEX3"]
    adata.var_names = unknown
    adata.write_h5ad(tmp_path / "cells.h5ad")
    data = read_cells(tmp_path / "cells.h5ad", SETTINGS)
    name = f"sclong{suffix}_measured" + ("" if maximum is None else "_maximum_10")
    _, found = embedded(name, data, context(tmp_path, checkpoint=checkpoint), {})
    model = ScLong.from_pretrained(checkpoint, device="cpu")
    known = [gene for gene in data.expression.genes if not gene.startswith("GENEX")]
    assert found.shape[1] == (len(known) if pool == "gene_sums" else model.config.dim)
    if pool == "gene_sums":
        assert list(found.columns) == known
    _, plain = embedded(f"sclong{suffix}", data, context(tmp_path, checkpoint=checkpoint), {})
    if pool == "gene_sums":
        same = np.allclose(plain[known].to_numpy(), found.to_numpy(), atol=1e-5)
        assert same == (maximum is None)
    else:
        assert not np.allclose(plain.to_numpy(), found.to_numpy())


def test_a_maximum_is_that_of_the_checkpoints_setting(data, checkpoint, tmp_path):
    model = ScLong.from_pretrained(checkpoint, device="cpu")
    model.config = replace(model.config, input=InputConfig(maximum=10.0))
    model.save_pretrained(tmp_path / "ten")
    _, expected = embedded("sclong", data, context(tmp_path, checkpoint=tmp_path / "ten"), {})
    _, found = embedded("sclong_maximum_10", data, context(tmp_path, checkpoint=checkpoint), {})
    np.testing.assert_allclose(found.to_numpy(), expected.to_numpy(), atol=1e-5)


def test_a_model_without_a_vector_of_its_own_says_so(data, checkpoint, tmp_path):
    here = context(tmp_path, checkpoint=checkpoint)
    with pytest.raises(ConfigError, match="vector of the cell"):
        embedded("sclong_cell", data, here, {"pool": "cell"})


def test_wrong_options_are_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="weights"):
        ScLongOptions(weights="zero")
    with pytest.raises(ConfigError, match="maximum"):
        VariantOptions(maximum=-1.0)
    with pytest.raises(ConfigError, match="measured"):
        VariantOptions(measured=True, pool="cell")
    with pytest.raises(ConfigError, match="random scLong"):
        ScLongOptions(weights="normal", encoder=EncoderOptions())
    with pytest.raises(InputError, match="obsm has no 'X_pca': it has X_made"):
        embedded("obsm", data, context(tmp_path), {"key": "X_pca"})
    with pytest.raises(ConfigError, match=r"model\.path"):
        embedded("precomputed", data, context(tmp_path))
    with pytest.raises(ConfigError, match="checkpoint"):
        embedded("sclong", data, context(tmp_path))
    with pytest.raises(InputError, match="lack 1 genes"):
        expression_of(data, np.array(["none"]))


def test_embeddings_of_other_programs_are_taken_by_name(data, tmp_path):
    order = np.random.default_rng(0).permutation(CELLS)
    names = np.array(data.expression.cells)[order]
    values = data.embeddings["X_made"][order]
    np.savez(tmp_path / "e.npz", names=names, values=values)
    _, found = embedded("precomputed", data, context(tmp_path), {"path": str(tmp_path / "e.npz")})
    np.testing.assert_allclose(found.to_numpy(), data.embeddings["X_made"])


def test_every_model_of_the_registry_can_be_made():
    for name in task.models:
        kind = get_model(task, name)
        kind(resolve(kind.Options, "honest", {}, "model"))


@pytest.mark.real_data
def test_real_cells_of_five_batches(tmp_path):
    folder = shared_folder("data/batch_integration")
    if folder is None:
        pytest.skip("sc_mixology is not there")
    data = read_cells(folder / "sc_mixology_celllines.h5ad", IntegrationSettings())
    assert (len(data.batch), len(np.unique(data.batch)), len(np.unique(data.cell_type))) == (
        1408,
        5,
        5,
    )


def test_the_only_file_of_a_folder_is_taken_whatever_its_name(path, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(path, folder / "my cells.h5ad")
    prepare_data(task, tmp_path / "data", str(folder))
    shutil.copy(path, folder / "other.h5ad")
    with pytest.raises(InputError, match=r"several files.*my cells\.h5ad, other\.h5ad"):
        prepare_data(task, tmp_path / "more", str(folder))
    assert not (tmp_path / "more").exists()
    prepare_data(task, tmp_path / "one", str(folder / "other.h5ad"))
    shutil.copy(path, folder / "cells.h5ad")
    prepare_data(task, tmp_path / "more", str(folder))


def test_a_run_leaves_its_folder(path, tmp_path):
    prepare_data(task, tmp_path / "data", str(path))
    request = RunRequest(
        "batch_integration", "hvg", 3, tmp_path / "data", tmp_path / "runs",
        changes={"task": {"min_genes": 2}, "model": {"genes": 6}},
    )  # fmt: skip
    result = run_task(request)
    table = pd.read_parquet(result.folder / "predictions.parquet")
    assert len([name for name in table if name.startswith("predicted_ENSG")]) == 6
