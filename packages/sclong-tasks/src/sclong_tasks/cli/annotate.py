"""``sclong annotate``: labels for cells from a labelled reference."""

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.embed import add_reading, reading_of
from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ConfigError, InputError
from sclong_core.progress import progress_bars
from sclong_tasks.cli.places import check_output, check_rates

if TYPE_CHECKING:
    import anndata
    import pandas as pd

    from sclong_tasks.annotation.agreement import Agreement
    from sclong_tasks.annotation.reference import Reference
    from sclong_tasks.annotation.transfer import Annotation
    from sclong_tasks.annotation.vectors import CellVectors, Embedder

_LOG = logging.getLogger("sclong")
_SHOWN = 5
_FAR = 1.25
"""How much farther than the reference's own cells a query may lie before that is warned of."""


class AnnotateCommand:
    """Tells labels; see :mod:`sclong_tasks.annotation`."""

    help = "label cells from an annotated reference"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare query, reference and output."""
        parser.description = (
            "Label each cell by its nearest cells in an annotated reference, with a "
            "set of labels at a stated coverage, and 'unknown' for cells that differ "
            "from the reference. Files are .h5ad. You can save a reference as a small "
            "folder and share it."
        )
        parser.add_argument("query", type=Path, metavar="QUERY.h5ad")
        parser.add_argument(
            "--reference", type=Path, required=True, metavar="PATH",
            help="labelled cells, or a folder that --save-reference wrote",
        )  # fmt: skip
        parser.add_argument(
            "--label", metavar="COLUMN", help="column of labels in the reference's obs"
        )
        parser.add_argument(
            "--batch", metavar="COLUMN",
            help=(
"column of donors or libraries in the reference's obs; each is labelled "
"from the others to calibrate the result for a new batch"
),
        )  # fmt: skip
        parser.add_argument(
            "-o", "--output", type=Path, required=True,
            help=(
"output: .h5ad for the query with new columns in obs; .csv, .tsv or "
".parquet for a table"
),
        )  # fmt: skip
        parser.add_argument("--overwrite", action="store_true", help="replace an existing output")
        parser.add_argument(
            "--save-reference", type=Path, metavar="FOLDER",
            help="folder to save the reference to: vectors and labels",
        )  # fmt: skip
        parser.add_argument(
            "--truth",
            metavar="COLUMN",
            help="column of true labels in the query; print the agreement",
        )
        parser.add_argument(
            "--coverage", type=float, default=0.95, metavar="SHARE",
            help="share of label sets that contain the true label (default: 0.95)",
        )  # fmt: skip
        parser.add_argument(
            "--false-unknown", type=float, default=0.05, metavar="SHARE",
            help=(
"share of cells like those of the reference that may be called unknown "
"(default: 0.05)"
),
        )  # fmt: skip
        parser.add_argument(
            "--align-query", action="store_true",
            help=(
"centre the query on its own mean, and treat its median cell as being as "
"familiar as one of the reference; the answer for a cell then depends on "
"the other cells of the file"
),
        )  # fmt: skip
        parser.add_argument(
            "--ontology", type=Path, metavar="CL.obo",
            help=(
                "roll each set of labels up to the narrowest type of the Cell Ontology that holds "
                "all of it: columns sclong_broad_label and sclong_broad_term"
            ),
        )  # fmt: skip
        parser.add_argument("--key", help="use this obsm of both files instead of embedding them")
        parser.add_argument(
            "--checkpoint", metavar="FOLDER_OR_HUB_ID",
            help="model to embed with (default: mini, which ships with the package)",
        )  # fmt: skip
        parser.add_argument(
            "--seed", type=int, default=0, help="seed for drawing the calibration cells"
        )
        parser.add_argument("--batch-size", type=int, default=32, metavar="CELLS")
        parser.add_argument("--device", default="auto")
        add_reading(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Annotate, write, and print what was found."""
        with messages():
            _annotate(args)
        return 0


