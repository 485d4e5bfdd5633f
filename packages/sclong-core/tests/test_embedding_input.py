"""The input of an embedding is one file, from the first look at it to the last byte of its copy."""

import os
import shutil

import anndata as ad
import h5py
import numpy as np
import pytest

from sclong_core import InputError, save_checkpoint
from sclong_core.embedding import block_store
from sclong_core.embedding import embed_files as files
from sclong_core.embedding.embed_files import Embedder, embed_files
from sclong_core.embedding.jobs import EmbedOptions, plan_jobs
from sclong_core.expression import identity
from sclong_core.expression.identity import Identity
from sclong_core.manifest import read_checkpoint_info
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

CELLS = 12
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")


@pytest.fixture(scope="module")
def model():
    return make_tiny_model()


@pytest.fixture(scope="module")
def info(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    save_checkpoint(model, folder, origin={"kind": "test"})
    return read_checkpoint_info(folder)


@pytest.fixture
def embed(model, info, monkeypatch):
    """Embeds in three blocks; ``meanwhile`` is called once the first one is computed."""

    def call(source, output, *, meanwhile=None, **options):
        monkeypatch.setattr(block_store, "BLOCK_CELLS", 4)
        real = files.embed_cells

        def watched(*words, **more):
            values = real(*words, **more)
            if meanwhile is not None and more["start"] == 0:
                meanwhile()
            return values

        with monkeypatch.context() as patched:
            patched.setattr(files, "embed_cells", watched)
            jobs = plan_jobs([source], output)
            return embed_files(Embedder(model, info, EmbedOptions(batch_size=4, **options)), jobs)

    return call


def _write(path, seed=0):
    adata = make_counts_anndata(CELLS, SYNTHETIC_GENES, seed=seed)
    adata.X = adata.X.toarray()  # all files of one size
    if path.suffix == ".zarr":
        adata.write_zarr(path)
    else:
        adata.write_h5ad(path)
    return path


def _replaced(path, other):
    """Another file takes its name."""
    if path.is_dir():
        shutil.rmtree(path)
    other.replace(path)


def _rewritten(path, other):
    """Its bytes become those of another file, as do its size and the time of its change."""
    pairs = [(path, other)]
    if path.is_dir():
        names = [item.relative_to(other) for item in other.rglob("*") if item.is_file()]
        pairs = [(path / name, other / name) for name in names]
    for file, source in pairs:
        state = file.stat()
        with file.open("r+b") as handle:
            handle.write(source.read_bytes())
            handle.truncate()
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "suffix", "output"),
    [
        (_replaced, ".h5ad", "out.h5ad"),
        (_rewritten, ".h5ad", "out.npy"),
        (_rewritten, ".zarr", "out.zarr"),
    ],
)
def test_an_input_that_changes_is_refused_and_taints_no_block(
    tmp_path, embed, change, suffix, output
):
    source, other = (_write(tmp_path / f"{n}{suffix}", seed=n) for n in (1, 2))
    kept = tmp_path / f"kept{suffix}"
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, kept)
    with pytest.raises(InputError, match=r"1\.\w+ changed while it was being read"):
        embed(source, tmp_path / output, meanwhile=lambda: change(source, other))
    assert not (tmp_path / output).exists()
    assert not list((tmp_path / f"{output}.partial").glob("block-*"))
    # What is put back may be embedded, and what is computed then is of it alone.
    _replaced(source, kept)
    embed(source, tmp_path / output, resume=True)
    embed(source, tmp_path / "again.npy")
    found = tmp_path / output
    readers = {".npy": np.load, ".h5ad": ad.read_h5ad, ".zarr": ad.read_zarr}
    held = readers[found.suffix](found)
    values = held if found.suffix == ".npy" else held.obsm["X_sclong"]
    np.testing.assert_array_equal(values, np.load(tmp_path / "again.npy"))


