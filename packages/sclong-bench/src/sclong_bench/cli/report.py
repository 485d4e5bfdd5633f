"""``sclong bench report``: one page of everything that results say."""

import argparse
import shlex
from pathlib import Path

from sclong_bench.cli.statistics import add_statistics, plan_of
from sclong_core.cli.terminal import messages, print_facts
from sclong_core.errors import ConfigError

FORMATS = ("html", "csv", "markdown", "latex", "svg")
"""As in :mod:`sclong_bench.report.formats`, which is slow to import."""


class ReportCommand:
    """Reports results; see :mod:`sclong_bench.report`."""

    help = "write a page of results: tables, figures, statistics; also CSV, Markdown, LaTeX, SVG"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what is read, what is written, and how models are compared."""
        parser.description = (
            "Read results - a folder of runs, or any CSV, TSV, JSON or parquet table with the "
            "columns task, metric, model, seed and value - compare every model with a reference, "
            "and write a page that opens without a network."
        )
        parser.add_argument("results", type=Path, metavar="RESULTS", help="folder or table")
        parser.add_argument(
            *("-o", "--output"),
            type=Path,
            default=Path("report.html"),
            metavar="FILE.html",
            help="page to write; other formats take its name (default: report.html)",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            nargs="+",
            default=["html"],
            help="what to write (default: html)",
        )
        parser.add_argument(
            "--reference",
            default="sclong",
            metavar="MODEL",
            help="that all others are compared with (default: sclong)",
        )
        parser.add_argument(
            "--role",
            action="append",
            default=[],
            metavar="MODEL=ROLE",
            help="what a model is, where its name does not tell: model, ablation, simple, floor or "
            "ceiling; may be repeated",
        )
        add_statistics(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Read, compare, write, and say in a few lines what came of it."""
        from sclong_bench.report.evidence import gather  # noqa: PLC0415  # keeps --help fast
        from sclong_bench.report.formats import write_formats  # noqa: PLC0415
        from sclong_bench.report.verdicts import verdict  # noqa: PLC0415
        from sclong_bench.results.reading import read_results  # noqa: PLC0415

        with messages():
            declared = dict(map(_role, args.role))
            evidence = gather(
                read_results(args.results),
                args.reference,
                plan_of(args),
                declared=declared,
                command=command_line(args),
            )
            written = write_formats(args.output, evidence, args.format)
        main = [setting for task in evidence.tasks for setting in evidence.main_settings(task)]
        print_facts(
            [
                *(
                    (
                        f"{one.task} {one.metric} {one.scenario}".strip(),
                        verdict(evidence, one).words,
                    )
                    for one in main
                ),
                ("written", ", ".join(map(str, _shown(written)))),
            ]
        )
        return 0


def _role(text: str) -> tuple[str, str]:
    model, sign, role = text.rpartition("=")
    if not sign or not model:
        raise ConfigError(f"--role {text}: write MODEL=ROLE, for example mean=floor")
    return model, role


def _shown(paths: list[Path]) -> list[Path]:
    """Files, and the folder of figures in place of each of them."""
    return list(dict.fromkeys(path.parent if path.suffix == ".svg" else path for path in paths))


def command_line(args: argparse.Namespace) -> str:
    """The command with all that it depends on, to type again."""
    words = ["sclong", "bench", "report", str(args.results), "-o", str(args.output)]
    words += ["--reference", args.reference, "--test", args.test, "--family", args.family]
    words += ["--correction", args.correction]
    words += ["--seeds", *map(str, args.seeds)] if args.seeds else []
    words += [word for role in args.role for word in ("--role", role)]
    return shlex.join(words)


command = ReportCommand()
