"""Some cells of a shard, without the rest and with every byte verified that is used.

This reads what :mod:`sclong_data.corpus.shards` writes: a chunk takes one read, one checksum and
one decompression. The zarr library takes about eight times as long from a folder,
and longer still from an archive.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs import Blosc, Zstd

from sclong_core.errors import InputError
from sclong_data.corpus.archive import contents_digest, member_offset
from sclong_data.corpus.layout import FORMAT_VERSION
from sclong_data.corpus.shards import ShardRecord

_CODECS = {"zstd": Zstd, "blosc": Blosc}
_CHECKSUM_BYTES = 4
_NOT_STORED = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class DamagedError(Exception):
    """What is wrong with a shard; the caller knows which one it is."""


@dataclass(frozen=True)
class ChunkedArray:
    """A one-dimensional array of chunks inside a file."""

    dtype: np.dtype[Any]
    """Of the values."""
    chunk: int
    """Values of a chunk."""
    starts: npt.NDArray[np.uint64]
    """Where each chunk begins in the file."""
    sizes: npt.NDArray[np.uint64]
    """Bytes of each."""
    codec: Any
    """Decompresses a chunk."""

    def announce(self, file: int, chunks: npt.NDArray[np.int64]) -> None:
        """Have the system fetch some chunks, of ascending numbers, while others are worked on."""
        cuts = np.flatnonzero(np.diff(chunks) > 1) + 1
        for run in np.split(chunks, cuts):
            start = int(self.starts[run[0]])
            stop = int(self.starts[run[-1]] + self.sizes[run[-1]])
            os.posix_fadvise(file, start, stop - start, os.POSIX_FADV_WILLNEED)

    def read(self, file: int, chunks: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Some chunks, one after the other.

        Args:
            file: descriptor of the open file.
            chunks: their numbers, ascending.

        Raises:
            DamagedError: a chunk is not what was written.
        """
        values = np.empty(chunks.size * self.chunk, dtype=self.dtype)
        for place, number in enumerate(chunks.tolist()):
            target = values[place * self.chunk : (place + 1) * self.chunk]
            size = int(self.sizes[number])
            raw = os.pread(file, size, int(self.starts[number]))
            stored = raw[-_CHECKSUM_BYTES:]
            payload = memoryview(raw)[:-_CHECKSUM_BYTES]
            if len(raw) != size or crc32c(payload) != stored:
                raise DamagedError(f"chunk {number} differs from its checksum")
            self.codec.decode(payload, target)
        return values


def crc32c(data: memoryview | bytes) -> bytes:
    """The checksum as it stands behind what it is of."""
    # google-crc32c takes bytes and arrays, but no memory views
    value: int = google_crc32c.value(np.frombuffer(data, dtype=np.uint8))
    return value.to_bytes(_CHECKSUM_BYTES, "little")


