"""``sclong embed``: from files of cells to files of embeddings."""

import argparse
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sclong_core.cli.terminal import is_interactive, messages, print_facts, print_table
from sclong_core.errors import ScLongError, is_short_of_memory, shortage
from sclong_core.launcher import check_variables, process_rank

if TYPE_CHECKING:
    from sclong_core.embedding.embed_files import Embedder, JobOutcome
    from sclong_core.embedding.jobs import Job
    from sclong_core.expression import ReadingOptions

_LOG = logging.getLogger("sclong")
_POOLS = ("mean", "mean_expressed", "expression_weighted", "gene_sums", "cell", "components")
_OWN = "sclong"
_FEW = 8
"""Cells per batch of a model that is not known yet."""
_FORMATS = ("h5ad", "zarr", "npy", "parquet")


class EmbedCommand:
    """Embeds files of cells; see :mod:`sclong_core.embedding.embed_files`."""

    help = "embed cells: one vector per cell, into .h5ad, .zarr, .npy or .parquet"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to embed, with what, into what, and how."""
        parser.description = (
            "Embed the cells of .h5ad, .zarr, 10x .h5 or .loom files, reading them in "
            "blocks. A single input gives one file, and its ending selects the format. "
            "Several inputs, or a folder, give a folder with one file per input."
        )
        parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT")
        parser.add_argument(
            "--checkpoint",
            metavar="FOLDER_OR_HUB_ID",
            help=(
                "checkpoint folder, or owner/name on the Hugging Face hub (default: mini, "
                "the model that ships with the package; `sclong info` describes it)"
            ),
        )
        parser.add_argument(
            "-o", "--output", type=Path, required=True, help="file or folder to write"
        )
        parser.add_argument(
            "--encoder",
            default=_OWN,
            metavar="NAME",
            help=(
                "sclong (default), or a model of an installed package; sclong-tasks "
                "provides scgpt, geneformer, uce, scfoundation and genecompass, and "
                "--checkpoint is the folder with their files"
            ),
        )
        parser.add_argument(
            "--encoder-option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="option of that model; may be repeated",
        )
        parser.add_argument("--revision", help="branch, tag or commit of a checkpoint on the hub")
        parser.add_argument(
            "--pool",
            choices=_POOLS,
            help=(
                "how gene representations become one vector (default: cell if the model "
                "has it, else mean)"
            ),
        )
        add_reading(parser)
        _add_writing(parser)
        _add_computing(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Embed, and print what was done."""
        if args.devices != 1:
            check_variables()
        leading = args.devices == 1 or process_rank() == 0
        with messages(shown=leading):
            try:
                return _embed(args, leading=leading)
            except KeyboardInterrupt:
                if leading:
                    _LOG.warning(
                        "interrupted: finished blocks are kept; repeat the command "
                        "with --resume to continue"
                    )
                raise
            except Exception as error:
                if isinstance(error, ScLongError) or not is_short_of_memory(error):
                    raise
                raise ScLongError(
                    f"{shortage(error)} (a smaller --batch-size); finished blocks are "
                    "kept; repeat the command with --resume to continue"
                ) from error


def add_reading(parser: argparse.ArgumentParser, *, refuses_poor_match: bool = True) -> None:
    """Declare how cells are read, for every command that embeds.

    Args:
        parser: of the command.
        refuses_poor_match: the command refuses cells of mostly unknown genes unless asked to.
    """
    group = parser.add_argument_group("how cells are read")
    group.add_argument(
        "--matrix", metavar="NAME", help='layer to read, or "raw" (default: X, or the only matrix)'
    )
    group.add_argument(
        "--gene-column",
        metavar="NAME",
        help=(
            'column of var with the gene names, or "var_names" (default: the one that '
            "matches most genes)"
        ),
    )
    group.add_argument(
        "--normalisation",
        choices=("auto", "raw", "log1p"),
        default="auto",
        help="what the values are (default: inferred from the values)",
    )
    group.add_argument(
        "--duplicates",
        choices=("error", "sum"),
        default="error",
        help="if one gene has several columns: reject the file (default), or add their counts",
    )
    group.add_argument(
        "--feature-types",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        metavar="TYPE[,TYPE]",
        help="feature types to treat as genes, as written in var (default: the usual ones)",
    )
    group.add_argument(
        "--organism",
        choices=("human", "mouse"),
        default="human",
        help="species of the cells; mouse genes are replaced by their one-to-one human orthologs",
    )
    group.add_argument(
        "--allow-other-species",
        action="store_true",
        help="embed cells even if their genes belong to another species than the model's",
    )
    if not refuses_poor_match:
        return
    group.add_argument(
        "--allow-poor-match",
        action="store_true",
        help=(
            "embed cells even if the model knows less than half of their counts, or all "
            "embeddings are alike"
        ),
    )


