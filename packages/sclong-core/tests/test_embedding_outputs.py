import json
import logging

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import write_elem
from scipy import sparse

from sclong_core import ConfigError, InputError, save_checkpoint
from sclong_core.embedding import block_store
from sclong_core.embedding.annotated import read_record
from sclong_core.embedding.embed_files import Embedder, embed_files
from sclong_core.embedding.jobs import EmbedOptions, Job, check_key, plan_jobs, warn_of_space
from sclong_core.embedding.outputs import check_output
from sclong_core.embedding.tables import cell_names_file, read_table_record, sidecar
from sclong_core.files import sha256_file
from sclong_core.manifest import read_checkpoint_info
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

CELLS = 20
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_store, "BLOCK_CELLS", 8)


@pytest.fixture(scope="module")
def model():
    return make_tiny_model()


@pytest.fixture
def info(model, tmp_path):
    save_checkpoint(model, tmp_path / "model", origin={"kind": "test"})
    return read_checkpoint_info(tmp_path / "model")


@pytest.fixture
def rich():
    """Cells with something in every place of AnnData."""
    adata = make_counts_anndata(CELLS, SYNTHETIC_GENES)
    adata.obs["type"] = pd.Categorical(["T", "B"] * (CELLS // 2))
    adata.var["symbol"] = [f"GENE{number}" for number in range(SYNTHETIC_GENES)]
    adata.raw = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.obsm["X_pca"] = np.ones((CELLS, 2))
    adata.varm["loadings"] = np.ones((SYNTHETIC_GENES, 2))
    adata.obsp["distances"] = sparse.eye(CELLS, format="csr")
    adata.uns["colors"] = ["red", "blue"]
    return adata


@pytest.fixture
def embed(model, info):
    def run(source, output, **options):
        jobs = plan_jobs([source], output)
        return embed_files(Embedder(model, info, EmbedOptions(batch_size=4, **options)), jobs)

    return run


def write(adata, path):
    getattr(adata, {".h5ad": "write_h5ad", ".zarr": "write_zarr"}[path.suffix])(path)
    return path


def read(path):
    return ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_a_copy_keeps_everything_and_adds_the_embedding(tmp_path, rich, model, embed, suffix):
    source = write(rich, tmp_path / f"cells{suffix}")
    embed(source, tmp_path / f"embedded{suffix}")
    found, before = read(tmp_path / f"embedded{suffix}"), read(source)
    np.testing.assert_array_equal(found.obsm["X_sclong"], model.embed(rich, batch_size=4))
    assert found.obsm["X_sclong"].dtype == np.float32
    record = found.uns.pop("sclong")["X_sclong"]
    del found.obsm["X_sclong"]
    assert record["cells"]["normalisation"] == "raw"
    pd.testing.assert_frame_equal(found.obs, before.obs)
    pd.testing.assert_frame_equal(found.var, before.var)
    assert (found.X != before.X).nnz == (found.raw.X != before.raw.X).nnz == 0
    for part in ("layers", "obsm", "varm", "obsp", "uns"):
        assert set(getattr(found, part)) == set(getattr(before, part))
    assert not list(tmp_path.glob("*.partial"))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("one", "other"), [(".h5ad", ".zarr"), (".zarr", ".h5ad")])
def test_another_format_carries_over_obs_var_and_the_matrix(
    tmp_path, rich, model, embed, caplog, one, other
):
    caplog.set_level(logging.INFO, logger="sclong")
    source = write(rich, tmp_path / f"cells{one}")
    embed(source, tmp_path / f"embedded{other}", reading={"matrix": "counts"})
    found = read(tmp_path / f"embedded{other}")
    np.testing.assert_array_equal(found.obsm["X_sclong"], model.embed(rich, batch_size=4))
    assert found.obs["type"].tolist() == rich.obs["type"].tolist()
    assert found.var["symbol"].tolist() == rich.var["symbol"].tolist()
    assert (found.X != rich.X).nnz == 0
    assert "left out: layers, obsm, obsp, raw, uns, varm" in caplog.text


def test_a_matrix_is_carried_over_in_blocks(tmp_path, rich, embed, monkeypatch):
    monkeypatch.setattr("sclong_core.embedding.annotated.cells_at_once", lambda _genes: 3)
    source = write(rich, tmp_path / "cells.h5ad")
    embed(source, tmp_path / "embedded.zarr")
    found = read(tmp_path / "embedded.zarr")
    assert (found.X != rich.X).nnz == 0
    assert zarr.open_group(tmp_path / "embedded.zarr")["X/indptr"].dtype == np.int64


def test_a_file_of_old_anndata_is_written_anew(tmp_path, rich, embed):
    rich.raw = None
    source = write(rich, tmp_path / "cells.h5ad")
    with h5py.File(source, "r+") as file:
        del file["obs"], file["uns"], file["obsm"]
        # A compound array, as anndata 0.6 wrote.
        file["obs"] = np.array([(b"c%d" % n, n) for n in range(CELLS)], dtype="S8,i4")
    embed(source, tmp_path / "embedded.h5ad")
    found = read(tmp_path / "embedded.h5ad")
    assert found.obs_names[3] == "c3"
    assert found.obsm["X_sclong"].shape == (CELLS, 8)


def test_npy_has_the_names_of_its_cells_beside_it(tmp_path, rich, model, embed):
    rich.obs_names = ["with\ttab", *rich.obs_names[1:]]
    output = tmp_path / "embedded.npy"
    embed(write(rich, tmp_path / "cells.h5ad"), output)
    np.testing.assert_array_equal(np.load(output), model.embed(rich, batch_size=4))
    names = pd.read_csv(cell_names_file(output), sep="\t")["cell"].tolist()
    assert names == rich.obs_names.tolist()
    assert json.loads(sidecar(output).read_text())["columns"][7] == "sclong_7"
    output.write_bytes(output.read_bytes() + b" ")
    assert read_table_record(output) is None


def test_parquet_holds_names_and_columns(tmp_path, rich, model, embed):
    pytest.importorskip("pyarrow")
    output = tmp_path / "embedded.parquet"
    embed(write(rich, tmp_path / "cells.h5ad"), output, pool="gene_sums")
    found = pd.read_parquet(output).set_index("cell")
    assert found.index.tolist() == rich.obs_names.tolist()
    assert found.columns.tolist() == rich.var_names.tolist()
    np.testing.assert_array_equal(found, model.embed(rich, pool="gene_sums", batch_size=4))
    assert read_table_record(output)["pool"] == "gene_sums"


def test_parquet_without_pyarrow_is_refused_with_what_to_install(tmp_path, rich, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    source = write(rich, tmp_path / "cells.h5ad")
    with pytest.raises(ConfigError, match=r"pip install 'sclong-core\[parquet\]'"):
        plan_jobs([source], tmp_path / "embedded.parquet")


def test_the_record_says_where_an_embedding_comes_from(tmp_path, rich, embed, info):
    source = write(rich, tmp_path / "cells.h5ad")
    embed(source, tmp_path / "embedded.h5ad", pool="gene_sums")
    record = read_record(tmp_path / "embedded.h5ad", "X_sclong")
    assert record["checkpoint"]["digest"] == info.digest
    assert record["checkpoint"]["origin"] == "test"
    assert record["checkpoint"]["files"] == {n: f.sha256 for n, f in info.files.items()}
    assert record["cells"]["cells"] == CELLS
    assert record["pool"] == "gene_sums"
    assert record["columns"].tolist() == rich.var_names.tolist()
    assert {"sclong_version", "date", "command", "dtype", "device"} <= record.keys()


def test_two_embeddings_live_in_one_file(tmp_path, rich, embed):
    embed(write(rich, tmp_path / "cells.h5ad"), tmp_path / "one.h5ad")
    with pytest.raises(InputError, match=r"already has obsm\['X_sclong'\].*--key"):
        embed(tmp_path / "one.h5ad", tmp_path / "two.h5ad")
    embed(tmp_path / "one.h5ad", tmp_path / "two.h5ad", key="X_sums", pool="gene_sums")
    found = read(tmp_path / "two.h5ad")
    assert {"X_sclong", "X_sums"} <= set(found.obsm)
    assert {key: item["pool"] for key, item in found.uns["sclong"].items()} == {
        "X_sclong": "mean",
        "X_sums": "gene_sums",
    }


def test_foreign_notes_are_not_replaced(tmp_path, rich):
    rich.uns["sclong"] = "mine"
    source = write(rich, tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"uns\['sclong'\], which is not sclong's"):
        check_key(Job(source, tmp_path / "embedded.h5ad"), "X_sclong")
    check_key(Job(source, tmp_path / "embedded.npy"), "X_sclong")


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr", ".npy"])
def test_a_finished_output_is_passed_over_or_refused(tmp_path, rich, embed, suffix):
    source, output = write(rich, tmp_path / "cells.h5ad"), tmp_path / f"embedded{suffix}"
    embed(source, output)
    with pytest.raises(InputError, match=r"already exists.*--overwrite"):
        embed(source, output)
    (leftover := block_store.partial_folder(output)).mkdir()
    assert embed(source, output, resume=True)[0].status == "finished before"
    assert not leftover.exists()
    with pytest.raises(InputError, match=r"another run .pool was mean and is mean_expressed"):
        embed(source, output, resume=True, pool="mean_expressed")
    embed(source, output, overwrite=True, pool="mean_expressed")
    assert embed(source, output, resume=True, pool="mean_expressed")[0].status == "finished before"


@pytest.mark.parametrize("note", ["[" * 100_000, "{", '{"work": [1], "sha256": "SHA256"}'])
def test_an_output_with_a_damaged_record_is_not_taken_for_finished(tmp_path, rich, embed, note):
    source, output = write(rich, tmp_path / "cells.h5ad"), tmp_path / "embedded.npy"
    embed(source, output)
    sidecar(output).write_text(note.replace("SHA256", sha256_file(output)))
    with pytest.raises(InputError, match="scLong did not write it"):
        embed(source, output, resume=True)
    with pytest.raises(InputError, match=r"embedded\.npy\.json already exists .*did not write it"):
        embed(source, output, overwrite=True)
    sidecar(output).unlink()
    assert embed(source, output, resume=True, overwrite=True)[0].status == "embedded"


@pytest.mark.parametrize("value", ["text", [1.0, 2.0], {"pool": [1, 2], "dtype": {"a": 1}}])
def test_an_annotated_output_with_a_damaged_record_is_not_either(tmp_path, rich, embed, value):
    source, output = write(rich, tmp_path / "cells.h5ad"), tmp_path / "embedded.h5ad"
    embed(source, output)
    with h5py.File(output, "r+") as file:
        del file["uns/sclong/X_sclong/work"]
        write_elem(file, "uns/sclong/X_sclong/work", value)
    with pytest.raises(InputError, match="already exists and belongs to another run"):
        embed(source, output, resume=True)
    with h5py.File(output, "r+") as file:
        file["uns/sclong/X_sclong/work"].attrs["encoding-type"] = "of no version"
    with pytest.raises(InputError, match="already exists and belongs to another run"):
        embed(source, output, resume=True)


def test_the_remains_of_a_killed_run_are_removed(tmp_path, rich, embed):
    source = write(rich, tmp_path / "cells.h5ad")
    half = tmp_path / ".embedded.tmp-999999.h5ad"
    half.write_bytes(b"half")
    embed(source, tmp_path / "embedded.h5ad")
    assert not half.exists()


def test_one_bad_file_does_not_keep_the_others_from_being_embedded(tmp_path, rich, model, info):
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    write(rich, folder / "a.h5ad")
    (folder / "b.h5ad").write_bytes(b"not HDF5")
    write(rich, folder / "inner" / "c.h5ad")
    jobs = plan_jobs([folder], tmp_path / "out", suffix=".npy")
    outcomes = embed_files(Embedder(model, info, EmbedOptions()), jobs)
    assert [outcome.status for outcome in outcomes] == ["embedded", "failed", "embedded"]
    made = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.npy")}
    assert made == {"a.npy", "inner/c.npy"}


def test_names_that_would_collide_are_refused(tmp_path, rich):
    for name in ("a.h5ad", "a.loom"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.h5ad and .*a\.loom would both become"):
        plan_jobs([tmp_path / "a.h5ad", tmp_path / "a.loom"], tmp_path / "out")


def test_outputs_in_an_input_folder_are_not_embedded(tmp_path, rich):
    (tmp_path / "out").mkdir()
    for name in ("a.h5ad", "out/a.h5ad"):
        (tmp_path / name).write_bytes(b"")
    jobs = plan_jobs([tmp_path], tmp_path / "out")
    assert jobs == [Job(tmp_path / "a.h5ad", tmp_path / "out" / "a.h5ad")]


def test_outputs_that_make_no_sense_are_refused(tmp_path, rich):
    source = write(rich, tmp_path / "cells.h5ad")
    with pytest.raises(ConfigError, match="must end in one of"):
        plan_jobs([source], tmp_path / "embedded.csv")
    with pytest.raises(ConfigError, match="must be a folder"):
        plan_jobs([source, source], tmp_path / "embedded.h5ad")
    with pytest.raises(ConfigError, match="leave out --format"):
        plan_jobs([source], tmp_path / "embedded.h5ad", suffix=".npy")
    with pytest.raises(InputError, match="is the input itself"):
        plan_jobs([source], source)
    (tmp_path / "photos.zarr").mkdir()
    for name in ("photos.zarr", "photos.h5ad"):
        (tmp_path / name).mkdir(exist_ok=True)
        with pytest.raises(InputError, match="it is not overwritten"):
            check_output(Job(source, tmp_path / name), overwrite=True)


def test_too_little_space_is_warned_of(tmp_path, rich, caplog):
    source = write(rich, tmp_path / "cells.h5ad")
    warn_of_space(Job(source, tmp_path / "embedded.h5ad"), cells=10, width=8)
    assert not caplog.text
    warn_of_space(Job(source, tmp_path / "embedded.h5ad"), cells=10**12, width=200)
    assert "GB are free" in caplog.text


@pytest.mark.parametrize("options", [{"pool": "max"}, {"batch_size": 0}, {"key": "a/b"}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError):
        EmbedOptions(**options)
