import pytest

from sclong_core.cli.main import main


def test_every_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["data", "--help"])
    assert stopped.value.code == 0
    assert "sclong data" in capsys.readouterr().out
