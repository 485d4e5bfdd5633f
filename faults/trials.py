"""Giving a reader bad files, and what may come of it.

A reader may refuse with a :class:`~sclong_core.errors.ScLongError`. It may also read the file, as
no text can tell whether a letter was changed; but one whose format has checksums (``sealed``) must
then give what was written, and a file that is wrong by design (``planted``) is always refused.
Anything else is a trouble: another error, memory or time without measure, a file that was written
outside of the folder of the trial, a program that was started.
"""

import contextlib
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults.damage import damaged
from sclong_core.errors import ScLongError

_PATIENCE = 15.0
"""Seconds after which a reader hangs."""
_MEMORY = 3 << 30
"""Bytes of address space that a reader may take."""
_WRITES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate"}
_PROGRAMS = {"os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork"}

Plant = Callable[[Path, np.random.Generator], None]
"""Makes the good files of a folder bad by design."""


@dataclass(frozen=True)
class Reader:
    """Something that reads what others wrote."""

    name: str
    write: Callable[[Path], None]
    """Writes good files into a folder."""
    read: Callable[[Path], Any]
    """Reads the folder, and gives something to compare."""
    sealed: bool = False
    """Whether the format can tell every change."""
    planted: Mapping[str, Plant] = field(default_factory=dict)
    targets: str = "*"
    """Pattern of the files that are damaged."""
    hdf5: bool = False
    """Whether the HDF5 library reads, which nothing in Python can interrupt: every trial is then a
    process of its own."""


@dataclass
class Trials:
    """What came of the bad files of one reader."""

    reader: str
    refused: int = 0
    read: int = 0
    """Without harm: the same as before, or another good file."""
    looped: int = 0
    """In which the HDF5 library itself came to no end."""
    troubles: tuple[str, ...] = ()

    @property
    def inputs(self) -> int:
        """All of them."""
        return self.refused + self.read + self.looped + len(self.troubles)


class Watch:
    """Notes writes outside of a folder, and programs that are started, as Python tells of them."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._note)  # for good: Python has no way to take it back

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event in _PROGRAMS:
            self.seen.append(f"{event} {arguments[:2]}")
        elif (event == "open" and _writes(arguments)) or event in _WRITES:
            path = _place(arguments)
            if path != os.devnull and not path.startswith(f"{self.folder}{os.sep}"):
                self.seen.append(f"{event} {path}")


def try_reader(
    reader: Reader, folder: Path, *, count: int, generator: np.random.Generator, watch: Watch
) -> Trials:
    """Give a reader its planted files, each at least once, and damaged ones.

    Args:
        reader: to try.
        folder: for the files.
        count: of bad files in all.
        generator: of the damage.
        watch: over what is written.
    """
    good = folder / "good"
    good.mkdir(parents=True)
    reader.write(good)
    targets = sorted(path.relative_to(good) for path in good.rglob(reader.targets))
    targets = [path for path in targets if (good / path).is_file()]
    expected = reader.read(good)
    found = Trials(reader.name)
    plants = list(reader.planted.items())
    for number in range(max(count, len(plants))):
        bad = folder / "bad" / "input"
        shutil.copytree(good, bad)
        planted = number < max(len(plants), count // 5) if plants else False
        if planted:
            name, plant = plants[number % len(plants)]
            plant(bad, generator)
        else:
            target = targets[int(generator.integers(len(targets)))]
            name = f"{target}, damage {number}"
            path = bad / target
            path.write_bytes(damaged(path.read_bytes(), generator))
        outcome = (_apart if reader.hdf5 else _outcome)(reader, bad, watch)
        if outcome is _LOOPED:
            found.looped += 1
        elif isinstance(outcome, ScLongError):
            found.refused += 1
        elif isinstance(outcome, _Trouble):
            found.troubles += (f"{reader.name}, {name}: {outcome.what}",)
        elif planted or (reader.sealed and outcome != expected):
            found.troubles += (f"{reader.name}, {name}: accepted in silence",)
        else:
            found.read += 1
        _remove(folder / "bad")
    return found


@dataclass(frozen=True)
class _Trouble:
    what: str


_LOOPED = _Trouble("the HDF5 library came to no end")


def _apart(reader: Reader, bad: Path, watch: Watch) -> Any:
    """The outcome in a copy of this process, as far as it counts."""
    source, target = os.pipe()
    child = os.fork()
    if not child:
        outcome = _outcome(reader, bad, watch)
        kind = "refused" if isinstance(outcome, ScLongError) else "read"
        said = outcome.what if isinstance(outcome, _Trouble) else ""
        os.write(target, f"{'trouble' if said else kind} {said}".encode())
        os._exit(0)
    os.close(target)
    with os.fdopen(source, "rb") as handle:
        ended = select.select([handle], [], [], _PATIENCE)[0]
        if not ended:
            os.kill(child, signal.SIGKILL)
        kind, _, said = handle.read().decode().partition(" ")
    status = os.waitpid(child, 0)[1]
    if not ended:
        return _LOOPED
    if status:
        return _Trouble(f"the process ended with status {os.waitstatus_to_exitcode(status)}")
    return {"refused": ScLongError(said), "trouble": _Trouble(said)}.get(kind)


def _outcome(reader: Reader, bad: Path, watch: Watch) -> Any:
    watch.folder, watch.seen = Path(os.path.realpath(bad.parent)), []
    before, tempfile.tempdir = tempfile.tempdir, str(bad.parent)
    try:
        with _limits():
            outcome = reader.read(bad)
    except ScLongError as error:
        outcome = error
    except BaseException as error:  # whatever it is, it is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        where = traceback.extract_tb(error.__traceback__)[-4:]
        places = " < ".join(f"{Path(step.filename).name}:{step.lineno}" for step in where[::-1])
        outcome = _Trouble(f"{type(error).__name__}: {' '.join(str(error).split())[:200]} {places}")
    finally:
        watch.folder, tempfile.tempdir = None, before
    return _Trouble(f"did {watch.seen[:3]}") if watch.seen else outcome


class _HangError(BaseException):
    """No part of ``Exception``, so that no reader takes it for damage."""


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Bounded time and memory."""

    def hang(*_: object) -> None:
        raise _HangError(f"no end after {_PATIENCE:.0f} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY, before[1]))
    handler = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def _place(arguments: tuple[Any, ...]) -> str:
    """The path of an event, which may be an open file, or relative to an open folder."""
    where, *more = arguments
    if isinstance(where, int):
        return os.path.realpath(f"/proc/self/fd/{where}")
    folder = more[-1] if more and isinstance(more[-1], int) and more[-1] > 2 else None
    name = os.fsdecode(where)
    if folder is not None and Path(f"/proc/self/fd/{folder}").is_dir():
        name = os.path.join(os.path.realpath(f"/proc/self/fd/{folder}"), name)  # noqa: PTH118
    return os.path.realpath(name)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder)
