"""``sclong data harmonise``: from data sets to a corpus."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_data.cli.data_folder import add_data_folder

if TYPE_CHECKING:
    from sclong_data.harmoniser.run import HarmoniseResult

_UNREADABLE = 1


class HarmoniseCommand:
    """Makes a corpus; see :mod:`sclong_data.harmoniser`."""

    help = "build a corpus from the data sets of a manifest: genes, cells, values, duplicates"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to make a corpus of, how, and where the work is done."""
        parser.description = (
            "Build a corpus from the data sets of a manifest, or update one: finished "
            "work is kept, and an interrupted run resumes. Exit status: 0 done (data "
            "sets that the rules exclude are named), 1 some data sets could not be "
            "read (the others are done), 2 wrong arguments or input."
        )
        parser.add_argument("manifest", type=Path, metavar="MANIFEST")
        add_data_folder(parser)
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            required=True,
            metavar="FOLDER",
            help="folder of the corpus",
        )
        parser.add_argument(
            "--vocabulary",
            type=Path,
            required=True,
            metavar="FILE",
            help="genes of the corpus: vocabulary.tsv, or a file with one Ensembl id per line",
        )
        parser.add_argument(
            "--gene-table",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help=(
                "tables of gene names, from HGNC and GENCODE (default: only Ensembl ids "
                "and the vocabulary's symbols)"
            ),
        )
        parser.add_argument(
            "--rules", type=Path, metavar="YAML", help="file of rules that differ from the paper's"
        )
        parser.add_argument(
            "--cluster",
            metavar="local|ADDRESS|YAML",
            help=(
                "where to run: one process per core (local, local:4), a Dask scheduler "
                "(tcp://host:8786), or SLURM jobs (a YAML file) (default: this process)"
            ),
        )

    def run(self, args: argparse.Namespace) -> int:
        """Harmonise, and print what became of each data set."""
        from sclong_data.dataset_manifest import Manifest  # noqa: PLC0415  # heavy
        from sclong_data.harmoniser.progress import drawn_progress  # noqa: PLC0415  # heavy
        from sclong_data.harmoniser.run import harmonise  # noqa: PLC0415  # heavy

        begun = time.monotonic()
        with messages(), drawn_progress(shown=is_interactive()) as progress:
            result = harmonise(
                Manifest.read(args.manifest, folder=args.data),
                args.output,
                vocabulary=args.vocabulary,
                rules=args.rules,
                gene_table=args.gene_table or None,
                cluster=args.cluster,
                progress=progress,
            )
        _summarise(result, time.monotonic() - begun)
        return _UNREADABLE if result.failed else 0


def _summarise(result: "HarmoniseResult", seconds: float) -> None:
    from sclong_data.harmoniser.rows import listed, out_by_reason  # noqa: PLC0415  # heavy

    shown = ("dataset", "status", "reason", "cells", "kept", "duplicates", "genes", "values")
    lines = []
    for row in result.rows:
        cells, genes = row["cells"] or {}, row.get("genes", {})
        numbers = (cells.get("in"), cells.get("kept"), cells.get("duplicates"))
        lines.append(
            (
                row["dataset"],
                row["status"],
                row["reason"],
                *("" if number is None else f"{number:,}" for number in numbers),
                f"{genes['matched']:,} of {genes['in']:,}" if genes else "",
                str(row.get("normalisation") or ""),
            )
        )
    print_table(shown, lines)
    out = out_by_reason(result.rows)
    print_facts(
        [
            ("corpus", f"{result.corpus} ({result.cells:,} cells)"),
            ("left out", listed(out) or "nothing"),
            ("report", str(result.corpus / "report.tsv")),
            ("time", f"{seconds:,.1f} s, {result.shards_made:,} shards made"),
        ]
    )


command = HarmoniseCommand()
