"""Genes deleted and overexpressed in the input of a model."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from scipy.stats import false_discovery_control

from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import prepare_cells
from sclong_core.expression.orthologs import mouse_orthologs
from sclong_core.testing import make_counts_anndata, make_tiny_model
from sclong_tasks.annotation.vectors import Embedder
from sclong_tasks.in_silico import RECORD, perturb
from sclong_tasks.in_silico.cells import Options, perturb_cells
from sclong_tasks.in_silico.genes import Change, LikeGenes, listed_genes
from sclong_tasks.in_silico.moving import VectorReader, read_expression, unit
from sclong_tasks.in_silico.ranking import first_order
from sclong_tasks.in_silico.table import corrected
from tests.support.places import shared_folder

GENES, SILENT = 80, 4
SETTINGS = {"null": 20, "cells": 0}


@pytest.fixture(scope="module")
def model():
    return ScLong.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def read(model):
    """Ids of genes that the packaged model reads for the vector of a cell."""
    places = model.require_readout().variable.numpy()
    return [model.vocabulary.ids[place] for place in places[: GENES - SILENT]]


@pytest.fixture(scope="module")
def unread(model):
    places = set(model.require_readout().variable.tolist())
    left = [gene for place, gene in enumerate(model.vocabulary.ids) if place not in places]
    return left[:SILENT]


@pytest.fixture(scope="module")
def made(read, unread):
    """Two types, told apart by the first ten genes; a gene that nobody expresses; vectors."""
    generator = np.random.default_rng(0)
    types = np.repeat(["a", "b"], 30)
    rates = np.tile(generator.gamma(1.0, size=GENES) + 0.3, (60, 1))
    rates[types == "b", :10] += 6
    rates[:, GENES - 1] = 0
    counts = generator.poisson(rates).astype(np.float32)
    cells = anndata.AnnData(sparse.csr_matrix(counts))
    cells.var_names = [*read, *unread]
    cells.obs_names = [f"cell {number}" for number in range(60)]
    cells.obs["type"] = pd.Categorical(types)
    perturb(cells, delete=[read[0]], **SETTINGS)  # embeds, once for all tests
    del cells.uns[RECORD]
    return cells


@pytest.fixture
def cells(made):
    return made.copy()


@pytest.fixture
def logged(cells):
    """The same as log1p values, which nobody scales again."""
    found = cells.copy()
    totals = np.asarray(found.X.sum(1))
    found.X = sparse.csr_matrix(np.log1p(found.X.toarray() / totals * 10_000))
    return found


@pytest.fixture(scope="module")
def rows():
    """The table of some changes, by a model that is loaded once."""
    embedder = Embedder(device="cpu")

    def table(cells, /, **asked):
        return perturb_cells(cells, embedder, Options(**{**SETTINGS, **asked}), Path("it"))["table"]

    return table


def test_a_deleted_gene_is_a_value_of_zero_and_all_others_stay(rows, cells, logged, model, read):
    damaged = logged.copy()
    values = damaged.X.toarray()
    values[:, 0] = 0
    damaged.X = sparse.csr_matrix(values)
    before, after = (
        model.embed(one, normalisation="log1p").astype(np.float64) for one in (logged, damaged)
    )
    cosine = (
        (before * after).sum(1) / np.linalg.norm(before, axis=1) / np.linalg.norm(after, axis=1)
    )
    row = rows(cells, delete=[read[0]]).iloc[0]
    assert row["moved"] == pytest.approx((1 - cosine).mean(), rel=0.01)
    assert row["euclid"] == pytest.approx(np.linalg.norm(after - before, axis=1).mean(), rel=1e-3)
    assert row["moved_low"] <= row["moved"] <= row["moved_high"]
    assert row["changed"] == (cells.X[:, 0] > 0).sum()


def test_a_gene_that_the_model_does_not_read_moves_nothing(rows, cells, unread, caplog):
    row = rows(cells, delete=[unread[0]]).iloc[0]
    assert row["changed"] > 0
    assert row["moved"] == row["euclid"] == 0
    assert np.isnan(row["moved_p"]) or row["moved_p"] == 1
    assert "does not read" in caplog.text


def test_overexpression_sets_the_quantile_of_expressing_cells(rows, cells, logged, model, read):
    values = logged.X.toarray()
    level = np.quantile(values[values[:, 3] > 0, 3], 0.5)
    values[:, 3] = np.maximum(values[:, 3], level)
    logged.X = sparse.csr_matrix(values)
    after = model.embed(logged, normalisation="log1p")
    row = rows(cells, overexpress=[read[3]], quantile=0.5).iloc[0]
    euclid = np.linalg.norm(after - cells.obsm["X_sclong"], axis=1)
    assert row["euclid"] == pytest.approx(euclid.mean(), rel=1e-3)
    assert row["change"] == "overexpress"


def test_approach_is_what_the_cosine_with_the_middle_of_the_target_gains(
    rows, cells, logged, model, read
):
    values = logged.X.toarray()
    values[:, 1] = 0
    logged.X = sparse.csr_matrix(values)
    before, after = unit(cells.obsm["X_sclong"]), unit(model.embed(logged, normalisation="log1p"))
    target = (cells.obs["type"] == "b").to_numpy()
    middle = before[target].mean(0)
    gained = (after - before)[~target] @ middle / np.linalg.norm(middle)
    table = rows(cells, delete=[read[1]], towards="type=b")
    assert table["cells"].tolist() == [30]  # those that are there already are not moved
    assert table["approach"].iloc[0] == pytest.approx(gained.mean(), rel=0.01)
    each = rows(cells, delete=[read[1]], by="type").set_index("group")
    assert each.loc["a", "towards"] == "b"
    assert each.loc["a", "approach"] == pytest.approx(gained.mean(), rel=0.01)


def test_p_values_are_add_one_and_corrected_over_the_table(rows, cells, read):
    table = rows(cells, delete=read[:5], by="type")
    least = 1 / 21
    assert table["null_genes"].eq(20).all()
    assert table["moved_p"].min() >= least
    steps = table["moved_p"] / least
    assert np.allclose(steps, steps.round())
    assert np.allclose(table["moved_q"], false_discovery_control(table["moved_p"]))
    assert np.allclose(table["approach_q"], false_discovery_control(table["approach_p"]))


def test_genes_of_a_ranking_are_corrected_for_all_that_were_ranked():
    row = {"change": "delete", "group": "g", "towards": ""}
    made = [{**row, "gene": name, "moved_p": 0.01} for name in "ab"]
    assert corrected(made)["moved_q"].tolist() == [0.01, 0.01]
    assert corrected(made, ranked=200)["moved_q"].tolist() == [1.0, 1.0]


def test_each_change_of_a_gene_is_a_test_of_its_own(rows, cells, read):
    table = rows(cells, delete=[read[3]], overexpress=[read[3]], by="type")
    for name, once in (
        ("moved", ["change", "group"]),
        ("approach", ["change", "group", "towards"]),
    ):
        tests = table.drop_duplicates(once)
        assert len(tests) == 4
        expected = false_discovery_control(tests[f"{name}_p"])
        np.testing.assert_allclose(tests[f"{name}_q"], expected)


def test_a_change_that_is_asked_for_twice_is_one_test(rows, cells, read):
    a, b, c = read[:3]
    twice = rows(cells, delete=[f"{a}+{b}", c, f"{b}+{a}"])
    assert twice["gene"].tolist() == [f"{a}+{b}", c]
    pd.testing.assert_frame_equal(twice, rows(cells, delete=[f"{a}+{b}", c]))


def test_groups_are_moved_whatever_their_name_and_cells_without_one_left_out(
    rows, cells, read, caplog
):
    names = np.repeat(["none", "unknown", "NA"], 20).astype(object)
    names[::5] = None
    cells.obs["treatment"] = names
    with caplog.at_level("INFO", logger="sclong"):
        table = rows(cells, delete=[read[0]], by="treatment")
    assert set(table["group"]) == {"none", "unknown", "NA"}
    assert table["cells"].eq(16).all()
    assert "12 cells without a group are left out" in caplog.text


@pytest.mark.parametrize("damage", ["narrow", "nan", "text"])
def test_vectors_that_are_not_those_of_the_model_are_refused(rows, cells, read, damage):
    values = cells.obsm["X_sclong"].copy()
    values[1] = np.nan if damage == "nan" else 0
    values = {"narrow": values[:, :10], "nan": values, "text": values.astype(str)}[damage]
    cells.obsm["X_sclong"] = values
    with pytest.raises(InputError, match="X_sclong"):
        rows(cells, delete=[read[0]])


@pytest.mark.parametrize("form", [sparse.csr_matrix, "table"])
def test_vectors_are_read_from_a_sparse_matrix_or_a_table(rows, cells, read, form):
    expected = rows(cells, delete=[read[0]])
    values = cells.obsm["X_sclong"]
    if form == "table":
        cells.obsm["X_sclong"] = pd.DataFrame(values, index=cells.obs_names).rename(columns=str)
    else:
        cells.obsm["X_sclong"] = form(values)
    pd.testing.assert_frame_equal(rows(cells, delete=[read[0]]), expected)


def test_like_genes_have_like_expression_and_are_not_asked_about():
    mean = np.arange(50, dtype=float)
    like = LikeGenes(mean, np.full(50, 0.5), np.ones(50, dtype=bool))
    found = like.of(Change("x", "delete", (25,)), 19, [24])
    places = [one.positions[0] for one in found]
    assert 25 not in places
    assert 24 not in places
    assert set(places[:4]) <= {21, 22, 23, 26, 27, 28}
    joint = like.of(Change("x", "delete", (10, 40)), 19, [])
    taken = [place for one in joint for place in one.positions]
    assert len(taken) == len(set(taken)) == 38
    with pytest.raises(InputError, match="a null needs 19"):
        like.of(Change("x", "delete", tuple(range(35))), 19, [])


@pytest.mark.parametrize(("kind", "towards"), [("delete", None), ("overexpress", "type=b")])
def test_one_backward_pass_ranks_all_genes(rows, cells, kind, towards):
    table = rows(cells, **{kind: ["all"]}, top=30, towards=towards, cells=20)
    record = cells.uns[RECORD]
    assert record["first_order_genes_compared"] >= 30
    assert -1 <= record["first_order_rank_correlation"] <= 1  # of real cells: see below
    assert len(table) == 30
    ranking = record["ranking"]
    assert ranking["first_order"].is_monotonic_decreasing
    assert not ranking["gene"].duplicated().any()


@pytest.mark.real_data
def test_on_real_cells_first_order_ranks_as_exact_and_a_marker_leads_to_its_type(rows):
    folder = shared_folder("data")
    if folder is None:
        pytest.skip("needs pbmc3k_10x.h5ad")
    blood = anndata.read_h5ad(folder / "cells" / "pbmc3k_10x.h5ad")
    blood = blood[blood.obs["cell_type"].isin(["B", "CD14+ Mono"])][::8].copy()
    rows(blood, delete=["all"], towards="cell_type=B", top=5)
    assert blood.uns[RECORD]["first_order_rank_correlation"] > 0.9
    table = rows(blood, overexpress=["CD79A"], towards="cell_type=B", null=50)
    assert table["approach"].iloc[0] > 0
    assert table["approach_p"].iloc[0] < 0.1


def test_vectors_in_the_file_are_used_and_not_made_again(rows, cells, read, monkeypatch):
    monkeypatch.setattr(ScLong, "embed", None)
    monkeypatch.setattr("sclong_tasks.annotation.vectors.embed_cells", None)
    before = cells.obsm["X_sclong"].copy()
    rows(cells, delete=[read[0]])
    assert np.array_equal(cells.obsm["X_sclong"], before)


def test_vectors_of_other_counts_are_refused(rows, cells, read):
    cells.X = cells.X[::-1].copy()
    with pytest.raises(InputError, match="not what this model makes of these counts"):
        rows(cells, delete=[read[0]])


def test_the_function_works_in_place_or_on_a_copy(cells, read):
    found = perturb(cells, delete=[read[0]], copy=True, **SETTINGS)
    assert RECORD in found.uns
    assert RECORD not in cells.uns
    assert perturb(cells, delete=[read[0]], **SETTINGS) is None
    assert cells.uns[RECORD]["table"].equals(found.uns[RECORD]["table"])
    assert cells.uns[RECORD]["encoder"].endswith(" cell")


def test_a_checkpoint_without_a_readout_is_perturbed_through_its_pool(tmp_path):
    make_tiny_model(genes=40).save_pretrained(tmp_path / "model")
    cells = make_counts_anndata(30, 40)
    perturb(cells, delete=[cells.var_names[5], "all"], top=3, checkpoint=str(tmp_path / "model"),
            **SETTINGS)  # fmt: skip
    assert cells.uns[RECORD]["encoder"].endswith(" mean")
    assert (cells.uns[RECORD]["table"]["moved"] > 0).all()
    assert len(cells.uns[RECORD]["ranking"]) == 40


@pytest.mark.parametrize("packaged", [True, False])
def test_first_order_is_the_slope_of_what_the_model_makes(cells, model, packaged):
    if not packaged:
        cells, model = make_counts_anndata(30, 40), make_tiny_model(genes=40)
    with prepare_cells(cells, model.vocabulary, model.config.input) as prepared:
        reader = VectorReader(model, "cell" if packaged else "mean", prepared)
        x = read_expression(prepared, np.array([7]))
    gene, step = int(x.indices[3]), 1e-2
    value = float(x[0, gene])
    raised = x.toarray()
    raised[0, gene] += step
    with torch.no_grad():
        before, after = (
            unit(reader(torch.from_numpy(one)).numpy()) for one in (x.toarray(), raised)
        )
    place = unit(np.random.default_rng(0).standard_normal((1, before.shape[1])))[0]
    found = first_order(
        reader, x, levels={gene: value + step}, towards_w=place, seed=0, batch_size=8
    )
    assert found[gene] == pytest.approx(float((after - before)[0] @ place), rel=0.1)
    assert np.count_nonzero(found) == 1
    many = sparse.vstack([x] * 400, format="csr")
    moved = first_order(
        reader, many, levels={gene: value + step}, towards_w=None, seed=0, batch_size=64
    )
    assert moved[gene] == pytest.approx(np.square(after - before).sum() / 2, rel=0.35)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"delete": ["NOTAGENE"]}, "not a gene of the data or of the model"),
        ({"delete": ["GATA1"]}, "the data has no gene GATA1"),
        ({"delete": ["{silent}"]}, "no cell of the 60"),
        ({"overexpress": ["{silent}"]}, "no cell of the 60"),
        ({"delete": ["{gene}+{gene}"]}, "names one gene twice"),
        ({"delete": ["{gene}+"]}, "lacks a gene beside a plus"),
        ({"delete": ["absent.txt"]}, "neither a file nor a gene"),
        ({"delete": ["{gene}"], "by": "absent"}, "it has type"),
        ({"delete": ["{gene}"], "towards": "type=c"}, "0 cells have 'c'"),
        ({"delete": ["{gene}"], "by": "rare"}, "no group has 10 cells"),
    ],
)
def test_what_cannot_be_used_is_said(rows, cells, read, asked, message):
    cells.obs["rare"] = [str(number) for number in range(60)]
    names = {"gene": read[0], "silent": cells.var_names[-1]}
    filled = {
        key: [word.format(**names) for word in value] if isinstance(value, list) else value
        for key, value in asked.items()
    }
    with pytest.raises(InputError, match=message):
        rows(cells, **filled)


def test_a_gene_of_the_data_that_the_model_lacks_is_named(rows, cells, read):
    cells.var_names = [*cells.var_names[:-1], "LOC_UNKNOWN"]
    with pytest.raises(InputError, match="does not know LOC_UNKNOWN, which the data holds"):
        rows(cells, delete=["LOC_UNKNOWN"])


def test_too_few_like_genes_are_refused(rows, cells, read):
    few = cells[:, :15].copy()
    few = few[np.asarray(few.X.sum(1)).ravel() > 0].copy()
    del few.obsm["X_sclong"]
    with pytest.raises(InputError, match="a null needs 19"):
        rows(few, delete=[read[0]])


def test_impossible_options_are_refused():
    for wrong in (
        {},
        {"delete": ["A"], "null": 0},
        {"delete": ["A"], "quantile": 0},
        {"delete": ["A"], "towards": "B"},
        {"delete": ["A"], "cells": -1},
        {"delete": ["A"], "null": 18},
        {"delete": ["A"], "seed": -1},
        {"delete": [","]},
    ):
        with pytest.raises(ConfigError):
            Options(**wrong)


def test_a_file_lists_genes(tmp_path):
    path = tmp_path / "genes.txt"
    path.write_text("CD3D\n\nCD3E\tnote\n")
    assert listed_genes([str(path), "CD3D", "LYZ,NKG7"]) == ["CD3D", "CD3E", "LYZ", "NKG7"]
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no gene"):
        listed_genes([str(path)])


def test_all_genes_may_be_asked_for_within_a_list(tmp_path):
    path = tmp_path / "genes.csv"
    path.write_bytes("\ufeff# markers\r\nCD3D, CD3E\r\nall\r\n".encode())
    assert Options([str(path)]).delete == ["CD3D", "CD3E", "all"]
    assert Options("all,CD3D").delete == ["all", "CD3D"]
    assert Options(overexpress="CD3D").overexpress == ["CD3D"]  # one name is no list of letters


@pytest.fixture
def file(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


WORDS = ["--null", "20", "--cells-per-group", "0"]


def test_the_command_prints_and_writes_a_table_with_its_record(file, read, tmp_path, capsys):
    asked = ["perturb", str(file), "--delete", read[0], "all", "--top", "2", "--by", "type", *WORDS]
    outputs = ["-o", f"{tmp_path}/moved.tsv", "--ranking", f"{tmp_path}/all.csv"]
    assert main([*asked, *outputs]) == 0
    printed = capsys.readouterr().out
    assert "beyond chance" in printed
    assert "rank correlation" in printed
    table = pd.read_csv(tmp_path / "moved.tsv", sep="\t")
    assert len(table) == 6
    assert len(pd.read_csv(tmp_path / "all.csv")) > 100
    assert '"encoder"' in (tmp_path / "moved.tsv.json").read_text()


def test_the_command_writes_cells_with_table_and_vectors(file, read, tmp_path, capsys):
    assert (
        main(["perturb", str(file), "--delete", read[0], *WORDS, "-o", f"{tmp_path}/o.h5ad"]) == 0
    )
    found = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert found.uns[RECORD]["table"].shape[0] == 1
    assert "X_sclong" in found.obsm
    assert main(["perturb", str(file), "--delete", read[0], *WORDS]) == 0


def test_genes_are_matched_and_said_once_under_the_name_of_the_file(file, read, capsys):
    cells = anndata.read_h5ad(file)
    del cells.obsm["X_sclong"]
    cells.layers["counts"], cells.X = cells.X, -cells.X
    cells.write_h5ad(file)
    words = ["perturb", str(file), "--delete", read[0], *WORDS]
    assert main(words) == 2
    assert "--matrix counts" in capsys.readouterr().err
    assert main([*words, "--matrix", "counts"]) == 0
    said = capsys.readouterr().err
    assert said.count("genes of the model") == 1
    assert f"{file}: 60 cells, {GENES} genes, from layers/counts" in said


def test_cells_of_a_mouse_are_perturbed_by_their_orthologs(file, model, capsys):
    of_mouse = {human: mouse for mouse, human in mouse_orthologs().by_symbol.items()}
    ids = [model.vocabulary.ids[place] for place in model.require_readout().variable.tolist()]
    names = [of_mouse[gene] for gene in ids if gene in of_mouse][:GENES]
    cells = anndata.read_h5ad(file)
    del cells.obsm["X_sclong"]
    cells.var_names = names
    cells.write_h5ad(file)
    words = ["perturb", str(file), *WORDS, "--delete"]
    assert main([*words, names[0]]) == 2
    assert "--organism mouse" in capsys.readouterr().err
    assert main([*words, names[0], "--organism", "mouse"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "{tmp}/o.txt"], "must end in"),
        (["-o", "{tmp}/cells.h5ad", "--overwrite"], "is the input"),
        (["-o", "{tmp}/there.tsv"], "already exists"),
        (["--ranking", "{tmp}/r.tsv"], "goes with"),
        (["--by", "absent"], "it has type"),
        (["--towards", "type"], "COLUMN=VALUE"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(file, read, tmp_path, capsys, words, message):
    (tmp_path / "there.tsv").write_text("mine")
    filled = [word.replace("{tmp}", str(tmp_path)) for word in words]
    assert main(["perturb", str(file), "--delete", read[0], *filled]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
