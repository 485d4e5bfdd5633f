"""``sclong bench run``: makes what is missing of a suite."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sclong_bench.cli.plan import add_suite
from sclong_bench.suites.duration import duration
from sclong_core.cli.terminal import messages, print_facts, print_text
from sclong_core.errors import ConfigError

if TYPE_CHECKING:
    from sclong_bench.suites.grid import RunOutcome
    from sclong_bench.suites.suite import GridRun, Suite


class RunCommand:
    """Makes the runs of a suite; see :mod:`sclong_bench.suites.running`."""

    help = "run what is missing of a suite; resumable, and a failed run does not stop the others"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the suite and where it runs."""
        parser.description = (
            "Run what is missing of a suite, in processes of `sclong task run`. You "
            "can interrupt and restart it at any time. Several of these commands may "
            "work on one suite at the same time, here or on other machines that see "
            "the folder."
        )
        add_suite(parser)
        parser.add_argument(
            "--on",
            choices=("local", "slurm", "dask"),
            default="local",
            help=(
                "where to run: processes on this machine (default), an array of SLURM "
                "jobs, or Dask workers"
            ),
        )
        parser.add_argument(
            "--jobs", type=int, default=1, metavar="N", help="runs at a time (default: 1)"
        )
        parser.add_argument(
            "--cluster",
            metavar="ADDRESS|FILE.yaml",
            help=(
                "with --on dask: the address of a scheduler, or a file with settings of "
                "SLURM workers"
            ),
        )
        parser.add_argument(
            "--sbatch",
            action="append",
            default=[],
            metavar="OPTION",
            help="with --on slurm: option of sbatch, may be repeated: --sbatch=--time=4:00:00",
        )
        parser.add_argument("--keep-failed", action="store_true", help="do not retry failed runs")

    def run(self, args: argparse.Namespace) -> int:
        """Make the runs; status 1 if some failed."""
        from sclong_bench.suites.running import (  # noqa: PLC0415  # keeps --help fast
            runs_left,
            submit_to_slurm,
        )
        from sclong_bench.suites.suite import read_suite  # noqa: PLC0415

        if args.jobs < 1:
            raise ConfigError(f"--jobs must be at least 1, not {args.jobs}")
        with messages():
            suite = read_suite(args.suite, output=args.output)
            if args.on == "slurm":
                job = submit_to_slurm(suite, jobs=args.jobs, options=args.sbatch)
                print_text(
                    f"submitted {args.jobs} jobs, number {job}; sclong bench plan shows the rest"
                )
                return 0
            runs = runs_left(suite, retry_failed=not args.keep_failed)
            failed = _watch(suite, runs, args)
        for outcome in failed:
            print_text(f"failed: {outcome.run.name}: {outcome.reason}")
        return 1 if failed else 0


def _watch(suite: "Suite", runs: "list[GridRun]", args: argparse.Namespace) -> "list[RunOutcome]":
    """Make the runs, show how it goes, and return those that failed."""
    from sclong_bench.suites.running import run_here, run_on_dask  # noqa: PLC0415  # heavy
    from sclong_bench.suites.watching import Watch  # noqa: PLC0415  # keeps --help fast

    failed: list[RunOutcome] = []
    with Watch(suite, runs, jobs=args.jobs) as watch:
        outcomes: Iterator[RunOutcome] = (
            run_on_dask(runs, cluster=args.cluster or f"local:{args.jobs}")
            if args.on == "dask"
            else run_here(runs, jobs=args.jobs)
        )
        with contextlib.closing(outcomes):  # type: ignore[type-var]  # both are generators
            for outcome in outcomes:
                watch.note(outcome)
                if outcome.state == "failed":
                    failed.append(outcome)
    print_facts(
        [
            ("made now", str(watch.made)),
            ("failed", str(len(failed))),
            ("made by others meanwhile", str(watch.elsewhere)),
            ("there before", str(len(suite.runs) - len(runs))),
            ("time", duration(watch.seconds)),
            ("results", str(suite.output)),
        ]
    )
    return failed


command = RunCommand()
