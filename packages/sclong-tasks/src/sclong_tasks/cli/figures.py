"""``sclong task figures``: drawings of finished runs, from their results alone."""

import argparse
from pathlib import Path


class FiguresCommand:
    """Draws; see :mod:`sclong_tasks.drawn`."""

    help = "draw finished runs: bars with seeds as dots, and maps of cells"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the runs and what to draw of them."""
        parser.add_argument(
            "runs",
            type=Path,
            metavar="FOLDER|FILE",
            help=(
                "folder that contains runs; or a .csv or .csv.gz of sclong task results (bars only)"
            ),
        )
        parser.add_argument(
            "-o",
            "--output",
            required=True,
            type=Path,
            metavar="FOLDER",
            help="folder for the SVG files",
        )
        parser.add_argument(
            "--metrics",
            nargs="+",
            metavar="NAME",
            help="metrics to draw as bars (default: the first of each task)",
        )
        parser.add_argument(
            "--map",
            choices=("umap", "pca", "none"),
            default="umap",
            help="projection for maps of cells (default: umap)",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace the folder")

    def run(self, args: argparse.Namespace) -> int:
        """Draw everything, and say where it is."""
        from sclong_core.cli.terminal import messages, print_text  # noqa: PLC0415  # keeps --help fast
        from sclong_tasks.drawn import draw_runs  # noqa: PLC0415

        with messages():
            names = draw_runs(
                args.runs,
                args.output,
                metrics=args.metrics,
                way=None if args.map == "none" else args.map,
                overwrite=args.overwrite,
            )
        print_text(f"{len(names)} drawings in {args.output}")
        return 0


command = FiguresCommand()
