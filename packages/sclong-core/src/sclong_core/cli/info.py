"""``sclong info``: what a checkpoint is, what a file of cells is, and how well they fit."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sclong_core.cli.terminal import is_interactive, messages, print_facts
from sclong_core.errors import CheckpointError, InputError, ScLongError
from sclong_core.files import missing

if TYPE_CHECKING:
    from sclong_core.config import PerformerConfig, ScLongConfig
    from sclong_core.embedding.compatibility import Facts
    from sclong_core.model import ScLong
    from sclong_core.summary import CheckpointSummary


class InfoCommand:
    """Describes checkpoints and data; see :mod:`sclong_core.embedding.compatibility`."""

    help = "describe a checkpoint or a file of cells, and how well they fit"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what to describe."""
        parser.description = (
            "Describe checkpoint folders and files of cells. If you pass a checkpoint, "
            "also show how well each file fits it: shared genes, what embed does with "
            "the values, and how long it takes on this machine. Without a checkpoint, "
            "files are compared with the model that ships with the package. Without "
            "arguments, show the card of that model: the cells it was trained on, its "
            "scores, its licence."
        )
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
        parser.add_argument(
            "--checkpoint",
            metavar="FOLDER_OR_HUB_ID",
            help="checkpoint to compare every file of cells with",
        )
        parser.add_argument("--revision", help="branch, tag or commit of a checkpoint on the hub")
        parser.add_argument("--matrix", metavar="NAME", help='layer to read, or "raw" (default: X)')
        parser.add_argument(
            "--gene-column", metavar="NAME", help="column of var with the gene names"
        )
        parser.add_argument(
            "--feature-types",
            type=lambda text: tuple(part.strip() for part in text.split(",")),
            metavar="TYPE[,TYPE]",
            help="feature types to treat as genes, as written in var",
        )
        parser.add_argument(
            "--device",
            default="auto",
            help="device for the timing (default: a GPU if there is one)",
        )
        parser.add_argument(
            "--batch-size", type=int, default=8, metavar="CELLS", help="batch size for the timing"
        )
        parser.add_argument("--no-timing", action="store_true", help="skip the timing")

    def run(self, args: argparse.Namespace) -> int:
        """Print the facts; status 2 if anything could not be used."""
        with messages():
            return _info(args)


def _info(args: argparse.Namespace) -> int:
    from sclong_core.checkpoint_names import (  # noqa: PLC0415  # keeps sclong --help fast
        CONFIG_FILE,
        packaged_checkpoint,
    )
    from sclong_core.expression import find_cell_files  # noqa: PLC0415  # heavy

    absent = [path for path in args.paths if not path.exists()]
    if absent:
        raise InputError(f"{absent[0]} {missing(absent[0])}: check the name")
    offered = [path for path in args.paths if path.is_dir() and _show_offered(path)]
    left = [path for path in args.paths if path not in offered]
    checkpoints = [path for path in left if (path / CONFIG_FILE).is_file()]
    others = [path for path in left if path not in checkpoints]
    if not args.paths:
        checkpoints = [_chosen_checkpoint(args, []) or packaged_checkpoint()]
        args.checkpoint = None
    problems = [problem for path in checkpoints if (problem := _show_checkpoint(path))]
    files = find_cell_files(others) if others else []
    chosen = _chosen_checkpoint(args, checkpoints) if files else None
    if args.checkpoint is not None and chosen is not None:
        problems += [problem for problem in [_show_checkpoint(chosen)] if problem]
    model = _load(args, chosen) if chosen is not None and not problems else None
    problems += [problem for path in files if (problem := _show_data(args, path, model))]
    if files and chosen is None and not problems:
        _compare_with_packaged(args, files)
    if problems:
        raise ScLongError(problems[0] + (f" (and {len(problems) - 1} more)" * (len(problems) > 1)))
    return 0


def _show_offered(folder: Path) -> bool:
    """Print what a folder of a model of another package is; False if it is none."""
    from sclong_core.checkpoint_names import VOCABULARY_FILE  # noqa: PLC0415  # keeps --help fast
    from sclong_core.embedding.offered import providers  # noqa: PLC0415  # keeps --help fast

    if (folder / VOCABULARY_FILE).is_file():
        return False
    for provider in providers():
        if facts := provider.describe(folder):
            print_facts(facts)
            return True
    return False


def _chosen_checkpoint(args: argparse.Namespace, checkpoints: list[Path]) -> Path | None:
    """The checkpoint to compare data with."""
    from sclong_core.checkpoint_names import resolve_checkpoint  # noqa: PLC0415  # keeps sclong --help fast

    if args.checkpoint is not None:
        from sclong_core.embedding.offered import require_own  # noqa: PLC0415  # heavy

        folder = resolve_checkpoint(args.checkpoint, revision=args.revision)
        require_own(folder)
        return folder
    if len(checkpoints) > 1:
        raise ScLongError(
            "there are several checkpoints: choose one for the data with --checkpoint"
        )
    return checkpoints[0] if checkpoints else None


