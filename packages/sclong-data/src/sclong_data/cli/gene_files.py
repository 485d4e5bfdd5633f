"""What the commands about genes share: files given or fetched, and reports beside their outputs."""

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sclong_core.cli.terminal import is_interactive
from sclong_core.errors import InputError

if TYPE_CHECKING:
    from sclong_data.genes.official import OfficialFile
    from sclong_data.genes.table import GeneTable

_LOG = logging.getLogger("sclong")
REPORT = ".report.json"
"""Ending of the report beside an output."""
REASONS = ".reasons.tsv"
"""Ending of the table that says why each gene is in a vocabulary."""


def add_table_arguments(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Declare the files that names of genes are looked up in, and where others are fetched to.

    Args:
        parser: of the command.
        optional: whether it can do without a gene table.
    """
    group = parser.add_argument_group("names of genes")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument(
        "--gene-table",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=(
            "HGNC's complete set, GENCODE's GTF or lists id,symbol (the current one first, "
            "then older ones) (default: the official files of HGNC and of GENCODE 48, 32 "
            "and 19)"
        ),
    )
    if optional:
        choice.add_argument(
            "--no-gene-table",
            action="store_true",
            help=(
                "do not use a table of names: the files use the ids or symbols of the vocabulary"
            ),
        )
    group.add_argument(
        "--sources",
        type=Path,
        default=Path("sources"),
        metavar="FOLDER",
        help="folder for downloaded official files and their lock file (default: sources)",
    )


def add_output_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Declare the output."""
    parser.add_argument("-o", "--output", type=Path, required=True, help=what)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")


def check_output(args: argparse.Namespace, *endings: str) -> None:
    """Refuse outputs that are there, before any work.

    Args:
        args: of the command; all paths in it but the output are read.
        endings: of the files that the command writes beside the output.

    Raises:
        InputError: one is there and is not to be replaced, one is also read, what stands in the
            place of a report is something else, or the folder is missing.
    """
    from sclong_data.outputs import require_output  # noqa: PLC0415  # heavy

    inputs = [path for name, value in vars(args).items() if name != "output" for path in _in(value)]
    official = getattr(args, "sources", None)
    if official is not None and official.is_dir():
        inputs += official.iterdir()
    for output in (args.output, *map(args.output.with_suffix, endings)):
        if output.exists() and not args.overwrite:
            raise InputError(f"{output} already exists: choose another name, or --overwrite")
        require_output(output, inputs, ours=_ours(output, endings))
    if not args.output.parent.is_dir():
        raise InputError(f"folder {args.output.parent} does not exist: make it first")


def _in(value: object) -> Iterator[Path]:
    """The paths in an argument."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list):
        yield from (path for path in value if isinstance(path, Path))


def _ours(output: Path, endings: tuple[str, ...]) -> Callable[[Path], bool] | None:
    """Whether what stands beside an output may be replaced with it; the output itself may."""
    from sclong_data.outputs import begins_with  # noqa: PLC0415  # heavy

    ending = next((ending for ending in endings if output.name.endswith(ending)), None)
    if ending == REPORT:
        return _is_report
    return None if ending is None else lambda path: begins_with(path, "gene_id\t")


def _is_report(path: Path) -> bool:
    from sclong_core.files import read_json  # noqa: PLC0415  # keeps sclong --help fast

    try:
        found = read_json(path)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and isinstance(found.get("files"), dict)


def obtained(given: Path | None, official: "OfficialFile", args: argparse.Namespace) -> Path:
    """The file that was given, or the official one."""
    from sclong_data.genes.official import obtain  # noqa: PLC0415  # keeps sclong --help fast

    if given is not None:
        return given
    with _bar(official.what) as progress:
        return obtain(official, args.sources, progress=progress)


def read_optional_table(args: argparse.Namespace, used: dict[str, Path]) -> "GeneTable | None":
    """The gene table, or None where none is wanted."""
    return None if args.no_gene_table else read_table(args, used)


def read_table(args: argparse.Namespace, used: dict[str, Path]) -> "GeneTable":
    """The gene table; the files that it is made of are noted in ``used``."""
    from sclong_data.genes import official  # noqa: PLC0415  # keeps sclong --help fast
    from sclong_data.genes.table import GeneTable  # noqa: PLC0415

    paths = args.gene_table or [obtained(None, file, args) for file in official.GENE_TABLE]
    used.update({f"gene table {number}": path for number, path in enumerate(paths, 1)})
    table = GeneTable.read(*paths)
    _LOG.info("gene table: %s genes", f"{len(table):,}")
    return table


def write_report(output: Path, used: Mapping[str, Path], content: Mapping[str, Any]) -> Path:
    """Write what was found as ``<output>.report.json``, with the checksum of each file used."""
    from sclong_core.files import sha256_file, write_json  # noqa: PLC0415  # keeps --help fast

    files = {
        what: {"name": path.name, "sha256": sha256_file(path)}
        for what, path in used.items()
        if path.is_file()
    }
    place = output.with_suffix(REPORT)
    write_json(place, {**content, "files": files})
    return place


@contextmanager
def _bar(what: str) -> Iterator[Any]:
    """A progress bar of bytes where someone watches; gives what to call, or None."""
    if not is_interactive():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # only with someone watching
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