def reading_of(args: argparse.Namespace) -> "ReadingOptions":
    """What :func:`add_reading` declared, as it was given."""
    from sclong_core.expression import ReadingOptions  # noqa: PLC0415  # heavy

    names = [name for name in ReadingOptions.__annotations__ if hasattr(args, name)]
    found = {name: getattr(args, name) for name in names}
    return cast("ReadingOptions", found)


def _add_writing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--format", choices=_FORMATS, help="format of the files in an output folder (default: h5ad)"
    )
    group.add_argument(
        "--key",
        help="name of the embedding in obsm (default: X_ and the encoder, such as X_sclong)",
    )
    group.add_argument(
        "--resume",
        action="store_true",
        help="resume unfinished work; skip finished outputs",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing outputs")


def _add_computing(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it is computed")
    group.add_argument(
        "--batch-size",
        type=int,
        metavar="CELLS",
        help="cells per batch (default: 32 if the model has vectors of cells, else 8)",
    )
    group.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )
    group.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help=(
            "processes per machine, one device each; under srun or torchrun, the number "
            "that they start there (default: 1)"
        ),
    )
    group.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="number format of the large matrix products (default: that of the checkpoint)",
    )
    group.add_argument(
        "--attention",
        choices=("auto", "blocks", "fused"),
        default="auto",
        help="how FAVOR+ is computed; fused needs a GPU and sclong-core[gpu] (default: blocks)",
    )


def _embed(args: argparse.Namespace, *, leading: bool) -> int:
    if args.devices < 1:
        raise ScLongError(f"--devices must be a positive integer, not {args.devices}")
    from sclong_core.embedding.jobs import plan_jobs  # noqa: PLC0415  # heavy
    from sclong_core.embedding.outputs import check_output  # noqa: PLC0415  # heavy

    suffix = None if args.format is None else f".{args.format}"
    jobs = plan_jobs(args.inputs, args.output, suffix=suffix)
    if leading and not args.resume:
        for job in jobs:
            check_output(job, overwrite=args.overwrite)
    if args.encoder != _OWN:
        return _embed_with_other(args, jobs)
    if args.encoder_option:
        raise ScLongError("--encoder-option only works with another --encoder than sclong")
    embedder = _load(args, progress=leading and is_interactive())
    begun = time.monotonic()
    if args.devices == 1:
        from sclong_core.embedding.embed_files import embed_files  # noqa: PLC0415  # heavy

        outcomes = embed_files(embedder, jobs)
    else:
        from sclong_core.embedding.devices import embed_files_on_devices  # noqa: PLC0415  # Lightning

        outcomes = embed_files_on_devices(embedder, jobs, device=args.device, devices=args.devices)
    if leading:
        _summarise(outcomes, embedder, time.monotonic() - begun)
    return _status(outcomes)


def _status(outcomes: "Sequence[JobOutcome]") -> int:
    """Raise an error if a file was not embedded."""
    bad = [outcome for outcome in outcomes if outcome.status == "failed"]
    if bad:
        first = f"{bad[0].job.source}: {bad[0].error}"
        raise ScLongError(
            f"{len(bad)} of {len(outcomes)} files were not embedded; the first: {first}"
        )
    return 0


