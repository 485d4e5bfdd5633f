"""Where the commands look for data and put runs, and arguments that several of them have."""

import argparse
from pathlib import Path

from sclong_core.checkpoint_names import checkpoint_folder
from sclong_core.errors import ConfigError, InputError

DATA = Path("task-data")
RUNS = Path("task-runs")
FORMATS = (".h5ad", ".csv", ".tsv", ".parquet")
"""Endings of outputs for cells: the cells themselves, or a table."""


def data_folder(args: argparse.Namespace) -> Path:
    """The folder that was given, or the usual one of the task."""
    given: Path | None = args.data
    return DATA / args.task if given is None else given


def add_task(parser: argparse.ArgumentParser) -> None:
    """The task and its data folder."""
    parser.add_argument("task", metavar="TASK", help="name of the task; see sclong task list")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help=f"of prepared data (default: {DATA}/TASK)",
    )


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Checkpoint, cache and device."""
    parser.add_argument(
        "--checkpoint",
        type=checkpoint_folder,
        metavar="FOLDER",
        help="scLong checkpoint for models that use one, or mini, which ships with sclong-core",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="folder to keep representations, graphs and fingerprints between runs",
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)"
    )


def check_output(
    output: Path, *, overwrite: bool, cells: Path | None = None, formats: tuple[str, ...] = FORMATS
) -> None:
    """Refuse an output of another ending, or where something is that is not to be replaced.

    Args:
        output: to write.
        overwrite: replace what is there.
        cells: the input, which is never replaced.
        formats: endings that can be written.

    Raises:
        ConfigError: another ending.
        InputError: it is the input, or is there and not to be replaced.
    """
    if output.suffix not in formats:
        raise ConfigError(f"{output} must end in {', '.join(formats)}")
    if cells is not None and output.exists() and cells.exists() and output.samefile(cells):
        raise InputError(f"{output} is the input: choose another name for the output")
    if output.exists() and not overwrite:
        raise InputError(
            f"{output} already exists: choose another name, or replace it with --overwrite"
        )


def check_rates(args: argparse.Namespace) -> None:
    """Refuse impossible shares of ``--coverage`` and ``--false-unknown``.

    Raises:
        ConfigError: one is not between 0 and 1.
    """
    for option, share in (("coverage", args.coverage), ("false-unknown", args.false_unknown)):
        if not 0 < share < 1:
            raise ConfigError(f"--{option} must be above 0 and below 1, not {share}")
