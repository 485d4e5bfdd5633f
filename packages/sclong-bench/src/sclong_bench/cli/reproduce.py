"""``sclong bench reproduce``: run a suite again, and fail when a figure has left its band."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import messages, print_facts, print_table, print_text
from sclong_core.escaping import for_markdown

if TYPE_CHECKING:
    from sclong_bench.suites.bands import Judged
    from sclong_bench.suites.reproduction import Reproduction

HEADINGS = ("figure", "model", "now", "expected", "band", "")
"""Of the table."""


class ReproduceCommand:
    """Holds figures to what they were; see :mod:`sclong_bench.suites.reproduction`."""

    help = "run a suite again and fail if a value is outside its expected band"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the suite, its sources and where runs go."""
        parser.description = (
            "Run what is missing of a suite, five seeds a model, and compare the mean of each "
            "figure with its band, which was made from the spread between seeds. Tasks whose "
            "original files are not at hand are skipped by name. Status 1 if a figure is "
            "outside of its band, or missing, or a run failed."
        )
        parser.add_argument(
            "--suite",
            default="ci",
            metavar="NAME|FILE.yaml",
            help=("suite of the package (default: ci), or a file with expected results next to it"),
        )
        parser.add_argument(
            "--source",
            type=Path,
            metavar="FOLDER",
            help="folder with one folder of original files per task, named like the task",
        )
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("reproduction"),
            metavar="FOLDER",
            help="folder for the runs",
        )
        parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time")
        parser.add_argument(
            "--summary",
            type=Path,
            metavar="FILE.md",
            help="append the table to this file as Markdown",
        )
        parser.add_argument(
            "--update", action="store_true", help="save the results as the new expected values"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Reproduce, print what moved, and say whether it is as it was."""
        from sclong_bench.suites.reproduction import (  # noqa: PLC0415  # keeps --help fast
            reproduce,
            suite_file,
        )

        with messages():
            found = reproduce(
                suite_file(args.suite),
                output=args.output,
                sources=args.source,
                jobs=args.jobs,
                update=args.update,
            )
        moved = [one for one in found.judged if one.moved]
        if moved:
            print_table(HEADINGS, map(_line, moved))
        for outcome in found.failed:
            print_text(f"failed: {outcome.run.name}: {outcome.reason}")
        print_facts(_facts(found))
        if args.summary is not None:
            with args.summary.open("a", encoding="utf-8") as handle:
                handle.write(_markdown(found))
        return 0 if found.succeeded else 1


def _line(one: "Judged") -> tuple[str, ...]:
    *setting, model = one.name
    return (
        " ".join(name for name in setting if name != "all"),
        model,
        f"{one.mean:.4f}",
        f"{one.expected:.4f}",
        f"{one.low:.4f} to {one.high:.4f}",
        one.verdict,
    )


def _facts(found: "Reproduction") -> list[tuple[str, str]]:
    verdicts = [one.verdict for one in found.judged]
    counts = {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}
    facts = [("figures", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))]
    if found.failed:
        facts.append(("runs that failed", str(len(found.failed))))
    if found.skipped:
        facts.append(("skipped, no original files", ", ".join(found.skipped)))
    return facts


def _markdown(found: "Reproduction") -> str:
    """A table for the summary of a CI job: what moved first."""
    said = [f"{name}: {value}" for name, value in _facts(found)]
    said += [f"failed: {one.run.name}: {one.reason}" for one in found.failed]
    lines = [f"- {for_markdown(line)}" for line in said]
    lines += ["", "| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    for one in sorted(found.judged, key=lambda one: not one.moved):
        lines.append("| " + " | ".join(map(for_markdown, _line(one))) + " |")
    return "\n".join(["## Reproduction", "", *lines, ""])


command = ReproduceCommand()
