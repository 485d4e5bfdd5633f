"""Data, splits and leaks of chemical perturbation, on made-up files of the original formats."""

import gzip
import logging
import shutil

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.chemical_perturbation import task
from sclong_tasks.chemical_perturbation.config import ChemicalSettings
from sclong_tasks.chemical_perturbation.data import central
from sclong_tasks.chemical_perturbation.example import write_example, write_gct, write_gctx
from sclong_tasks.chemical_perturbation.l1000 import Beside, read_l1000
from sclong_tasks.chemical_perturbation.profiles import hours_in_name, parse_dose, parse_hours
from sclong_tasks.chemical_perturbation.reading import read_signatures, read_smiles
from sclong_tasks.chemical_perturbation.task import groups
from sclong_tasks.data_files import prepare_data
from sclong_tasks.settings import defaults
from sclong_tasks.splits import check_no_leak
from tests.support.places import shared_folder

TRAIN, SMILES = "signature_train.csv", "drugs_smiles.csv"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_example(tmp_path_factory.mktemp("original") / "files")


@pytest.fixture(scope="module")
def data(original, tmp_path_factory):
    return load(original.folder, tmp_path_factory.mktemp("prepared") / "data")


def load(source, folder, **changes):
    prepare_data(task, folder, str(source))
    return task.load(folder, ChemicalSettings(**changes))


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


def same_profiles(data, original):
    """Whether rows hold the profiles of the files, whatever their order."""
    places = {name: row for row, name in enumerate(original.table["sig_id"])}
    rows = [places[name] for name in data.table["profile"]]
    np.testing.assert_allclose(data.values, original.values[rows], atol=1e-5)
    assert data.genes == original.genes
    assert sorted(rows) == list(range(len(original.values)))


def test_signatures_become_rows_with_line_dose_time_and_part(data, original):
    same_profiles(data, original)
    assert set(data.table["dose"]) == {0.04, 1.11, 10.0}
    assert set(data.table["hours"]) == {24.0}
    assert data.table["part"].value_counts().to_dict() == {
        "train": 108,
        "test": 36,
        "validation": 36,
    }
    names, vectors = data.gene_vectors
    assert names == original.genes
    assert vectors.shape == (24, 8)


@pytest.mark.parametrize("packed", [False, True])
def test_gct_holds_the_same_profiles(original, tmp_path, packed):
    write_gct(tmp_path / "plate.gct", original)
    path = tmp_path / "plate.gct"
    if packed:
        path = tmp_path / "plate.gct.gz"
        path.write_bytes(gzip.compress((tmp_path / "plate.gct").read_bytes()))
    shutil.copy(original.folder / SMILES, tmp_path)
    same_profiles(load(path, tmp_path / "data"), original)


def test_gctx_is_read_in_blocks_and_landmarks_are_chosen(original, tmp_path, monkeypatch):
    monkeypatch.setattr("sclong_tasks.chemical_perturbation.l1000._BLOCK", 50)
    write_gctx(tmp_path / "all.gctx", original)
    shutil.copy(original.folder / SMILES, tmp_path)
    same_profiles(load(tmp_path / "all.gctx", tmp_path / "data"), original)


def test_gctx_of_names_alone_takes_metadata_from_beside(original, tmp_path):
    write_gctx(tmp_path / "all.gctx", original, fields=False)
    shutil.copy(original.folder / SMILES, tmp_path)
    with pytest.raises(InputError, match=r"does not say pert_id.*sig_info.txt"):
        load(tmp_path / "all.gctx", tmp_path / "without")
    about = original.table.drop(columns="part")
    about.to_csv(tmp_path / "sig_info.txt", sep="\t", index=False)
    genes = pd.DataFrame(
        {
            "pr_gene_id": [str(1000 + n) for n in range(27)],
            "pr_gene_symbol": [*(f"OTHER{n}" for n in range(3)), *original.genes],
            "pr_is_lm": ["0"] * 3 + ["1"] * 24,
        }
    )
    genes.to_csv(tmp_path / "gene_info.txt", sep="\t", index=False)
    same_profiles(load(tmp_path / "all.gctx", tmp_path / "data"), original)
    about.iloc[1:].to_csv(tmp_path / "sig_info.txt", sep="\t", index=False)
    with pytest.raises(InputError, match="1 of 180 names are not in the table beside"):
        load(tmp_path / "all.gctx", tmp_path / "again")


