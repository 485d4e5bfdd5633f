"""Conditions as people write them, and columns that say which cells are controls."""

import logging

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import InputError
from sclong_tasks.genetic_perturbation.config import GeneticPerturbationSettings
from sclong_tasks.genetic_perturbation.data import load, prepare, read_perturbations
from sclong_tasks.genetic_perturbation.example import write_counts_example, write_gears_example
from sclong_tasks.genetic_perturbation.reading import read_screen
from sclong_tasks.genetic_perturbation.spelling import Spelling, is_control_word


@pytest.fixture(scope="module")
def gears(tmp_path_factory):
    return write_gears_example(tmp_path_factory.mktemp("gears"))


def changed(source, folder, **columns):
    table = anndata.read_h5ad(source)
    for name, change in columns.items():
        table.obs[name] = change(table.obs)
    table.write_h5ad(folder / "changed.h5ad")
    return folder / "changed.h5ad"


@pytest.mark.parametrize(
    "word",
    [
        "ctrl", "CTRL", "Control", "controls", "ctl", "non-targeting", "Non Targeting", "NT", "NTC",
        "nontargeting_12", "non-targeting_1", "non-target", "no_target", "NT-1", "ntc_03",
        "NegCtrl", "NegCtrl0", "neg_ctrl_00001", "negative control", "safe-targeting", "sgNT",
        "safe_harbor", "scrambled", "scramble-2", "unperturbed", "intergenic_7", "CTRL_guide2",
    ],
)  # fmt: skip
def test_words_for_the_control(word):
    assert is_control_word(word)
    assert Spelling(["A"]).condition(f"A+{word}") == "A+ctrl"
    assert Spelling(["A"]).condition(word) == "ctrl"


@pytest.mark.parametrize(
    "gene",
    ["NT5E", "NTN1", "NTF3", "NTS", "CTRB1", "CTRC", "CTLA4", "NEGR1", "SCRIB", "SAFB", "NOS1"],
)
def test_genes_that_begin_like_them(gene):
    assert not is_control_word(gene)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("A+ctrl ", "A+ctrl"),
        ("A\t+ ctrl", "A+ctrl"),
        ("\ufeffA+ctrl\xa0", "A+ctrl"),
        ("CTRL+A", "ctrl+A"),
        ("A+B+ctrl", "A+B"),
        ("ctrl+B+A", "B+A"),
        ("a+B", "A+B"),
        ("ctrl+ctrl", "ctrl"),
        ("NT_1+NT_2", "ctrl"),
        ("NT5+ctrl", "NT5+ctrl"),
    ],
)
def test_conditions_are_read_as_meant(written, read):
    assert Spelling(["A", "B", "NT5"]).condition(written) == read


@pytest.mark.parametrize("text", ["A+", "A+nan", "+", "A+None"])
def test_a_gap_beside_the_plus_is_refused(text):
    with pytest.raises(InputError, match="lacks a gene"):
        Spelling(["A"]).condition(text)


def test_a_gene_with_the_name_of_the_control_is_refused():
    with pytest.raises(InputError, match="'CTRL' is a gene of the file, and a word for"):
        Spelling(["A", "CTRL"]).condition("A+CTRL")
    assert Spelling(["A", "CTRL"]).condition("A+ctrl") == "A+ctrl"


def test_a_screen_with_other_spellings_is_the_same_screen(gears, tmp_path, caplog):
    plain = read_screen(gears)
    swaps = {"ctrl": "non-targeting_1", "M0G0+ctrl": " M0G0 + CTRL", "ctrl+M0G0": "Control+m0g0"}
    with caplog.at_level(logging.INFO, "sclong"):
        path = changed(
            gears, tmp_path, condition=lambda obs: [swaps.get(c, c) for c in obs["condition"]]
        )
        found = read_screen(path)
    assert list(found.obs["condition"]) == list(plain.obs["condition"])
    pd.testing.assert_frame_equal(found.ranking, plain.ranking)
    assert "read as the control ctrl: CTRL, Control, non-targeting_1" in caplog.text
    assert "1 perturbed genes are written with other capitals: m0g0 for M0G0" in caplog.text


