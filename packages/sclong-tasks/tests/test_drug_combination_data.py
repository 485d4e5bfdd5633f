"""Files of DeepDDS, rows, and what is wrong with them."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.data_files import find_files, prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.config import CombinationSettings
from sclong_tasks.drug_combination.example import SyntheticSizes, write_synthetic_files
from sclong_tasks.drug_combination.reading import read_pairs, read_scaled, read_tpm
from sclong_tasks.drug_combination.splits import new_compounds
from sclong_tasks.splits import check_no_leak
from tests.support.places import shared_folder

HONEST = CombinationSettings()
PUBLISHED = CombinationSettings.for_protocol("published")
PAIRS = "new_labels_0_10.csv"
TPM = "new_cell_features_954.csv"
SCALED = "processed_independent_cell_features_filtered.csv"


@pytest.fixture
def files(tmp_path):
    write_synthetic_files(tmp_path / "files")
    return tmp_path / "files"


def load(files, tmp_path, settings=HONEST):
    prepare_data(task, tmp_path / "data", str(files), overwrite=True)
    return task.load(tmp_path / "data", settings)


def edit(path, change):
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(frame).to_csv(path, index=False)


def put(row, column, value):
    def change(frame):
        frame.loc[row, column] = value
        return frame

    return change


def test_files_are_read_plain_or_compressed(files, tmp_path):
    plain = load(files, tmp_path)
    for name in (PAIRS, SCALED):
        with gzip.open(files / f"{name}.gz", "wb") as target:
            target.write((files / name).read_bytes())
        (files / name).unlink()
    assert load(files, tmp_path).digest == plain.digest
    assert set(plain.labels["screen"]) == {"training", "independent"}
    assert plain.labels["drug1"].str.startswith("drug").all()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (PAIRS, put(4, "cell", ""), f"{PAIRS}, row 6, column cell: a value is missing"),
        (PAIRS, put(2, "label", "2"), f"{PAIRS}, row 4, column label: '2' is neither 0 nor 1"),
        (PAIRS, put(2, "label", "nan"), f"{PAIRS}, row 4, column label"),
        (PAIRS, lambda frame: frame.drop(columns="cell"), "columns must be drug1,drug2,cell,label"),
        (PAIRS, lambda frame: frame[:0], "has no rows"),
        (PAIRS, put(0, "drug1", "C1CC"), r"1 of \d+ drugs cannot be used.*\(C1CC\)"),
        (TPM, put(1, "ENSG00000000003", "x"), f"{TPM}, row 3, column ENSG00000000003: 'x'"),
        (TPM, put(1, "ENSG00000000003", ""), f"{TPM}, row 3, column ENSG00000000003"),
        (TPM, put(1, "ENSG00000000003", "-1"), r"is not an expression value \(1 such"),
        (TPM, lambda frame: frame[1:], "row 2: transcript ids are expected"),
        (TPM, put(1, "gene_id", "LINE1"), "1 cells occur twice: LINE1"),
        (SCALED, put(0, "ENSG00000000003", "0.987"), "gene 3 is not a scaled copy"),
        (SCALED, lambda frame: frame[2:], "shares 1 cell lines"),
        (SCALED, lambda frame: frame.rename(columns={"ENSG00000000003": "x"}), "genes are not"),
    ],
)
def test_what_is_wrong_is_named_by_file_row_and_column(files, tmp_path, name, change, message):
    edit(files / name, change)
    with pytest.raises(InputError, match=message):
        load(files, tmp_path)


def test_names_must_belong_to_the_rows(files, tmp_path):
    path = files / "independent_set/independent_input_drug_cell.csv"
    lines = path.read_text().splitlines()
    lines[2] = lines[2].replace("LINE", "OTHER")
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match="row 3: another cell line or label"):
        load(files, tmp_path)


def test_tpm_comes_back_from_scaled_values(files, tmp_path):
    write_synthetic_files(tmp_path / "tpm", scaled=False)
    scaled, whole = load(files, tmp_path), load(tmp_path / "tpm", tmp_path)
    assert scaled.expression.cells == whole.expression.cells
    np.testing.assert_allclose(scaled.expression.values, whole.expression.values, atol=1e-3)


def test_a_gene_without_a_scale_is_counted_by_name(files, caplog):
    caplog.set_level("INFO", "sclong")
    for name, value in ((TPM, "0"), (SCALED, "0.0")):
        edit(files / name, lambda frame, v=value: frame.assign(
            ENSG00000000005=[v if str(x)[:4] == "LINE" else x for x in frame.iloc[:, 0]]
        ))  # fmt: skip
    found = read_scaled(files / SCALED, read_tpm(files / TPM))
    assert "1 of 12 genes are constant in these and set to their value there: ENSG00000000005" in (
        caplog.text
    )
    assert not found.values[:, 4].any()


def test_a_line_that_occurs_twice_is_said(files, caplog):
    edit(files / SCALED, lambda frame: pd.concat([frame, frame.tail(1)]))
    found = read_scaled(files / SCALED, read_tpm(files / TPM))
    assert "first row is kept of LINE11" in caplog.text
    assert len(set(found.cells)) == len(found.cells)


def test_cell_lines_without_expression_are_left_out_by_name_with_counts(files, tmp_path, caplog):
    edit(files / SCALED, lambda frame: frame[frame["cell_line_name"] != "LINE10"])
    data = load(files, tmp_path)
    assert (
        "15 of 420 rows are left out, whose 1 cell lines have no expression: LINE10 (15 rows)"
        in (caplog.text)
    )
    assert "LINE10" not in set(data.labels["cell_line"])


def test_no_expression_at_all_is_an_error(files, tmp_path):
    edit(files / PAIRS, lambda frame: frame.assign(cell="NONE"))
    for path in files.glob("independent_set/*"):
        path.unlink()
    with pytest.raises(InputError, match="no row is left"):
        load(files, tmp_path)


def contradict(frame):
    """Row 0 again with the other label and the drugs swapped, row 1 again as it is."""
    other = frame.loc[[0]].rename(columns={"drug1": "drug2", "drug2": "drug1"})
    other["label"] = str(1 - int(frame.loc[0, "label"]))
    return pd.concat([frame, other, frame.loc[[1]]])


def test_conflicts_and_repeats_are_counted_and_kept_only_where_asked(files, tmp_path, caplog):
    caplog.set_level("INFO", "sclong")
    before = load(files, tmp_path)
    edit(files / PAIRS, contradict)
    honest = load(files, tmp_path)
    assert "2 rows of 1 pairs and cell lines contradict each other (left out): drug0 + drug1" in (
        caplog.text
    )
    assert "1 rows of 1 pairs and cell lines say the same again (left out)" in caplog.text
    published = load(files, tmp_path, PUBLISHED)
    assert len(honest.labels) == len(before.labels) - 1
    assert len(published.labels) == len(before.labels) + 2


def test_salts_single_atoms_and_one_drug_under_two_names_are_said(files, tmp_path, caplog):
    caplog.set_level("INFO", "sclong")
    first = pd.read_csv(files / PAIRS)["drug1"][0]
    edit(files / PAIRS, put(0, "drug1", f"{first}.Cl"))
    edit(files / PAIRS, put(1, "drug1", "O"))
    data = load(files, tmp_path)
    assert "1 drugs of several parts (salts): CC.Cl" in caplog.text
    assert "1 drugs of a single atom: O" in caplog.text
    assert "CC.Cl" in caplog.text
    assert "under several names" in caplog.text
    salt = data.molecules.molecules[data.molecules.position["CC.Cl"]]
    free = data.molecules.molecules[data.molecules.position["drug0"]]
    assert salt.compound == free.compound


def test_one_class_only_is_an_error(files, tmp_path):
    edit(files / PAIRS, lambda frame: frame.assign(label="1"))
    with pytest.raises(InputError, match="training screen has one class only"):
        load(files, tmp_path)


def test_missing_files_are_said_by_purpose(files, tmp_path):
    (files / TPM).unlink()
    with pytest.raises(InputError, match=rf"lacks 1 file\(s\): {TPM} \(expression"):
        load(files, tmp_path)


def test_without_the_other_laboratory_its_split_says_what_to_give(files, tmp_path):
    shutil.rmtree(files / "independent_set")
    data = load(files, tmp_path)
    with pytest.raises(InputError, match=r"give its files \(independent_input"):
        task.split(data, scenario="independent", seed=1, settings=HONEST)
    assert len(task.split(data, scenario="pair", seed=1, settings=HONEST).test)


GROUPS = {
    "pair": lambda data: data.pairs,
    "cell_line": lambda data: data.cell_lines,
    "independent": lambda data: data.cell_lines,
}


@pytest.mark.parametrize("scenario", ["independent", "pair", "drug", "cell_line", "random"])
def test_splits_do_not_leak_and_their_seed_decides_them(files, tmp_path, scenario):
    data = load(files, tmp_path)

    def split(seed):
        return task.split(data, scenario=scenario, seed=seed, settings=HONEST)

    one, same, other = split(1), split(1), split(2)
    assert one.digest == same.digest != other.digest
    if scenario in GROUPS:
        check_no_leak(one, GROUPS[scenario](data), "group")
    if scenario == "drug":
        seen = set(data.compounds[np.concatenate([one.train, one.validation])].ravel())
        assert all(set(pair) - seen for pair in data.compounds[one.test])
    if scenario == "independent":
        assert new_compounds(data, one).all()


def test_one_compound_in_both_screens_is_found_by_its_key(files, tmp_path):
    path = files / "independent_set/independent_input.csv"
    for file in (path, files / "independent_set/independent_input_drug_cell.csv"):
        if file == path:
            edit(path, put(0, "drug1", "C(C)"))
        else:
            file.unlink()
    data = load(files, tmp_path)
    split = task.split(data, scenario="independent", seed=1, settings=HONEST)
    assert (~new_compounds(data, split)).sum() == 1


def test_empty_parts_and_impossible_fractions_are_refused(files, tmp_path):
    data = load(files, tmp_path)
    one_line = np.flatnonzero((data.cell_lines == "LINE0") | (data.cell_lines == "LINE1"))
    from sclong_tasks.drug_combination.data import take_rows  # noqa: PLC0415

    with pytest.raises(InputError, match="has no train rows"):
        task.split(take_rows(data, one_line), scenario="cell_line", seed=1, settings=HONEST)
    for wrong in ({"validation_fraction": 1.0}, {"test_fraction": 0.95}, {"bootstrap_draws": -1}):
        with pytest.raises(ConfigError):
            CombinationSettings(**wrong)
    with pytest.raises(ConfigError, match="no split"):
        task.split(data, scenario="tissue", seed=1, settings=HONEST)


def test_published_splits_have_no_validation_rows_and_select_on_test(files, tmp_path):
    data = load(files, tmp_path, PUBLISHED)
    split = task.split(data, scenario="independent", seed=1, settings=PUBLISHED)
    assert not len(split.validation)
    assert task.selection(split, PUBLISHED).validation.tolist() == split.test.tolist()
    assert task.selection(split, HONEST) is split


def test_many_rows_can_be_made(tmp_path):
    write_synthetic_files(tmp_path, SyntheticSizes(rows=500))
    assert len(read_pairs(tmp_path / PAIRS)) == 500


@pytest.mark.real_data
def test_the_published_tables_are_read_as_counted(tmp_path, caplog):
    folder = shared_folder("data/drug_combination")
    if folder is None:
        pytest.skip("no folder shared/data/drug_combination beside the checkout")
    caplog.set_level("INFO", "sclong")
    assert len(find_files(task, folder)) == 6
    data = load(folder, tmp_path, PUBLISHED)
    training, test = data.rows_of("training"), data.rows_of("independent")
    assert (len(training), int(data.synergy[training].sum())) == (12_415, 6_116)
    assert len(np.unique(data.cell_lines[training])) == 31
    assert len(np.unique(data.compounds[training])) == 36
    # 22 of 24 lines have expression; four compounds are spelt another way in the training screen.
    assert (len(test), int(data.synergy[test].sum())) == (622, 439)
    assert len(np.unique(data.cell_lines[test])) == 22
    split = task.split(data, scenario="independent", seed=1, settings=PUBLISHED)
    shared = np.intersect1d(data.compounds[training], data.compounds[test])
    assert len(shared) == 4  # one of them, SN-38, without its stereochemistry
    assert (~new_compounds(data, split)).sum() > 0
    assert "HCC1806 (43 rows), 22RV1 (3 rows)" in caplog.text
    assert "13 of 954 genes are constant" in caplog.text