def _annotate(args: argparse.Namespace) -> None:
    _check(args)
    from sclong_tasks.annotation.agreement import compare_labels  # noqa: PLC0415  # heavy
    from sclong_tasks.annotation.cells import require_free_columns  # noqa: PLC0415
    from sclong_tasks.annotation.ontology import (  # noqa: PLC0415
        CellOntology,
        rolled_up,
        unknown_labels,
    )
    from sclong_tasks.annotation.transfer import annotate_vectors  # noqa: PLC0415
    from sclong_tasks.annotation.vectors import require_same_encoder  # noqa: PLC0415
    from sclong_tasks.cells import obs_column, read_h5ad  # noqa: PLC0415

    query = read_h5ad(args.query, needs_genes=args.key is None)
    if args.output.suffix == ".h5ad" and not args.overwrite:
        require_free_columns(query, args.query)
    truth = None
    if args.truth is not None:
        truth = obs_column(query.obs, [args.truth], "--truth", args.query)
    ontology = None if args.ontology is None else CellOntology.read(args.ontology)
    embedder = _embedder(args)
    reference = _reference(args, embedder, query)
    if ontology is not None and (without := unknown_labels(reference.labels, ontology)):
        _LOG.warning(
            "%s of %s labels are not in %s: sets that hold one are not rolled up: %s",
            len(without), len(reference.labels), args.ontology, ", ".join(without[:_SHOWN]),
        )  # fmt: skip
    vectors = _vectors(query, args.query, args, embedder)
    require_same_encoder(vectors, reference.encoder)
    if args.save_reference is not None:
        reference.save(args.save_reference, overwrite=args.overwrite)
    with _progress(query.n_obs) as progress:
        found = annotate_vectors(
            vectors.vectors,
            reference,
            coverage=args.coverage,
            false_unknown=args.false_unknown,
            align=args.align_query,
            progress=progress,
        )
    agreement = None if truth is None else compare_labels(found, truth)
    broad = None if ontology is None else rolled_up(found.labels, found.contained, ontology)
    _write(query, vectors, found, (reference, agreement, broad), args)
    _print(found, reference, agreement, args)


def _check(args: argparse.Namespace) -> None:
    check_rates(args)
    check_output(args.output, overwrite=args.overwrite)
    _check_inputs(args)
    _check_reference(args)


def _check_inputs(args: argparse.Namespace) -> None:
    if _same(args.query, args.reference):
        raise InputError(
            f"{args.query} is both query and reference: its cells would be labelled "
            "from themselves. Split it into two files"
        )
    for output in (args.output, args.save_reference):
        if output is not None and any(_same(output, one) for one in (args.query, args.reference)):
            raise InputError(f"{output} is an input: choose another name for the output")


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _check_reference(args: argparse.Namespace) -> None:
    from sclong_tasks.annotation.reference import is_reference, require_replaceable  # noqa: PLC0415

    if args.save_reference is not None:
        require_replaceable(args.save_reference, overwrite=args.overwrite)
    if not args.reference.is_dir():
        if args.label is None:
            raise ConfigError(
                "--label is missing: the column of the reference's obs with the labels"
            )
        return
    if not is_reference(args.reference):
        raise InputError(
            f"{args.reference} is a folder but not a reference: pass labelled cells as "
            ".h5ad, or a folder that --save-reference wrote"
        )
    for option in ("label", "batch"):
        if getattr(args, option) is not None:
            raise ConfigError(
                f"--{option} only works with a reference of cells: omit it, because a "
                "folder has its own"
            )


def _embedder(args: argparse.Namespace) -> "Embedder | None":
    from sclong_tasks.annotation.vectors import Embedder  # noqa: PLC0415  # heavy

    if args.key is not None:
        return None
    return Embedder(
        args.checkpoint,
        batch_size=args.batch_size,
        device=args.device,
        progress=is_interactive(),
        **reading_of(args),
    )


