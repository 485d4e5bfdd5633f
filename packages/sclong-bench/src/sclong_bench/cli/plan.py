"""``sclong bench plan``: how many runs a suite is, what is there, how long the rest takes."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_bench.suites.duration import duration
from sclong_core.cli.terminal import messages, print_facts, print_table, print_text

if TYPE_CHECKING:
    from sclong_bench.suites.planning import PlanLine


class PlanCommand:
    """Shows what a suite takes; see :mod:`sclong_bench.suites.planning`."""

    help = "show the number of runs of a suite, the finished ones, and the time for the rest"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the suite."""
        add_suite(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Print one line a model, and the sums."""
        from sclong_bench.suites.planning import plan  # noqa: PLC0415  # keeps --help fast
        from sclong_bench.suites.suite import read_suite  # noqa: PLC0415

        with messages():
            suite = read_suite(args.suite, output=args.output)
        lines = plan(suite)
        print_table(
            ("task", "protocol", "scenario", "model", "done", "failed", "missing", "a run", "left"),
            map(_cells, lines),
        )
        print_facts(_sums(lines, len(suite.runs)))
        for task in suite.missing_data:
            print_text(f"no data of {task}: sclong task data {task}")
        return 0


def add_suite(parser: argparse.ArgumentParser) -> None:
    """The suite file, and where its runs are."""
    parser.add_argument("suite", type=Path, metavar="SUITE.yaml")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder of the runs (default: set by the suite)",
    )


def _cells(line: "PlanLine") -> tuple[str, ...]:
    counts = (str(count) if count else "" for count in (line.done, line.failed, line.missing))
    return (
        line.task,
        line.protocol,
        line.scenario,
        line.model,
        *counts,
        duration(line.seconds),
        duration(line.seconds_left),
    )


def _sums(lines: "list[PlanLine]", runs: int) -> list[tuple[str, str]]:
    done, failed = sum(line.done for line in lines), sum(line.failed for line in lines)
    known = sum(line.seconds_left or 0.0 for line in lines)
    unknown = sum(line.failed + line.missing for line in lines if line.seconds is None)
    left = f"{duration(known)} one after the other"
    if unknown:
        left += f", and {unknown} runs of models that have never been run"
    return [
        ("runs", f"{runs}: {done} done, {failed} failed, {runs - done - failed} missing"),
        ("time left", left),
    ]


command = PlanCommand()