def h5ad(path, **fields):
    """Two plates of expression with vehicle wells: compound A adds 1, B adds 2."""
    base = np.array([[5.0, 6, 7], [8, 9, 10]])
    rows = [(0, "DMSO", 0), (0, "DMSO", 0), (0, "A", 1), (1, "DMSO", 0), (1, "B", 2)]
    obs = pd.DataFrame(
        {
            "pert_id": [name for _, name, _ in rows],
            "pert_type": ["ctl_vehicle" if name == "DMSO" else "trt_cp" for _, name, _ in rows],
            "cell_id": "HT115",
            "pert_dose": [-666 if name == "DMSO" else 10.0 for _, name, _ in rows],
            "pert_dose_unit": "um",
            "pert_time": 6.0,
            "pert_time_unit": "h",
            "rna_plate": [f"X{plate}" for plate, _, _ in rows],
            "SMILES": [
                "CS(=O)C" if name == "DMSO" else "C" * len(name) + "O" for _, name, _ in rows
            ],
        }
        | fields,
        index=[f"well {number}" for number in range(5)],
    )
    values = np.array([base[plate] + up for plate, _, up in rows], dtype=np.float32)
    var = pd.DataFrame(index=["G1", "G2", "G3"])
    anndata.AnnData(values, obs, var).write_h5ad(path)
    return path


def test_expression_becomes_a_difference_to_vehicle_wells_of_its_plate(tmp_path):
    found = load(h5ad(tmp_path / "x.h5ad"), tmp_path / "data")
    assert list(found.table["pert_id"]) == ["A", "B"]
    assert set(found.table["hours"]) == {6.0}
    np.testing.assert_allclose(found.values, [[1, 1, 1], [2, 2, 2]])
    stored = task.load(tmp_path / "data", ChemicalSettings(response="stored"))
    np.testing.assert_allclose(stored.values[0], [6, 7, 8])


