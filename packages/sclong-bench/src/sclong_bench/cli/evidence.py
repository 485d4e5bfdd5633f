"""``sclong bench evidence``: pretrain tiny models and their ablations, and measure them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import messages, print_facts
from sclong_core.files import atomic_file

if TYPE_CHECKING:
    from sclong_bench.evidence.suite import EvidenceSuite


class EvidenceCommand:
    """Pretrains all variants with all seeds; see :mod:`sclong_bench.evidence`."""

    help = "pretrain tiny models and the paper's ablations of them on real cells; measure each"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare where the data is and where results go."""
        parser.description = (
            "Pretrain a tiny scLong and the paper's ablations of it at equal budget, measure each "
            "on cells and data sets that it has never seen, and write a report. Makes what is "
            "missing: killed at any moment it goes on when started again, and several of it may "
            "work on one folder. --from makes the pages anew from results that are there."
        )
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--data", type=Path, metavar="FOLDER", help="of the original files")
        what.add_argument(
            "--from",
            type=Path,
            dest="collected",
            metavar="FOLDER",
            help="with the tables of an earlier run, as rows.parquet: nothing is run",
        )
        parser.add_argument(
            "--output",
            type=Path,
            default=Path("evidence"),
            metavar="FOLDER",
            help="for prepared data, checkpoints, results and report (default: evidence)",
        )
        parser.add_argument(
            "--suite", type=Path, metavar="FILE.yaml", help="another than the package's own"
        )
        parser.add_argument(
            "--html", type=Path, metavar="FILE", help="the report (default: in the output folder)"
        )
        parser.add_argument(
            "--page", type=Path, metavar="FILE.md", help="also fill the blocks of a page of words"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Make what is missing, and the pages."""
        from sclong_bench.evidence.collect import (  # noqa: PLC0415  # keeps --help fast
            collect,
            read_collected,
        )
        from sclong_bench.evidence.page import evidence_of, write_evidence  # noqa: PLC0415
        from sclong_bench.evidence.suite import read_evidence_suite  # noqa: PLC0415
        from sclong_bench.evidence.words import filled_page  # noqa: PLC0415
        from sclong_data.outputs import require_output  # noqa: PLC0415
        from sclong_data.report.page import is_page  # noqa: PLC0415

        suite = read_evidence_suite(args.suite)
        html = args.html or args.output / "evidence.html"
        inputs = [path for path in (args.suite, args.page) if path is not None]
        require_output(html, inputs, ours=is_page)
        if args.data is not None:
            self._make(suite, args)
            collect(suite, args.output)
        collected = read_collected(args.output if args.data is not None else args.collected)
        html.parent.mkdir(parents=True, exist_ok=True)
        write_evidence(html, collected, suite)
        written = [html]
        if args.page is not None:
            before, evidence = args.page.read_text("utf-8"), evidence_of(collected)
            text = filled_page(before, evidence, suite, collected.coverage)
            with atomic_file(args.page) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(args.page)
        print_facts([("written", ", ".join(map(str, written)))])
        return 0

    def _make(self, suite: "EvidenceSuite", args: argparse.Namespace) -> None:
        from sclong_bench.evidence.run import (  # noqa: PLC0415  # keeps --help fast
            prepare_evidence,
            run_evidence,
        )

        prepared = prepare_evidence(suite, args.data, args.output)  # its commands say what they do
        with messages():
            made = run_evidence(suite, prepared, args.output)
        print_facts(
            [
                ("made now", str(made.made)),
                ("there before", str(made.there)),
                ("there before, measured by what was new", str(made.measured)),
                ("made by others", str(made.elsewhere)),
            ]
        )


command = EvidenceCommand()
