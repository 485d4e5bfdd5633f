"""``sclong annotate``: labels for cells from a labelled reference."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError, InputError

if TYPE_CHECKING:
    import anndata

    from sclong_tasks.annotation.agreement import Agreement
    from sclong_tasks.annotation.reference import Reference
    from sclong_tasks.annotation.transfer import Annotation
    from sclong_tasks.annotation.vectors import CellVectors, Embedder

_LOG = logging.getLogger("sclong")
_PREFIX = "sclong_"
_RECORD = "sclong_annotation"
_FORMATS = (".h5ad", ".csv", ".tsv", ".parquet")


class AnnotateCommand:
    """Tells labels; see :mod:`sclong_tasks.annotation`."""

    help = "tell the types of cells from a labelled reference"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare query, reference and output."""
        parser.description = (
            "Tell the label of each cell by its nearest cells in a labelled reference, with a set "
            "of labels that holds the true one with a stated coverage, and 'unknown' where none "
            "fits or the cell is unlike the reference. Files are .h5ad; a reference may be kept as "
            "a small folder and handed on."
        )
        parser.add_argument("query", type=Path, metavar="QUERY.h5ad")
        parser.add_argument(
            "--reference", type=Path, required=True, metavar="PATH",
            help="labelled cells, or a folder that --save-reference wrote",
        )  # fmt: skip
        parser.add_argument("--label", metavar="COLUMN", help="of the reference's obs")
        parser.add_argument(
            "-o", "--output", type=Path, required=True,
            help=".h5ad: the query with columns in obs; .csv, .tsv or .parquet: a table",
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an output")
        parser.add_argument(
            "--save-reference",
            type=Path,
            metavar="FOLDER",
            help="keep the reference: vectors and labels",
        )
        parser.add_argument(
            "--truth", metavar="COLUMN", help="true labels of the query: print how far they agree"
        )
        parser.add_argument(
            "--coverage", type=float, default=0.95, metavar="SHARE",
            help="of the sets of labels (default: 0.95)",
        )  # fmt: skip
        parser.add_argument(
            "--no-shift",
            action="store_true",
            help="call cells unknown by their distance as it is, although a query of another study "
            "lies farther from the reference as a whole",
        )
        parser.add_argument("--key", help="use this obsm of both files in place of embedding them")
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="the model that embeds (default: mini, which comes with the package)",
        )  # fmt: skip
        parser.add_argument(
            "--allow-poor-match", action="store_true",
            help="embed cells although the model knows less than half of their counts",
        )  # fmt: skip
        parser.add_argument("--seed", type=int, default=0, help="draws the cells that calibrate")
        parser.add_argument("--batch-size", type=int, default=32, metavar="CELLS")
        parser.add_argument("--device", default="auto")

    def run(self, args: argparse.Namespace) -> int:
        """Annotate, write, and print what was found."""
        with messages():
            _annotate(args)
        return 0


def _annotate(args: argparse.Namespace) -> None:
    _check(args)
    from sclong_tasks.annotation.agreement import check_reference, compare_labels  # noqa: PLC0415  # heavy
    from sclong_tasks.annotation.transfer import annotate  # noqa: PLC0415
    from sclong_tasks.annotation.vectors import Embedder, require_same_encoder  # noqa: PLC0415
    from sclong_tasks.cells import obs_column, read_h5ad  # noqa: PLC0415

    query = read_h5ad(args.query, needs_genes=args.key is None)
    _require_free_columns(query, args)
    truth = None
    if args.truth is not None:
        truth = obs_column(query.obs, [args.truth], "--truth", args.query)
    embedder = None
    if args.key is None:
        embedder = Embedder(
            args.checkpoint,
            batch_size=args.batch_size,
            device=args.device,
            allow_poor_match=args.allow_poor_match,
            progress=is_interactive(),
        )
    reference = _reference(args, embedder)
    vectors = _vectors(query, args.query, args, embedder)
    require_same_encoder(vectors, reference.encoder)
    if args.save_reference is not None:
        reference.save(args.save_reference, overwrite=args.overwrite)
    found = annotate(
        vectors.vectors, reference, coverage=args.coverage, allow_shift=not args.no_shift
    )
    agreement = None if truth is None else compare_labels(found, truth, reference)
    expected = check_reference(reference, coverage=args.coverage)
    _write(query, found, reference, args)
    _print(found, expected, agreement, args)


def _check(args: argparse.Namespace) -> None:
    if args.output.suffix not in _FORMATS:
        raise ConfigError(f"{args.output} must end in {', '.join(_FORMATS)}")
    if not 0 < args.coverage < 1:
        raise ConfigError(f"--coverage must be above 0 and below 1, not {args.coverage}")
    for path in (args.output, args.save_reference):
        if path is not None and path.exists() and not args.overwrite:
            raise InputError(
                f"{path} already exists: choose another name, or replace it with --overwrite"
            )
    inputs = [args.query, args.reference]
    if args.output.exists() and any(
        path.exists() and path.samefile(args.output) for path in inputs
    ):
        raise InputError(f"{args.output} is an input: choose another name for the output")
    if args.reference.is_dir():
        from sclong_tasks.annotation.reference import is_reference  # noqa: PLC0415  # heavy

        if not is_reference(args.reference):
            raise InputError(
                f"{args.reference} is a folder but no reference: give labelled cells as .h5ad, or "
                "a folder that --save-reference wrote"
            )
        if args.label is not None:
            raise ConfigError("--label goes with a reference of cells; a folder has its labels")
    elif args.label is None:
        raise ConfigError("--label is missing: the column of the reference's obs with the labels")


