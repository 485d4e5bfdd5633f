"""Run the notebooks of the documentation and write their pages: ``python -m benchmarks.notebooks``.

A notebook is kept without outputs, so that its changes can be read; its page beside it has them.
Cells run in this process, in a folder that is removed afterwards. A line ``!sclong ...`` runs the
command here too, with ``{variables}`` as Jupyter fills them in. The page names the digest of the
cells that it was made of.
"""

import ast
import contextlib
import hashlib
import io
import json
import re
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
COLOURS = 96
"""Of a figure: points and letters need no more, and files become a third as large."""
DOTS_PER_INCH = 90
_COMMAND = re.compile(r"^!sclong ((?:\\\n|.)*)", re.MULTILINE)
"""Up to the end of the line, or of the last line that it goes on with after a backslash."""
_DURATION = re.compile(r"^.*\b[\d.]+ (?:seconds|minutes|hours)\b.*\n?", re.MULTILINE)
"""Lines that are about one machine, and on no page."""


@dataclass
class Cell:
    """A cell, and what it put out."""

    kind: str
    """"code" or "markdown"."""
    source: str
    tags: tuple[str, ...] = ()
    text: str = ""
    """What it printed."""
    table: str = ""
    """Its last expression, if that is a frame: in Markdown."""
    figures: list[bytes] = field(default_factory=list)
    """PNG."""


def read_notebook(path: Path) -> list[Cell]:
    """The cells of an ``.ipynb`` file."""
    return [
        Cell(
            cell["cell_type"],
            "".join(cell["source"]),
            tuple(cell["metadata"].get("tags", ())),
        )
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]


def write_notebook(path: Path, cells: list[Cell]) -> None:
    """Write cells as an ``.ipynb`` file without outputs."""
    written = []
    for number, cell in enumerate(cells):
        entry: dict[str, Any] = {
            "cell_type": cell.kind,
            "id": f"cell-{number}",
            "metadata": {"tags": list(cell.tags)} if cell.tags else {},
            "source": cell.source.splitlines(keepends=True),
        }
        if cell.kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        written.append(entry)
    notebook = {
        "cells": written,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def digest_of(cells: list[Cell]) -> str:
    """SHA-256 of kinds and sources, in their order."""
    sources = json.dumps([(cell.kind, cell.source) for cell in cells])
    return hashlib.sha256(sources.encode()).hexdigest()


def run_cells(cells: list[Cell], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run the code and keep its outputs in the cells.

    Args:
        cells: of a notebook.
        settings: variables to set after the cell with the tag "parameters".

    Returns:
        The variables that are left.

    Raises:
        Exception: whatever a cell raises, with a note that names the cell.
    """
    space: dict[str, Any] = {"__name__": "__main__", "_sclong": _command}
    with _workplace():
        for number, cell in enumerate(cells):
            if cell.kind != "code":
                continue
            try:
                _run(cell, space)
            except BaseException as error:
                error.add_note(f"in cell {number}:\n{cell.source}")
                raise
            if "parameters" in cell.tags:
                space.update(settings or {})
    return space


@contextlib.contextmanager
def _workplace() -> Iterator[None]:
    """An empty folder and figures without a window; warnings of other libraries are not shown.

    Afterwards PyTorch has the threads that it had: numba, which UMAP uses, sets them for all.
    """
    import matplotlib as mpl  # noqa: PLC0415  # slow
    import torch  # noqa: PLC0415
    from matplotlib import pyplot as plt  # noqa: PLC0415

    threads = torch.get_num_threads()
    with (
        tempfile.TemporaryDirectory(prefix="notebook-") as folder,
        contextlib.chdir(folder),
        mpl.rc_context(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", module="sclong")
        plt.switch_backend("agg")
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            plt.close("all")


def _run(cell: Cell, space: dict[str, Any]) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415  # slow

    tree = ast.parse(_COMMAND.sub(lambda found: f"_sclong(f{found[1]!r})", cell.source))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        exec(compile(tree, "<cell>", "exec"), space)  # noqa: S102  # cells of this repository
        if isinstance(last, ast.Expr):
            shown = compile(ast.Expression(last.value), "<cell>", "eval")
            _show(eval(shown, space), cell)  # noqa: S307  # as above
    place = str(Path.cwd().resolve())
    cell.text = (printed.getvalue() + cell.text).replace(f"{place}/", "").replace(place, ".")
    for number in plt.get_fignums():
        cell.figures.append(_png(plt.figure(number)))
    plt.close("all")


def _show(value: Any, cell: Cell) -> None:
    """What a notebook shows of the last expression, as it is now: it may change later."""
    from matplotlib.artist import Artist  # noqa: PLC0415  # slow

    if isinstance(value, pd.DataFrame):
        cell.table = _table(value)
    elif value is not None and not isinstance(value, Artist):
        cell.text = repr(value)


def _command(words: str) -> None:
    """``sclong`` in this process, as a shell would run it."""
    from sclong_core.cli.main import main  # noqa: PLC0415  # slow

    if main(shlex.split(words.replace("\\\n", " "))):
        raise RuntimeError(f"sclong {words} failed")


def _png(figure: Any) -> bytes:
    from PIL import Image  # noqa: PLC0415  # comes with matplotlib

    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", facecolor="white")
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(packed, format="png", optimize=True)
    return packed.getvalue()


def page_of(name: str, cells: list[Cell]) -> tuple[str, dict[str, bytes]]:
    """The page of a notebook that was run, and its figures by name of file."""
    parts = [f"<!-- cells: {digest_of(cells)} -->"]
    figures: dict[str, bytes] = {}
    for cell in cells:
        if cell.kind == "markdown":
            parts.append(cell.source)
            if len(parts) == 2:  # below the title
                parts.append(f"[Download this notebook]({name}.ipynb){{ download }}")
            continue
        parts.append(f"```python\n{cell.source}\n```")
        if printed := _DURATION.sub("", cell.text).rstrip():
            parts.append(f"```text\n{printed}\n```")
        if cell.table:
            parts.append(cell.table)
        for drawn in cell.figures:
            file = f"{name}-{len(figures) + 1}.png"
            figures[file] = drawn
            parts.append(f"![Figure {len(figures)} of this notebook](images/{file})")
    return "\n\n".join(parts) + "\n", figures


def _table(frame: pd.DataFrame) -> str:
    """A frame in Markdown, its index first."""
    head = [" / ".join(str(name or "") for name in frame.index.names), *map(str, frame.columns)]
    numeric = [False, *(pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes)]
    rows = [head, ["---:" if number else "---" for number in numeric]]
    rows += [
        [" / ".join(map(str, row[0])) if isinstance(row[0], tuple) else str(row[0])]
        + [f"{value:.4g}" if isinstance(value, float) else str(value) for value in row[1:]]
        for row in frame.itertuples(name=None)
    ]
    safe = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in safe)


def write_page(path: Path) -> None:
    """Run a notebook; write its page and figures, and the notebook again without outputs."""
    cells = read_notebook(path)
    run_cells(cells)
    page, figures = page_of(path.stem, cells)
    images = path.parent / "images"
    images.mkdir(exist_ok=True)
    for old in images.glob(f"{path.stem}-*.png"):
        old.unlink()
    for file, drawn in figures.items():
        (images / file).write_bytes(drawn)
    write_notebook(path, cells)
    path.with_suffix(".md").write_text(page, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the pages of the notebooks that are named, or of all."""
    paths = [Path(name) for name in arguments] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        write_page(path)
        print(path.with_suffix(".md"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
