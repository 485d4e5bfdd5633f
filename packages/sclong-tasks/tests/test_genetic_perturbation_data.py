"""Readers of perturbation screens, conditions as rows, and what is wrong with files."""

import logging
import zipfile

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import load, prepare, read_perturbations
from sclong_tasks.genetic_perturbation.example import write_counts_example, write_gears_example
from sclong_tasks.genetic_perturbation.ranking import Moments, rank_genes
from sclong_tasks.genetic_perturbation.reading import read_screen
from tests.support.places import shared_folder

PUBLISHED = GeneticPerturbationSettings.for_protocol("published")
HONEST = GeneticPerturbationSettings()


@pytest.fixture(scope="module")
def gears(tmp_path_factory):
    return write_gears_example(tmp_path_factory.mktemp("gears"))


@pytest.fixture(scope="module")
def counts(tmp_path_factory):
    return write_counts_example(tmp_path_factory.mktemp("counts"))


def prepared(source, folder, settings=HONEST):
    folder.mkdir(exist_ok=True)
    prepare(source, folder)
    return load(folder, settings)


def changed(source, folder, change):
    table = anndata.read_h5ad(source)
    table = change(table) or table
    table.write_h5ad(folder / "changed.h5ad")
    return folder / "changed.h5ad"


def by_ids(table):
    ids = dict(zip(table.var["gene_name"].astype(str), table.var_names, strict=True))
    written = table.obs["condition"].astype(str)
    table.obs["condition"] = ["+".join(ids.get(w, w) for w in one.split("+")) for one in written]


def test_conditions_by_the_ids_of_var_names_are_those_of_its_symbols(gears, tmp_path):
    expected = prepared(gears, tmp_path / "data", PUBLISHED)
    other = changed(gears, tmp_path, by_ids)
    assert "ENSG" in "".join(anndata.read_h5ad(other).obs["condition"].astype(str))
    found = prepared(other, tmp_path / "other", PUBLISHED)
    assert list(found.table["condition"]) == list(expected.table["condition"])
    np.testing.assert_array_equal(found.truth.to_numpy(), expected.truth.to_numpy())


def test_rows_are_conditions_with_the_means_of_their_cells(gears, tmp_path):
    data = prepared(gears, tmp_path / "data", PUBLISHED)
    table = anndata.read_h5ad(gears)
    assert set(data.table["condition"]) == set(table.obs["condition"]) - {"ctrl"}
    for row in (0, 7, len(data.table) - 1):
        here = (table.obs["condition"] == data.table["condition"][row]).to_numpy()
        assert data.table["cells"][row] == here.sum()
        expected = table.X[np.flatnonzero(here)].toarray().mean(0)
        assert data.truth.iloc[row].to_numpy() == pytest.approx(expected, rel=1e-5)
    assert data.control_mean == pytest.approx(
        table.X[np.flatnonzero(table.obs["control"] == 1)].toarray().mean(0), rel=1e-5
    )
    assert list(data.truth.columns) == list(table.var["gene_name"])


def test_both_spellings_are_one_row_unless_as_published(gears, tmp_path):
    apart = prepared(gears, tmp_path / "data", PUBLISHED)
    merged = load(tmp_path / "data", HONEST)
    names = set(apart.table["condition"])
    assert {"M0G0+ctrl", "ctrl+M0G0"} <= names
    assert len(merged.table) == apart.table["perturbation"].nunique() < len(apart.table)
    cells = apart.table.groupby("perturbation")["cells"].sum()
    assert (merged.table.set_index("perturbation")["cells"].sort_index() == cells).all()
    assert merged.digest != apart.digest


def test_rankings_come_from_the_file_where_it_has_them(gears, tmp_path, caplog):
    data = prepared(gears, tmp_path / "data", PUBLISHED)
    found = rank_genes(Moments.of(data.cells_of(3)), Moments.of(data.control))
    assert list(data.ranking[3]) == list(found)
    assert load(tmp_path / "data", HONEST).ranking is None

    def drop(table):
        del table.uns["rank_genes_groups_cov_all"]

    with caplog.at_level(logging.INFO, "sclong"):
        assert read_screen(changed(gears, tmp_path, drop)).ranking is None
    assert "has no ranked genes" in caplog.text


