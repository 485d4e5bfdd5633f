"""Marker-gene clustering on made-up cells: lists, models, commands, figures, bad input."""

import json
import logging
import zipfile

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.testing import make_tiny_model
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.cells import dense_matrix, obs_column, read_h5ad, scale_of
from sclong_tasks.data_files import prepare_data
from sclong_tasks.marker_clustering import data as reading
from sclong_tasks.marker_clustering import task
from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.example import ExampleSizes, write_marker_example
from sclong_tasks.marker_clustering.markers import (
    NAMES,
    PAPER,
    PEGASUS,
    SCTYPE,
    choose_lists,
    read_pegasus,
    read_sctype,
    read_table,
)
from sclong_tasks.registry import get_model
from sclong_tasks.run import fit_and_predict
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext
from tests.support.places import shared_folder

SETTINGS = MarkerSettings(draws=100, near=8, top=10, clusters=5, bootstrap=20, cells=20)
SCLONG = (
    "sclong", "sclong_no_low_expression", "sclong_random_low_expression", "sclong_no_gene2vec",
    "sclong_single_encoder", "gene2vec", "random_sclong", "random_sclong_normal",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    path = write_marker_example(tmp_path / "source")
    prepare_data(task, tmp_path / "data", str(path))
    return tmp_path / "data"


@pytest.fixture
def data(folder):
    return reading.load(folder, SETTINGS)


def embedded(name, data, tmp_path, changes=None, **more):
    kind = get_model(task, name)
    model = kind(resolve(kind.Options, "honest", changes or {}, "model"))
    context = RunContext(**{"seed": 0, "protocol": "honest", "scratch": tmp_path} | more)
    split = task.split(data, scenario="zero_shot", seed=context.seed, settings=SETTINGS)
    found = fit_and_predict(task, model, data, split, context, SETTINGS)
    metrics = task.evaluate(data, found, split, SETTINGS)
    return model, found, {(one.name, one.stratum): one.value for one in metrics}


def test_rows_are_expressed_genes_of_types_with_their_markers(data):
    assert data.kinds == ("Type 0", "Type 1", "Type 2")
    assert data.labels.columns.tolist() == ["cell_type", "gene", "mean_expression"]
    found = data.labels[data.truth["marker"] == 1].groupby("cell_type")["gene"].agg(list)
    assert found["Type 1"] == [f"GENE{number}" for number in range(6, 12)]
    assert data.hide(np.arange(3)).truth["marker"].isna().sum() == 3
    assert data.drawn(0, 1).cells != data.drawn(0, 2).cells
    assert len(data.drawn(0, 1).cells) == 20


def test_planted_programmes_are_found_by_correlation_alone(data, tmp_path):
    values = {name: embedded(name, data, tmp_path)[2] for name in ("correlation", "random")}
    found, none = values["correlation"], values["random"]
    assert found["marker_z", "all"] > 5 > none["marker_z", "all"]
    assert found["marker_auroc", "all"] > 0.9
    assert abs(none["marker_auroc", "all"] - 0.5) < 0.15
    assert (found["similar_types", "all"], none["similar_types", "all"]) == (1, 0)
    assert found["clustered_types", "all"] == 1
    assert found["marker_z", "Type 2"] > 3


def test_cosines_of_the_model_correlation_are_correlations(data, tmp_path):
    found = embedded("correlation", data, tmp_path)[1].to_numpy()[data.kind == 0]
    units = found / np.linalg.norm(found, axis=1, keepdims=True)
    cells = data.drawn(0, 0).log1p[:, data.gene[data.kind == 0]]
    np.testing.assert_allclose(units @ units.T, np.corrcoef(cells.T), atol=1e-5)


def test_runs_repeat_and_are_what_they_were_saved_as(data, tmp_path):
    for name in ("correlation", "random", "expression_cosine"):
        model, first, _ = embedded(name, data, tmp_path)
        pd.testing.assert_frame_equal(first, embedded(name, data, tmp_path)[1])
        assert not first.equals(embedded(name, data, tmp_path, seed=1)[1])
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
        context = RunContext(seed=9, protocol="honest", scratch=tmp_path)
        loaded = get_model(task, name).load(tmp_path / name, context)
        pd.testing.assert_frame_equal(first, loaded.predict(data, first.index.to_numpy()))
    with pytest.raises(InputError, match="holds no model"):
        get_model(task, "random").load(tmp_path, context)


@pytest.fixture
def checkpoint(data, tmp_path):
    model = make_tiny_model(genes=60)
    model.vocabulary = GeneVocabulary.from_ids(data.expression.genes)
    model.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("name", SCLONG)
def test_scLong_and_its_ablations_stay_finite(data, checkpoint, tmp_path, name):  # noqa: N802
    model, found, values = embedded(name, data, tmp_path, checkpoint=checkpoint, device="cpu")
    assert found.shape[0] == len(data.gene)
    assert np.isfinite(values["marker_excess", "all"])
    assert model.describe()
    if name == "gene2vec":
        gene = data.gene[data.kind == 0][0]
        same = found.to_numpy()[data.gene == gene]
        assert len(same) == 3
        assert (same == same[0]).all()


def test_scLong_is_the_mean_of_its_representations(data, checkpoint, tmp_path):  # noqa: N802
    from sclong_tasks.encoders.choose import EncoderOptions, make_encoder  # noqa: PLC0415  # slow

    place = {"checkpoint": checkpoint, "device": "cpu"}
    found = embedded("sclong", data, tmp_path, **place)[1].to_numpy()[data.kind == 1]
    context = RunContext(seed=0, protocol="honest", scratch=tmp_path, **place)
    encoder = make_encoder(EncoderOptions(pool="none"), context, data.expression.genes)
    every = encoder.cells(data.drawn(1, 0)).values.mean(0)
    np.testing.assert_allclose(found, every[data.gene[data.kind == 1]], atol=1e-5)
    cached = embedded("sclong", data, tmp_path, cache=tmp_path / "cache", **place)[1]
    again = embedded("sclong", data, tmp_path, cache=tmp_path / "cache", **place)[1]
    pd.testing.assert_frame_equal(cached, again)


def test_vectors_of_other_programs(data, tmp_path):
    values = np.random.default_rng(0).normal(size=(60, 4)).astype("f4")
    np.savez(tmp_path / "v.npz", names=np.array(data.expression.genes), values=values)
    found = embedded("precomputed", data, tmp_path, {"path": str(tmp_path / "v.npz")})[1]
    np.testing.assert_allclose(found, values[data.gene])
    with pytest.raises(ConfigError, match=r"needs model\.path"):
        embedded("precomputed", data, tmp_path)


def test_commands_leave_tables_and_heat_maps(folder, tmp_path, capsys):
    settings = ["task.draws=50", "task.near=8", "task.top=10", "task.bootstrap=0"]
    words = [word for setting in settings for word in ("--set", setting)]
    common = ["--data", str(folder), "--output", str(tmp_path / "runs"), "--seed", "1", *words]
    assert main(["task", "run", "marker_clustering", "--model", "correlation", *common]) == 0
    run = next((tmp_path / "runs").glob("**/correlation-*"))
    drawings = sorted(path.name for path in (run / "figures").iterdir())
    assert drawings == ["genes-type-0.svg", "genes-type-1.svg", "genes-type-2.svg"]
    assert "GENE1" in (run / "figures" / "genes-type-0.svg").read_text()
    source = tmp_path / "source" / "pbmc68k_reduced.h5ad"
    lines = [f"Type 0,GENE{number}" for number in range(5)]
    (tmp_path / "m.csv").write_text("\n".join(["cell_type,gene", *lines]) + "\n")
    asked = ["task", "predict", "marker_clustering", "--run", str(run), "--data", str(folder)]
    asked += ["--input", f"cells={source}", "--output", str(tmp_path / "out.parquet")]
    assert main(asked) == 2
    assert main([*asked, "--input", f"markers={tmp_path / 'm.csv'}"]) == 0
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["cell_type"].unique().tolist() == ["Type 0"]
    capsys.readouterr()


def test_lists_are_read_as_published(tmp_path, folder):
    sctype = read_sctype(tmp_path / "source" / SCTYPE)["Immune system"]
    pegasus = read_pegasus(tmp_path / "source" / PEGASUS)
    assert sctype == pegasus
    assert sctype["Type 0"] == [f"GENE{number}" for number in range(6)]
    for markers in ("sctype", "pegasus"):
        found = reading.load(folder, MarkerSettings(markers=markers))
        assert found.marker.sum() == 18


def test_what_is_left_out_is_named(tmp_path, folder, caplog):
    caplog.set_level(logging.INFO, "sclong")
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    types = adata.obs["bulk_labels"].astype(object).to_numpy()
    types[0], types[1:3], types[3:9] = None, "Few", "Unknown"
    adata.obs["bulk_labels"] = types
    dense = adata.X.toarray()
    dense[types == "Type 1", 6:9] = 0
    adata.X = dense
    adata.write_h5ad(tmp_path / "cells.h5ad")
    lists = {"Type 0": ["GENE0", "GENE1", "GENE2", "GENE3", "ABSENT"], "Type 1": ["GENE6"] * 1}
    lists |= {"Type 2": [f"GENE{number}" for number in range(12, 18)], "Few": ["GENE1"]}
    data = reading.read_cells(tmp_path / "cells.h5ad", lists, SETTINGS)
    assert data.kinds == ("Type 0", "Type 2")
    for said in (
        "1 cells without cell type are left out: cell0",
        "1 cell types of fewer than 5 cells are left out: Few (2)",
        "1 cell types without a list in sctype are left out: Unknown",
        "1 cell types of fewer than 4 expressed markers are left out: Type 1 (0)",
        "Type 0: 4 of 5 markers are expressed; 1 are not measured (ABSENT); 0 hardly expressed",
    ):
        assert said in caplog.text
    with pytest.raises(InputError, match="no cell type has 5 cells"):
        reading.read_cells(tmp_path / "cells.h5ad", {"Other": ["GENE1"]}, SETTINGS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a.obs.rename(columns={"bulk_labels": "x"}, inplace=True), "no column cell_type"),
        (lambda a: a.obs.__setitem__("bulk_labels", ""), "no cell has a type"),
        (lambda a: a.X.data.__setitem__(4, np.nan), "missing, infinite, negative"),
        (lambda a: a.var.__setattr__("index", ["GENE1", *a.var_names[1:]]), "occur twice: GENE1"),
    ],
)
def test_impossible_cells_are_refused(folder, tmp_path, change, said):
    adata = anndata.read_h5ad(folder / "cells.h5ad")
    change(adata)
    adata.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(InputError, match=said):
        reading.read_cells(tmp_path / "x.h5ad", {"Type 0": ["GENE1"]}, SETTINGS)


