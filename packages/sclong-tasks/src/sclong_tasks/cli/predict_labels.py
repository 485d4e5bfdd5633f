"""``sclong predict``: labels of new cells by a classifier that ``sclong finetune`` trained."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError
from sclong_tasks.cli.places import check_output, check_rates

if TYPE_CHECKING:
    from sclong_tasks.finetuning import Prediction
    from sclong_tasks.finetuning.scores import Scores

_LOG = logging.getLogger("sclong")
_MANY_UNKNOWN = 0.2


class PredictCommand:
    """Predicts labels; see :mod:`sclong_tasks.finetuning`."""

    help = "predict labels of cells with a classifier of `sclong finetune`"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare cells, classifier and output."""
        parser.description = (
            "Predict the label of each cell of an .h5ad file with a folder that `sclong finetune` "
            "wrote: the most probable label, the probability of every label, the labels that "
            "cannot be ruled out, and whether the cell is unlike those trained on."
        )
        parser.add_argument("cells", type=Path, metavar="CELLS.h5ad")
        parser.add_argument(
            "--model", type=Path, required=True, metavar="FOLDER",
            help="a classifier that `sclong finetune` wrote",
        )  # fmt: skip
        parser.add_argument(
            "-o", "--output", type=Path, required=True,
            help=".h5ad: the cells with columns in obs; .csv, .tsv or .parquet: a table",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an output")
        parser.add_argument(
            "--truth", metavar="COLUMN", help="true labels of the cells: print how well they agree"
        )
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the base model, where the classifier was trained on one in a folder",
        )  # fmt: skip
        parser.add_argument(
            "--coverage", type=float, default=0.95, metavar="SHARE",
            help="share of label sets that contain the true label (default: 0.95)",
        )  # fmt: skip
        parser.add_argument(
            "--false-unknown", type=float, default=0.05, metavar="SHARE",
            help="of cells like those trained on, to be called unknown (default: 0.05)",
        )  # fmt: skip
        parser.add_argument("--batch-size", type=int, default=32, metavar="CELLS")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Predict, write, and print what was found."""
        with messages():
            _predict(args)
        return 0


def _predict(args: argparse.Namespace) -> None:
    _check(args)
    from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_tasks.annotation.vectors import keep_vectors  # noqa: PLC0415  # heavy
    from sclong_tasks.cells import obs_column, read_h5ad  # noqa: PLC0415
    from sclong_tasks.finetuning import Classifier  # noqa: PLC0415
    from sclong_tasks.finetuning.prediction import (  # noqa: PLC0415
        Reader,
        agreement_with,
        prediction_table,
        require_free_columns,
        write_prediction,
    )
    from sclong_tasks.predict import write_table  # noqa: PLC0415

    known = Classifier.load(args.model)
    reader = Reader(
        known, args.checkpoint, batch_size=args.batch_size, device=args.device,
        progress=is_interactive(),
    )  # fmt: skip
    cells = read_h5ad(args.cells)
    if args.output.suffix == ".h5ad" and not args.overwrite:
        require_free_columns(cells, args.cells)
    if args.truth is not None:  # before anything is embedded
        obs_column(cells.obs, [args.truth], "--truth", args.cells)
    vectors = reader.vectors_of(cells, str(args.cells), reading_of(args))
    told = known.predict_vectors(
        vectors.vectors, coverage=args.coverage, false_unknown=args.false_unknown
    )
    agreement = None
    if args.truth is not None:
        agreement = agreement_with(cells, told, args.truth, args.cells)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix != ".h5ad":
        write_table(prediction_table(told, cells.obs_names), args.output)
    else:
        write_prediction(cells, told, known, agreement)
        if known.method == "head":
            keep_vectors(cells, vectors)
        with atomic_file(args.output, overwrite=args.overwrite) as temporary:
            cells.write_h5ad(temporary)
    _warn(told)
    counts = told.table()["label"].value_counts()
    print_table(("label", "cells"), ((str(name), f"{count:,}") for name, count in counts.items()))
    print_facts(_facts(told, agreement, args))


def _check(args: argparse.Namespace) -> None:
    check_rates(args)
    if args.batch_size < 1:
        raise ConfigError(f"--batch-size must be a positive integer, not {args.batch_size}")
    check_output(args.output, cells=args.cells, overwrite=args.overwrite)


def _warn(told: "Prediction") -> None:
    share = told.unknown.mean()
    if share > max(_MANY_UNKNOWN, 2 * told.false_unknown):
        _LOG.warning(
            "%.0f%% of the cells are unlike those trained on, by distance: another technology, "
            "tissue or state, or types that were not learned. Stated probabilities and label sets "
            "are too sure of such cells; check some with --truth",
            100 * share,
        )


def _facts(
    told: "Prediction", agreement: "Scores | None", args: argparse.Namespace
) -> Iterator[tuple[str, str]]:
    from sclong_tasks.finetuning.scores import lines  # noqa: PLC0415  # heavy

    yield "probability", f"{told.probabilities.max(1).mean():.3f} on average, of the label"
    words = f"{told.contained.sum(1).mean():.2f} labels a cell, for a coverage of {told.coverage:g}"
    yield "label sets", f"{words} of cells like those trained on"
    words = f"{told.unknown.mean():.1%} of the cells; of cells like those trained on at most "
    yield "unknown", f"{words}{told.false_unknown:.1%}"
    if agreement is not None:
        yield from lines(agreement.record())
    elif args.truth is not None:
        yield "agreement", "no true label is one that was learned: check how labels are spelled"
    yield "written", str(args.output)


command = PredictCommand()
