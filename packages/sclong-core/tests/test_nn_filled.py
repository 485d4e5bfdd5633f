"""Tensors with values to start from, and none where nobody reads them."""

from functools import partial

import torch

from sclong_core.nn.filled import filled


def test_values_are_written_in_place_but_not_on_the_meta_device():
    found = filled((2, 3), lambda tensor: tensor.fill_(7), torch.float64)
    assert torch.equal(found, torch.full((2, 3), 7, dtype=torch.float64))
    called = []
    with torch.device("meta"):
        empty = filled((4,), called.append)
    assert empty.is_meta
    assert empty.shape == (4,)
    assert called == []


def test_drawn_values_are_those_of_randn():
    drawn = torch.randn(7, 5, generator=torch.Generator().manual_seed(3)) * 5**-0.5
    generator = torch.Generator().manual_seed(3)
    draw = partial(torch.nn.init.normal_, std=5**-0.5, generator=generator)
    assert torch.equal(filled((7, 5), draw), drawn)