def test_a_plate_without_vehicle_wells_is_named(tmp_path, caplog):
    path = h5ad(tmp_path / "x.h5ad", rna_plate=["X0", "X0", "X0", "X2", "X1"])
    with caplog.at_level(logging.INFO, "sclong"):
        found = load(path, tmp_path / "data")
    assert "1 profiles of plates without vehicle wells are left out: X1" in caplog.text
    assert list(found.table["pert_id"]) == ["A"]
    path = h5ad(tmp_path / "y.h5ad", pert_type="trt_cp", pert_id=list("ABABA"), pert_dose=1.0)
    load(path, tmp_path / "none")
    with pytest.raises(InputError, match="needs vehicle wells"):
        task.load(tmp_path / "none", ChemicalSettings(response="difference"))


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        (TRAIN, "GENE3", "GENE2", "the gene GENE2 occurs twice"),
        (TRAIN, "GENE3", "OTHER", r"signature_dev.csv: its genes are not .* column 9 differs"),
        (TRAIN, ",trt_cp,A375", ",trt_cp,", "line 5: cell_id is empty"),
        (TRAIN, "\n", ",GENE24\n", "is not a number"),
        (TRAIN, "0.04 um,", "0.04 um,x", "row CPC000_MCF7_24H:BRD-K00000000:0.04, column GENE0"),
        (SMILES, "BRD-K00000001,", "BRD-K00000000,", "line 2: BRD-K00000000 has two SMILES"),
        (SMILES, ",CCO", ",CCO,1", "cannot be read|columns"),
        ("gene_vector.csv", "GENE1,", "GENE0,", "the gene GENE0 occurs twice"),
        ("gene_vector.csv", "GENE1,", "GENE1,x", "row GENE1, column 1 is not a number"),
    ],
)
def test_a_wrong_file_is_named_with_row_and_column(copy, tmp_path, file, old, new, said):
    edit(copy / file, old, new)
    with pytest.raises(InputError, match=said):
        load(copy, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_a_row_is_named_and_counted(copy, tmp_path, caplog):
    edit(copy / SMILES, "BRD-K00000001,ClCC", "BRD-K00000001,-666")
    edit(copy / SMILES, "BRD-K00000003,ClCCC", "BRD-K00000003,C(C")
    edit(copy / TRAIN, "0.04 um", "-666")
    edit(copy / TRAIN, "_24H:BRD-K00000002:1.11", ":BRD-K00000002:1.11")
    edit(copy / TRAIN, "BRD-K00000004,trt_cp", "BRD-K00000004,trt_poscon")
    edit(copy / TRAIN, "_24H:BRD-K00000006:1.11", "_6H:BRD-K00000006:1.11")
    with caplog.at_level(logging.INFO, "sclong"):
        data = load(copy, tmp_path / "data", leave_out=["BRD-K00000008"])
    for said in (
        "6 profiles of compounds without a SMILES are left out: BRD-K00000001",
        "1 drugs that RDKit cannot read: BRD-K00000003 (C(C)",
        "1 profiles without a dose are left out: CPC000_MCF7_24H:BRD-K00000000:0.04",
        "1 profiles without a time are left out: CPC002_MCF7:BRD-K00000002:1.11",
        "1 profiles of other pert_type are left out: trt_poscon",
        "1 profiles of other hours are left out: 6.0",
        "12 profiles of compounds that are left out are left out: BRD-K00000003, BRD-K00000008",
    ):
        assert said in caplog.text
    assert len(data.table) == 180 - 6 - 1 - 1 - 1 - 1 - 12


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hours": 6.0}, r"no profile has hours 6.0: the data hold 24.0 \(180\); set task.hours"),
        ({"cell_lines": ["K562"]}, "no profile has cell_id K562"),
        ({"doses": [5.0]}, "set task.doses"),
    ],
)
def test_settings_that_leave_no_row_say_what_there_is(original, tmp_path, changes, said):
    prepare_data(task, tmp_path / "data", str(original.folder))
    with pytest.raises(InputError, match=said):
        task.load(tmp_path / "data", ChemicalSettings(**changes))


def test_missing_files_are_asked_for(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="needs profiles"):
        prepare_data(task, tmp_path / "data", str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello", "neither GCT"),
        (b"#1.3\n3\tx\t1\t1\n", "GCT|numbers of rows"),
        (b"#1.3\n2\t1\t0\t0\nid\tp\na\t1\n", "lines"),
        (b"#1.3\n1\t1\t0\t0\nid\tp\na\t1\t2\n", "line 4: 3 fields, not 2"),
        (b"#1.3\n1\t1\t0\t0\nid\tp\na\tx\n", "'x' of gene a, profile p is not a number"),
        (b"\x89HDF\r\n\x1a\n", "damaged"),
    ],
)
def test_a_matrix_that_is_wrong_is_named(tmp_path, content, said):
    (tmp_path / "x.gct").write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_l1000(tmp_path / "x.gct")


def test_a_gctx_file_of_another_shape_or_with_nan_is_refused(original, tmp_path):
    path = tmp_path / "x.gctx"
    write_gctx(path, original)
    with h5py.File(path, "r+") as file:
        file["0/DATA/0/matrix"][4, 5] = np.nan
    profiles = read_l1000(path)
    name = original.table["sig_id"][4]
    with pytest.raises(InputError, match=f"profile '{name}' has no number for gene GENE2"):
        next(profiles.read(np.arange(10)))
    with h5py.File(path, "r+") as file:
        del file["0/META/COL/id"]
        file["0/META/COL/id"] = np.array(["a"], dtype="S")
    with pytest.raises(InputError, match=r"x\.gctx"):
        read_l1000(path)
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"SNOX"))
    with pytest.raises(InputError, match=r"the file cannot be read .*node signature"):
        read_l1000(path)


