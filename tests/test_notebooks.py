"""The notebooks of the documentation: they run, and their pages are those of their cells."""

import json
import re
import warnings
from pathlib import Path

import pytest
import scanpy as sc
import torch
import yaml

from benchmarks.notebooks import (
    FOLDER,
    Cell,
    digest_of,
    page_of,
    read_notebook,
    run_cells,
    write_notebook,
    write_page,
)

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
PARAMETERS = {
    "finetune": {"epochs": 1},
    "perturb": {"like_genes": 20, "top": 3},
    "pretrain": {"epochs": 1, "batch_size": 4, "held_out": 0.8},
}
"""What is smaller here than on the page, by notebook."""
LARGEST_PAGE = 300_000


def names(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


@pytest.fixture
def half_of_the_cells(monkeypatch):
    """Every other cell of those that come with scanpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of the file
        cells = sc.datasets.pbmc68k_reduced()[::2].copy()
    monkeypatch.setattr(sc.datasets, "pbmc68k_reduced", cells.copy)


@names(NOTEBOOKS)
def test_a_notebook_runs(path, half_of_the_cells):
    cells = read_notebook(path)
    run_cells(cells, PARAMETERS.get(path.stem))
    assert any(cell.figures for cell in cells)
    assert any(cell.table for cell in cells)


@names(NOTEBOOKS)
def test_a_page_is_of_the_cells_of_its_notebook(path):
    page = path.with_suffix(".md").read_text(encoding="utf-8")
    again = "python -m benchmarks.notebooks writes it again"
    assert page.startswith(f"<!-- cells: {digest_of(read_notebook(path))} -->"), again
    shown = re.findall(rf"\]\(images/({path.stem}-\d+\.png)\)", page)
    images = sorted((FOLDER / "images").glob(f"{path.stem}-*.png"))
    assert sorted(shown) == [image.name for image in images]
    assert len(page.encode()) + sum(image.stat().st_size for image in images) < LARGEST_PAGE


@names(NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(path, tmp_path):
    again = tmp_path / path.name
    write_notebook(again, read_notebook(path))
    assert again.read_bytes() == path.read_bytes(), "python -m benchmarks.notebooks cleans it"
    assert not any(cell.get("outputs") for cell in json.loads(path.read_text())["cells"])


@names(NOTEBOOKS)
def test_a_notebook_says_at_its_top_what_it_runs_on_and_needs(path):
    top = read_notebook(path)[0].source
    assert "runs as it is" in top
    assert "pip install" in top


def test_all_notebooks_are_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = yaml.safe_load(text.partition("\nnav:")[2].partition("\n\n")[0])
    pages = next(entry["Notebooks"] for entry in nav if "Notebooks" in entry)
    listed = {Path(page).stem for entry in pages for page in entry.values()}
    assert listed == {path.stem for path in NOTEBOOKS}


def test_outputs_are_on_the_page(tmp_path):
    cells = [
        Cell("markdown", "# Title"),
        Cell("code", "size = 2", ("parameters",)),
        Cell("code", "print('printed')\nprint('a step takes 4.3 seconds: wait')\nsize"),
        Cell("code", "import pandas as pd\npd.DataFrame({'a|b': [0.12345]}, index=['row'])"),
        Cell("code", "from matplotlib import pyplot\n_, ax = pyplot.subplots()\nax"),
    ]
    left = run_cells(cells, {"size": 3})
    assert left["size"] == 3
    page, figures = page_of("name", cells)
    assert "```text\nprinted\n3\n```" in page
    assert "|  | a\\|b |\n| --- | ---: |\n| row | 0.1235 |" in page
    assert page.endswith("![Figure 1 of this notebook](images/name-1.png)\n")
    assert figures["name-1.png"].startswith(b"\x89PNG")
    assert "[Download this notebook](name.ipynb)" in page


def test_a_value_is_shown_as_it_was():
    cells = [Cell("code", "found = [1]\nfound"), Cell("code", "found.append(2)")]
    run_cells(cells)
    assert cells[0].text == "[1]"


def test_a_cell_that_fails_is_named():
    with pytest.raises(ZeroDivisionError) as error:
        run_cells([Cell("markdown", "# Title"), Cell("code", "1 / 0")])
    assert "in cell 1:\n1 / 0" in error.value.__notes__


def test_commands_run_in_an_empty_folder_that_is_removed():
    cells = [
        Cell("code", "from pathlib import Path\nplace = Path.cwd()\nlist(place.iterdir())"),
        Cell("code", "name = 'mine.yaml'\n!sclong pretrain configs tiny \\\n  -o {name}\nprint(3)"),
        Cell("code", "print(Path(name).resolve())\nPath(name).is_file()"),
    ]
    left = run_cells(cells)
    assert [cells[0].text, cells[2].text] == ["[]", "mine.yaml\nTrue"]
    assert not left["place"].exists()


def test_a_command_that_fails_stops_the_notebook():
    with pytest.raises((RuntimeError, SystemExit)):
        run_cells([Cell("code", "!sclong info missing.h5ad")])


def test_a_page_replaces_its_figures(tmp_path):
    path = tmp_path / "some.ipynb"
    old = tmp_path / "images" / "some-7.png"
    old.parent.mkdir()
    old.write_bytes(b"")
    draw = Cell("code", "import pandas as pd\npd.Series([1, 2]).plot()")
    write_notebook(path, [Cell("markdown", "# Some"), draw])
    write_page(path)
    assert [image.name for image in old.parent.iterdir()] == ["some-1.png"]
    assert "images/some-1.png" in path.with_suffix(".md").read_text()


def test_a_notebook_leaves_the_threads_of_pytorch_as_they_were():
    before = torch.get_num_threads()
    run_cells([Cell("code", f"import torch\ntorch.set_num_threads({before + 1})")])
    assert torch.get_num_threads() == before
