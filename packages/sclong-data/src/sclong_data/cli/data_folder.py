"""The option that says where the data sets of a manifest are."""

import argparse
from pathlib import Path


def add_data_folder(parser: argparse.ArgumentParser) -> None:
    """Declare ``--data``: a manifest may be in one place and its files in another."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="base folder of relative locations and downloads (default: the manifest's folder)",
    )