def test_thousands_of_genes_need_to_be_told_which_are_landmarks(tmp_path):
    path = tmp_path / "x.h5ad"
    obs = pd.DataFrame({"pert_id": ["A"], "cell_id": ["X"]}, index=["p"])
    var = pd.DataFrame(index=[f"G{n}" for n in range(1200)])
    anndata.AnnData(np.ones((1, 1200), np.float32), obs, var).write_h5ad(path)
    with pytest.raises(InputError, match="1200 genes and does not say"):
        read_l1000(path)
    assert read_l1000(path, Beside(wanted=("G5", "G2"))).genes == ("G5", "G2")
    with pytest.raises(InputError, match="lacks 1 landmark genes: NONE"):
        read_l1000(path, Beside(wanted=("G5", "NONE")))


@pytest.mark.parametrize(
    ("text", "dose"),
    [
        ("1.11 um", 1.11),
        ("10.0 um", 10),
        ("500 nM", 0.5),
        ("10 µM", 10),
        ("10 <b5>M", 10),
        ("3", 3),
    ],
)
def test_doses_are_micromolar(text, dose):
    assert parse_dose(text) == pytest.approx(dose)


def test_what_is_no_dose_or_time_is_missing():
    assert np.isnan([parse_dose(text) for text in ("-666", "", "1.1.1 um", "5 mg/ml")]).all()
    assert np.isnan([parse_hours(text) for text in ("6 h & 4 h", "-666", "")]).all()
    assert (parse_hours("24 h"), parse_hours("6.0")) == (24, 6)
    assert hours_in_name("CPC006_A375_24H:BRD-A1:10") == hours_in_name("L_A_24H_X1_B19:A03") == 24
    assert np.isnan(hours_in_name("ABC_24HOURS"))


def test_the_central_replicate_is_deepces():
    values = np.random.default_rng(0).normal(size=(5, 40)).astype(np.float32)
    ranks = pd.DataFrame(values).rank(axis=0).mean(axis=1) - 3
    assert central(values) == int(ranks.abs().argmin())


def test_of_replicates_equally_near_the_middle_the_first_is_taken():
    generator = np.random.default_rng(0)
    for genes in (7, 10, 978):
        for _ in range(20):
            assert central(generator.normal(size=(2, genes)).astype(np.float32)) == 0


def test_of_two_replicates_the_first_in_the_file_is_taken(copy, tmp_path):
    table = pd.read_csv(copy / TRAIN)
    again = table.iloc[:1].assign(sig_id="AA_MCF7_24H:before")
    again.iloc[:, 5:] += 1
    for name, order in (("after", [table, again]), ("before", [again, table])):
        pd.concat(order).to_csv(copy / TRAIN, index=False)
        prepare_data(task, tmp_path / name, str(copy))
        data = task.load(tmp_path / name, ChemicalSettings())
        row = int(np.flatnonzero(data.table["replicates"] == 2)[0])
        chosen = data.table["profile"][row] == "AA_MCF7_24H:before"
        assert chosen == (name == "before")


def test_replicates_become_one_row(copy, tmp_path):
    table = pd.read_csv(copy / TRAIN)
    again = table.iloc[:1].assign(sig_id="XX_MCF7_24H:again")
    again.iloc[:, 5:] += 1
    pd.concat([table, again]).to_csv(copy / TRAIN, index=False)
    prepare_data(task, tmp_path / "data", str(copy))
    found = {
        rule: task.load(tmp_path / "data", ChemicalSettings(replicates=rule))
        for rule in ("central", "mean", "all")
    }
    assert [len(one.table) for one in found.values()] == [180, 180, 181]
    row = int(np.flatnonzero(found["mean"].table["replicates"] == 2)[0])
    np.testing.assert_allclose(
        found["mean"].values[row], found["central"].values[row] + 0.5, atol=1e-5
    )