def test_a_condition_in_two_spellings_is_one_and_ranked_here(gears, tmp_path, caplog):
    def half(obs):
        names = obs["condition"].astype(str).to_numpy(object)
        names[np.flatnonzero(names == "M0G0+ctrl")[::2]] = "M0G0+CTRL"
        return names

    with caplog.at_level(logging.INFO, "sclong"):
        found = read_screen(changed(gears, tmp_path, condition=half))
    assert list(found.obs["condition"]) == list(read_screen(gears).obs["condition"])
    assert found.ranking is None
    assert "M0G0+ctrl is written in several ways" in caplog.text


def test_targets_may_be_called_by_any_word_for_the_control(tmp_path):
    source = write_counts_example(tmp_path)
    plain = read_screen(source)
    path = changed(
        source,
        tmp_path,
        target=lambda obs: [
            f"NT_{number}" if name == "non-targeting" else f"{name} "
            for number, name in enumerate(obs["target"])
        ],
    )
    assert list(read_screen(path).obs["condition"]) == list(plain.obs["condition"])


@pytest.mark.parametrize("kind", ["floats", "words", "truth", "gaps", "Yes"])
def test_a_control_column_of_any_kind_is_used(gears, tmp_path, kind, caplog):
    def column(obs):
        control = (obs["condition"] == "ctrl").to_numpy()
        if kind == "gaps":
            return np.where(np.arange(len(obs)) % 3, control.astype(float), np.nan)
        kinds = {"floats": control.astype(float), "words": control.astype(str), "truth": control}
        return kinds.get(kind, np.where(control, "Yes ", "no"))

    with caplog.at_level(logging.INFO, "sclong"):
        screen = read_screen(changed(gears, tmp_path, control=column))
    assert "ctrl" in set(screen.obs["condition"])
    assert ("have nothing in column control" in caplog.text) == (kind == "gaps")


def test_a_control_column_that_says_otherwise_is_refused(gears, tmp_path):
    path = changed(gears, tmp_path, control=lambda obs: ["maybe"] * len(obs))
    with pytest.raises(InputError, match="column control of obs has 'maybe' in cell"):
        read_screen(path)
    path = changed(gears, tmp_path, control=lambda obs: np.zeros(len(obs), bool))
    with pytest.raises(InputError, match="contradict each other"):
        read_screen(path)


def test_perturbations_to_predict_are_spelt_freely_too(gears, tmp_path):
    (tmp_path / "data").mkdir()
    prepare(gears, tmp_path / "data")
    data = load(tmp_path / "data", GeneticPerturbationSettings())
    table = tmp_path / "new.csv"
    table.write_text("perturbation\nm0g0\nM0G0+CTRL\n M0G1 + M0G0 \n")
    assert list(read_perturbations({"perturbations": table}, data).table["condition"]) == [
        "M0G0+ctrl", "M0G0+ctrl", "M0G1+M0G0",
    ]  # fmt: skip
    table.write_text("perturbation\nNT\n")
    with pytest.raises(InputError, match="line 2: the control is not a perturbation"):
        read_perturbations({"perturbations": table}, data)


@pytest.mark.parametrize("written", ["ENSG00000000001", "ENSG00000000001.7"])
@pytest.mark.parametrize("held", ["ENSG00000000001", "ENSG00000000001.3"])
def test_genes_that_are_written_by_their_ids_are_those_of_the_symbols(written, held, caplog):
    spelling = Spelling(["A", "B"], {held: "A", "ENSG00000000002": "B"})
    assert spelling.condition(f"{written}+ctrl") == "A+ctrl"
    assert spelling.condition(f"{written}+B") == "A+B"
    assert spelling.condition("B+ctrl") == "B+ctrl"
    with caplog.at_level("INFO", "sclong"):
        spelling.report("x.h5ad")
    assert f"1 perturbed genes are written by their ids: {written} for A" in caplog.text