def test_hidden_conditions_leave_nothing_behind(gears, tmp_path):
    data = prepared(gears, tmp_path / "data")
    hidden = data.hide(np.array([2, 5]))
    assert np.isnan(hidden.means[[2, 5]]).all()
    assert np.isfinite(np.delete(hidden.means, [2, 5], axis=0)).all()
    assert not np.isin(hidden.row, [2, 5]).any()
    assert hidden.cells.shape[0] == data.cells.shape[0] - data.table["cells"][[2, 5]].sum()
    assert hidden.ranking is None
    assert hidden.digest != data.digest


def test_an_archive_is_read_as_the_file_in_it(gears, tmp_path):
    with zipfile.ZipFile(tmp_path / "6154020", "w") as archive:
        archive.write(gears, "norman/perturb_processed.h5ad")
    plain = prepared(gears, tmp_path / "plain")
    assert prepared(tmp_path / "6154020", tmp_path / "zip").digest == plain.digest
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme", "nothing")
    with pytest.raises(InputError, match=r"holds 0 .h5ad files"):
        read_screen(tmp_path / "empty.zip")
    content = bytearray((tmp_path / "6154020").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "6154020").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_screen(tmp_path / "6154020")


def test_counts_are_normalised_and_cells_with_mixed_guides_left_out(counts, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "sclong"):
        data = prepared(counts, tmp_path / "data", GeneticPerturbationSettings(guide_share=0.6))
    table = anndata.read_h5ad(counts)
    kept = (table.obs["top_grna_fraction"] >= 0.6).to_numpy()
    assert f"{(~kept).sum()} of {len(kept)} cells have less than 0.6" in caplog.text
    assert data.cells.shape[0] + data.control.shape[0] == kept.sum()
    dense = table.X.toarray()
    expected = np.log1p(dense / dense.sum(1, keepdims=True) * np.median(dense.sum(1)))
    here = kept & (table.obs["target"] == "M1G2").to_numpy()
    row = list(data.table["perturbation"]).index("M1G2")
    assert data.means[row] == pytest.approx(expected[here].mean(0), rel=1e-5)


def test_perturbed_genes_that_are_not_measured_are_named(counts, tmp_path, caplog):
    path = changed(counts, tmp_path, lambda table: table[:, table.var_names != "M1G2"].copy())
    with caplog.at_level(logging.INFO, "sclong"):
        data = prepared(path, tmp_path / "data")
    assert "1 perturbed genes are not measured (M1G2)" in caplog.text
    assert "M1G2" in set(data.table["perturbation"])


def test_conditions_are_left_out_by_gene_and_counted(gears, tmp_path, caplog):
    prepared(gears, tmp_path / "data")
    with caplog.at_level(logging.INFO, "sclong"):
        left = load(tmp_path / "data", GeneticPerturbationSettings(leave_out=["M0G0"]))
    assert "conditions are left out by their genes" in caplog.text
    assert not any("M0G0" in name.split("+") for name in left.table["condition"])


def test_genes_of_one_symbol_are_told_apart(gears, tmp_path, caplog):
    def rename(table):
        table.var["gene_name"] = [
            "M0G1" if name == "M0G7" else name for name in table.var.gene_name
        ]

    with caplog.at_level(logging.INFO, "sclong"):
        screen = read_screen(changed(gears, tmp_path, rename))
    assert "2 genes of changed.h5ad share a symbol" in caplog.text
    assert screen.genes[1] == "M0G1 (ENSG00000000001)"


def put(value):
    def change(table):
        dense = table.X.toarray()
        dense[3, 2] = value
        return anndata.AnnData(dense, obs=table.obs, var=table.var)

    return change


def set_obs(column, value):
    def change(table):
        values = table.obs[column].astype(object)
        values.iloc[3] = value
        table.obs[column] = values.astype(type(value))

    return change