def test_damaged_lists_are_refused(tmp_path):
    (tmp_path / "x.xlsx").write_bytes(b"no zip")
    with pytest.raises(InputError, match="is not a workbook"):
        read_sctype(tmp_path / "x.xlsx")
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        archive.writestr("other.xml", "<a/>")
    with pytest.raises(InputError, match="not a readable workbook"):
        read_sctype(tmp_path / "x.xlsx")
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * 40_000_000)
    with pytest.raises(InputError, match="unpacks to 40,000,000 bytes"):
        read_sctype(tmp_path / "x.xlsx")
    pd.DataFrame({"tissueType": ["Brain"]}).to_excel(tmp_path / "y.xlsx", index=False)
    with pytest.raises(InputError, match="no column cellName, geneSymbolmore1"):
        read_sctype(tmp_path / "y.xlsx")
    (tmp_path / "x.json").write_text(json.dumps({"cell_types": [{"name": "B"}]}))
    with pytest.raises(InputError, match="not a list of markers by Pegasus"):
        read_pegasus(tmp_path / "x.json")
    (tmp_path / "x.csv").write_text("cell_type,gene\nB,\n")
    with pytest.raises(InputError, match="line 2: cell_type and gene"):
        read_table(tmp_path / "x.csv")
    (tmp_path / "y.csv").write_text("type,gene\nB,A\n")
    with pytest.raises(InputError, match="needs lines and the columns"):
        read_table(tmp_path / "y.csv")