@pytest.mark.parametrize("output", ["out.npy", "out.h5ad"])
def test_blocks_of_another_input_of_the_same_size_and_time_are_not_taken_up(
    tmp_path, embed, monkeypatch, output
):
    source, other = (_write(tmp_path / f"{n}.h5ad", seed=n) for n in (1, 2))
    real, calls = block_store.BlockStore.write, []

    def write(self, number, values):
        if calls:
            raise KeyboardInterrupt
        calls.append(number)
        real(self, number, values)

    with monkeypatch.context() as patched:
        patched.setattr(block_store.BlockStore, "write", write)
        with pytest.raises(KeyboardInterrupt):
            embed(source, tmp_path / output)
    _rewritten(source, other)
    with pytest.raises(InputError, match=r"another run .input sha256 was"):
        embed(source, tmp_path / output, resume=True)
    assert not (tmp_path / output).exists()


def test_an_input_that_is_only_touched_goes_on(tmp_path, embed):
    source = _write(tmp_path / "cells.h5ad")

    def touched():
        os.utime(source, ns=(1, 1))
        source.chmod(0o444)

    assert embed(source, tmp_path / "out.h5ad", meanwhile=touched)[0].status == "embedded"


def test_an_input_that_changes_while_it_is_copied_is_refused(tmp_path, embed, monkeypatch):
    source, other = (_write(tmp_path / f"{n}.h5ad", seed=n) for n in (1, 2))
    real = Identity.copy

    def copy(self, target):
        _rewritten(source, other)
        real(self, target)

    monkeypatch.setattr(Identity, "copy", copy)
    with pytest.raises(InputError, match="changed while it was being read"):
        embed(source, tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()


def test_content_is_read_again_only_if_the_state_is_another(tmp_path, monkeypatch):
    source = _write(tmp_path / "cells.h5ad")
    found = Identity.of(source)
    monkeypatch.setattr(identity, "digest", lambda _: pytest.fail("read again"))
    found.require_same()


def test_an_input_that_changes_while_it_is_looked_at_is_refused(tmp_path, monkeypatch):
    source = _write(tmp_path / "cells.h5ad")
    real = identity.digest

    def digest(path):
        found = real(path)
        with path.open("ab") as handle:
            handle.write(b"more")
        return found

    monkeypatch.setattr(identity, "digest", digest)
    with pytest.raises(InputError, match="changed while it was being read"):
        Identity.of(source)


@pytest.mark.parametrize("make", [lambda path: None, os.mkfifo])
def test_what_is_no_plain_file_has_no_content(tmp_path, make):
    make(tmp_path / "cells.h5ad")
    with pytest.raises(InputError, match=r"does not exist|not a plain file"):
        Identity.of(tmp_path / "cells.h5ad")


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_the_copy_of_a_read_only_input_is_writable(tmp_path, embed, suffix):
    source = _write(tmp_path / f"cells{suffix}")
    for path in [*source.rglob("*"), source]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    embed(source, tmp_path / f"out{suffix}")
    made = [tmp_path / f"out{suffix}", *(tmp_path / f"out{suffix}").rglob("*")]
    assert all(path.stat().st_mode & 0o200 for path in made)


def test_links_of_an_input_neither_reach_the_output_nor_are_written_through(tmp_path, embed):
    victim = tmp_path / "victim.h5"
    with h5py.File(victim, "w") as file:
        file.create_group("g")
    before = victim.read_bytes()
    for place in ("obsm", "uns"):
        source = _write(tmp_path / f"{place}.h5ad")
        with h5py.File(source, "r+") as file:
            if place in file:
                del file[place]
            file[place] = h5py.ExternalLink(str(victim), "/g")
        for suffix in (".h5ad", ".zarr", ".npy"):
            with pytest.raises(InputError, match=rf"{place} is a link to .*victim\.h5"):
                embed(source, tmp_path / f"out{suffix}")
    assert victim.read_bytes() == before
    assert not list(tmp_path.glob("out*"))
