"""Kills of real work at random moments: ``python -m faults.kills --kills 25``.

Every run is a fork of this process, which has loaded what all of them need. It is killed by
SIGKILL with all that it started, without any chance to clean up: half of the times in the middle
of something that it does to a file of its output (opening, making, renaming, removing), else when
a random time is over. Then the same work is started again, and must come to the outcome of a run
that nobody disturbed.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faults.jobs import JOBS, Job, Outcome, prepare
from sclong_core.files import write_json

_WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
_PATIENCE = 120
"""Seconds after which a run hangs."""


@dataclass
class Survivals:
    """What came of the kills of one kind of work."""

    job: str
    at_files: int = 0
    """Kills in the middle of something done to a file."""
    at_times: int = 0
    """Kills at a random time."""
    survived: int = 0
    """Kills after which the same command came to the same outcome."""
    troubles: tuple[str, ...] = ()
    """What happened where that is not so."""

    @property
    def kills(self) -> int:
        """All of them."""
        return self.at_files + self.at_times


@dataclass(frozen=True)
class _Moment:
    """When to kill: the number of a thing done to a file, or seconds after the start."""

    event: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class _Ended:
    status: int
    seconds: float
    events: int
    """Things done to files, where nobody killed."""

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


def kill_at_random(job: Job, folder: Path, inputs: Path, *, kills: int, seed: int) -> Survivals:
    """Kill a kind of work again and again.

    Args:
        job: the work.
        folder: for outputs.
        inputs: what :func:`faults.jobs.prepare` wrote.
        kills: how often.
        seed: of the moments. Where a time falls in the work depends on the machine too.

    Raises:
        RuntimeError: the work fails when nobody disturbs it.
    """
    place = folder / "undisturbed"
    undisturbed = _run(job, inputs, place, _Moment())
    if undisturbed.status:
        raise RuntimeError(f"{job.name} failed undisturbed: {_said(place)}")
    expected = job.outcome(place)
    generator = np.random.default_rng([seed, JOBS.index(job)])
    found = Survivals(job.name)
    for number in range(kills):
        output = folder / f"killed-{number}"
        moment = _kill(job, inputs, output, undisturbed, generator, by_file=number % 2 == 0)
        found.at_files += moment.event > 0
        found.at_times += moment.event == 0
        trouble = _go_on(job, inputs, output, expected)
        found.survived += trouble is None
        found.troubles += () if trouble is None else (f"{job.name}, {moment}: {trouble}",)
    return found


def _kill(
    job: Job,
    inputs: Path,
    output: Path,
    undisturbed: _Ended,
    generator: np.random.Generator,
    *,
    by_file: bool,
) -> _Moment:
    """Run until a kill struck; a run that was done before it is one of the next kill's chances."""
    while True:
        if by_file:
            moment = _Moment(event=int(generator.integers(1, undisturbed.events + 1)))
        else:
            moment = _Moment(seconds=float(generator.uniform(0, undisturbed.seconds)))
        ended = _run(job, inputs, output, moment)
        if ended.killed:
            return moment
        if ended.status:
            raise RuntimeError(f"{job.name} failed before it was killed: {_said(output)}")
        output.rename(output.with_name(f"{output.name}-done-{time.monotonic_ns()}"))


def _go_on(job: Job, inputs: Path, output: Path, expected: Outcome) -> str | None:
    """Start the work again; gives what is wrong with how that ends, None for nothing."""
    ended = _run(job, inputs, output, _Moment())
    if ended.status:
        return f"status {ended.status}: {_said(output)}"
    found = job.outcome(output)
    different = {name for name in {*expected, *found} if expected.get(name) != found.get(name)}
    return f"other content of {sorted(different)}" if different else None


def _run(job: Job, inputs: Path, output: Path, moment: _Moment) -> _Ended:
    """One run in a copy of this process, which leads a group of its own."""
    reader, writer = os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        _work(job, inputs, output, moment, writer)
    with contextlib.suppress(OSError):  # the child does it too: whoever comes first
        os.setpgid(child, child)
    os.close(writer)
    status = _wait(child, began, moment.seconds or _PATIENCE)
    seconds = time.monotonic() - began
    with os.fdopen(reader) as handle:
        events = int(handle.read() or 0)  # to its end, which is that of the whole group
    return _Ended(status, seconds, events)


def _wait(child: int, began: float, limit: float) -> int:
    """The status of a process, which is killed when its time is over."""
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() - began > limit:
            os.killpg(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.002)


def _work(job: Job, inputs: Path, output: Path, moment: _Moment, writer: int) -> None:
    """Never returns: this process does the work and ends."""
    count = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in _WATCHED and str(arguments[0]).startswith(str(output)):
            count += 1
            if count == moment.event:
                os.killpg(0, signal.SIGKILL)

    status = 1
    try:
        os.setpgid(0, 0)
        log = os.open(_log(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sys.argv = ["sclong"]
        sys.addaudithook(watch)
        status = job.run(inputs, output)
        sys.stdout.flush()
        os.write(writer, str(count).encode())
    finally:
        if status and (error := sys.exc_info()[1]) is not None:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(status)


def _log(output: Path) -> Path:
    return output.with_name(f"{output.name}.log")


def _said(output: Path) -> str:
    lines = _log(output).read_text(errors="replace").splitlines()
    return " / ".join(lines[-3:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill every kind of work, and print what came of it.

    Returns:
        1 where something did not survive, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m faults.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=25, help="of each kind of work (25)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--rows", type=Path, help="file for the numbers, as JSON")
    args = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        inputs = Path(name) / "inputs"
        inputs.mkdir()
        prepare(inputs)
        for number, job in enumerate(JOBS):
            folder = Path(name) / str(number)
            folder.mkdir()
            found = kill_at_random(job, folder, inputs, kills=args.kills, seed=args.seed)
            rows.append(asdict(found))
            print(f"{found.job}: {found.kills} kills, {found.survived} survived", flush=True)
            print(*found.troubles, sep="\n", end="\n" * bool(found.troubles), flush=True)
    if args.rows is not None:
        write_json(args.rows, {"seed": args.seed, "jobs": rows})
    return int(any(row["troubles"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
