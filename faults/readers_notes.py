"""Readers of what unfinished work keeps on disk to go on from: notes, parts of files, caches."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np

from faults.trials import Reader
from sclong_core.embedding.embed_files import is_finished
from sclong_core.embedding.jobs import EmbedOptions, Job
from sclong_core.embedding.tables import cell_names_file, sidecar
from sclong_core.errors import InputError, ScLongError
from sclong_core.files import sha256_file, write_json
from sclong_core.testing import make_counts_anndata
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching import Patience, download, fetch
from sclong_data.harmoniser.run import harmonise
from sclong_data.reading.sorting import CsrWriter
from sclong_data.reading.stored import Names, turned
from sclong_tasks.cache import ContentCache
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_vocabulary,
    write_datasets,
)
from tests.support.server import Answer, LoopbackServer

_CONTENT = bytes(range(256)) * 40
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()
_HASTY = Patience(attempts=2, first_wait_seconds=0.001, longest_wait_seconds=0.002)
_WORK = {"dtype": "float32", "pool": "mean", "digest": "0" * 64}
_CELLS = 6


@cache
def _server() -> LoopbackServer:
    """A server of one file, for as long as this process lives."""
    server = LoopbackServer()
    server.__enter__()
    server.files["/x.bin"] = _CONTENT
    return server


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    """A copy, as what goes on changes what it goes on from."""
    copy = folder.with_name(f"{folder.name}-again")
    shutil.copytree(folder, copy)
    try:
        yield copy
    finally:
        shutil.rmtree(copy)


def _write_part(folder: Path) -> None:
    server = _server()
    server.answers["/x.bin"] = [Answer(cut_after=len(_CONTENT) // 2)]
    server.always["/x.bin"] = Answer(404)
    try:
        download(server.url("/x.bin"), folder / "x.bin", patience=_HASTY)
    except InputError:
        server.always.clear()
    assert {path.name for path in folder.iterdir()} == {"x.bin.part", "x.bin.part.json"}


def _read_part(folder: Path) -> bytes:
    with _copied(folder) as copy:
        download(_server().url("/x.bin"), copy / "x.bin", sha256=_SHA256, patience=_HASTY)
        return (copy / "x.bin").read_bytes()


def _manifest(folder: Path) -> Manifest:
    return Manifest((DatasetEntry("x", source="url", location=_server().url("/x.bin")),), folder)


def _fetch(folder: Path) -> Any:
    manifest = _manifest(folder)
    (found,) = fetch(manifest, verify=True, patience=_HASTY)
    if found.error:
        raise ScLongError(found.error)
    return manifest.local_path(found.entry).read_bytes()


def _read_fetched(folder: Path) -> Any:
    with _copied(folder) as copy:
        return _fetch(copy)


def _datasets(folder: Path) -> Manifest:
    """Beside the folders of trials, as notes speak of a file by its path."""
    sources = folder.parents[folder.parent.name == "bad"] / "sources"
    if sources.is_dir():
        return Manifest.read(sources / "manifest.tsv")
    sources.mkdir()
    manifest = write_datasets(sources, cells=24)
    manifest.write(sources / "manifest.tsv")
    return manifest


def _harmonise(folder: Path) -> Any:
    corpus = folder / "corpus"
    result = harmonise(
        _datasets(folder), corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES
    )
    return corpus_bytes(corpus), json.dumps(result.rows, sort_keys=True)


def _kept(folder: Path) -> Any:
    """From the cache, or computed again where that is damaged."""

    def compute() -> dict[str, Any]:
        return {"values": np.arange(12.0), "names": np.array(["a", "b"])}

    found = ContentCache(folder).arrays({"of": "these"}, compute)
    return {name: array.tobytes() for name, array in found.items()}


def _turn(folder: Path) -> Any:
    """From the scratch folder, or converted again where that is damaged."""

    def convert(writer: CsrWriter) -> Names:
        writer.cells, writer.genes = _CELLS, 3
        writer.add(np.arange(_CELLS), np.arange(_CELLS) % 3, np.arange(1.0, _CELLS + 1))
        return {"genes": ["a", "b", "c"]}

    source = folder.parents[folder.parent.name == "bad"] / "source.txt"
    source.touch()
    found = turned(folder / "scratch", "x", [source], convert)
    return found.rows(0, _CELLS).toarray().tolist(), dict(found.names)


def _write_npy(folder: Path) -> None:
    output = folder / "x.npy"
    np.save(output, np.ones((_CELLS, 2), dtype=np.float32))
    cell_names_file(output).write_text("cell\n" + "c\n" * _CELLS)
    write_json(sidecar(output), {"work": _WORK, "sha256": sha256_file(output)})


def _write_annotated(folder: Path) -> None:
    cells = make_counts_anndata(_CELLS, 4)
    cells.obsm["X_sclong"] = np.ones((_CELLS, 2), dtype=np.float32)
    cells.uns["sclong"] = {"X_sclong": {"work": _WORK}}
    anndata.settings.zarr_write_format = 3
    cells.write_h5ad(folder / "x.h5ad")
    cells.write_zarr(folder / "x.zarr")


def _embedded(*names: str) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        options = EmbedOptions(resume=True)
        return [is_finished(Job(folder, folder / name), options, _WORK) for name in names]

    return read


READERS = (
    Reader("part of a download", _write_part, _read_part, sealed=True),
    Reader("notes of downloads", _fetch, _read_fetched, sealed=True),
    Reader("notes of harmonising", _harmonise, _harmonise, sealed=True, targets=".work/**/*"),
    Reader("converted matrix", _turn, _turn, sealed=True, targets="*.json"),
    Reader("cache of a task", _kept, _kept, sealed=True),
    Reader("finished table of an embedding", _write_npy, _embedded("x.npy")),
    Reader(
        "finished file of an embedding", _write_annotated, _embedded("x.h5ad", "x.zarr"), hdf5=True
    ),
)
