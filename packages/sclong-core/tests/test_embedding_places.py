"""Where an embedding is written: nothing is lost, and what can never be written is said first."""

import csv
import json
import os

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from sclong_core import save_checkpoint
from sclong_core.cli.main import main
from sclong_core.embedding import block_store, embed_files, writing
from sclong_core.embedding.carried import carried_table
from sclong_core.embedding.tables import cell_names_file, sidecar
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

CELLS = 8
MODEL = make_tiny_model()
pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    save_checkpoint(MODEL, folder)
    return folder


@pytest.fixture
def adata():
    return make_counts_anndata(CELLS, SYNTHETIC_GENES)


@pytest.fixture
def embed(checkpoint, capsys):
    """Runs the command; returns its status and its last line of errors."""

    def call(source, output, *more):
        words = ["embed", str(source), "--checkpoint", str(checkpoint), "--device", "cpu"]
        status = main([*words, "-o", str(output), *more])
        return status, (capsys.readouterr().err.strip().splitlines() or [""])[-1]

    return call


@pytest.fixture
def not_computed(monkeypatch):
    monkeypatch.setattr(
        embed_files, "embed_cells", lambda *_, **__: pytest.fail("cells were embedded")
    )


def _write(adata, path):
    getattr(adata, {".h5ad": "write_h5ad", ".zarr": "write_zarr"}[path.suffix])(path)
    return path


def _read(path):
    return ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)


def _listed(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.usefixtures("not_computed")
@pytest.mark.parametrize(
    "place", ["cells.zarr/out.zarr", "cells.zarr/uns/out.npy", "cells.zarr/a/b.h5ad"]
)
def test_an_output_in_its_own_input_is_refused(tmp_path, adata, embed, place):
    source = _write(adata, tmp_path / "cells.zarr")
    before = _listed(tmp_path)
    status, said = embed(source, tmp_path / place)
    assert status == 2
    assert "lies in" in said
    assert _listed(tmp_path) == before


@pytest.mark.usefixtures("not_computed")
def test_an_output_around_or_over_its_input_or_in_another_store_is_refused(tmp_path, adata, embed):
    store = _write(adata, tmp_path / "other.zarr")
    source = _write(adata, store / "cells.h5ad")
    (tmp_path / "link.h5ad").hardlink_to(source)
    before = _listed(tmp_path)
    for output, reason in (
        (store, "lies in the output"),
        (tmp_path / "link.h5ad", "is the input itself"),
        (store / "out.h5ad", "lies in the zarr store"),
    ):
        status, said = embed(source, output, "--overwrite")
        assert status == 2
        assert reason in said
    assert _listed(tmp_path) == before


@pytest.mark.usefixtures("not_computed")
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]])
def test_files_beside_an_output_that_are_not_ours_are_kept(tmp_path, adata, embed, suffix, more):
    source, output = _write(adata, tmp_path / "cells.h5ad"), tmp_path / f"out{suffix}"
    places = [sidecar(output)] + [cell_names_file(output)] * (suffix == ".npy")
    for place in places:
        place.write_text("mine")
        status, said = embed(source, output, *more)
        assert status == 2
        assert f"{place.name} already exists beside out" in said
        assert place.read_text() == "mine"
        place.unlink()
    assert _listed(tmp_path) == ["cells.h5ad"]


def test_files_beside_an_output_that_are_ours_are_replaced_if_asked_to(tmp_path, adata, embed):
    source, output = _write(adata, tmp_path / "cells.h5ad"), tmp_path / "out.npy"
    assert embed(source, output)[0] == 0
    output.unlink()
    status, said = embed(source, output)
    assert status == 2
    assert "--overwrite" in said
    assert embed(source, output, "--overwrite")[0] == 0
    assert np.load(output).shape[0] == CELLS


def test_what_a_killed_run_left_beside_its_output_is_replaced_by_resuming(
    tmp_path, adata, embed, monkeypatch
):
    source, output = _write(adata, tmp_path / "cells.h5ad"), tmp_path / "out.npy"

    class KilledError(BaseException):
        pass

    with monkeypatch.context() as patched:  # between the last file beside the output and it
        real = writing.write_table

        def killed(*words, **more):
            real(*words, **more)
            output.unlink()
            raise KilledError

        patched.setattr(writing, "write_table", killed)
        with pytest.raises(KilledError):
            embed(source, output)
    assert sidecar(output).exists()
    assert embed(source, output)[0] == 2
    assert embed(source, output, "--resume")[0] == 0
    assert _listed(tmp_path) == ["cells.h5ad", "out.npy", "out.npy.cells.tsv", "out.npy.json"]


