import json
import os
import re
import signal
import subprocess
import sys
import time

import anndata as ad
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sclong_core import save_checkpoint
from sclong_core.cli.embed import command
from sclong_core.cli.main import main
from sclong_core.embedding import block_store
from sclong_core.expression.cell_source import CellSource
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

CELLS = 40
MODEL = make_tiny_model()
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")

STALLED = """
import sys, time
from sclong_core.cli.main import main
from sclong_core.embedding import block_store

block_store.BLOCK_CELLS = 8
write = block_store.BlockStore.write

def stall(store, number, values):
    write(store, number, values)
    if number == 2:
        print("stalled", flush=True)
        time.sleep(600)

block_store.BlockStore.write = stall
sys.exit(main(sys.argv[1:]))
"""
LIMITED = """
import resource, sys
from sclong_core.cli.main import main
from sclong_core.embedding import block_store

block_store.BLOCK_CELLS = 8
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_store, "BLOCK_CELLS", 8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    save_checkpoint(MODEL, folder)
    return folder


@pytest.fixture
def adata():
    return make_counts_anndata(CELLS, SYNTHETIC_GENES)


@pytest.fixture
def words(tmp_path, checkpoint, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return words_for(tmp_path / "cells.h5ad", checkpoint)


def words_for(source, checkpoint, output="out.h5ad"):
    where = str(source.parent / output)
    return ["embed", str(source), "--checkpoint", str(checkpoint), "-o", where]


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(words, capsys):
    """The error of a command that fails as promised: status 2, one line, no traceback."""
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert errors == lines[-1:]
    return errors[0]


def test_embeds_and_says_what_it_did(words, tmp_path, adata, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    assert main(words) == 0
    shown = capsys.readouterr()
    found = ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"]
    np.testing.assert_array_equal(found, MODEL.embed(adata))
    assert "taken as raw" in shown.err
    for part in (str(tmp_path / "out.h5ad"), f"{CELLS} x 8", "24 of 24 (100.0% of counts)"):
        assert part in shown.out


def change(adata, place, value):
    counts = adata.X.toarray()
    counts[place] = value
    adata.X = sparse.csr_matrix(counts)
    return adata


def rename(adata, name):
    adata.var_names = [name(number) for number in range(adata.n_vars)]
    return adata


def scaled(adata):
    adata.X = sparse.csr_matrix(adata.X * 0.37 + adata.X.power(2) * 0.011)
    return adata


BAD = {
    "no gene in common": (
        lambda adata: rename(adata, lambda n: f"ENSMUSG{n:011d}"),
        "none of the 24 genes.*mouse",
    ),
    "one gene twice": (
        lambda adata: rename(adata, lambda n: f"ENSG{max(n, 1) + 1:011d}.{n}"),
        "occur more than once.*--duplicates sum",
    ),
    "NaN": (lambda adata: change(adata, (3, 4), np.nan), "NaN in cell 'cell3'"),
    "infinite": (lambda adata: change(adata, (3, 4), np.inf), "infinite value in cell 'cell3'"),
    "enormous": (lambda adata: change(adata, (3, 4), 1e30), "too large for a count.*'cell3'"),
    "negative": (lambda adata: change(adata, (3, 4), -1), "negative values.*'cell3'"),
    "no cells": (lambda adata: adata[:0].copy(), "holds 0 cells"),
    "no genes": (lambda adata: adata[:, :0].copy(), "holds 0 genes"),
    "a cell without counts": (lambda adata: change(adata, 3, 0), "no counts in 1.*'cell3'"),
    "neither counts nor log1p": (scaled, "force it with normalisation"),
}


@pytest.mark.parametrize(("spoil", "message"), BAD.values(), ids=BAD)
def test_bad_cells_are_one_line_and_nothing_is_written(
    tmp_path, checkpoint, adata, capsys, spoil, message
):
    source = tmp_path / "cells.h5ad"
    spoil(adata).write_h5ad(source)
    before = listing(tmp_path)
    error = refused(words_for(source, checkpoint, "new/out.h5ad"), capsys)
    assert error.startswith(f"error: {source}") or "genes" in error
    assert re.search(message, error), error
    assert listing(tmp_path) == before


@pytest.mark.parametrize("share", [0.5, 0.0], ids=["cut", "empty"])
def test_a_damaged_file_is_refused(words, tmp_path, capsys, share):
    path = tmp_path / "cells.h5ad"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    before = listing(tmp_path)
    assert str(path) in refused(words, capsys)
    assert listing(tmp_path) == before


def test_few_known_genes_are_refused_or_a_warning(tmp_path, checkpoint, capsys):
    source = tmp_path / "cells.h5ad"
    adata = make_counts_anndata(6, 60)
    names = ["ENSG00000000001", "ENSG00000000002", *(f"ENSG{n:011d}" for n in range(100, 158))]
    adata.var_names = names
    adata.write_h5ad(source)
    words = words_for(source, checkpoint)
    assert "the model knows too little of these cells" in refused(words, capsys)
    assert not (tmp_path / "out.h5ad").exists()
    assert main([*words, "--allow-poor-match"]) == 0
    assert "warning: genes: only 2 of 60 are known" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["model.safetensors", "config.json", "vocabulary.tsv"])
def test_a_damaged_checkpoint_is_refused(words, tmp_path, capsys, damage):
    folder = tmp_path / "damaged"
    save_checkpoint(MODEL, folder)
    content = bytearray((folder / damage).read_bytes())
    content[-9] ^= 1
    (folder / damage).write_bytes(bytes(content))
    words[words.index("--checkpoint") + 1] = str(folder)
    assert damage in refused(words, capsys)
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--pool", "max"), "invalid choice: 'max'"),
        (("--batch-size", "0"), "batch_size must be a positive integer"),
        (("--devices", "0"), "--devices must be a positive integer"),
        (("--device", "abacus"), "no device 'abacus'"),
        (("--dtype", "float16"), "invalid choice"),
        (("--key", "a/b"), "without a slash"),
        (("--matrix", "spliced"), "has no matrix 'spliced'"),
        (("--gene-column", "names"), "no gene column 'names'"),
        (("--revision", "main"), "is a local folder"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(words, tmp_path, capsys, option, message):
    before = listing(tmp_path)
    assert message in refused([*words, *option], capsys)
    assert listing(tmp_path) == before


def test_an_output_under_a_file_is_refused_before_the_model_is_loaded(words, tmp_path, capsys):
    words[-1] = str(tmp_path / "cells.h5ad" / "out.h5ad")
    words[words.index("--checkpoint") + 1] = "nowhere"
    assert "is not a folder" in refused(words, capsys)


def test_an_output_that_is_there_is_kept(words, tmp_path, capsys):
    (tmp_path / "out.h5ad").write_bytes(b"precious")
    assert "--overwrite" in refused(words, capsys)
    assert (tmp_path / "out.h5ad").read_bytes() == b"precious"
    assert main([*words, "--overwrite"]) == 0
    assert ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"].shape == (CELLS, 8)


LAYOUTS = {
    "dense": lambda counts: counts,
    "CSR": sparse.csr_matrix,
    "CSC": sparse.csc_matrix,
    "integers": lambda counts: counts.astype(np.int32),
    "bytes": lambda counts: sparse.csr_matrix(counts.astype(np.uint8)),
    "float64": lambda counts: counts.astype(np.float64),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_and_types_give_the_same_to_the_last_bit(words, tmp_path, adata, layout):
    expected = MODEL.embed(adata)
    adata.X = layout(adata.X.toarray())
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert main(words) == 0
    found = ad.read_h5ad(tmp_path / "out.h5ad", backed="r")
    np.testing.assert_array_equal(found.obsm["X_sclong"], expected)
    np.testing.assert_array_equal(MODEL.embed(found), expected)
    found.file.close()


def test_presence_is_taken_as_counts_only_if_asked(words, tmp_path, adata, capsys):
    flags = adata.X.toarray() > 0
    adata.X = flags
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert main(words) == 2
    assert "as presence and absence do" in capsys.readouterr().err
    assert main([*words, "--normalisation", "raw"]) == 0
    found = ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"]
    np.testing.assert_array_equal(
        found, MODEL.embed(ad.AnnData(flags * 1.0, var=adata.var), normalisation="raw")
    )


@settings(max_examples=6, deadline=None)
@given(
    batch_size=st.integers(1, 9),
    chosen=st.lists(st.integers(0, CELLS - 1), min_size=1, max_size=9, unique=True),
    order=st.permutations(range(SYNTHETIC_GENES)),
)
def test_an_embedding_depends_on_its_cell_alone(
    tmp_path_factory, checkpoint, batch_size, chosen, order
):
    folder = tmp_path_factory.mktemp("cells")
    adata = make_counts_anndata(CELLS, SYNTHETIC_GENES)
    part = adata[chosen].copy()
    part.write_h5ad(folder / "cells.h5ad")
    part[:, order].copy().write_h5ad(folder / "turned.h5ad")
    found = []
    for name in ("cells", "turned"):
        words = words_for(folder / f"{name}.h5ad", checkpoint, f"{name}.npy")
        assert main([*words, "--batch-size", str(batch_size)]) == 0
        found.append(np.load(folder / f"{name}.npy"))
    np.testing.assert_allclose(found[0], MODEL.embed(adata)[chosen], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_file_is_read_by_blocks_only(words, monkeypatch):
    read = []
    original = CellSource.read_rows

    def counting(source, start, stop):
        read.append((start, stop))
        return original(source, start, stop)

    monkeypatch.setattr(CellSource, "read_rows", counting)
    monkeypatch.setattr("sclong_core.expression.surveys.cells_at_once", lambda _genes: 16)
    assert main(words) == 0
    rows = np.bincount([row for run in read for row in range(*run)], minlength=CELLS)
    assert (rows == 2).all()  # once to check, once to embed
    assert max(stop - start for start, stop in read) == 16


def test_a_folder_becomes_a_folder_and_bad_files_are_named_at_the_end(
    tmp_path, checkpoint, adata, capsys
):
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    adata.write_h5ad(folder / "inner" / "good.h5ad")
    change(adata, (1, 1), np.nan).write_h5ad(folder / "bad.h5ad")
    words = words_for(folder, checkpoint, "out")
    error = refused_in_folder(words, capsys)
    assert "1 of 2 files were not embedded" in error
    assert "bad.h5ad" in error
    assert listing(tmp_path / "out") == ["inner", "inner/good.h5ad"]
    change(adata, (1, 1), 1).write_h5ad(folder / "bad.h5ad")
    assert main([*words, "--resume"]) == 0
    assert "good.h5ad: finished before" in capsys.readouterr().err
    assert (tmp_path / "out" / "bad.h5ad").exists()


def refused_in_folder(words, capsys):
    assert main(words) == 2
    return capsys.readouterr().err.splitlines()[-1]


def started(words, *, script=STALLED):
    """The real process, which stalls after its third block."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == "stalled\n", process.stderr.read()
    return process


