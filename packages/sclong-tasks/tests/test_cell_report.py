"""One page about one's own cells: what it says, what it escapes, how it answers."""

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sclong_core import ScLong
from sclong_core.cli.main import main
from tests.support.browser import (
    complaints,
    find_browser,
    opened_browser,
    printed,
    requests,
    widths,
)

EVIL = "</div><script>alert(1)</script>"
CELLS, GENES = 90, 60


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Three types, one with a name that is markup; counts of genes that the model reads."""
    model = ScLong.from_pretrained(device="cpu")
    places = model.require_readout().variable.numpy()[:GENES]
    draw = np.random.default_rng(0)
    types = np.repeat(["T cells", "B cells", EVIL], CELLS // 3)
    rates = np.tile(draw.gamma(1.0, size=GENES) + 0.3, (CELLS, 1))
    rates[types == "B cells", :8] += 6
    cells = anndata.AnnData(sparse.csr_matrix(draw.poisson(rates).astype(np.float32)))
    cells.var_names = [model.vocabulary.ids[place] for place in places]
    cells.obs_names = [f"{EVIL} {number}" for number in range(CELLS)]
    cells.obs["cell_type"] = pd.Categorical(types)
    cells.obs["donor"] = pd.Categorical(draw.choice(["one", "two"], CELLS))
    cells.obs["barcode"] = [f"B{number}" for number in range(CELLS)]
    cells.obs["depth"] = draw.random(CELLS)
    folder = tmp_path_factory.mktemp("cells")
    cells.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


@pytest.fixture(scope="module")
def page(path):
    words = ["report", str(path), "-o", str(path.with_name("page.html")), "--map", "pca"]
    assert main(words) == 0
    return path.with_name("page.html")


def test_the_page_says_what_the_file_holds(page):
    text = page.read_text()
    for words in (
        "<h1>cells.h5ad</h1>",
        f'<dd class="figure">{CELLS}</dd>',
        "by cell_type", "by donor", "by counts", "by genes expressed",
        "Genes behind the vectors of each cell_type", "T cells", "share of counts matched",
    ):  # fmt: skip
        assert words in text, words
    assert "by barcode" not in text
    assert "by depth" not in text
    assert page.stat().st_size < 1_000_000


def test_names_of_cells_and_types_are_text_and_never_markup(page):
    text = page.read_text()
    assert EVIL not in text
    assert "alert(1)" in text
    assert len(re.findall("<script", text)) == 2


def test_columns_and_genes_are_as_asked_and_large_files_are_sampled(path, tmp_path, capsys):
    out = tmp_path / "deep" / "page.html"
    words = ["report", str(path), "-o", str(out), "--map", "pca", "--color", "donor"]
    words += ["--no-genes", "--most-cells", "40", "--by", "donor"]
    assert main(words) == 0
    text = out.read_text()
    assert "40 of 90 cells, drawn at random" in text
    assert "by cell_type" not in text
    assert "Genes behind" not in text
    drawn = re.search(r'data-order="([^"]*)"', text)
    assert sorted(cell for group in json.loads(drawn.group(1)) for cell in group) == list(range(40))
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--color", "tissue"]) == 2
    assert "no column tissue" in capsys.readouterr().err
    assert out.read_text() == text


@pytest.mark.parametrize("cells", [1, 2, 3])
def test_a_few_cells_have_a_page_too(path, tmp_path, cells):
    pytest.importorskip("umap")
    few = anndata.read_h5ad(path)[:cells].copy()
    few.X = few.X.log1p()
    few.write_h5ad(tmp_path / "few.h5ad")
    words = ["report", str(tmp_path / "few.h5ad"), "-o", str(tmp_path / "few.html")]
    assert main([*words, "--map", "umap", "--normalisation", "log1p"]) == 0
    text = (tmp_path / "few.html").read_text()
    assert "by sum of values" in text
    assert "by counts" not in text
    assert "the first two principal components" in text


def test_what_is_no_page_is_refused(path, tmp_path, capsys):
    assert main(["report", str(path), "-o", str(tmp_path / "page.pdf")]) == 2
    assert "must end in .html" in capsys.readouterr().err
    assert main(["report", str(path), "-o", str(tmp_path / "p.html"), "--most-cells", "2"]) == 2
    assert "cells must be at least 3" in capsys.readouterr().err


@pytest.mark.skipif(
    find_browser() is None,
    reason="no Chromium here: install it (on Debian: apt-get install chromium)",
)
def test_maps_answer_to_the_legend_and_the_pointer_on_any_screen(page, tmp_path):
    with opened_browser(tmp_path / "profile") as browser:
        for width in (390, 1280):
            events = browser.go(page, width=width, mobile=width == 390)
            assert complaints(events) == []
            assert all(one.startswith(("file:", "data:")) for one in requests(events))
            needed, there = widths(browser)
            assert needed <= there
        first = "document.querySelector('.cell-map')"
        label = browser.evaluate(f"{first}.querySelector('.legend button span').textContent")
        assert label in {"T cells", "B cells", EVIL}
        browser.evaluate(f"{first}.querySelector('.legend button').click()")
        hidden = f"{first}.querySelector('path.point').style.display"
        assert browser.evaluate(hidden) == "none"
        browser.evaluate(f"{first}.querySelector('.legend button').click()")
        assert browser.evaluate(hidden) == ""
        browser.evaluate(
            f"(() => {{ const svg = {first}.querySelector('svg'), m = svg.getScreenCTM();"
            " const d = svg.querySelector('path.point').getAttribute('d');"
            " const at = d.match(/M(\\S+) (\\S+)m/);"
            " const p = new DOMPoint(+at[1], +at[2]).matrixTransform(m);"
            " svg.dispatchEvent(new PointerEvent('pointermove', {clientX: p.x, clientY: p.y})) })()"
        )
        said = browser.evaluate(f"{first}.querySelector('output').textContent")
        assert re.search(r"\d+: ", said)
        assert printed(browser).startswith(b"%PDF")
