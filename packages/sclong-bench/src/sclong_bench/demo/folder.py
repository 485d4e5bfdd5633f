"""The output folder: whose it is, and that it appears whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sclong_core.errors import InputError
from sclong_core.files import atomic_folder, read_json
from sclong_core.manifest import name_some

FORMAT = "sclong-demo"
RESULTS, REPORT, EMBEDDED, MODEL = "results.json", "report.html", "embedded.h5ad", "model"
FILES = frozenset(
    (
        "cells.h5ad",
        "vocabulary.tsv",
        "graph.npz",
        "gene_vectors.npy",
        MODEL,
        EMBEDDED,
        RESULTS,
        REPORT,
    )
)
"""Everything a finished demonstration leaves."""


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of ``path`` when all went well.

    A demonstration that is there stays until then, and stays if this one fails.

    Raises:
        InputError: ``path`` is neither new, nor empty, nor a former demonstration.
    """
    final = path.resolve()
    check_replaceable(final)
    with atomic_folder(final, overwrite=True) as temporary:
        yield temporary


def check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but an empty folder or a former demonstration.

    Raises:
        InputError: it is anything else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file: choose another folder with --output")
    if folder == Path.cwd():
        raise InputError("the demonstration cannot replace the folder it is run in: use --output")
    found = {item.name for item in folder.iterdir()}
    if not found:
        return
    if not _is_demonstration(folder / RESULTS):
        raise InputError(
            f"{folder} is not empty and holds no demonstration: choose another folder with --output"
        )
    if others := found - FILES:
        raise InputError(
            f"{folder} holds {name_some(others)}, no part of a demonstration: it is not replaced"
        )


def _is_demonstration(results: Path) -> bool:
    try:
        content = read_json(results)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == FORMAT
