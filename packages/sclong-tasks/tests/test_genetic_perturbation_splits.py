"""Names of conditions and GEARS's split, held to what its tutorials print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import InputError
from sclong_tasks.genetic_perturbation.conditions import (
    as_condition,
    genes_of,
    perturbation_of,
    read_condition_list,
    without_genes,
)
from sclong_tasks.genetic_perturbation.splits import simulation
from tests.support.places import shared_folder

_HELD = (
    "ARID1A BCL2L11 BCORL1 BPGM C3orf72 CBL CDKN1A CDKN1B CDKN1C CEBPB CELF2 CKS1B COL2A1 DUSP9 "
    "EGR1 FOXL2 ISL2 MAP7D1 NCL PLK4 POU3F2 PTPN1 PTPN12 RHOXF2BB SET SPI1 ZBTB10"
)
_SEEN_0 = (
    "C3orf72+FOXL2 CBL+PTPN12 CDKN1B+CDKN1A CDKN1C+CDKN1A CDKN1C+CDKN1B CEBPB+PTPN12 POU3F2+FOXL2 "
    "RHOXF2BB+SET ZBTB10+PTPN12"
)
_SEEN_2 = (
    "AHR+KLF1 CEBPE+RUNX1T1 CNN1+MAPK1 CNN1+UBASH3A ETS2+CNN1 ETS2+IKZF3 ETS2+MAPK1 FOSB+IKZF3 "
    "FOSB+UBASH3B FOXA1+HOXB9 IGDCC3+MAPK1 LYL1+IER5L MAPK1+PRTG SAMD1+ZBTB1 TBX3+TBX2 "
    "UBASH3B+PTPN9 ZC3HAV1+CEBPE ZC3HAV1+HOXC13"
)


def norman():
    folder = shared_folder("data/perturbation")
    if folder is None:
        pytest.skip("no shared data/perturbation beside the repository")
    return read_condition_list(folder / "norman_conditions.txt")


def sizes(found):
    return [len(group) for group in found.test.groups.values()]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("seed", "groups", "parts", "cells"),
    [
        (1, [9, 52, 18, 37], (137, 30, 116), (51_283, 8_024, 31_898)),
        (2, [7, 52, 18, 35], (140, 31, 112), (50_333, 9_726, 31_146)),
        (3, [2, 39, 23, 35], (148, 36, 99), (52_120, 10_409, 28_676)),
        (4, [6, 44, 21, 38], (143, 31, 109), (50_142, 8_878, 32_185)),
        (5, [10, 58, 16, 40], (132, 27, 124), (49_908, 8_237, 33_060)),
    ],
)
def test_the_split_of_norman_is_that_of_gears(seed, groups, parts, cells):
    counts = norman()
    found = simulation(list(counts), seed=seed)
    assert sizes(found) == groups
    names = (found.train, found.validation.held, found.test.held)
    assert tuple(map(len, names)) == parts
    held = [sum(counts[name] for name in part) for part in names]
    assert (held[0] + counts["ctrl"], *held[1:]) == cells


@pytest.mark.real_data
def test_the_split_of_conditions_in_the_graph_is_that_of_gears():
    counts = norman()
    kept = without_genes(list(counts), ["RHOXF2BB", "IER5L", "KIAA1804"])
    assert len(counts) - len(kept) == 7
    found = simulation(kept, seed=1)
    assert sizes(found) == [9, 43, 19, 36]
    assert [len(found.train), len(found.validation.held), len(found.test.held)] == [138, 31, 107]
    cells = [sum(counts[name] for name in part) for part in (found.train, found.test.held)]
    assert [cells[0] + counts["ctrl"], cells[1]] == [49_849, 28_754]


@pytest.mark.real_data
def test_genes_and_pairs_of_seed_1_are_those_of_gears():
    counts = norman()
    assert (len(counts), sum(counts.values()), counts["ctrl"]) == (284, 91_205, 7_353)
    found = simulation(list(counts), seed=1).test
    assert list(found.held_genes) == _HELD.split()
    assert sorted(found.groups["combo_seen0"]) == _SEEN_0.split()
    assert sorted(found.groups["combo_seen2"]) == _SEEN_2.split()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10)), unique=True, max_size=40),
    st.integers(0, 1000),
)
def test_no_training_condition_has_a_held_gene(numbers, seed):
    names = {f"G{a}+ctrl" if b == 10 else f"G{a}+G{b}" for a, b in numbers if a != b}
    conditions = sorted(names | {"ctrl+G3", "G4+ctrl", "ctrl"})
    found = simulation(conditions, seed=seed)
    every = [*found.train, *found.validation.held, *found.test.held]
    assert sorted(every) == sorted(set(conditions) - {"ctrl"})
    held = set(found.test.held_genes)
    for name in (*found.train, *found.validation.held):
        assert not held & set(genes_of(name))
    assert not set(found.validation.held_genes) & {
        gene for name in found.train for gene in genes_of(name)
    }
    for name in found.test.groups["combo_seen1"]:
        assert len(held & set(genes_of(name))) == 1
    for name in found.test.groups["combo_seen2"]:
        assert not held & set(genes_of(name))
    for name in (*found.test.groups["combo_seen0"], *found.test.groups["unseen_single"]):
        assert held >= set(genes_of(name))


def test_a_split_repeats_with_its_seed():
    conditions = [f"G{a}+ctrl" for a in range(8)]
    first = simulation(conditions, seed=1)
    assert simulation(conditions[::-1], seed=1).test.held_genes == first.test.held_genes
    assert simulation(conditions, seed=1) == first
    assert simulation(conditions, seed=2) != first


def test_both_spellings_of_a_condition_are_one_perturbation():
    assert genes_of("A+ctrl") == genes_of("ctrl+A") == ("A",)
    assert genes_of("ctrl") == ()
    assert perturbation_of("B+A") == perturbation_of("A+B") == "A+B"
    assert perturbation_of("ctrl+A") == "A"
    assert as_condition(" A ") == "A+ctrl"
    assert as_condition("B+A") == "B+A"
    assert as_condition("ctrl") == "ctrl"
    found = simulation(["A+ctrl", "ctrl+A", "B+ctrl", "C+ctrl", "D+ctrl"], seed=0)
    parts = (found.train, found.validation.held, found.test.held)
    assert sum({"A+ctrl", "ctrl+A"} <= set(part) for part in parts) == 1


@pytest.mark.parametrize("name", ["", "A", "A+A", "A+B+C", "+ctrl", "A+", "ctrl+ctrl"])
def test_what_is_no_condition_is_refused_by_name(name):
    with pytest.raises(InputError, match="is not a condition"):
        genes_of(name)


@pytest.mark.parametrize(
    ("text", "said"), [("A+B", "not a condition and its cells"), ("A+ctrl 3;A+ctrl 4", "twice")]
)
def test_a_list_of_conditions_names_what_is_wrong(tmp_path, text, said):
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=said):
        read_condition_list(tmp_path / "list.txt")
