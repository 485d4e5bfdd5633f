import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import ConfigError
from sclong_core.pretraining.masking import (
    MaskingConfig,
    choose_of_cells,
    choose_values,
    draw_masks,
)

ROWS = st.lists(st.sampled_from([0.0, 0.5, 3.0]), min_size=1, max_size=200)
NUMBERS = st.integers(min_value=0, max_value=2**31)


def row_of(values: list[float]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@given(values=ROWS, epoch=NUMBERS, cell=NUMBERS, seed=NUMBERS)
def test_as_many_non_zeros_are_chosen_as_the_release_chooses(values, epoch, cell, seed):
    row = row_of(values)
    masked, scored = draw_masks(row, config=MaskingConfig(seed=seed), epoch=epoch, cell=cell)
    expressed = np.count_nonzero(row)
    assert scored.sum() == -(-15 * expressed // 100)
    assert not (masked & ~scored).any()
    assert not scored[row == 0].any()


@given(values=ROWS, epoch=NUMBERS, cell=NUMBERS)
def test_masks_are_a_pure_function(values, epoch, cell):
    config = MaskingConfig()
    one = draw_masks(row_of(values), config=config, epoch=epoch, cell=cell)
    other = draw_masks(row_of(values), config=config, epoch=epoch, cell=cell)
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@given(
    expressed=st.integers(0, 3000),
    ratio=st.floats(0.01, 1),
    replaced=st.floats(0.01, 1),
    cell=st.integers(0, 2**64 - 1),
)
def test_the_lowest_draws_are_chosen(expressed, ratio, replaced, cell):
    config = MaskingConfig(ratio=ratio, replaced=replaced)
    chosen, hidden = choose_values(expressed, config=config, epoch=3, cell=cell)
    seeds = np.random.SeedSequence((0, 0, 3, cell))
    generator = np.random.Generator(np.random.Philox(seeds))
    order = np.argsort(generator.random(expressed))[: chosen.size]
    drawn = generator.random(chosen.size) < replaced
    assert set(chosen) == set(order)
    assert set(chosen[:hidden]) == set(order[drawn])
    assert hidden <= chosen.size <= expressed


@given(
    cells=st.lists(st.tuples(st.integers(0, 500), st.integers(0, 2**64 - 1)), max_size=20),
    ratio=st.floats(0.01, 1),
    epoch=NUMBERS,
    validation=st.booleans(),
)
def test_many_cells_get_the_masks_of_each(cells, ratio, epoch, validation):
    how = {"config": MaskingConfig(ratio=ratio), "epoch": epoch, "validation": validation}
    keys = np.array([key for _, key in cells], dtype=np.uint64)
    found = choose_of_cells([expressed for expressed, _ in cells], cells=keys, **how)
    for (expressed, key), (places, hidden) in zip(cells, found, strict=True):
        expected = choose_values(expressed, cell=key, **how)
        assert np.array_equal(places, expected[0])
        assert hidden == expected[1]


@pytest.mark.parametrize("expressed", [1, 7, 40, 900])
def test_each_scored_value_is_hidden_with_the_probability_of_the_release(expressed):
    counts = np.array(
        [
            (places.size, hidden)
            for places, hidden in choose_of_cells(
                [expressed] * 4000,
                config=MaskingConfig(),
                epoch=0,
                cells=np.arange(4000, dtype=np.uint64),
            )
        ]
    )
    scored = counts[0, 0]
    deviation = math.sqrt(0.9 * 0.1 / counts[:, 0].sum())
    assert abs(counts[:, 1].sum() / counts[:, 0].sum() - 0.9) < 5 * deviation
    # Binomial, so that cells with one scored value hide it nine times in ten, and counts vary.
    variance = counts[:, 1].var()
    assert variance == pytest.approx(scored * 0.9 * 0.1, rel=0.15)


def test_which_values_are_hidden_does_not_depend_on_how_they_were_chosen():
    row = np.ones(60, dtype=np.float32)
    masked, scored = (
        np.sum(
            [
                draw_masks(row, config=MaskingConfig(), epoch=0, cell=cell)[which]
                for cell in range(2000)
            ],
            axis=0,
        )
        for which in (0, 1)
    )
    deviation = np.sqrt(0.9 * 0.1 / scored)
    assert (abs(masked / scored - 0.9) < 5 * deviation).all()


@pytest.mark.parametrize("change", ["epoch", "cell", "seed", "validation"])
def test_masks_differ_between(change):
    row = np.ones(500, dtype=np.float32)
    given_ = {"config": MaskingConfig(), "epoch": 1, "cell": 2}
    changed = (
        given_
        | {
            "epoch": {"epoch": 2},
            "cell": {"cell": 1},
            "seed": {"config": MaskingConfig(seed=1)},
            "validation": {"validation": True},
        }[change]
    )
    assert not np.array_equal(draw_masks(row, **given_)[1], draw_masks(row, **changed)[1])


def test_every_value_is_chosen_about_equally_often():
    row = np.ones(40, dtype=np.float32)
    counts = sum(
        draw_masks(row, config=MaskingConfig(), epoch=0, cell=cell)[1].astype(int)
        for cell in range(2000)
    )
    deviation = math.sqrt(2000 * 0.15 * 0.85)
    assert abs(counts - 300).max() < 5 * deviation


def test_the_papers_masking_hides_all_that_is_scored():
    row = np.ones(50, dtype=np.float32)
    masked, scored = draw_masks(row, config=MaskingConfig(replaced=1.0), epoch=0, cell=0)
    assert np.array_equal(masked, scored)
    assert MaskingConfig(ratio=0.3).for_validation() == MaskingConfig(ratio=0.3, replaced=1.0)


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": 1.5}, {"replaced": -1}, {"seed": -1}])
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        MaskingConfig(**wrong)
