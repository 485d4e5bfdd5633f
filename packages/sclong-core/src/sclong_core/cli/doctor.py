"""``sclong doctor``: what a checkpoint needs, told from real cells."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table, print_text
from sclong_core.errors import InputError
from sclong_core.files import missing

if TYPE_CHECKING:
    from sclong_core.doctor import Diagnosis

_SHOWN = 5


class DoctorCommand:
    """Examines a checkpoint; see :mod:`sclong_core.doctor`."""

    help = "tell from real cells which input scale, genes and pool a checkpoint needs"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the checkpoint, the cells and what is known of them."""
        parser.description = (
            "Tell from real cells on which scale of its input the weights of a checkpoint were "
            "trained, how many genes and counts it knows, which pool keeps types or mixes "
            "batches best, and which command embeds the cells. Hidden values are reconstructed "
            "on every scale; the scale is the one on which that succeeds."
        )
        parser.add_argument(
            "checkpoint", nargs="?", metavar="CHECKPOINT",
            help="folder or hub id (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument("cells", type=Path, metavar="CELLS", help="a file of cells")
        parser.add_argument("--revision", help="branch, tag or commit of a checkpoint on the hub")
        parser.add_argument("--by", metavar="COLUMN", help="types in obs: which pool keeps them")
        parser.add_argument(
            "--batch", metavar="COLUMN", help="batches in obs: which pool mixes them"
        )
        parser.add_argument(
            "--scale-cells", type=int, default=64, metavar="N",
            help="cells that the scale is told from (default: 64)",
        )  # fmt: skip
        parser.add_argument(
            "--pool-cells", type=int, default=300, metavar="N",
            help="cells that pools are compared on (default: 300)",
        )  # fmt: skip
        parser.add_argument(
            "--save", type=Path, metavar="FOLDER",
            help="write the checkpoint again with the scale that its weights were trained on",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace that folder")
        add_reading(parser, refuses_poor_match=False)
        parser.add_argument("--batch-size", type=int, default=8, metavar="CELLS")
        parser.add_argument("--device", default="auto")

    def run(self, args: argparse.Namespace) -> int:
        """Examine, and print what was found."""
        with messages():
            _doctor(args)
        return 0


def _doctor(args: argparse.Namespace) -> None:
    from sclong_core.checkpoint import check_replaceable, resolve_checkpoint  # noqa: PLC0415  # heavy
    from sclong_core.doctor.cells import diagnose, save_rescaled  # noqa: PLC0415
    from sclong_core.model import ScLong  # noqa: PLC0415

    if not args.cells.exists():
        raise InputError(f"{args.cells} {missing(args.cells)}: check the name")
    if args.save is not None:
        check_replaceable(args.save, overwrite=args.overwrite)
    folder = resolve_checkpoint(args.checkpoint, revision=args.revision)
    model = ScLong.from_pretrained(folder, device=args.device)
    found = diagnose(
        model,
        args.cells,
        by=args.by,
        batch=args.batch,
        scale_cells=args.scale_cells,
        pool_cells=args.pool_cells,
        batch_size=args.batch_size,
        progress=is_interactive(),
        reading=reading_of(args),
    )
    _print(found, args)
    if args.save is not None:
        save_rescaled(model, found, args.save, source=str(folder), overwrite=args.overwrite)


def _print(found: "Diagnosis", args: argparse.Namespace) -> None:
    from sclong_core.doctor.cells import embed_command  # noqa: PLC0415  # heavy

    print_table(
        ("input scale", "hidden values explained (R2)", "95% interval", "best in draws of cells"),
        (
            (one.scale.name, f"{one.r2:.3f}", f"{one.low:.3f} to {one.high:.3f}", f"{one.best:.0%}")
            for one in found.scales[:_SHOWN]
        ),
    )
    if found.pools:
        print_table(
            ("pool", "types kept", "best in draws", "batches mixed", "best in draws"),
            (
                (
                    one.pool,
                    *map(_share, (one.types, one.best_types)),
                    _number(one.mixing),
                    _share(one.best_mixing),
                )
                for one in found.pools
            ),
        )
    print_facts(_facts(found))
    checkpoint = args.checkpoint
    if found.scale is not None and not found.agrees and found.scale.input is not None:
        checkpoint = "FOLDER" if args.save is None else str(args.save)
    print_text(embed_command(found, args.cells, checkpoint, reading=reading_of(args)))


def _facts(found: "Diagnosis") -> Iterator[tuple[str, str]]:
    yield "checkpoint says", found.own.name
    yield "weights say", _verdict(found)
    words = f"{found.matched:,} of {found.genes:,} genes, {found.counts:.1%} of the counts"
    yield "known", words
    words = (
        f"{found.by_other_name:,} of these genes, {found.counts_by_other_name:.1%} of the counts"
    )
    yield "by synonyms", f"{words}: they are matched by themselves"
    if not found.pools:
        yield "pools", "not compared: name types with --by, or batches with --batch"
        return
    if found.chance == found.chance:  # not NaN
        yield "types by chance", f"{found.chance:.1%}, the commonest type"
    if found.pool is None:
        yield "pool", "none is the best beyond chance: the model's own rule is kept"
    else:
        yield "pool", f"{found.pool}: the best in at least 95% of draws of cells"


def _verdict(found: "Diagnosis") -> str:
    if found.scale is None:
        return _doubt(found)
    if found.agrees:
        return f"the same (R2 {next(s.r2 for s in found.scales if s.scale == found.scale):.3f})"
    if found.scale.input is None:
        return (
            f"{found.scale.name}, which no checkpoint can name: write such values into a layer, "
            "and embed it with --matrix and --normalisation log1p, which takes values as they are"
        )
    return f"{found.scale.name}: the checkpoint is wrong; --save FOLDER writes it with this scale"


def _doubt(found: "Diagnosis") -> str:
    """Why no scale was recognised."""
    from sclong_core.doctor.scales import CONVINCING  # noqa: PLC0415  # heavy

    first = found.scales[0]
    if first.r2 <= 0:
        return (
            "nothing: on no scale are hidden values explained better than by their mean. The model "
            "may be untrained, or these cells unlike those of its training: try other cells"
        )
    if found.partial:
        return (
            f"not the same (best {first.scale.name}), but these cells hold only {found.genes:,} "
            "genes, whose counts do not sum to those of a whole cell: give cells with all genes"
        )
    if found.shallow:
        return (
            f"not clear: {first.scale.name} fits best, but these cells hold only "
            f"{found.depth:,.0f} counts. Shallow cells look like deeper ones on a smaller scale: "
            "give deeper cells"
        )
    if first.r2 < CONVINCING:
        return (
            f"not clear: {first.scale.name} fits best, but explains only {first.r2:.0%} of the "
            "spread, too little to contradict the checkpoint. These cells may be unlike those of "
            "its training: try other cells"
        )
    return "one of several that fit as well: see the table; give more with --scale-cells"


def _share(value: float) -> str:
    return "" if value != value else f"{value:.0%}"  # noqa: PLR0124  # NaN


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"  # noqa: PLR0124  # NaN


command = DoctorCommand()
