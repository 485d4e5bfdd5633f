"""``sclong export``: a student as ONNX, for a browser or any other place without Python."""

import argparse
from pathlib import Path

from sclong_core.cli.terminal import print_facts


class ExportCommand:
    """Exports a student; see :mod:`sclong_core.distillation.export`."""

    help = "write a student as ONNX: vectors of cells in a browser, without Python"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare student and folder."""
        parser.description = (
            "Write a student of `sclong distill` as student.onnx, with the names of its genes in "
            "genes.json. The graph takes raw counts; its vectors are compared with the student's "
            "before the folder is written. Needs the extra sclong-core[onnx]."
        )
        parser.add_argument("student", type=Path, metavar="FOLDER", help="checkpoint of a student")
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write"
        )
        parser.add_argument(
            "--overwrite", action="store_true", help="replace an earlier export that is there"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Export, and say how near the graph is to the student."""
        from sclong_core.distillation.export import export_student  # noqa: PLC0415  # heavy

        found = export_student(args.student, args.output, overwrite=args.overwrite)
        size = sum(path.stat().st_size for path in found.folder.iterdir()) / 1e6
        print_facts(
            [
                ("exported", f"{found.folder} ({size:.1f} MB)"),
                ("least cosine with PyTorch", f"{found.cosine:.6f}"),
            ]
        )
        return 0


command = ExportCommand()
