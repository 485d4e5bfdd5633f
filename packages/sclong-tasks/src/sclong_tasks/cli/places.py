"""Where the commands look for data and put runs, and arguments that several of them have."""

import argparse
from pathlib import Path

from sclong_core.checkpoint_names import checkpoint_folder

DATA = Path("task-data")
RUNS = Path("task-runs")


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
