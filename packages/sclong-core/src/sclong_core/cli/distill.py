"""``sclong distill``: a small, fast student of a model."""

import argparse
import logging
import time
from pathlib import Path

from sclong_core.cli.terminal import is_interactive, messages, print_facts
from sclong_core.errors import ScLongError

_LOG = logging.getLogger("sclong")


class DistillCommand:
    """Distils a student; see :mod:`sclong_core.distillation`."""

    help = "distil a small, fast student from a model: vectors of cells on a laptop"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare teacher, cells, student, and how it is trained."""
        parser.description = (
            "Embed cells with a teacher, then train a student that predicts its vectors from the "
            "cells, thinned and cut to panels of genes. The student is a checkpoint folder for "
            "`sclong embed` and `sclong annotate`."
        )
        parser.add_argument(
            "--teacher",
            metavar="FOLDER_OR_HUB_ID",
            help="checkpoint to learn from (default: mini, the model that comes with the package)",
        )
        parser.add_argument(
            "--cells", nargs="+", type=Path, required=True, metavar="FILE", help="cells to learn on"
        )
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="FOLDER", help="checkpoint to write"
        )
        parser.add_argument(
            "--work",
            type=Path,
            metavar="FOLDER",
            help="for the teacher's vectors and unfinished training; it stays (default: the "
            "output with .work)",
        )
        parser.add_argument(
            "--steps", type=int, default=1_000, help="of training (default: %(default)s)"
        )
        parser.add_argument(
            "--train-batch-size",
            type=int,
            default=128,
            metavar="CELLS",
            help="cells of a step of training (default: %(default)s)",
        )
        parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
        parser.add_argument(
            "--batch-size",
            type=int,
            default=32,
            metavar="CELLS",
            help="cells at a time for the teacher (default: %(default)s)",
        )
        parser.add_argument(
            "--device", default="auto", help="cpu, cuda, ...; by default a GPU if any"
        )
        parser.add_argument(
            "--allow-other-species", action="store_true", help="as of `sclong embed`"
        )
        parser.add_argument("--allow-poor-match", action="store_true", help="as of `sclong embed`")
        parser.add_argument("--resume", action="store_true", help="go on with unfinished training")
        parser.add_argument(
            "--overwrite", action="store_true", help="replace the student if it is there"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Distil, and print what came of it."""
        with messages():
            try:
                return _distil(args)
            except KeyboardInterrupt:
                _LOG.warning("interrupted: run the same command with --resume to continue")
                raise


def _distil(args: argparse.Namespace) -> int:
    if args.seed < 0:
        raise ScLongError(f"--seed must not be negative, not {args.seed}")
    from sclong_core.checkpoint_names import resolve_checkpoint  # noqa: PLC0415  # heavy
    from sclong_core.distillation.distil import distil  # noqa: PLC0415  # heavy
    from sclong_core.distillation.module import DistillOptions  # noqa: PLC0415  # heavy
    from sclong_core.embedding.jobs import EmbedOptions  # noqa: PLC0415  # heavy

    begun = time.monotonic()
    found = distil(
        resolve_checkpoint(args.teacher),
        args.cells,
        args.output,
        args.work or args.output.with_name(f"{args.output.name}.work"),
        DistillOptions(steps=args.steps, batch_size=args.train_batch_size, seed=args.seed),
        EmbedOptions(
            batch_size=args.batch_size,
            reading={
                "allow_other_species": args.allow_other_species,
                "allow_poor_match": args.allow_poor_match,
            },
            resume=args.resume,
            overwrite=args.overwrite,
            progress=is_interactive(),
        ),
        device=args.device,
    )
    size = sum(path.stat().st_size for path in found.student.iterdir()) / 1e6
    print_facts(
        [
            ("student", f"{found.student} ({size:.1f} MB)"),
            ("cells", f"{found.cells:,}"),
            ("cosine with the teacher", f"{found.cosine:.3f} on cells not trained with"),
            ("the same at a tenth of the counts", f"{found.shallow_cosine:.3f}"),
            ("time", f"{time.monotonic() - begun:,.0f} s"),
        ]
    )
    return 0


command = DistillCommand()
