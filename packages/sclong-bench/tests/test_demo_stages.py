import io

import pytest
from rich.console import Console

from sclong_bench.demo.stages import Stages


def run(*, terminal):
    said = io.StringIO()
    stages = Stages(Console(file=said, width=100, force_terminal=terminal))
    with stages.stage("pretraining", "working", steps=2) as stage:
        stage.advance()
        stage.advance()
        stage.outcome = "2 steps [of] 4 cells"
    return stages, said.getvalue()


def test_a_stage_says_what_came_of_it_and_how_long_it_took():
    stages, said = run(terminal=False)
    assert said.startswith("pretraining")
    assert said.endswith(" s  2 steps [of] 4 cells\n")
    assert said.count("\n") == 1
    assert stages.seconds["pretraining"] >= 0


def test_a_bar_is_drawn_where_someone_watches():
    _, said = run(terminal=True)
    assert "working" in said
    assert "2/2" in said


def test_a_stage_that_fails_says_nothing():
    said = io.StringIO()
    stages = Stages(Console(file=said))
    with pytest.raises(RuntimeError), stages.stage("a", "b"):
        raise RuntimeError
    assert said.getvalue() == ""
    assert not stages.seconds
