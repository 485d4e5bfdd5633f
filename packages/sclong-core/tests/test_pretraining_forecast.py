"""A run says after its first steps how long it will take."""

import time
from types import SimpleNamespace

import pytest

from sclong_core.cli.main import main
from sclong_core.pretraining import forecast
from sclong_core.pretraining.forecast import MEASURED, Forecast
from tests.support.training import NETWORK_OPTIONS, write_cells


def told(caplog, monkeypatch, *, steps, seconds, batches=1, start=0):
    """Run the callback over the first 20 batches of a run, on a clock of its own."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    one = Forecast()
    with caplog.at_level("INFO", "sclong"):
        for batch in range(1, 21):
            clock.now += seconds / batches
            trainer = SimpleNamespace(
                global_step=start + batch // batches, estimated_stepping_batches=steps
            )
            one.on_train_batch_end(trainer, None)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("start", [0, 500])
def test_the_time_that_is_left_is_told_once(caplog, monkeypatch, batches, start):
    (line,) = told(caplog, monkeypatch, steps=1000, seconds=20.0, batches=batches, start=start)
    first = start + (1 if batches == 1 else 0)
    left = 1000 - (first + 1 + MEASURED)
    assert f"a step takes 20.0 seconds: the {left:,} steps left" in line
    assert f"about {left * 20 / 3600:.1f} hours" in line


@pytest.mark.parametrize(("steps", "seconds"), [(30, 1.0), (float("inf"), 20.0)])
def test_nothing_is_told_of_a_short_run_or_one_without_end(caplog, monkeypatch, steps, seconds):
    assert not told(caplog, monkeypatch, steps=steps, seconds=seconds)


def test_a_run_of_the_command_has_the_forecast(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(forecast, "_SHORT", 0.0)
    monkeypatch.chdir(tmp_path)
    write_cells(tmp_path / "cells.h5ad")
    words = ["--config", "tiny", "--data.path", "cells.h5ad", "--trainer.max_steps", "8"]
    assert main(["pretrain", "fit", *words, *NETWORK_OPTIONS]) == 0
    assert "steps left take about" in capsys.readouterr().err
