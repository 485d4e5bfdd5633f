"""Positions of the highest genes by a partial order: those of a stable sort, ties and all."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sclong_core.nn.positions import complement, gather, highest, scatter

VALUES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, 1e-45, -1e-45, 3e38, -np.inf, np.inf])


@given(hnp.arrays(np.float32, (2, 9), elements=VALUES), st.integers(1, 9))
def test_the_highest_are_those_of_a_stable_sort(values, count):
    x = torch.from_numpy(values)
    wanted = torch.sort(x, dim=-1, descending=True, stable=True).indices[:, :count]
    assert torch.equal(highest(x, count), wanted)


def test_thousands_of_positions_with_many_ties():
    x = torch.poisson(torch.full((3, 27_875), 0.4))
    wanted = torch.sort(x, dim=-1, descending=True, stable=True).indices[:, :4096]
    found = highest(x, 4096)
    assert torch.equal(found, wanted)
    left = complement(found, x.shape[1])
    for row in range(3):
        others = np.setdiff1d(np.arange(x.shape[1]), found[row].numpy())
        np.testing.assert_array_equal(left[row].numpy(), others)


@pytest.mark.parametrize("chosen", [1, 6])
def test_vectors_go_out_and_come_back_with_gradients(chosen):
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    places = torch.stack([torch.randperm(6)[:chosen] for _ in range(2)])
    expanded = places.unsqueeze(-1).expand(-1, -1, 3)
    assert torch.equal(gather(x, places), x.gather(1, expanded))
    values = torch.randn(2, chosen, 3, dtype=torch.float64, requires_grad=True)
    found, wanted = scatter(x, places, values), x.scatter(1, expanded, values)
    assert torch.equal(found, wanted)
    weights = torch.randn_like(found)
    for ours, theirs in zip(
        torch.autograd.grad((found * weights).sum(), (x, values)),
        torch.autograd.grad((wanted * weights).sum(), (x, values)),
        strict=True,
    ):
        assert torch.equal(ours, theirs)
