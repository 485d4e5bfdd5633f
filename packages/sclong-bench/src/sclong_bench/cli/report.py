"""``sclong bench report``: one page of everything that results say."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_bench.cli.statistics import add_statistics, plan_of
from sclong_core.cli.terminal import messages, print_facts
from sclong_core.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("html", "csv", "markdown", "latex", "svg")
"""As in :mod:`sclong_bench.report.formats`, which is slow to import."""


class ReportCommand:
    """Reports results; see :mod:`sclong_bench.report`."""

    help = "write a report of results: tables, figures, statistics; also CSV, Markdown, LaTeX, SVG"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what is read, what is written, and how models are compared."""
        parser.description = (
            "Read results - a folder of runs, or any CSV, TSV, JSON or parquet table with the "
            "columns task, metric, model, seed and value - compare every model with the reference "
            "of its task, and write a page that opens without a network."
        )
        parser.add_argument(
            "results", type=Path, metavar="RESULTS", help="folder of runs, or table of results"
        )
        parser.add_argument(
            *("-o", "--output"),
            type=Path,
            default=Path("report.html"),
            metavar="FILE.html",
            help="page to write; other formats use its name (default: report.html)",
        )
        parser.add_argument(
            "--format",
            choices=FORMATS,
            nargs="+",
            default=["html"],
            help="formats to write (default: html)",
        )
        parser.add_argument(
            "--reference",
            action="extend",
            nargs="+",
            default=[],
            metavar="[TASK=]MODEL",
            help=(
                "model to compare all others with, in all tasks or in one (default: sclong "
                "if it has runs, else the first declared baseline of the task that has "
                "runs)"
            ),
        )
        parser.add_argument(
            "--role",
            action="append",
            default=[],
            metavar="MODEL=ROLE",
            help=(
                "role of a model if its name does not show it: model, ablation, simple, "
                "floor or ceiling; may be repeated"
            ),
        )
        add_statistics(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Read, compare, write, and say in a few lines what came of it."""
        from sclong_bench.report.comparison import gather  # noqa: PLC0415  # keeps --help fast
        from sclong_bench.report.formats import write_formats  # noqa: PLC0415
        from sclong_bench.report.verdicts import verdict  # noqa: PLC0415
        from sclong_bench.results.reading import read_results  # noqa: PLC0415  # keeps --help fast

        with messages():
            declared = dict(map(_role, args.role))
            results = read_results(args.results)
            comparison = gather(
                results,
                _references(args.reference, results.rows),
                plan_of(args),
                declared=declared,
                command=command_line(args),
            )
            written = write_formats(args.output, comparison, args.format, inputs=[args.results])
        main = [setting for task in comparison.tasks for setting in comparison.main_settings(task)]
        print_facts(
            [
                *(
                    (f"{task} reference", comparison.reference_of(task) or "none")
                    for task in comparison.tasks
                ),
                *(
                    (
                        " ".join(filter(None, (one.task, one.metric, one.scenario, one.protocol))),
                        verdict(comparison, one).words,
                    )
                    for one in main
                ),
                ("written", ", ".join(map(str, _shown(written)))),
            ]
        )
        return 0


def _references(words: list[str], rows: "pd.DataFrame") -> dict[str, str]:
    """Models by task, or for all tasks, which may hold the sign "=" themselves."""
    from sclong_bench.results.references import EVERY_TASK  # noqa: PLC0415  # keeps --help fast

    tasks = sorted(set(rows["task"]), key=len, reverse=True)
    models = {name.casefold() for name in (*rows["model"], *rows["label"])}
    found: dict[str, str] = {}
    for word in words:
        task = next((task for task in tasks if word.startswith(f"{task}=")), EVERY_TASK)
        if task == EVERY_TASK and word.casefold() not in models:
            task = word.rpartition("=")[0] or EVERY_TASK  # no such task: what follows says so
        model = word if task == EVERY_TASK else word.removeprefix(f"{task}=")
        if task in found:
            where = "all tasks" if task == EVERY_TASK else task
            raise ConfigError(f"--reference names {found[task]} and {model} for {where}: name one")
        found[task] = model
    return found


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
    words += ["--reference", *args.reference] if args.reference else []
    words += ["--test", args.test, "--family", args.family, "--correction", args.correction]
    words += ["--format", *args.format] if args.format != ["html"] else []
    words += ["--seeds", *map(str, args.seeds)] if args.seeds else []
    words += [word for role in args.role for word in ("--role", role)]
    return shlex.join(words)


command = ReportCommand()