@pytest.mark.parametrize("scenario", ["compound", "cell_line"])
@pytest.mark.parametrize("seed", [0, 1])
def test_honest_splits_never_share_what_they_hold_out(original, tmp_path, scenario, seed):
    folder = tmp_path / "files"
    write_example(folder, lines=3)
    data = load(folder, tmp_path / "data")
    split = task.split(data, scenario=scenario, seed=seed, settings=ChemicalSettings())
    check_no_leak(split, groups(data, scenario), scenario)
    if scenario == "compound":
        keys = np.array([one.inchikey[:14] for one in data.molecules.molecules])[data.drug]
        check_no_leak(split, keys, "InChIKey")
    assert sum(split.sizes().values()) == len(data.table)


def test_the_published_split_is_that_of_the_files(data):
    settings = defaults(ChemicalSettings, "published")
    split = task.split(data, scenario="files", seed=3, settings=settings)
    assert split.sizes() == {"train": 108, "validation": 36, "test": 36}
    assert set(data.table["part"].iloc[split.test]) == {"test"}


def test_a_compound_in_two_files_is_refused_and_a_salt_of_it_is_measured_apart(
    copy, tmp_path, caplog
):
    settings = ChemicalSettings(top_genes=5, bootstrap=0)
    table = pd.read_csv(copy / SMILES, header=None)
    table.iloc[29, 1] = f"{table.iloc[0, 1]}.Cl"
    table.to_csv(copy / SMILES, header=False, index=False)
    data = load(copy, tmp_path / "data")
    split = task.split(data, scenario="files", seed=0, settings=settings)
    assert "1 compounds of the test rows are in the other rows" in caplog.text
    predictions = pd.DataFrame(0.0, index=split.test, columns=list(data.genes))
    found = task.evaluate(data, predictions, split, settings)
    sizes = {one.stratum: one.n for one in found if one.name == "rmse"}
    assert sizes == {"all": 36, "new compounds": 30}
    edit(copy / "signature_test.csv", "BRD-K00000029,", "BRD-K00000000,")
    twice = load(copy, tmp_path / "twice")
    with pytest.raises(InputError, match=r"leaks: 1 compound\(s\).*BRD-K00000000"):
        task.split(twice, scenario="files", seed=0, settings=settings)


def test_profiles_of_one_file_have_no_published_split(original, tmp_path):
    write_gct(tmp_path / "plate.gct", original)
    shutil.copy(original.folder / SMILES, tmp_path)
    data = load(tmp_path / "plate.gct", tmp_path / "data")
    settings = ChemicalSettings()
    with pytest.raises(InputError, match="choose the split 'pert_id'"):
        task.split(data, scenario="files", seed=0, settings=settings)
    split = task.split(data, scenario="pert_id", seed=0, settings=settings)
    check_no_leak(split, data.table["pert_id"], "compound")


def test_hidden_profiles_are_gone_and_the_others_stay(data):
    hidden = data.hide(np.array([3]))
    assert np.isnan(hidden.values[3]).all()
    assert np.isfinite(np.delete(hidden.values, 3, axis=0)).all()
    assert np.isfinite(data.truth.to_numpy()).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"replicates": "some"},
        {"response": "other"},
        {"test_fraction": 0.0},
        {"test_fraction": 0.9, "validation_fraction": 0.2},
        {"top_genes": 0},
        {"hours": -1.0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        ChemicalSettings(**wrong)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(InputError):
        read_signatures({"train": tmp_path / "x.csv"})
    if content != b"a,b\n":
        with pytest.raises(InputError):
            read_smiles(tmp_path / "x.csv")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "rows", "compounds"),
    [("cmappy_test_l1000.gct.gz", 322, 54), ("prnet_demo.h5ad", 355, 354)],
)
def test_the_files_at_hand_are_read(tmp_path, file, rows, compounds):
    source = shared_folder("data/chemical_perturbation")
    if source is None:
        pytest.skip("the L1000 files are not there")
    data = load(source / file, tmp_path / "data")
    assert (len(data.table), len(data.molecules), len(data.genes)) == (rows, compounds, 978)
    names, vectors = data.gene_vectors
    assert vectors.shape == (978, 128)
    assert len(set(names) & set(data.genes)) >= 962
