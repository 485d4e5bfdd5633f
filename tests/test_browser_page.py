"""The page that embeds cells in a browser: the vectors of Python, from files as people have."""

import functools
import http.server
import io
import shutil
import threading
import time
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sclong_core import ScLong
from sclong_core.checkpoint import save_checkpoint
from sclong_core.config import ScLongConfig, StudentConfig
from sclong_core.distillation.export import export_student
from sclong_core.model import Student
from tests.support.browser import complaints, find_browser, opened_browser, requests, widths

PAGE = Path(__file__).parent.parent / "docs" / "browser"
PATIENCE = 120.0
GENES, CELLS = 2_000, 60

pytestmark = [
    pytest.mark.skipif(
        find_browser() is None,
        reason="no Chromium here: install it (on Debian: apt-get install chromium)",
    ),
    pytest.mark.skipif(
        not (PAGE / "libraries").is_dir(), reason="no libraries of the page: make browser"
    ),
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        """Say nothing."""


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student with the names of real genes, and numbers drawn at random."""
    genes = ScLong.from_pretrained("mini", device="cpu").vocabulary
    shape = StudentConfig(width=12, rank=8, hidden=32, inner=48, blocks=1)
    config = ScLongConfig(**{**vars(_tiny_config()), "genes": len(genes), "student": shape})
    model = Student(config, genes).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, values in model.state_dict().items():
            drawn = torch.randn(values.shape, generator=generator) * 0.3
            positive = name.endswith(("rate", "sum_scale"))
            values.copy_((drawn.abs() + 0.5 if positive else drawn).bfloat16())
    folder = tmp_path_factory.mktemp("student") / "student"
    save_checkpoint(model, folder, origin={"kind": "distillation"})
    return folder


def _tiny_config():
    from sclong_core.testing import make_tiny_model  # noqa: PLC0415  # for its sizes alone

    return make_tiny_model().config


@pytest.fixture(scope="module")
def site(student, tmp_path_factory):
    """The address of the page with that student, and of the page as it ships, on loopback."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PAGE, folder / "shipped", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(folder / "shipped", folder / "tried", ignore=shutil.ignore_patterns("model"))
    export_student(student, folder / "tried" / "model")
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def cells():
    """Counts of genes by id, by symbol, by an earlier symbol, and of some that are no genes."""
    vocabulary = ScLong.from_pretrained("mini", device="cpu").vocabulary
    draw = np.random.default_rng(0)
    counts = draw.poisson(0.4, (CELLS, GENES)) * draw.integers(1, 40, (CELLS, GENES))
    names = [
        symbol or gene for gene, symbol in zip(vocabulary.ids, vocabulary.symbols, strict=True)
    ]
    names = names[:GENES]
    names[3] = f"{vocabulary.ids[3]}.7"
    names[-2:] = ["no such gene", "nor this"]
    var = pd.DataFrame({"chromosome": ["1"] * GENES}, index=names)
    obs = pd.DataFrame(
        {"type": pd.Categorical(["<b>B</b>", "T"] * (CELLS // 2)), "depth": counts.sum(axis=1)},
        index=[f"cell {n}" for n in range(CELLS)],
    )
    return ad.AnnData(sparse.csr_matrix(counts.astype(np.float32)), obs=obs, var=var)


def _open(browser, address, path):
    """Give the page a file; what it says in the end."""
    browser.events.clear()
    browser.call("Page.navigate", url=f"{address}/index.html")
    _until(browser, "document.readyState === 'complete' && !!document.getElementById('file')")
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    field = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(path)], nodeId=field)
    state = "document.getElementById('state')"
    _until(browser, f"/ embedded$/.test({state}.textContent) || {state}.className === 'wrong'")
    return browser.evaluate(f"{state}.textContent")


def _until(browser, condition):
    end = time.monotonic() + PATIENCE
    while not browser.evaluate(condition):
        assert time.monotonic() < end, browser.evaluate("document.body.innerText")
        time.sleep(0.1)


def _table(browser):
    return pd.read_csv(io.StringIO(browser.evaluate("table().text()")), sep="\t", index_col=0)


def _in_memory(adata):
    return adata


def _by_genes(adata):
    adata.X = sparse.csc_matrix(adata.X)
    return adata


def _dense(adata):
    adata.X = adata.X.toarray()
    return adata


def _counts_in_a_layer(adata):
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    return adata


def _counts_in_raw(adata):
    adata.raw = adata.copy()
    adata.X = adata.X.log1p()
    return adata


LAYOUTS = (_in_memory, _by_genes, _dense, _counts_in_a_layer, _counts_in_raw)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__.strip("_"))
def test_the_page_has_the_vectors_of_python(browser, site, student, cells, tmp_path, layout):
    layout(cells.copy()).write_h5ad(tmp_path / "cells.h5ad")
    assert _open(browser, f"{site}/tried", tmp_path / "cells.h5ad") == f"{CELLS} cells embedded"
    _compare(_table(browser), student, cells)


def test_files_of_10x_are_read_and_nothing_is_asked_of_others(
    browser, site, student, cells, tmp_path
):
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        group = file.create_group("matrix")
        turned = sparse.csr_matrix(cells.X)
        group["data"], group["indices"] = turned.data.astype(np.int32), turned.indices
        group["indptr"], group["shape"] = turned.indptr.astype(np.int64), [GENES, CELLS]
        group["barcodes"] = [name.encode() for name in cells.obs_names]
        names = [name.encode() for name in cells.var_names]
        group["features/id"], group["features/name"] = names, names
    assert _open(browser, f"{site}/tried", tmp_path / "cells.h5") == f"{CELLS} cells embedded"
    _compare(_table(browser), student, cells)
    asked = {address for address in requests(browser.events) if not address.startswith("data:")}
    assert all(address.startswith((site, "blob:")) for address in asked), asked
    assert complaints(browser.events) == []


def test_the_legend_hides_cells_and_a_phone_can_read_the_page(browser, site, cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    for width in (1280, 390):
        browser.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width == 390,
        )
        _open(browser, f"{site}/tried", tmp_path / "cells.h5ad")
        needed, there = widths(browser)
        assert needed <= there
    drawn = (
        "(() => { const c = document.getElementById('map');"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height)"
        ".data.filter((v, i) => i % 4 === 3 && v > 0).length })()"
    )
    before = browser.evaluate(drawn)
    labels = browser.evaluate(
        "[...document.querySelectorAll('#legend button')].map(b => b.innerText)"
    )
    assert labels == [f"<b>B</b> ({CELLS // 2})", f"T ({CELLS // 2})"]
    browser.evaluate("document.querySelector('#legend button').click()")
    assert 0 < browser.evaluate(drawn) < before


