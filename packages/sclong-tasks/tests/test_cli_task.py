from types import SimpleNamespace

import pytest

from sclong_core.cli.main import main
from sclong_tasks.cli.run import side_by_side


def test_every_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["task", "--help"])
    assert stopped.value.code == 0
    assert "sclong task" in capsys.readouterr().out


def test_several_runs_print_each_metric_below_each_other():
    runs = [
        SimpleNamespace(metrics=[SimpleNamespace(name=name, stratum="all") for name in "ab"])
        for _ in range(2)
    ]
    assert [(one.name, run) for one, run in side_by_side(runs)] == [
        ("a", runs[0]), ("a", runs[1]), ("b", runs[0]), ("b", runs[1]),
    ]  # fmt: skip
