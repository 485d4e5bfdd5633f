"""``sclong finetune``: a classifier of cells from labelled ones."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError, InputError
from sclong_tasks.cli.places import FORMATS

if TYPE_CHECKING:
    from sclong_tasks.finetuning import Classifier


class FinetuneCommand:
    """Trains a classifier; see :mod:`sclong_tasks.finetuning`."""

    help = "train a classifier of cells on labelled cells"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, labels, method and output."""
        parser.description = (
            "Train a classifier on the labelled cells of an .h5ad file: a head on the model's "
            "vectors, low-rank adapters in the model (lora), or all of its weights (full). A fifth "
            "of the cells is held out, and scores the result beside chance. The output is a folder "
            "that `sclong predict` uses."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        parser.add_argument("--label", required=True, metavar="COLUMN", help="of obs, to predict")
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="FOLDER", help="to write"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace a classifier")
        parser.add_argument(
            "--method", choices=("head", "lora", "full"), default="head",
            help="what is trained (default: head)",
        )  # fmt: skip
        parser.add_argument(
            "--group", metavar="COLUMN",
            help="of obs: donors or studies, none of which is on both sides of the split",
        )  # fmt: skip
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the base model (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument(
            "--class-weights", choices=("balanced", "none"), default="balanced",
            help="each label counts the same in the loss (default), or each cell",
        )  # fmt: skip
        _add_training(parser)
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Train, save, and print scores."""
        with messages():
            _finetune(args)
        return 0


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is trained")
    group.add_argument("--epochs", type=int, default=100, help="at most (default: 100)")
    group.add_argument(
        "--patience", type=int, default=5, metavar="EPOCHS",
        help="without a lower validation loss before training stops (default: 5)",
    )  # fmt: skip
    group.add_argument(
        "--learning-rate", type=float, metavar="RATE",
        help="default: 0.01 (head), 0.001 (lora), 0.0001 (full)",
    )  # fmt: skip
    group.add_argument(
        "--batch-size", type=int, metavar="CELLS", help="a step; default: at most 64"
    )
    group.add_argument(
        "--hidden", type=int, default=0, metavar="WIDTH",
        help="of a layer in the head (default: 0, a linear head)",
    )  # fmt: skip
    group.add_argument("--lora-rank", type=int, default=8, metavar="RANK", help="(default: 8)")
    group.add_argument(
        "--seed", type=int, default=0, help="of split, first weights and order (default: 0)"
    )
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )


def _finetune(args: argparse.Namespace) -> None:
    if args.output.suffix in FORMATS:
        raise ConfigError(f"{args.output}: the output is a folder; give a name without an ending")
    if args.output.exists() and not args.overwrite:
        raise InputError(
            f"{args.output} already exists: choose another name, or replace it with --overwrite"
        )
    from sclong_tasks.cells import read_h5ad  # noqa: PLC0415  # heavy
    from sclong_tasks.finetuning import FinetuneOptions, finetune  # noqa: PLC0415
    from sclong_tasks.finetuning.classifier import require_replaceable  # noqa: PLC0415

    require_replaceable(args.output, overwrite=args.overwrite)
    options = FinetuneOptions(
        args.method, args.class_weights, args.epochs, args.patience, args.learning_rate,
        args.batch_size, args.hidden, args.lora_rank,
    )  # fmt: skip
    made = finetune(
        read_h5ad(args.cells),
        args.label,
        group=args.group,
        checkpoint=args.checkpoint,
        options=options,
        seed=args.seed,
        device=args.device,
        progress=is_interactive(),
        source=args.cells.name,
        **reading_of(args),
    )
    made.save(args.output, overwrite=args.overwrite)
    print_table(("label", "held-out cells", "recall", "precision"), _by_label(made))
    print_facts([*_facts(made), ("written", str(args.output))])


def _by_label(made: "Classifier") -> Iterator[tuple[str, ...]]:
    for one in made.facts["by_label"]:
        shares = ("-" if one[n] is None else f"{one[n]:.3f}" for n in ("recall", "precision"))
        yield (one["label"], f"{one['cells']:,}", *shares)


def _facts(made: "Classifier") -> Iterator[tuple[str, str]]:
    from sclong_tasks.finetuning.scores import lines  # noqa: PLC0415  # heavy

    facts = made.facts
    split, training = facts["split"], facts["training"]
    sizes = split["cells"]
    words = (
        f"{sizes['train']:,} cells trained on, {sizes['validation']:,} stopped the training, "
        f"{sizes['test']:,} held out"
    )
    if facts["group"] is None:
        yield "split", f"{words}, each label in the same shares"
    else:
        groups = ", ".join(facts["held_out_groups"][:8])
        more = len(facts["held_out_groups"]) - 8
        yield "split", f"{words}: {facts['group']} {groups}{f' and {more} more' * (more > 0)}"
    yield (
        "training",
        f"{made.method}, best of {training['epochs']} epochs: {training['best_epoch']}",
    )
    yield from lines(facts["scores"])
    words = (
        f"hold the true label for {facts['covered']:.1%} of held-out cells (stated: "
        f"{facts['coverage']:.0%}); {facts['falsely_unknown']:.1%} are called unknown"
    )
    yield "label sets", words


command = FinetuneCommand()