def _show_checkpoint(folder: Path) -> str:
    """Print what a checkpoint is; returns what is wrong with it, nothing if it is sound."""
    from sclong_core.summary import summarise_checkpoint  # noqa: PLC0415  # keeps --help fast

    try:
        problem, files = "", "verified: all hashes match"
        summary = summarise_checkpoint(folder, verify=True)
    except CheckpointError as error:
        problem = files = str(error)
        try:
            summary = summarise_checkpoint(folder)
        except CheckpointError:
            print_facts([("checkpoint", str(folder)), ("files", f"damaged: {problem}")])
            return problem
    print_facts(_checkpoint_facts(summary, f"damaged: {files}" if problem else files))
    return problem or _show_card(summary)


def _show_card(summary: "CheckpointSummary") -> str:
    """Print the card that stands beside a checkpoint, if any; returns what is wrong with it."""
    from sclong_core.card import read_card  # noqa: PLC0415  # keeps --help fast
    from sclong_core.cli.card import show_card  # noqa: PLC0415

    try:
        card = read_card(summary.info.folder, checkpoint=summary.info.digest)
    except CheckpointError as error:
        return str(error)
    if card is not None:
        show_card(card)
    return ""


def _compare_with_packaged(args: argparse.Namespace, files: list[Path]) -> None:
    """Print how files fit the model that comes with the package; nothing depends on it."""
    from sclong_core.checkpoint_names import packaged_checkpoint  # noqa: PLC0415
    from sclong_core.manifest import read_checkpoint_info  # noqa: PLC0415  # keeps --help fast

    folder = packaged_checkpoint()
    asked = argparse.Namespace(**{**vars(args), "no_timing": True})
    model = _load(asked, folder)
    print_facts([("compared with", read_checkpoint_info(folder).source)])
    for path in files:
        try:
            print_facts([("data", str(path)), *_fit(asked, path, model)])
        except InputError as error:
            print_facts([("data", str(path)), ("not usable", str(error))])


def _checkpoint_facts(summary: "CheckpointSummary", files: str) -> "Facts":
    info, config = summary.info, summary.info.config
    origin = dict(info.origin)
    details = [f"{key} {value}" for key, value in origin.items() if isinstance(value, str | int)]
    facts = [
        ("checkpoint", info.source),
        ("digest", info.digest),
        ("parameters", f"{summary.parameters:,} ({summary.dtype})"),
        *_shape(config),
        ("genes", f"{config.genes:,} ({summary.symbols:,} with a symbol)"),
        ("graph", f"{summary.edges:,} edges" if summary.edges else "none"),
        ("input", config.input.describe()),
        ("origin", ", ".join(details) or "not recorded"),
        ("written by", f"sclong-core {info.sclong_version}"),
        ("files", files),
    ]
    ablations = [("low expression", config.low_expression), ("graph weights", config.graph)]
    return facts + [(name, value) for name, value in ablations if value == "random"]


def _shape(config: "ScLongConfig") -> "Facts":
    if (student := config.student) is not None:
        size = f"{student.blocks} blocks of width {student.hidden}; tables of width {student.rank}"
        return [("width", f"{student.width}"), ("student", size)]
    return [
        ("width", f"{config.dim}"),
        ("large encoder", f"{_size(config.large)}; of the {config.high_genes:,} highest genes"),
        ("mini encoder", _size(config.mini) if config.low_expression != "none" else "none"),
        ("full encoder", _size(config.full)),
    ]


def _size(performer: "PerformerConfig") -> str:
    return f"{performer.depth} layers of width {performer.dim}, {performer.heads} heads"


def _load(args: argparse.Namespace, folder: Path) -> "ScLong":
    from sclong_core.model import load_checkpoint  # noqa: PLC0415  # loads PyTorch

    # Without a measurement, weights stay in the file.
    return load_checkpoint(folder, device="cpu" if args.no_timing else args.device)


def _show_data(args: argparse.Namespace, path: Path, model: "ScLong | None") -> str:
    """Print what a file of cells is and how it fits; returns why it does not, if so."""
    from sclong_core.embedding.compatibility import describe_data  # noqa: PLC0415  # heavy

    facts: Facts = [("data", str(path))]
    problem = ""
    try:
        facts += describe_data(path, matrix=args.matrix, feature_types=args.feature_types)
        if model is not None:
            facts += _fit(args, path, model)
    except InputError as error:
        problem = str(error)
        facts.append(("not usable", problem))
    print_facts(facts)
    return problem


def _fit(args: argparse.Namespace, path: Path, model: "ScLong") -> "Facts":
    from sclong_core.embedding.compatibility import describe_fit, measure_speed  # noqa: PLC0415  # heavy
    from sclong_core.embedding.embed_files import survey_file  # noqa: PLC0415  # heavy
    from sclong_core.embedding.inference import vocabulary_of  # noqa: PLC0415  # heavy
    from sclong_core.embedding.jobs import EmbedOptions  # noqa: PLC0415  # heavy

    options = EmbedOptions(
        batch_size=args.batch_size,
        reading={
            "matrix": args.matrix,
            "gene_column": args.gene_column,
            "feature_types": args.feature_types,
            "allow_poor_match": True,
        },
        progress=is_interactive(),
    )
    with survey_file(model, path, options) as cells:
        facts = describe_fit(cells, vocabulary_of(model))
        if not args.no_timing:
            speed = measure_speed(model, cells, batch_size=args.batch_size)
            rate = f"{1 / speed.seconds_per_cell:,.2f} cells/s, measured on {speed.batch} cells"
            total = f"about {speed.total(len(cells))} on {model.device} ({rate})"
            facts.append(("time to embed", total))
    return facts


command = InfoCommand()