def test_an_entity_of_a_workbook_is_not_expanded(tmp_path):
    write_marker_example(tmp_path)
    with zipfile.ZipFile(tmp_path / SCTYPE) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    head, _, rest = parts["xl/workbook.xml"].partition(b"<workbook")
    parts["xl/workbook.xml"] = head + b'<!DOCTYPE x [<!ENTITY a "b">]><workbook' + rest
    with zipfile.ZipFile(tmp_path / "x.xlsx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(InputError, match="not a readable workbook"):
        read_sctype(tmp_path / "x.xlsx")


def test_settings_are_checked():
    for wrong in (
        {"scale": "x"},
        {"markers": "x"},
        {"top": 1},
        {"fewest_markers": 2},
        {"draws": 0},
        {"clusters": 1},
    ):
        with pytest.raises(ConfigError):
            MarkerSettings(**wrong)
    published = MarkerSettings.for_protocol("published")
    assert (published.markers, published.forced_markers, published.as_stored) == (
        "paper",
        True,
        True,
    )
    with pytest.raises(InputError, match="prepared without ScTypeDB_full"):
        choose_lists({}, MarkerSettings())
    with pytest.raises(InputError, match="no tissue 'Skin': it has Brain"):
        choose_lists({"sctype": {"Brain": {}}}, MarkerSettings(tissue="Skin"))
    assert choose_lists({}, MarkerSettings(markers="paper"))["CD34+"] == list(PAPER["CD34+"])


def test_forced_markers_are_drawn(folder, tmp_path):
    forced = MarkerSettings(draws=20, near=8, top=3, cells=20, forced_markers=True)
    data = reading.load(folder, forced)
    _, found, _ = embedded("random", data, tmp_path)
    split = task.split(data, scenario="zero_shot", seed=0, settings=forced)
    drawing = next(iter(task.figures(data, found, split).values()))
    names = {part.text for part in drawing.iter("text")}
    assert {f"GENE{number}" for number in range(6)} <= names


def test_columns_and_scales_of_any_file(folder, tmp_path):
    adata = read_h5ad(folder / "cells.h5ad")
    assert scale_of(dense_matrix(adata, "", tmp_path), "auto", as_stored=False) == "counts"
    assert scale_of(dense_matrix(adata, "", tmp_path), "auto", as_stored=True) == "log1p"
    assert (obs_column(adata.obs, ("no",), "task.x", tmp_path, needed=False) == "").all()
    with pytest.raises(InputError, match="no layer 'x': it has none"):
        dense_matrix(adata, "x", tmp_path)


@pytest.mark.real_data
def test_published_lists_name_the_types_of_the_data():
    folder = shared_folder("data/markers")
    if folder is None:
        pytest.skip("the shared marker lists are not here")
    sctype = read_sctype(folder / SCTYPE)["Immune system"]
    pegasus = read_pegasus(folder / PEGASUS)
    assert set(NAMES["sctype"].values()) <= set(sctype)
    assert set(NAMES["pegasus"].values()) <= set(pegasus)
    assert "CD14" in sctype["Classical Monocytes"]
    assert pegasus["CD4 CTL"][:2] == ["CD4", "GNLY"]


@pytest.mark.real_data
def test_real_cells_with_synonyms_of_markers(tmp_path, caplog):
    folder = shared_folder("data")
    if folder is None:
        pytest.skip("the shared cells are not here")
    lists = read_sctype(folder / "markers" / SCTYPE)["Immune system"]
    path = folder / "pbmc" / "symphony_pbmcs_small.h5ad"
    plain = reading.read_cells(path, lists, MarkerSettings())
    tables = [str(folder / "genes" / "hgnc_complete_set.txt.gz")]
    named = reading.read_cells(path, lists, MarkerSettings(gene_tables=tables))
    assert named.marker.sum() > plain.marker.sum()
    assert "MS4A1" in set(named.labels["gene"][named.marker == 1])


def test_sizes_of_the_example_can_be_chosen(tmp_path):
    path = write_marker_example(tmp_path, ExampleSizes(types=2, cells=6, genes=20, markers=4))
    assert anndata.read_h5ad(path).shape == (12, 20)