def _embed_with_other(args: argparse.Namespace, jobs: "Sequence[Job]") -> int:
    """Embed with a model that another installed package offers."""
    from sclong_core.embedding.jobs import EmbedOptions  # noqa: PLC0415  # heavy
    from sclong_core.embedding.offered import embed_with, offered_encoder  # noqa: PLC0415  # heavy

    if args.checkpoint is None:
        raise ScLongError(
            f"--encoder {args.encoder} needs the folder of its files: give --checkpoint FOLDER"
        )
    given = {
        "--pool": args.pool is not None,
        "--revision": args.revision is not None,
        "--devices": args.devices > 1,
        "--duplicates": args.duplicates != "error",
        "--organism": args.organism != "human",
        "--attention": args.attention != "auto",
    }
    if wrong := [name for name, value in given.items() if value]:
        raise ScLongError(f"{wrong[0]} only works with --encoder sclong; see --encoder-option")
    wrong = [word for word in args.encoder_option if not word.partition("=")[1] or word[0] == "="]
    if wrong:
        raise ScLongError(f"--encoder-option {wrong[0]!r} is not a setting; expected NAME=VALUE")
    names = [word.split("=", 1)[0] for word in args.encoder_option]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ScLongError(f"--encoder-option {twice[0]} is given twice: leave one of them out")
    batch_size = _FEW if args.batch_size is None else args.batch_size
    options = EmbedOptions(
        batch_size=batch_size,
        key=args.key or f"X_{args.encoder}",
        reading={
            "matrix": args.matrix,
            "gene_column": args.gene_column,
            "normalisation": args.normalisation,
            "feature_types": args.feature_types,
            "allow_other_species": args.allow_other_species,
            "allow_poor_match": args.allow_poor_match,
        },
        resume=args.resume,
        overwrite=args.overwrite,
        progress=is_interactive(),
    )
    encoder = offered_encoder(
        args.encoder,
        args.checkpoint,
        dict(word.split("=", 1) for word in args.encoder_option),
        batch_size=batch_size,
        device=args.device,
        dtype="float32" if args.dtype == "auto" else args.dtype,
    )
    begun = time.monotonic()
    outcomes = embed_with(encoder, jobs, options)
    facts = [
        ("encoder", f"{encoder.name} (digest {encoder.digest[:12]})"),
        ("checkpoint", str(args.checkpoint)),
    ]
    _print_outcomes(outcomes, facts, time.monotonic() - begun)
    return _status(outcomes)


def _load(args: argparse.Namespace, *, progress: bool) -> "Embedder":
    """The model, and what is asked of it."""
    from sclong_core.checkpoint import resolve_checkpoint  # noqa: PLC0415  # heavy
    from sclong_core.embedding.embed_files import Embedder  # noqa: PLC0415  # heavy
    from sclong_core.embedding.inference import default_batch_size  # noqa: PLC0415  # heavy
    from sclong_core.embedding.jobs import EmbedOptions  # noqa: PLC0415  # heavy
    from sclong_core.embedding.offered import require_own  # noqa: PLC0415  # heavy
    from sclong_core.embedding.pooling import chosen_pool  # noqa: PLC0415  # heavy
    from sclong_core.manifest import read_checkpoint_info  # noqa: PLC0415  # heavy
    from sclong_core.model import load_checkpoint  # noqa: PLC0415  # heavy

    options = EmbedOptions(
        pool=args.pool,
        batch_size=_FEW if args.batch_size is None else args.batch_size,
        key=args.key or f"X_{_OWN}",
        reading=reading_of(args),
        resume=args.resume,
        overwrite=args.overwrite,
        progress=progress,
    )
    folder = resolve_checkpoint(args.checkpoint, revision=args.revision)
    require_own(folder)
    info = read_checkpoint_info(folder)
    _LOG.info("checkpoint: %s (digest %s)", info.source, info.digest[:12])
    # With several devices, each process moves the model to its own.
    device = args.device if args.devices == 1 else "cpu"
    model = load_checkpoint(folder, device=device, dtype=args.dtype).set_attention(args.attention)
    if args.batch_size is None:
        options = replace(options, batch_size=default_batch_size(chosen_pool(model, args.pool)))
    return Embedder(model, info, options)


def _summarise(outcomes: "Sequence[JobOutcome]", embedder: "Embedder", seconds: float) -> None:
    from sclong_core.embedding.pooling import chosen_pool  # noqa: PLC0415  # heavy

    facts = [
        ("checkpoint", f"{embedder.info.source} (digest {embedder.info.digest[:12]})"),
        ("pooled by", chosen_pool(embedder.model, embedder.options.pool)),
    ]
    _print_outcomes(outcomes, facts, seconds)


def _print_outcomes(
    outcomes: "Sequence[JobOutcome]", facts: list[tuple[str, str]], seconds: float
) -> None:
    cells = sum(outcome.cells for outcome in outcomes if outcome.status == "embedded")
    print_table(
        ("input", "output", "cells", "genes known", "values", "embedding"),
        (
            (
                str(outcome.job.source),
                str(outcome.job.output),
                f"{outcome.cells:,}" if outcome.cells else "",
                outcome.genes,
                outcome.normalisation,
                f"{outcome.cells:,} x {outcome.width:,}" if outcome.width else outcome.status,
            )
            for outcome in outcomes
        ),
    )
    if cells:
        facts.append(("time", f"{seconds:,.1f} s, {cells / max(seconds, 1e-9):,.2f} cells/s"))
    print_facts(facts)


command = EmbedCommand()
