import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sclong_core.errors import InputError
from sclong_tasks.splits import (
    Split,
    check_no_leak,
    grouped_parts,
    make_split,
    random_parts,
    shared_groups,
)

GROUPS = st.lists(st.sampled_from("abcdefghij"), min_size=30, max_size=200).filter(
    lambda groups: len(set(groups)) > 4
)


def split_of(parts, **changes):
    return make_split(parts, **{"name": "x", "seed": 0, "unit": "row", **changes})


def test_random_parts_have_exactly_their_sizes():
    parts = random_parts(np.arange(100), {"test": 5, "validation": 10}, seed=3)
    split = split_of(parts)
    assert split.sizes() == {"train": 85, "validation": 10, "test": 5}
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == list(range(100))


@settings(deadline=None, max_examples=50)
@given(GROUPS, st.integers(0, 5))
def test_groups_are_never_in_two_parts_and_no_row_is_lost(groups, seed):
    parts = grouped_parts(groups, {"test": 0.2, "validation": 0.1}, seed)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(len(groups)))
    split = split_of(parts, may_be_empty="train validation test")
    assert shared_groups(split, groups) == ()
    check_no_leak(split, groups, "group")


@settings(deadline=None, max_examples=30)
@given(GROUPS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_which_group_is_held_out_does_not_depend_on_the_order_of_the_rows(groups, seed, random):
    shuffled = list(groups)
    random.shuffle(shuffled)
    held = [
        {order[row] for row in grouped_parts(order, {"test": 0.2}, seed)["test"]}
        for order in (groups, shuffled)
    ]
    assert held[0] == held[1]


def test_a_leak_is_named():
    split = split_of({"train": [0, 1], "validation": [2], "test": [3]})
    with pytest.raises(InputError, match=r"leaks: 1 compound.*KEY"):
        check_no_leak(split, ["KEY", "b", "c", "KEY"], "compound")


def test_an_empty_part_is_refused():
    with pytest.raises(InputError, match="no validation rows"):
        split_of({"train": [0], "test": [1]})


def test_a_row_in_two_parts_is_refused():
    with pytest.raises(InputError, match="two parts"):
        split_of({"train": [0, 1], "validation": [2], "test": [1]})


def test_the_same_seed_draws_the_same_split_and_another_one_another():
    digests = [
        split_of(random_parts(np.arange(50), {"test": 5, "validation": 5}, seed)).digest
        for seed in (1, 1, 2)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_split_is_read_as_it_was_written(tmp_path):
    split = split_of(random_parts(np.arange(20), {"test": 5, "validation": 2}, 0), unit="cell line")
    split.write(tmp_path)
    again = Split.read(tmp_path)
    assert (again.digest, again.name, again.unit) == (split.digest, "x", "cell line")


def test_a_changed_split_file_is_refused(tmp_path):
    split = split_of({"train": [0], "validation": [1], "test": [2]})
    split.write(tmp_path)
    np.savez(tmp_path / "split.npz", train=[0], validation=[2], test=[1])
    with pytest.raises(InputError, match="digest"):
        Split.read(tmp_path)