def _require_free_columns(query: "anndata.AnnData", args: argparse.Namespace) -> None:
    from sclong_tasks.annotation.transfer import COLUMNS  # noqa: PLC0415  # heavy

    taken = [name for name in COLUMNS if f"{_PREFIX}{name}" in query.obs]
    if taken and args.output.suffix == ".h5ad" and not args.overwrite:
        raise InputError(
            f"{args.query} already has the column {_PREFIX}{taken[0]}: replace it with "
            "--overwrite, or write a table"
        )


def _reference(args: argparse.Namespace, embedder: "Embedder | None") -> "Reference":
    from sclong_tasks.annotation.reference import Reference  # noqa: PLC0415  # heavy
    from sclong_tasks.cells import obs_column, read_h5ad  # noqa: PLC0415

    if args.reference.is_dir():
        return Reference.load(args.reference)
    cells = read_h5ad(args.reference, needs_genes=args.key is None)
    labels = obs_column(cells.obs, [args.label], "--label", args.reference)
    vectors = _vectors(cells, args.reference, args, embedder)
    return Reference.fit(
        vectors.vectors,
        labels,
        encoder=vectors.encoder,
        source=args.reference.name,
        seed=args.seed,
    )


def _vectors(
    cells: "anndata.AnnData", path: Path, args: argparse.Namespace, embedder: "Embedder | None"
) -> "CellVectors":
    from sclong_tasks.annotation.vectors import stored_vectors  # noqa: PLC0415  # heavy

    if embedder is None:
        return stored_vectors(cells, args.key, path)
    return embedder.vectors_of(cells, path)


def _write(
    query: "anndata.AnnData", found: "Annotation", reference: "Reference", args: argparse.Namespace
) -> None:
    from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps sclong --help fast

    table = found.table()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix != ".h5ad":
        from sclong_tasks.predict import write_table  # noqa: PLC0415  # heavy

        table.insert(0, "cell", query.obs_names.astype(str))
        write_table(table, args.output)
        return
    for name in table:
        query.obs[f"{_PREFIX}{name}"] = table[name].to_numpy()
    query.uns[_RECORD] = _record(found, reference)
    with atomic_file(args.output) as temporary:
        query.write_h5ad(temporary)


def _record(found: "Annotation", reference: "Reference") -> dict[str, object]:
    """Where the labels come from."""
    from importlib.metadata import version  # noqa: PLC0415  # keeps sclong --help fast

    from sclong_tasks.annotation.transfer import NEIGHBOURS  # noqa: PLC0415

    return {
        "sclong_version": version("sclong-tasks"),
        "reference": reference.source,
        "encoder": reference.encoder,
        "labels": list(reference.labels),
        "reference_cells": len(reference.codes),
        "coverage": found.coverage,
        "neighbours": NEIGHBOURS,
    }


def _print(
    found: "Annotation",
    expected: "Agreement",
    agreement: "Agreement | None",
    args: argparse.Namespace,
) -> None:
    told = found.table()["label"].value_counts()
    print_table(("label", "cells"), ((str(name), f"{count:,}") for name, count in told.items()))
    if agreement is not None:
        frame = agreement.confusion
        rows = zip(frame.index, frame.to_numpy(), strict=True)
        header = ("true \\ told", *map(str, frame.columns))
        print_table(header, ((str(name), *map(str, row)) for name, row in rows))
    print_facts(_facts(found, expected, agreement, args))


def _facts(
    found: "Annotation",
    expected: "Agreement",
    agreement: "Agreement | None",
    args: argparse.Namespace,
) -> Iterator[tuple[str, str]]:
    words = (
        f"of {expected.cells:,} of its cells that do not vote, {expected.accuracy:.1%} are told "
        f"right (macro-F1 {expected.macro_f1:.3f}); the commonest label alone would be right for "
        f"{expected.chance:.1%}"
    )
    yield "reference", words
    far = f"its middle cell lies {found.shift:.2f} times as far as one of the reference"
    allowed = "not allowed for" if args.no_shift else "allowed for"
    yield "query", f"{far}, which is {allowed}" if found.shift > 1 else far
    sizes = found.contained.sum(1)
    yield "labels a cell", f"{sizes.mean():.2f} on average, for a coverage of {found.coverage:g}"
    if agreement is not None and agreement.cells:
        words = (
            f"{agreement.accuracy:.1%} of {agreement.cells:,} cells (macro-F1 "
            f"{agreement.macro_f1:.3f}; the commonest label alone {agreement.chance:.1%}); the set "
            f"holds the true label for {agreement.covered:.1%}"
        )
        yield "agreement", words
    if agreement is not None and agreement.foreign:
        words = (
            f"{agreement.foreign:,} cells have a label that the reference lacks: "
            f"{agreement.called_unknown:.1%} of them are called unknown (AUROC of familiarity "
            f"{agreement.auroc_unknown:.3f})"
        )
        yield "foreign labels", words
    yield "written", str(args.output)
    if args.save_reference is not None:
        yield "reference kept", str(args.save_reference)


command = AnnotateCommand()
