"""``sclong data stats``: what is in a corpus, as a page."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import messages, print_facts


class StatsCommand:
    """Writes the page of a corpus; see :mod:`sclong_data.stats`."""

    help = "write a report about a corpus: cells in and out, genes, tissues, duplicates"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the corpus and the page."""
        parser.description = (
            "Write one HTML file that loads nothing from the network: cells of each "
            "data set, genes and counts per cell, where cells are from, genes found, "
            "duplicates, normalisations."
        )
        parser.add_argument("corpus", type=Path, metavar="CORPUS")
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="HTML", help="report to write"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Write the page."""
        from sclong_data.stats.page import write_stats  # noqa: PLC0415  # heavy

        with messages():
            summary = write_stats(args.corpus, args.output)
        print_facts(
            [
                ("corpus", f"{summary.index.cells:,} cells of {len(summary.kept):,} data sets"),
                ("page", str(args.output)),
            ]
        )
        return 0


command = StatsCommand()
