import argparse
import errno
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

import sclong_core
from sclong_core.cli import main as cli
from sclong_core.cli.command import GROUP, Command
from sclong_core.errors import InputError


class Greet:
    """A command like any other."""

    help = "say something friendly"

    def __init__(self, action: Callable[[argparse.Namespace], int]) -> None:
        self.action = action

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--times", type=int, default=1)

    def run(self, args: argparse.Namespace) -> int:
        return self.action(args)


class Through(Greet):
    passthrough = True

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        raise AssertionError("a command that parses its own arguments is not asked for them")


def say(args: argparse.Namespace) -> int:
    print("hello " * args.times + args.name)
    return 0


def fail(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def action(args: argparse.Namespace) -> int:
        raise error

    return action


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that exactly the given commands are installed; a string is a bad entry point."""

    def install(**commands: object) -> None:
        module = ModuleType("fake_commands")
        entries = []
        for name, command in commands.items():
            setattr(module, name, command)
            value = command if isinstance(command, str) else f"fake_commands:{name}"
            entries.append(EntryPoint(name, value, GROUP))
        monkeypatch.setitem(sys.modules, "fake_commands", module)
        monkeypatch.setattr(cli, "entry_points", lambda group: entries)

    return install


@pytest.mark.parametrize("command", [Greet(say), Through(say)])
def test_any_object_with_the_three_names_is_a_command(command):
    assert isinstance(command, Command)


def test_runs_the_named_command_with_its_arguments(install, capsys):
    install(greet=Greet(say))
    assert cli.main(["greet", "cells", "--times", "2"]) == 0
    assert capsys.readouterr().out == "hello hello cells\n"


def test_returns_the_status_of_the_command(install):
    install(greet=Greet(lambda args: 7))
    assert cli.main(["greet", "cells"]) == 7


def test_passes_arguments_through_untouched(install):
    seen = []
    install(pretrain=Through(lambda args: seen.append(args.rest) or 0))
    assert cli.main(["pretrain", "fit", "--help", "--config=x.yaml"]) == 0
    assert seen == [["fit", "--help", "--config=x.yaml"]]


def test_help_lists_just_what_is_installed(install, capsys):
    install(wave=Greet(say), greet=Greet(say))
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "  greet  say something friendly\n  wave   say something friendly\n" in out
    assert "embed" not in out


@pytest.mark.parametrize("bad", ["no_such_module:command", "fake_commands:no_such_name"])
def test_a_command_that_does_not_load_does_not_hide_the_others(install, capsys, bad):
    install(bad=bad, greet=Greet(say))
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "(command 'bad' cannot be loaded: " in out
    assert "greet  say something friendly" in out
    assert cli.main(["bad"]) == 2
    assert capsys.readouterr().err.startswith("error: command 'bad' cannot be loaded: ")


def test_an_object_that_is_no_command_is_refused(install, capsys):
    install(bad=object())
    assert cli.main(["bad"]) == 2
    assert "is not a command" in capsys.readouterr().err


def test_without_arguments_shows_the_list_and_fails(install, capsys):
    install(greet=Greet(say))
    assert cli.main([]) == 2
    assert "greet" in capsys.readouterr().err


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sclong {sclong_core.__version__}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["gret"], "unknown command 'gret' (installed commands: greet; see sclong --help)"),
        (["--gret"], "unknown option '--gret' (installed commands: greet; see sclong --help)"),
        (["greet"], "the following arguments are required: name (see sclong greet --help)"),
        (
            ["greet", "a", "--times", "x"],
            "argument --times: invalid int value: 'x' (see sclong greet --help)",
        ),
    ],
)
def test_wrong_arguments_get_one_line(install, capsys, words, message):
    install(greet=Greet(say))
    assert cli.main(words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (
            InputError("cells.h5ad has no cells:\n give some"),
            2,
            "cells.h5ad has no cells: give some",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left on device"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.h5ad"),
            2,
            "a.h5ad: Permission denied",
        ),
        (FileNotFoundError(errno.ENOENT, "No such file", "b.h5ad"), 2, "b.h5ad: No such file"),
        (OSError("Unable to open file\n(not HDF5)"), 2, "Unable to open file (not HDF5)"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_for_the_person_get_one_line(install, capsys, error, status, message):
    install(greet=Greet(fail(error)))
    assert cli.main(["greet", "cells"]) == status
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
    ids=str,
)
def test_too_little_memory_is_one_line(install, capsys, error):
    install(greet=Greet(fail(error)))
    assert cli.main(["greet", "cells"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is not enough memory (")
    assert said.count("\n") == 1


def test_a_process_that_died_is_one_line(install, capsys):
    died = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    install(greet=Greet(fail(died)))
    assert cli.main(["greet", "cells"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: a process that reads cells has died (DataLoader worker (pid 7)")
    assert said.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(install):
    install(greet=Greet(fail(ZeroDivisionError())))
    with pytest.raises(ZeroDivisionError):
        cli.main(["greet", "cells"])


def test_two_packages_with_one_command_are_told(monkeypatch, capsys):
    entries = [EntryPoint("greet", f"{module}:x", GROUP) for module in ("one", "two")]
    monkeypatch.setattr(cli, "entry_points", lambda group: entries)
    assert cli.main(["greet"]) == 2
    assert "two installed packages provide the command 'greet'" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error():
    code = (
        "import sys; from sclong_core.cli.main import main; sys.stdin.read(); "
        "sys.exit(main(['--version']))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    child.stdout.close()  # before the child is told to go on
    child.stdin.close()
    assert child.stderr.read() == b""
    assert child.wait() == 141
    child.stderr.close()


def test_help_and_version_load_nothing_heavy():
    code = (
        "import sys; from sclong_core.cli.main import main; main(['--help']); main(['--version']); "
        "heavy = {'torch', 'lightning', 'anndata', 'scanpy', 'pandas'} & set(sys.modules); "
        "sys.exit(f'loaded {sorted(heavy)}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_command():
    words = [sys.executable, "-m", "sclong_core", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == f"sclong {sclong_core.__version__}\n"
