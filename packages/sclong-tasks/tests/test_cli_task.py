import pytest

from sclong_core.cli.main import main


def test_every_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["task", "--help"])
    assert stopped.value.code == 0
    assert "sclong task" in capsys.readouterr().out
