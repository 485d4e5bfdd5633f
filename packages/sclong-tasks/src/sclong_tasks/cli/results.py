"""``sclong task results``: one table of many runs."""

import argparse
from functools import partial
from pathlib import Path

from sclong_core.cli.terminal import print_text


class ResultsCommand:
    """Collects runs; see :mod:`sclong_tasks.tables`."""

    help = "combine runs into tables: mean, s.d., intervals, with the paper's numbers"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to collect and where to write it."""
        parser.add_argument(
            "runs",
            type=Path,
            nargs="+",
            metavar="FOLDER|FILE",
            help=(
                "folder that contains runs, or a .csv or .csv.gz that --csv wrote; several "
                "are combined"
            ),
        )
        parser.add_argument(
            "--seeds", type=int, nargs="+", metavar="SEED", help="seeds that each model should have"
        )
        parser.add_argument(
            "--metrics",
            nargs="+",
            metavar="NAME",
            help=(
                'columns of the tables, such as "auroc" or "auroc, new compounds" (default: all)'
            ),
        )
        parser.add_argument("--csv", type=Path, metavar="FILE", help="write all rows to this file")
        parser.add_argument(
            "--markdown",
            type=Path,
            metavar="FILE",
            help="write the tables to this file (default: print them)",
        )
        parser.add_argument(
            "--page",
            type=Path,
            metavar="FILE",
            help=(
                "put the tables into the block <!-- results NAME --> ... <!-- end --> of this page"
            ),
        )
        parser.add_argument(
            "--figures",
            type=Path,
            metavar="FOLDER",
            help=(
                "draw --metrics, or all metrics, into this folder: bars of means with "
                "every run as a dot"
            ),
        )
        parser.add_argument("--block", metavar="NAME", help="name of the block")

    def run(self, args: argparse.Namespace) -> int:
        """Read, check that runs belong together, and write."""
        from sclong_tasks.tables import (  # noqa: PLC0415  # keeps --help fast
            collect,
            fill_page,
            markdown_tables,
            read_rows,
            write_rows,
        )

        _require_places(args)
        rows = collect(args.runs)
        if args.csv is not None:
            write_rows(rows, args.csv)
            rows = read_rows(args.csv)  # tables are those of the rows that are kept, to the digit
        text = markdown_tables(rows, args.seeds, args.metrics)
        if args.figures is not None:
            from sclong_tasks.result_figures import (  # noqa: PLC0415  # keeps --help fast
                write_result_figures,
            )

            names = [name.partition(",")[0] for name in args.metrics or ()]
            write_result_figures(rows, args.figures, names or None)
        if args.page is not None:
            page = args.page.read_text(encoding="utf-8")
            _write(args.page, fill_page(page, args.block or str(rows["task"].iloc[0]), text))
        if args.markdown is not None:
            _write(args.markdown, text)
        if args.page is None and args.markdown is None:
            print_text(text)
        return 0


def _require_places(args: argparse.Namespace) -> None:
    """Refuse to write over what is read, and over what this command has not written."""
    from sclong_data.outputs import begins_with, require_output  # noqa: PLC0415
    from sclong_tasks.tables import ROW_COLUMNS  # noqa: PLC0415
    from sclong_tasks.written import has_columns  # noqa: PLC0415  # keeps --help fast

    if args.csv is not None:
        require_output(
            args.csv, args.runs, ours=partial(has_columns, columns=(*ROW_COLUMNS, "config_digest"))
        )
    if args.markdown is not None:
        inputs = [*args.runs, *([] if args.page is None else [args.page])]
        require_output(args.markdown, inputs, ours=partial(begins_with, text="### "))


def _write(path: Path, text: str) -> None:
    from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps --help fast

    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


command = ResultsCommand()
