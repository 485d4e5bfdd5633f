"""Data, splits, metrics and leaks of drug response, on made-up files of the original format."""

import gzip
import logging
import shutil

import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_response import reading, task
from sclong_tasks.drug_response.config import DrugResponseSettings
from sclong_tasks.drug_response.example import write_example
from sclong_tasks.drug_response.metrics import measure
from sclong_tasks.drug_response.task import groups
from sclong_tasks.settings import defaults
from sclong_tasks.splits import check_no_leak
from tests.support.places import shared_folder

EXPRESSION = "genomic_expression_561celllines_697genes_demap_features.csv"
DRUGS = "1.Drug_listMon Jun 24 09_00_55 2019.csv"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def data(original, tmp_path_factory):
    return load(original.folder, tmp_path_factory.mktemp("prepared") / "data")


def load(source, folder, **changes):
    prepare_data(task, folder, str(source))
    return task.load(folder, DrugResponseSettings(**changes))


@pytest.fixture
def copy(original, tmp_path):
    """A copy of the original files whose content a test may spoil."""
    folder = tmp_path / "copy"
    shutil.copytree(original.folder, folder)
    return folder


def edit(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def test_rows_are_measured_pairs_of_known_drugs_and_described_lines(data, original):
    assert set(data.table["drug_id"]) == {str(number) for number in range(1, 22)}
    assert set(data.table["line"]) == set(original.lines)
    row = data.table.iloc[7]
    drug, line = int(row["drug_id"]) - 1, original.lines.index(row["line"])
    assert data.target[7] == pytest.approx(original.values[drug, line], abs=1e-6)
    assert np.isfinite(data.target).all()


def test_two_ids_of_one_compound_are_kept_and_counted(data, original, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "sclong"):
        load(original.folder, tmp_path / "data")
    pairs = data.table.groupby(["line", "pubchem"]).size()
    assert (pairs == 2).sum() > 20
    assert f"{(pairs == 2).sum()} pairs of line and compound occur more than once" in caplog.text


def test_compressed_files_and_known_stand_ins_are_found(original, tmp_path):
    for path in original.folder.iterdir():
        name = {EXPRESSION: "dualgcn_ccle_expression_525x697.csv"}.get(path.name, path.name)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    load(tmp_path, tmp_path / "data")


def test_lines_without_expression_are_named_or_refuse_models_that_need_it(copy, tmp_path, caplog):
    table = pd.read_csv(copy / EXPRESSION, index_col=0).drop(index=["ACH-000003"])
    table.to_csv(copy / EXPRESSION)
    with caplog.at_level(logging.INFO, "sclong"):
        described = load(copy, tmp_path / "data")
    assert "1 cell lines without expression and are left out: ACH-000003" in caplog.text
    assert "ACH-000003" not in set(described.table["line"])
    listed = task.load(tmp_path / "data", DrugResponseSettings(lines="listed"))
    assert "ACH-000003" in set(listed.table["line"])
    with pytest.raises(InputError, match="no expression"):
        listed.need_expression()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("GDSC_IC50.csv", "GDSC:1,", "GDSC:one,", "row 1 is named 'GDSC:one'"),
        ("GDSC_IC50.csv", "ACH-000002", "ACH-2", "column 2 is named 'ACH-2'"),
        ("GDSC_IC50.csv", "GDSC:2,", "GDSC:1,", "row GDSC:1 occurs twice"),
        (EXPRESSION, "ACH-000001,", "ACH-000001,x", "row ACH-000001, column GENE0 is not a number"),
        (
            EXPRESSION,
            "ACH-000001,",
            "ACH-000001,-",
            "column GENE0: log2 of TPM plus 1 is never neg",
        ),
        (EXPRESSION, "ACH-000002,", "ACH-000001,", "row ACH-000001 occurs twice"),
        (DRUGS, "PubCHEM", "Pubmed", "has no column PubCHEM"),
        (DRUGS, "2,drug 1001,1001", "1,drug 1001,1001", "drug_id 1 has several PubChem ids"),
        ("223drugs_pubchem_smiles.txt", "\t", " ", "line 1: expected a PubChem id, a tab"),
        ("223drugs_pubchem_smiles.txt", "1001\t", "1000\t", "line 2: PubChem id 1000 has two"),
        ("223drugs_pubchem_smiles.txt", "\tCCO", "\tC(C", r"PubChem 1000 \(C\(C\)"),
        ("Cell_lines_annotations_20181226.txt", "depMapID", "id", "has no column depMapID"),
        ("Cell_lines_annotations_20181226.txt", "ACH-000002", "ACH-000001", "annotated twice"),
    ],
)
def test_a_wrong_file_is_named_with_row_and_column(copy, tmp_path, file, old, new, said):
    edit(copy / file, old, new)
    with pytest.raises(InputError, match=said):
        load(copy, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_missing_expression_values_are_refused_and_missing_responses_are_not(copy, tmp_path):
    assert "NA" in (copy / "GDSC_IC50.csv").read_text()
    table = pd.read_csv(copy / EXPRESSION, index_col=0)
    table.iloc[4, 2] = np.nan
    table.to_csv(copy / EXPRESSION, na_rep="NA")
    with pytest.raises(InputError, match="row ACH-000005, column GENE2 is not a number"):
        load(copy, tmp_path / "data")


def test_drugs_without_a_structure_and_lines_without_annotation_are_named(copy, tmp_path, caplog):
    edit(copy / "Cell_lines_annotations_20181226.txt", "ACH-000004", "none")
    edit(copy / "223drugs_pubchem_smiles.txt", "1001\t", "77\t")
    with caplog.at_level(logging.INFO, "sclong"):
        data = load(copy, tmp_path / "data")
    assert "1 GDSC drugs without a PubChem id of a known structure are left out: 2" in caplog.text
    assert "without response or annotation are left out: ACH-000004" in caplog.text
    assert "ACH-000004" not in set(data.table["line"])


def test_nothing_in_common_is_refused(copy, tmp_path):
    smiles = copy / "223drugs_pubchem_smiles.txt"
    smiles.write_text("77\tCCO\n")
    with pytest.raises(InputError, match="share no pair"):
        load(copy, tmp_path / "data")


def test_a_missing_file_is_named(copy, tmp_path):
    (copy / "GDSC_IC50.csv").unlink()
    with pytest.raises(InputError, match=r"lacks 1 file.*GDSC_IC50.csv"):
        load(copy, tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(InputError):
        reading.read_responses(path)


@pytest.mark.parametrize("scenario", ["pair", "cell_line", "tissue", "drug"])
@pytest.mark.parametrize("seed", [0, 1])
def test_honest_splits_never_share_what_they_hold_out(data, scenario, seed):
    settings = DrugResponseSettings()
    split = task.split(data, scenario=scenario, seed=seed, settings=settings)
    check_no_leak(split, groups(data, scenario), scenario)
    if scenario in ("pair", "drug"):
        keys = [molecule.inchikey for molecule in data.molecules.molecules]
        keyed = np.array(keys)[data.drug]
        names = keyed if scenario == "drug" else data.table["line"].to_numpy() + keyed
        check_no_leak(split, names, "InChIKey")
    assert sum(split.sizes().values()) == len(data.table)


def test_the_published_split_parts_pairs_and_selects_on_test_rows(data):
    settings = defaults(DrugResponseSettings, "published")
    split = task.split(data, scenario="random", seed=0, settings=settings)
    assert split.sizes() == {
        "train": len(data.table) - int(0.05 * len(data.table)),
        "validation": 0,
        "test": int(0.05 * len(data.table)),
    }
    np.testing.assert_array_equal(task.selection(split, settings).validation, split.test)
    with pytest.raises(InputError, match="leaks"):
        check_no_leak(split, groups(data, "pair"), "pair")


def test_the_released_codes_split_leaves_out_unknown_labels(data):
    settings = defaults(DrugResponseSettings, "published")
    split = task.split(data, scenario="tcga_labels", seed=0, settings=settings)
    used = np.concatenate([split.train, split.test])
    assert set(data.table["tcga"].iloc[used]) == {"LUAD", "SKCM", "BRCA", "LIHC"}


def test_no_tissue_left_for_a_part_is_said(data):
    one = data.table.assign(tissue="lung")
    alone = type(data)(one, data.target, data.molecules, data.expression)
    with pytest.raises(InputError, match=r"has no .* rows: too few tissues"):
        task.split(alone, scenario="tissue", seed=0, settings=DrugResponseSettings())


def test_hidden_targets_are_gone_and_the_others_stay(data):
    hidden = data.hide(np.array([3, 5]))
    assert np.isnan(hidden.target[[3, 5]]).all()
    assert np.isfinite(np.delete(hidden.target, [3, 5])).all()
    assert np.isfinite(data.target).all()


def test_metrics_of_perfect_and_of_constant_predictions(data):
    rows = np.arange(0, len(data.table), 3)
    perfect = {m.name: m for m in measure(data, rows, data.target[rows], scenario="pair", draws=20)}
    assert perfect["pearson"].value == pytest.approx(1)
    assert perfect["pearson_within_drug"].value == pytest.approx(1)
    assert perfect["rmse"].value == 0
    assert perfect["rmse"].unit == "cell line"
    constant = measure(data, rows, np.ones(len(rows)), scenario="drug", draws=0)
    assert [m.name for m in constant if np.isnan(m.value)] == ["pearson", "spearman"]
    assert {m.unit for m in constant} == {"drug"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": "some"},
        {"test_fraction": 0.0},
        {"test_fraction": 0.9, "validation_fraction": 0.2},
        {"select_on_test": True},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        DrugResponseSettings(**wrong)


@pytest.mark.real_data
def test_the_published_files_give_the_published_numbers_of_rows(tmp_path):
    source = shared_folder("data/drug_response")
    if source is None:
        pytest.skip("the published files are not there")
    data = load(source, tmp_path / "data", lines="listed")
    facts = (len(data.table), data.table["line"].nunique(), data.table["drug_id"].nunique())
    assert facts == (107_446, 561, 238)
    assert data.table["pubchem"].nunique() == 223
    assert (data.table.groupby(["line", "pubchem"]).size() > 1).sum() == 6_383
    assert data.target.mean() == pytest.approx(2.126, abs=5e-4)
    settings = defaults(DrugResponseSettings, "published")
    sizes = {
        name: task.split(data, scenario=name, seed=0, settings=settings).sizes()
        for name in ("random", "tcga_labels")
    }
    assert (sizes["random"]["train"], sizes["random"]["test"]) == (102_074, 5_372)
    assert (sizes["tcga_labels"]["train"], sizes["tcga_labels"]["test"]) == (89_585, 4_729)