def _empty_cell(adata):
    adata.X = sparse.csr_matrix(adata.X.multiply(np.arange(CELLS)[:, None] != 5))
    return adata


def _half_a_count(adata):
    adata.X.data[-1] = 0.5
    return adata


def _logarithms(adata):
    adata.X = adata.X.log1p()
    return adata


def _two_columns_of_a_gene(adata):
    names = adata.var_names.tolist()
    names[1] = f"{names[3].split('.')[0]}.2"
    adata.var_names = names
    return adata


def _mouse(adata):
    adata.var_names = [f"ENSMUSG{n:011d}" for n in range(GENES)]
    return adata


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_empty_cell, "Cell cell 5 has no counts: remove it."),
        (_half_a_count, f"Cell cell {CELLS - 1} holds 0.5, which is not a count."),
        (_logarithms, "None of its matrices holds raw counts"),
        (_two_columns_of_a_gene, "Two of its columns are one gene"),
        (_mouse, "None of its genes is known to the model"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_files_that_cannot_be_embedded_are_refused(browser, site, cells, tmp_path, change, said):
    change(cells.copy()).write_h5ad(tmp_path / "cells.h5ad")
    assert said in _open(browser, f"{site}/tried", tmp_path / "cells.h5ad")
    assert browser.evaluate("document.getElementById('result').hidden")


def test_other_files_are_refused_and_the_next_one_is_read(browser, site, cells, tmp_path):
    (tmp_path / "thesis.h5ad").write_bytes(b"not at all HDF5" * 100)
    said = _open(browser, f"{site}/tried", tmp_path / "thesis.h5ad")
    assert said == ("thesis.h5ad: It is not an HDF5 file: choose an .h5ad or a 10x .h5 file.")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    whole = (tmp_path / "cells.h5ad").read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    said = _open(browser, f"{site}/tried", tmp_path / "cut.h5ad")
    assert said == "cut.h5ad: It is damaged, or ends too early."
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    field = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "cells.h5ad")], nodeId=field)
    _until(browser, "/ embedded$/.test(document.getElementById('state').textContent)")


def test_the_page_as_it_ships_embeds(browser, site, cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    assert _open(browser, f"{site}/shipped", tmp_path / "cells.h5ad") == f"{CELLS} cells embedded"
    vectors = _table(browser).filter(like="sclong_").to_numpy()
    assert vectors.shape == (CELLS, 128)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors.round(5), axis=0)) == CELLS


def _compare(table, student, cells):
    wanted = ScLong.from_pretrained(student, device="cpu").embed(cells)
    vectors = table.filter(like="sclong_").to_numpy()
    assert table.index.tolist() == cells.obs_names.tolist()
    cosine = (vectors * wanted).sum(axis=1) / np.linalg.norm(vectors, axis=1)
    assert (cosine / np.linalg.norm(wanted, axis=1)).min() >= 0.9999
    assert np.isfinite(table[["map_1", "map_2"]].to_numpy()).all()
