"""``sclong bench evidence``: pretrain tiny models and their ablations, and measure them."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import messages, print_facts


class EvidenceCommand:
    """Pretrains all variants with all seeds; see :mod:`sclong_bench.evidence`."""

    help = "pretrain tiny models and the paper's ablations of them on real cells; measure each"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare where the data is and where results go."""
        parser.description = (
            "Pretrain a tiny scLong, the paper's ablations of it at equal budget, and measure each "
            "on cells and data sets that it has never seen. Makes what is missing: killed at any "
            "moment it goes on when started again, and several of it may work on one folder. The "
            "results are read by `sclong bench report OUTPUT/runs`."
        )
        parser.add_argument(
            "--data", type=Path, required=True, metavar="FOLDER", help="of the original files"
        )
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("evidence"),
            metavar="FOLDER",
            help="for prepared data, checkpoints and results (default: evidence)",
        )
        parser.add_argument(
            "--suite", type=Path, metavar="FILE.yaml", help="another than the package's own"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Make what is missing, and say what was there."""
        from sclong_bench.evidence.run import (  # noqa: PLC0415  # keeps --help fast
            prepare_evidence,
            run_evidence,
        )
        from sclong_bench.evidence.suite import read_evidence_suite  # noqa: PLC0415

        suite = read_evidence_suite(args.suite)
        prepared = prepare_evidence(suite, args.data, args.output)  # its commands say what they do
        with messages():
            made = run_evidence(suite, prepared, args.output)
        print_facts(
            [
                ("made now", str(made.made)),
                ("there before", str(made.there)),
                ("made by others", str(made.elsewhere)),
                ("results", str(args.output / "runs")),
            ]
        )
        return 0


command = EvidenceCommand()