def drop_gene(table):
    for name, genes in table.uns["rank_genes_groups_cov_all"].items():
        table.uns["rank_genes_groups_cov_all"][name] = genes[1:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put(np.nan), "1 values are missing.*cell 'cell3', gene 'M0G2'"),
        (put(-1.0), "1 values are missing, infinite, negative"),
        (put(1e30), "1 values are missing, infinite, negative or beyond any count: .*'cell3'"),
        (put(300.0), "these are counts"),
        (set_obs("condition", "A+B+C"), r"cell 'cell3': 'A\+B\+C' is not a condition"),
        (set_obs("control", 0), "cell 'cell3' has control 0 and condition 'ctrl'"),
        (drop_gene, "does not name each of the 32 genes once"),
        (lambda t: t[t.obs["control"] == 0].copy(), "has no control cells"),
        (lambda t: anndata.AnnData(t.X, t.obs.drop(columns="condition"), t.var), "neither a col"),
    ],
)
def test_a_wrong_file_is_named_with_cell_and_gene(gears, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        read_screen(changed(gears, tmp_path, change))


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda x: x - x.mean(0), "negative values"), (np.expm1, "expected"), (np.rint, "expected")],
)
def test_other_values_are_refused_and_the_matrix_of_log1p_is_named(gears, tmp_path, change, said):
    def moved(table):
        table.layers["logs"] = table.X.copy()
        table.X = change(table.X.toarray())

    with pytest.raises(InputError, match=rf"{said}.*layer 'logs' of the same file holds log1p"):
        read_screen(changed(gears, tmp_path, moved))


@pytest.mark.parametrize("noted", [False, True])
def test_a_note_of_the_logarithm_is_named_only_where_the_file_has_it(gears, tmp_path, noted):
    def change(table):
        table.X = table.X.toarray() / np.log(2)
        table.uns.pop("log1p", None)
        if noted:
            table.uns["log1p"] = {}

    with pytest.raises(InputError, match=r"log2\(1 \+ x\) of scaled counts") as error:
        read_screen(changed(gears, tmp_path, change))
    assert ("records a logarithm" in str(error.value)) == noted


def test_fractions_among_counts_are_refused(counts, tmp_path):
    with pytest.raises(InputError, match=r"1\.5 in cell 'cell3', gene 'M0G2' is not a count"):
        read_screen(changed(counts, tmp_path, put(1.5)))


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "perturb_processed.h5ad").write_text("nothing")
    with pytest.raises(InputError, match="not an HDF5 file"):
        read_screen(tmp_path / "perturb_processed.h5ad")


def test_no_perturbed_cells_are_refused(gears, tmp_path):
    path = changed(gears, tmp_path, lambda table: table[table.obs["control"] == 1].copy())
    with pytest.raises(InputError, match="has no perturbed cells"):
        prepared(path, tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gene\nA\n", "needs lines and a column perturbation"),
        ("perturbation,x\nA,1\nA+A,2\n", "line 3: 'A[+]A' is not a condition"),
        ("perturbation,x\nctrl,1\n", "line 2: the control is not a perturbation"),
    ],
)
def test_a_wrong_table_of_perturbations_names_its_line(gears, tmp_path, text, said):
    data = prepared(gears, tmp_path / "data")
    (tmp_path / "new.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_perturbations({"perturbations": tmp_path / "new.csv"}, data)


def test_new_perturbations_keep_controls_and_hold_no_truth(gears, tmp_path, caplog):
    data = prepared(gears, tmp_path / "data")
    pd.DataFrame({"perturbation": ["M0G0", "M1G0+NEW"], "note": ["a", "b"]}).to_csv(
        tmp_path / "new.csv", index=False
    )
    with caplog.at_level(logging.INFO, "sclong"):
        new = read_perturbations({"perturbations": tmp_path / "new.csv"}, data)
    assert "1 genes were never perturbed in the data: NEW" in caplog.text
    assert list(new.table["condition"]) == ["M0G0+ctrl", "M1G0+NEW"]
    assert np.isnan(new.means).all()
    assert new.cells.shape[0] == 0
    assert new.control_mean == pytest.approx(data.control_mean)


@pytest.mark.parametrize(
    ("name", "value"),
    [("train_share", 1.0), ("guide_share", 2.0), ("top", 1), ("split_seed", -2)],
)
def test_settings_that_make_no_sense_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"task.*{name}"):
        GeneticPerturbationSettings(**{name: value})


@pytest.mark.real_data
def test_the_subset_of_papalexi_is_read(tmp_path, caplog):
    folder = shared_folder("data/perturbation")
    if folder is None:
        pytest.skip("no shared data/perturbation beside the repository")
    with caplog.at_level(logging.INFO, "sclong"):
        data = prepared(folder / "papalexi_lowmoi_subset.h5ad", tmp_path / "data")
    assert len(data.table) == 25
    assert len(data.genes) == 299
    assert "966 of 20729 cells have less than 0.5" in caplog.text
    assert "16 perturbed genes are not measured (ATF2" in caplog.text
