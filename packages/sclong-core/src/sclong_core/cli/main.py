"""The command ``sclong`` itself: finds subcommands, runs one, and turns errors into one line.

Exit status: 0 done; 2 wrong arguments, wrong input, a file that cannot be read or written, or too
little memory; 130 interrupted; 141 done, but the reader of the output went away. Any other error
is a fault of the program and keeps its traceback.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import sclong_core
from sclong_core.children import descendants, end_processes
from sclong_core.cli.command import GROUP, Command
from sclong_core.cli.interrupts import INTERRUPTED, SAID, watch_interrupts
from sclong_core.cli.streams import guard_streams, lost_output
from sclong_core.errors import ScLongError, is_short_of_memory, lost_process, shortage
from sclong_core.escaping import for_terminal

_USAGE_ERROR = 2
_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``sclong``.

    Args:
        arguments: words after ``sclong``; by default those of the process, which then is this
            command's own: its streams, Ctrl-C, and where its children find modules.

    Returns:
        The exit status of the process.
    """
    if arguments is None:
        guard_streams()
        watch_interrupts()
        os.environ["PYTHONSAFEPATH"] = "1"  # no child imports what lies in the current folder
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        status = _dispatch(words)
        lost = lost_output()  # a reader that has gone away is noticed here, not at the end
        if lost is not None and status == 0:
            raise lost
    except ScLongError as error:
        return _complain(str(error), _USAGE_ERROR)
    except KeyboardInterrupt as interrupt:
        SAID.set()
        if arguments is None:
            end_processes(descendants(os.getpid()))  # those that were not told, or did not listen
        return _complain(str(interrupt) or "interrupted", INTERRUPTED)
    except BrokenPipeError:
        _silence_stdout()
        return _BROKEN_PIPE
    except OSError as error:
        said = shortage(error) if is_short_of_memory(error) else _describe(error)
        return _complain(said, _USAGE_ERROR)
    except (MemoryError, RuntimeError, ImportError, SystemError, ValueError) as error:
        lost_one = lost_process(error)
        if lost_one is None and not is_short_of_memory(error):
            raise
        return _complain(lost_one or shortage(error), _USAGE_ERROR)
    return status


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are like all others: one line, status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise ScLongError(f"{message} (see {self.prog} --help)")


def _dispatch(words: list[str]) -> int:
    if not words:
        print(_help_text(), file=sys.stderr)
        return _USAGE_ERROR
    name, *rest = words
    if name in {"-h", "--help"}:
        print(_help_text())
        return 0
    if name == "--version":
        print(f"sclong {sclong_core.__version__}")
        return 0
    return _run(name, rest)


def _run(name: str, rest: list[str]) -> int:
    found = _entry_points()
    if name not in found:
        kind = "option" if name.startswith("-") else "command"
        choices = f"installed commands: {', '.join(found) or 'none'}"
        raise ScLongError(f"unknown {kind} {name!r} ({choices}; see sclong --help)")
    command = _load(found[name])
    if getattr(command, "passthrough", False):
        return command.run(argparse.Namespace(rest=rest))
    parser = _Parser(prog=f"sclong {name}", description=command.help)
    command.add_arguments(parser)
    return command.run(parser.parse_args(rest))


def _entry_points() -> dict[str, EntryPoint]:
    """The installed commands by name, sorted.

    Raises:
        ScLongError: two installed packages claim one name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ScLongError(
                f"two installed packages provide the command {entry.name!r} "
                f"({other.value} and {entry.value}): uninstall one of them"
            )
    return found


def _load(entry: EntryPoint) -> Command:
    """The command behind an entry point.

    Raises:
        ScLongError: its module cannot be imported, or is not a command.
    """
    try:
        command = entry.load()
    except (ImportError, AttributeError) as error:
        raise ScLongError(f"command {entry.name!r} cannot be loaded: {_one_line(error)}") from error
    if not isinstance(command, Command):
        raise ScLongError(f"command {entry.name!r} cannot be used: {entry.value} is not a command")
    return command


def _help_text() -> str:
    found = _entry_points()
    width = max((len(name) for name in found), default=0)
    lines = [
        "usage: sclong [-h] [--version] COMMAND ...",
        "",
        "scLong: a foundation model of single-cell expression over all human genes.",
        "",
        "commands of the installed packages:",
        *(f"  {name:{width}}  {_help_line(entry)}" for name, entry in found.items()),
        "",
        "options:",
        "  -h, --help  show this list",
        "  --version   show the version",
        "",
        "sclong COMMAND --help shows the arguments of a command.",
    ]
    return "\n".join(lines)


def _help_line(entry: EntryPoint) -> str:
    """The help line of a command; for one that does not load, why: it must not hide the others."""
    try:
        return _load(entry).help
    except ScLongError as error:
        return f"({error})"


def _describe(error: OSError) -> str:
    """What the operating system said, and of which file."""
    if error.strerror is None:
        return _one_line(error) or type(error).__name__
    return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _complain(message: str, status: int) -> int:
    print(f"error: {for_terminal(' '.join(message.split()))}", file=sys.stderr)
    return status


def _silence_stdout() -> None:
    """Give the interpreter something to flush at exit that does not complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