@pytest.mark.fault
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL], ids=["interrupt", "kill -9"])
def test_a_stopped_run_resumes_to_the_same_bits(words, tmp_path, adata, capsys, kind):
    process = started(words)
    assert "being worked on by process" in refused([*words, "--resume"], capsys)
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if kind == signal.SIGINT else -signal.SIGKILL)
    if kind == signal.SIGINT:
        assert errors.splitlines()[-1] == "error: interrupted"
        assert "--resume" in errors
    assert listing(tmp_path)[:1] == ["cells.h5ad"]
    assert not (tmp_path / "out.h5ad").exists()
    assert main([*words, "--resume"]) == 0
    assert "3 of 5 blocks are finished" in capsys.readouterr().err
    found = ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"]
    np.testing.assert_array_equal(found, MODEL.embed(adata))
    assert listing(tmp_path) == ["cells.h5ad", "out.h5ad"]


@pytest.mark.fault
def test_resuming_other_work_is_refused(words, tmp_path, adata, capsys):
    process = started(words)
    process.kill()
    process.communicate(timeout=60)
    error = refused([*words, "--resume", "--pool", "gene_sums"], capsys)
    assert "pool was mean and is gene_sums" in error
    time.sleep(0.01)  # for another time of change
    adata[:30].copy().write_h5ad(tmp_path / "cells.h5ad")
    assert "cells was 40 and is 30" in refused([*words, "--resume"], capsys)
    assert main(words) == 0
    assert "replacing unfinished work of an earlier run" in capsys.readouterr().err
    assert len(ad.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"]) == 30


@pytest.mark.fault
@pytest.mark.parametrize(
    ("output", "pool", "limit", "kept"),
    [
        ("out.h5ad", "mean", 20_000, 5),
        ("out.npy", "mean", 1_300, 5),
        ("out.npy", "gene_sums", 700, 0),
    ],
    ids=["annotated output", "plain output", "block"],
)
def test_a_full_disk_is_one_line_and_loses_nothing(words, tmp_path, output, pool, limit, kept):
    words = [*words[:-1], str(tmp_path / output), "--pool", pool]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert "--resume" in done.stderr.splitlines()[-1]
    assert len(list((tmp_path / f"{output}.partial").glob("block-*"))) == kept
    assert {path.name for path in tmp_path.iterdir()} <= {"cells.h5ad", f"{output}.partial"}
    assert main([*words, "--resume"]) == 0
    assert (tmp_path / output).exists()
    assert not (tmp_path / f"{output}.partial").exists()


def test_the_copy_of_a_file_is_not_loaded(words, tmp_path, monkeypatch):
    """All of the input is in the output, with what AnnData does not know."""
    with h5py.File(tmp_path / "cells.h5ad", "r+") as file:
        file.attrs["laboratory"] = "ours"
        file["uns"].create_dataset("notes", data=json.dumps({"a": 1}))
    assert main(words) == 0
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert file.attrs["laboratory"] == "ours"
        assert "notes" in file["uns"]


def test_the_command_is_light_to_import():
    check = (
        "import sys, sclong_core.cli.embed; print([name for name in "
        "('torch', 'numpy', 'rich', 'anndata', 'lightning') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert command.help
