"""How training cells are damaged: thinned counts, genes that count as unmeasured, hidden genes."""

import numpy as np
import pytest
import torch

from sclong_core.errors import ConfigError
from sclong_core.pretraining.corruption import CorruptionConfig, choose_hidden, damage, thin

_CELLS, _GENES = 64, 300


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _cells(depth: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts, and their log1p at 10,000 a cell."""
    counts = torch.poisson(torch.full((_CELLS, _GENES), depth), generator=_generator(1))
    return counts, torch.log1p(counts / counts.sum(1, keepdim=True) * 10_000)


def test_thinning_gives_the_counts_back_where_none_is_lost() -> None:
    _, values = _cells()
    assert torch.allclose(thin(values, torch.ones(_CELLS), _generator()), values, atol=1e-4)


def test_thinning_keeps_the_share_of_counts_that_is_asked_for() -> None:
    counts, values = _cells()
    share = torch.linspace(0.1, 0.9, _CELLS)
    thinned = thin(values, share, _generator())
    left = (torch.expm1(thinned) / 10_000 * counts.sum(1, keepdim=True) * share[:, None]).round()
    assert (left <= counts).all()
    assert np.allclose(left.sum(1) / counts.sum(1), share, atol=0.06)


def test_a_thinned_cell_has_on_average_the_values_that_it_had() -> None:
    _, values = _cells(depth=20.0)
    thinned = thin(values, torch.full((_CELLS,), 0.5), _generator())
    assert torch.expm1(thinned).mean() == pytest.approx(torch.expm1(values).mean().item(), rel=0.02)


def test_what_is_not_shown_is_neither_a_value_nor_measured() -> None:
    _, values = _cells(depth=1.0)
    measured = torch.ones_like(values, dtype=torch.bool)
    measured[:, ::7] = False
    variable = torch.arange(0, _GENES, 2)
    damaged = damage(values * measured, measured, variable, CorruptionConfig(), _generator())
    assert not damaged.expression[~damaged.shown].any()
    assert not (damaged.shown & ~measured).any()
    assert not damaged.shown[:, 1::2].any()  # genes that a model with a readout does not read
    assert not damaged.shown.gather(1, damaged.hidden).any()


def test_shares_of_hidden_genes_vary_from_none_to_most() -> None:
    _, values = _cells()
    measured = torch.ones_like(values, dtype=torch.bool)
    config = CorruptionConfig(unmeasured=0.7, panels=0.0, hidden=2)
    damaged = damage(values, measured, torch.arange(_GENES), config, _generator())
    shown = damaged.shown.float().mean(1)
    assert shown.min() < 0.4
    assert shown.max() > 0.9


def test_a_panel_shows_no_more_genes_than_it_has() -> None:
    _, values = _cells()
    measured = torch.ones_like(values, dtype=torch.bool)
    config = CorruptionConfig(panels=1.0, panel_genes=100, hidden=2)
    damaged = damage(values, measured, torch.arange(_GENES), config, _generator())
    shown = damaged.shown.sum(1).float()
    assert 20 < shown.mean() < 105
    assert shown.max() < 140


def test_half_of_the_hidden_genes_are_expressed_and_none_comes_twice() -> None:
    _, values = _cells(depth=0.5)
    measured = torch.ones_like(values, dtype=torch.bool)
    score = torch.rand(values.shape, generator=_generator())
    hidden = choose_hidden(values > 0, measured, 16, score)
    assert ((values.gather(1, hidden) > 0).sum(1) == 8).all()
    assert all(len(set(row)) == 16 for row in hidden.tolist())


def test_equal_seeds_damage_alike_and_others_do_not() -> None:
    _, values = _cells()
    measured = torch.ones_like(values, dtype=torch.bool)
    first, second, third = (
        damage(values, measured, torch.arange(_GENES), CorruptionConfig(), _generator(seed))
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert not torch.equal(first.expression, third.expression)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("thinning", 0.0), ("thinning", 1.5), ("unmeasured", -0.1), ("panels", 2.0), ("hidden", 1)],
)
def test_impossible_damage_is_refused_by_its_name(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=setting):
        CorruptionConfig(**{setting: value})  # type: ignore[arg-type]  # what is refused