class ShardReader:
    """Cells of one shard by their rows. The file is open only while it is read.

    Args:
        path: of the shard.
        record: what the index says of it; None to take the shard as it is.

    Raises:
        InputError: the shard is absent, damaged, of another version, or another one than the
            index says.
    """

    def __init__(self, path: Path, record: ShardRecord | None = None) -> None:
        self.path = path
        with self._blamed(), zipfile.ZipFile(path) as archive:
            if record is not None and contents_digest(archive) != record.contents:
                raise DamagedError("it is not the shard that the index of the corpus names")
            root = _metadata(archive, "zarr.json")["attributes"]["sclong"]
            if root["format"] != FORMAT_VERSION:
                raise DamagedError(f"format version {root['format']!r} is not {FORMAT_VERSION}")
            self.vocabulary: str | None = root["vocabulary"]
            cells, self.genes = _metadata(archive, "X/zarr.json")["attributes"]["shape"]
            self.pointers = _pointers(archive, cells)
            self._values = _chunked(archive, "X/data", self.pointers[-1])
            self._positions = _chunked(archive, "X/indices", self.pointers[-1])

    def __len__(self) -> int:
        """Number of cells in the file."""
        return int(self.pointers.size - 1)

    def spans(
        self, rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the values of some cells begin and end among those of the shard."""
        return self.pointers[rows], self.pointers[rows + 1]

    def announce(self, spans: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]) -> None:
        """Have the system fetch what :meth:`fill` will read of some cells.

        Asked for one after the other, many small pieces would each take the time that a disk or a
        network needs to answer. Where a system knows no such hint, nothing is done.

        Raises:
            InputError: the shard is missing.
        """
        chunks = self._chunks(spans)
        if chunks.size and hasattr(os, "posix_fadvise"):
            with self._opened() as file:
                self._values.announce(file, chunks)
                self._positions.announce(file, chunks)

    def fill(
        self,
        spans: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
        places: npt.NDArray[np.int64],
        values: npt.NDArray[np.float32],
        positions: npt.NDArray[np.int32],
    ) -> None:
        """Put cells where they belong among those of other shards.

        Args:
            spans: of the cells, see :meth:`spans`.
            places: where each begins in ``values`` and ``positions``.
            values: expression of all cells, one cell after the other.
            positions: genes of the values.

        Raises:
            InputError: a chunk that holds some of them is damaged.
        """
        chunks = self._chunks(spans)
        if not chunks.size:
            return
        with self._opened() as file:
            read_values = self._values.read(file, chunks)
            read_positions = self._positions.read(file, chunks)
        first, last = spans
        size = self._values.chunk
        # Chunks of one cell stand side by side in what was read, as they do in the file.
        starts = np.searchsorted(chunks, first // size) * size + first % size
        lengths = (last - first).tolist()
        for place, start, length in zip(places.tolist(), starts.tolist(), lengths, strict=True):
            values[place : place + length] = read_values[start : start + length]
            positions[place : place + length] = read_positions[start : start + length]

    def _chunks(
        self, spans: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]
    ) -> npt.NDArray[np.int64]:
        """Numbers of the chunks that hold some cells, ascending."""
        first, last = spans
        filled = last > first
        if not filled.any():
            return np.empty(0, dtype=np.int64)
        size = self._values.chunk
        return _chunks_of(first[filled] // size, (last[filled] - 1) // size)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the file."""
        with self._blamed():
            file = os.open(self.path, os.O_RDONLY)
            try:
                yield file
            finally:
                os.close(file)

    @contextmanager
    def _blamed(self) -> Iterator[Self]:
        """Turn whatever goes wrong into one line that names the shard."""
        try:
            yield self
        except FileNotFoundError as error:
            raise InputError(f"{self.path} is missing: harmonise again, or restore it") from error
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise InputError(
                f"{self.path} is damaged or not of this corpus: {reason}; `sclong data check` "
                "lists all that is wrong"
            ) from error


def _chunks_of(first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Numbers of all chunks from each ``first`` to its ``last``, ascending."""
    needed = np.zeros(int(last.max()) + 2, dtype=np.int64)
    np.add.at(needed, first, 1)
    np.add.at(needed, last + 1, -1)
    return np.flatnonzero(np.cumsum(needed))


def _metadata(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(archive.read(name))


def _pointers(archive: zipfile.ZipFile, cells: int) -> npt.NDArray[np.int64]:
    raw = Zstd().decode(archive.read("X/indptr/c/0"))
    pointers = np.frombuffer(raw, dtype=np.int64)
    if pointers.size != cells + 1 or pointers[0] != 0 or (np.diff(pointers) < 0).any():
        raise DamagedError("X/indptr is invalid")
    return pointers


def _chunked(archive: zipfile.ZipFile, name: str, values: int) -> ChunkedArray:
    """An array of the shard, from its metadata and the table of its chunks."""
    metadata = _metadata(archive, f"{name}/zarr.json")
    (sharding,) = metadata["codecs"]
    settings = sharding["configuration"]
    names = [codec["name"] for codec in settings["codecs"]]
    unknown = (
        sharding["name"] != "sharding_indexed"
        or settings["index_location"] != "end"
        or [codec["name"] for codec in settings["index_codecs"]] != ["bytes", "crc32c"]
        or len(names) != 3
        or (names[0], names[2]) != ("bytes", "crc32c")
        or names[1] not in _CODECS
    )
    if unknown or metadata["shape"] != [int(values)]:
        raise DamagedError(f"{name} is not stored as this version reads it")
    (chunk,), (whole,) = (
        settings["chunk_shape"],
        metadata["chunk_grid"]["configuration"]["chunk_shape"],
    )
    starts, sizes = _chunk_table(archive, f"{name}/c/0", whole // chunk, stored=bool(values))
    dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
    return ChunkedArray(dtype, chunk, starts, sizes, _CODECS[names[1]]())


def _chunk_table(
    archive: zipfile.ZipFile, name: str, chunks: int, *, stored: bool
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where the chunks are in the file and how long they are; it stands behind them."""
    if not stored:
        return np.empty(0, np.uint64), np.empty(0, np.uint64)
    offset = member_offset(archive, name)
    size = archive.getinfo(name).file_size
    length = chunks * 16 + _CHECKSUM_BYTES
    handle = archive.fp
    assert handle is not None
    handle.seek(offset + size - length)
    raw = handle.read(length)
    if crc32c(raw[:-_CHECKSUM_BYTES]) != raw[-_CHECKSUM_BYTES:]:
        raise DamagedError(f"the table of chunks of {name} differs from its checksum")
    table = np.frombuffer(raw[:-_CHECKSUM_BYTES], dtype="<u8").reshape(chunks, 2)
    if (table == _NOT_STORED).any():
        raise DamagedError(f"{name} lacks chunks")
    return table[:, 0] + np.uint64(offset), table[:, 1].copy()