@pytest.mark.parametrize("name", ["out.npy", "out.npy.json", "out.npy.cells.tsv", "out.h5ad"])
@pytest.mark.parametrize("late", [False, True])
def test_what_appears_while_cells_are_embedded_is_kept(
    tmp_path, adata, embed, monkeypatch, name, late
):
    source = _write(adata, tmp_path / "cells.h5ad")
    output = tmp_path / ("out.h5ad" if name == "out.h5ad" else "out.npy")

    def made(real):
        def call(*words, **more):
            (tmp_path / name).write_text("theirs")
            return real(*words, **more)

        return call

    writer = "write_annotated" if output.suffix == ".h5ad" else "write_table"
    module, name_there = (writing, writer) if late else (embed_files, "embed_cells")
    monkeypatch.setattr(module, name_there, made(getattr(module, name_there)))
    status, said = embed(source, output)
    assert status == 2
    assert "--resume" in said
    assert _listed(tmp_path) == sorted(
        ["cells.h5ad", name, f"{output.name}.partial", *_partial(output)]
    )
    assert (tmp_path / name).read_text() == "theirs"
    (tmp_path / name).unlink()
    monkeypatch.undo()
    assert embed(source, output, "--resume")[0] == 0


def _partial(output):
    folder = block_store.partial_folder(output)
    return [f"{folder.name}/{path.name}" for path in folder.iterdir()]


@pytest.mark.usefixtures("not_computed")
@pytest.mark.parametrize("name", ["o" * 244 + ".h5ad", "o" * 243 + ".npy", "o" * 300 + ".zarr"])
def test_names_that_are_too_long_are_refused_first(tmp_path, adata, embed, name):
    status, said = embed(_write(adata, tmp_path / "cells.h5ad"), tmp_path / name)
    assert status == 2
    assert "longer than the 255 bytes" in said
    assert _listed(tmp_path) == ["cells.h5ad"]


@pytest.mark.parametrize("name", ["o" * 242 + ".h5ad", "o" * 241 + ".npy", "ö" * 120 + ".zarr"])
def test_names_as_long_as_can_be_are_written(tmp_path, adata, embed, name):
    assert embed(_write(adata, tmp_path / "cells.h5ad"), tmp_path / name)[0] == 0
    assert (tmp_path / name).exists()


@pytest.mark.usefixtures("not_computed")
def test_a_key_that_is_too_long_for_a_store_is_refused_first(tmp_path, adata, embed):
    source = _write(adata, tmp_path / "cells.h5ad")
    status, said = embed(source, tmp_path / "out.zarr", "--key", "k" * 300)
    assert status == 2
    assert "could not be written" in said
    assert _listed(tmp_path) == ["cells.h5ad"]


@pytest.mark.parametrize("output", ["out.h5ad", "out.zarr", "out.npy"])
def test_a_name_that_is_not_utf8_is_a_name(tmp_path, adata, embed, output):
    source = tmp_path / os.fsdecode(b"b\xff.h5ad")
    _write(adata, tmp_path / "cells.h5ad").rename(source)
    assert embed(source, tmp_path / output)[0] == 0
    place = tmp_path / output
    if place.suffix == ".npy":
        assert "b\\xff.h5ad" in json.loads(sidecar(place).read_text())["cells"]["source"]
    else:
        assert _read(place).obsm["X_sclong"].shape[0] == CELLS


def test_names_of_cells_beside_an_array_can_be_read_back(tmp_path, adata, embed):
    names = ["a\tb", "line\nbreak", "twice", "twice", "", "nan", "é\"'", "c\rd"]
    adata.obs_names = names
    source = tmp_path / "cells.h5ad"
    with pytest.warns(UserWarning, match="not unique"):
        ad.AnnData(adata.X, obs=adata.obs, var=adata.var).write_h5ad(source)
    assert embed(source, tmp_path / "out.npy")[0] == 0
    with cell_names_file(tmp_path / "out.npy").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file, delimiter="\t")) == [["cell"], *([name] for name in names)]


