import math

import pytest
import torch

from sclong_core.errors import ConfigError
from sclong_core.pretraining.schedule import ScheduleConfig, learning_rate, make_scheduler

PAPER = ScheduleConfig(minimum=1e-5)


@pytest.mark.parametrize(
    ("time", "rate"),
    [
        (0, 1e-5),
        (1, 1.8e-5),
        (5, 5e-5),  # after the warm-up
        (10, 3e-5),  # half-way down
        (14, 1e-5 + 2e-5 * (1 + math.cos(math.pi * 0.9))),
        (15, 1e-5),  # the second cycle: 25 long, maximum 4.5e-5
        (20, 4.5e-5),
        (30, 2.75e-5),
        (40, 1e-5),  # the third: 45 long, maximum 4.05e-5
        (45, 4.05e-5),
        (85, 1e-5),
        (90, 1e-5 + (5e-5 * 0.9**3 - 1e-5)),
    ],
)
def test_the_papers_schedule(time, rate):
    assert learning_rate(time, PAPER) == pytest.approx(rate, rel=1e-12)


def test_the_releases_minimum_is_the_default():
    assert learning_rate(0, ScheduleConfig()) == pytest.approx(1e-6, rel=1e-12)


def test_without_warmup_a_cycle_starts_at_its_maximum():
    assert learning_rate(0, ScheduleConfig(warmup=0)) == pytest.approx(5e-5)


def test_the_optimiser_gets_exactly_these_rates():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer, PAPER)
    for time in range(50):
        assert optimizer.param_groups[0]["lr"] == learning_rate(time, PAPER)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize(
    "wrong",
    [
        {"warmup": 15},
        {"warmup": -1},
        {"cycle_multiple": 0.5},
        {"minimum": 1e-3},
        {"decay": 0.0},
        {"decay": 1.1},
    ],
)
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(ConfigError, match="schedule"):
        ScheduleConfig(**wrong)
