"""``sclong task results``: one table of many runs."""

import argparse
from pathlib import Path


class ResultsCommand:
    """Collects runs; see :mod:`sclong_tasks.tables`."""

    help = "collect runs into tables: mean, s.d., intervals, beside the paper's numbers"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to collect and where to write it."""
        parser.add_argument("runs", type=Path, metavar="FOLDER", help="holds folders of runs")
        parser.add_argument(
            "--seeds", type=int, nargs="+", metavar="SEED", help="that each model should have"
        )
        parser.add_argument(
            "--metrics",
            nargs="+",
            metavar="NAME",
            help='columns of the tables, as "auroc" or "auroc, new compounds"; all by default',
        )
        parser.add_argument("--csv", type=Path, metavar="FILE", help="write all rows there")
        parser.add_argument(
            "--markdown", type=Path, metavar="FILE", help="write tables there; default: print them"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Read, check that runs belong together, and write."""
        from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.results import read_runs  # noqa: PLC0415
        from sclong_tasks.tables import markdown_tables, write_rows  # noqa: PLC0415

        rows = read_runs(args.runs)
        text = markdown_tables(rows, args.seeds, args.metrics)
        if args.csv is not None:
            write_rows(rows, args.csv)
        if args.markdown is None:
            print(text)
            return 0
        with atomic_file(args.markdown) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return 0


command = ResultsCommand()