def _odd_table(n):
    return {
        "a/b": np.arange(n),
        "_index": [f"i{k}" for k in range(n)],
        "": np.ones(n),
        "text": pd.array([f"t{k}" for k in range(n)], dtype="string"),
        "text with gaps": pd.array([None, *"bcdefgh"][:n], dtype="string"),
        "whole with gaps": pd.array([None, *range(1, n)], dtype="Int64"),
        "real with gaps": pd.array([None, *range(1, n)], dtype="Float64"),
        "truth with gaps": pd.array([None] + [True] * (n - 1), dtype="boolean"),
        "mixed": [1, "one", 1.5, None, *range(4, n)],
        "mixed categories": pd.Categorical([1, "1", "x", None] * (n // 4)),
        "intervals": pd.cut(np.arange(n), 3),
        "time": pd.date_range("2024-01-01", periods=n),
        "nothing": [None] * n,
        "truth": np.array([True] * n, dtype=object),
        "numbers": np.arange(n).astype(object),
    }


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_any_table_can_be_carried_into_any_format(tmp_path, caplog, suffix):
    caplog.set_level("INFO", logger="sclong")
    table = pd.DataFrame(_odd_table(CELLS), index=[f"c{k}" for k in range(CELLS)])
    table.insert(0, 7, np.arange(CELLS))
    table.index.name = "text"
    found = carried_table(table, "obs")
    _write(ad.AnnData(np.ones((CELLS, 2), "f4"), obs=found), tmp_path / f"out{suffix}")
    held = _read(tmp_path / f"out{suffix}").obs
    assert list(held.index) == [f"c{k}" for k in range(CELLS)]
    assert held["a_b"].tolist() == list(range(CELLS))
    assert held["index"].tolist() == [f"i{k}" for k in range(CELLS)]
    assert held["mixed"].tolist()[:3] == ["1", "one", "1.5"]
    assert held["mixed"].isna().tolist()[:5] == [False, False, False, True, False]
    assert held["mixed categories"].tolist()[:3] == ["1", "1", "x"]
    assert held["whole with gaps"].isna().sum() == held["real with gaps"].isna().sum() == 1
    assert held["text with gaps"].tolist()[1:3] == ["b", "c"]
    assert held["time"].tolist()[0].startswith("2024-01-01")
    assert held["numbers"].dtype.kind == "i"
    assert "a/b as a_b, _index as index" in caplog.text
    assert "columns written as text: mixed, " in caplog.text


@pytest.mark.parametrize(("one", "other"), [(".h5ad", ".zarr"), (".zarr", ".h5ad")])
def test_odd_annotation_is_written_into_another_format(tmp_path, adata, embed, one, other):
    adata.obs["whole with gaps"] = pd.array([None, *range(1, CELLS)], dtype="Int64")
    adata.obs["truth"] = pd.array([None] + [True] * (CELLS - 1), dtype="boolean")
    adata.obs["name"] = [f"n{k}" for k in range(CELLS)]
    source = _write(adata, tmp_path / f"cells{one}")
    if one == ".h5ad":
        with h5py.File(source, "r+") as file:  # as SeuratDisk names a column
            file.move("obs/name", "obs/inner/name")
            file["obs"].attrs["column-order"] = ["whole with gaps", "truth", "inner/name"]
    assert embed(source, tmp_path / f"out{other}")[0] == 0
    found = _read(tmp_path / f"out{other}").obs
    assert found["whole with gaps"].tolist()[1:] == list(range(1, CELLS))
    assert found["inner_name" if one == ".h5ad" else "name"].tolist() == adata.obs["name"].tolist()


@pytest.mark.usefixtures("not_computed")
def test_a_store_that_nothing_can_be_added_to_is_refused_first(tmp_path, adata, embed):
    source = _write(adata, tmp_path / "cells.zarr")
    store = zarr.open_group(source, mode="r+", use_consolidated=False)
    del store["obsm"]
    store.create_array("obsm", shape=(2,), dtype="f4")
    (source / ".zmetadata").unlink()
    status, said = embed(source, tmp_path / "out.zarr")
    assert status == 2
    assert "obsm or uns is not a group" in said


def test_what_the_machine_has_no_memory_for_is_one_line(tmp_path, adata, embed, monkeypatch):
    source = _write(adata, tmp_path / "cells.h5ad")
    for error in (
        MemoryError("Unable to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ):

        def short(*_, _error=error, **__):
            raise _error

        monkeypatch.setattr(embed_files, "embed_cells", short)
        status, said = embed(source, tmp_path / "out.npy")
        assert status == 2
        assert said.startswith("error: there is not enough memory for 8 cells at a time")


@pytest.mark.parametrize("where", ["open_prepared", "write_output"])
def test_too_little_memory_keeps_finished_blocks(tmp_path, adata, embed, monkeypatch, where):
    source = _write(adata, tmp_path / "cells.h5ad")

    def short(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(embed_files, where, short)
        status, said = embed(source, tmp_path / "out.h5ad")
    assert status == 2
    assert said.splitlines()[-1].startswith("error: there is not enough memory")
    assert "finished blocks are kept" in said
    assert "Traceback" not in said
    assert embed(source, tmp_path / "out.h5ad", "--resume")[0] == 0


@pytest.mark.parametrize("part", ["obs", "var", "index"])
@pytest.mark.parametrize(
    "name", [".zattrs", ".zgroup", ".zarray", ".zmetadata", "zarr.json", "..", "a\\b"]
)
def test_names_that_mean_something_to_zarr_are_written_as_others(
    tmp_path, adata, embed, part, name
):
    getattr(adata, "obs" if part == "index" else part)["held"] = "x"
    if part == "index":
        adata.obs.index.name = "held"
        del adata.obs["held"]
    source = _write(adata, tmp_path / "cells.h5ad")
    table = "obs" if part == "index" else part
    with h5py.File(source, "r+") as file:
        file[table].move("held", name)
        if part == "index":
            file["obs"].attrs["_index"] = name
        else:
            file[table].attrs["column-order"] = [name]
    assert embed(source, tmp_path / "out.zarr")[0] == 0
    found = getattr(_read(tmp_path / "out.zarr"), table)
    written = name.replace("\\", "_") if "\\" in name else name.replace(".", "_")
    assert (found.index.name if part == "index" else next(iter(found.columns))) == written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad", "out.zarr"]