def _reference(
    args: argparse.Namespace, embedder: "Embedder | None", query: "anndata.AnnData"
) -> "Reference":
    from sclong_tasks.annotation.cells import fitted_reference  # noqa: PLC0415  # heavy
    from sclong_tasks.annotation.reference import Reference  # noqa: PLC0415
    from sclong_tasks.annotation.vectors import require_same_organism  # noqa: PLC0415
    from sclong_tasks.cells import obs_column, read_h5ad  # noqa: PLC0415

    if args.reference.is_dir():
        return Reference.load(args.reference)
    cells = read_h5ad(args.reference, needs_genes=args.key is None)
    for option in ("label", "batch"):  # before anything is embedded
        if getattr(args, option) is not None:
            obs_column(cells.obs, [getattr(args, option)], f"--{option}", args.reference)
    require_same_organism(query, cells)
    return fitted_reference(
        cells,
        _vectors(cells, args.reference, args, embedder),
        (args.label, args.batch),
        path=args.reference,
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


@contextmanager
def _progress(cells: int) -> Iterator[Callable[[int], None] | None]:
    if not is_interactive():
        yield None
        return
    with progress_bars("{:,.0f} cells/s", transient=True) as bars:
        task = bars.add_task("comparing", total=cells)
        yield lambda count: bars.update(task, advance=count)


def _write(
    query: "anndata.AnnData",
    vectors: "CellVectors",
    found: "Annotation",
    context: "tuple[Reference, Agreement | None, pd.DataFrame | None]",
    args: argparse.Namespace,
) -> None:
    from sclong_core.files import atomic_file  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_tasks.annotation.cells import write_labels  # noqa: PLC0415
    from sclong_tasks.annotation.vectors import keep_vectors  # noqa: PLC0415
    from sclong_tasks.predict import write_table  # noqa: PLC0415  # heavy

    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix != ".h5ad":
        table = found.table()
        table.insert(0, "cell", query.obs_names.astype(str))
        if context[-1] is not None:
            table[list(context[-1])] = context[-1]
        write_table(table, args.output)
        return
    write_labels(query, found, *context)
    keep_vectors(query, vectors)
    with atomic_file(args.output, overwrite=args.overwrite) as temporary:
        query.write_h5ad(temporary)


def _print(
    found: "Annotation",
    reference: "Reference",
    agreement: "Agreement | None",
    args: argparse.Namespace,
) -> None:
    told = found.table()["label"].astype(str).value_counts()
    print_table(("label", "cells"), ((str(name), f"{count:,}") for name, count in told.items()))
    if agreement is not None:
        print_table(_BY_TYPE, _by_type(agreement))
    _warn(found, reference)
    print_facts(_facts(found, reference, agreement, args))


_BY_TYPE = ("true label", "cells", "told so", "unknown", "else most often")


def _by_type(agreement: "Agreement") -> Iterator[tuple[str, ...]]:
    from sclong_tasks.annotation.reference import UNKNOWN  # noqa: PLC0415  # heavy

    for name, row in agreement.confusion.iterrows():
        cells = int(row.sum())
        others = row.drop([name, UNKNOWN], errors="ignore")
        most = f"{others.idxmax()} ({others.max():,})" if len(others) and others.max() else ""
        yield (
            str(name),
            f"{cells:,}",
            f"{row.get(name, 0) / cells:.1%}",
            f"{row.get(UNKNOWN, 0) / cells:.1%}",
            most,
        )


def _warn(found: "Annotation", reference: "Reference") -> None:
    if found.repeated:
        _LOG.warning(
            (
                "%s cells of the query are also in the reference, or have the same vector "
                "as a reference cell: they are labelled from themselves, which inflates "
                "the agreement"
            ),
            f"{found.repeated:,}",
        )
    if found.shift > _FAR and not found.aligned:
        _LOG.warning(
            (
                "the median cell of the query is %.2f times as far from the reference as "
                "one of the reference itself: %.0f%% are called unknown because of this "
                "distance. If query and reference contain similar types, try --align-query"
            ),
            found.shift,
            100 * found.unknown.mean(),
        )
    known = reference.calibration
    for option, share, limit in (
        ("coverage", found.coverage, known.largest_doubt(found.coverage)),
        ("false-unknown", found.false_unknown, known.largest_remoteness(found.false_unknown)),
    ):
        if limit == float("inf"):
            _LOG.warning(
                "%d calibrating cells are too few for --%s %g: %s",
                len(known.doubt), option, share,
                "all labels are in every set" if option == "coverage" else "no cell is unknown",
            )  # fmt: skip


def _facts(
    found: "Annotation",
    reference: "Reference",
    agreement: "Agreement | None",
    args: argparse.Namespace,
) -> Iterator[tuple[str, str]]:
    known = reference.calibration
    words = (
        f"of {len(known.doubt):,} of its cells that do not vote, {known.accuracy:.1%} "
        f"are labelled correctly (macro-F1 {known.macro_f1:.3f}); always choosing the "
        f"commonest label is correct for {known.chance:.1%}"
    )
    yield "reference", words
    how = "its own mean" if found.aligned else "the mean of the reference"
    words = (
        f"centred on {how}; its median cell is {found.shift:.2f} times as far as one of "
        "the reference"
    )
    yield "query", words
    words = (
        f"{found.contained.sum(1).mean():.2f} labels per cell, for a coverage of "
        f"{found.coverage:g} of cells like those of the reference"
    )
    yield "label sets", words
    words = (
        f"{found.unknown.mean():.1%} of the cells; of cells like those of the reference at most "
        f"{found.false_unknown:.1%}"
    )
    yield "unknown", words
    yield from () if agreement is None else _agreement(agreement)
    yield "written", str(args.output)
    if args.save_reference is not None:
        yield "reference kept", str(args.save_reference)


def _agreement(agreement: "Agreement") -> Iterator[tuple[str, str]]:
    if not agreement.cells:
        yield (
            "agreement",
            "no true label occurs in the reference: check that they are spelled alike",
        )
        return
    words = (
        f"{agreement.accuracy:.1%} of {agreement.cells:,} cells are labelled correctly, "
        f"unknown or not (macro-F1 {agreement.macro_f1:.3f}; the commonest label alone "
        f"{agreement.chance:.1%}); the set holds the true label for "
        f"{agreement.covered:.1%}; {agreement.falsely_unknown:.1%} are called unknown"
    )
    yield "agreement", words
    if agreement.foreign:
        words = (
            f"{agreement.foreign:,} cells have a label that the reference lacks: "
            f"{agreement.called_unknown:.1%} of them are called unknown (AUROC of remoteness "
            f"{agreement.auroc_unknown:.3f})"
        )
        yield "foreign labels", words


command = AnnotateCommand()
