import argparse
import shlex
import subprocess
import sys

import pytest

from sclong_bench.cli.demo import command, command_line
from sclong_core.cli.main import main


def test_help_is_import_light(run_python):
    loaded = run_python(
        "import sys; import sclong_bench.cli.demo;"
        "print([name for name in ('torch', 'scanpy', 'lightning', 'rich') if name in sys.modules])"
    )
    assert loaded == "[]"


@pytest.fixture
def run_python():
    def run(code):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    return run


def test_wrong_arguments_are_one_line(capsys, tmp_path):
    (tmp_path / "mine").touch()
    for words, message in (
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--seed", "x"], "invalid int value"),
        (["--output", str(tmp_path)], "holds no demonstration"),
    ):
        assert main(["demo", *words]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1
        assert message in said[0]
    assert [item.name for item in tmp_path.iterdir()] == ["mine"]


def test_the_command_can_be_typed_again():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    words = ["--output", "my demo", "--seed", "5", "--epochs", "2"]
    args = parser.parse_args(words)
    typed = shlex.split(command_line(args))
    assert typed[:2] == ["sclong", "demo"]
    assert parser.parse_args(typed[2:]) == args
