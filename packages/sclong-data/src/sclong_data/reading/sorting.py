"""Writing a CSR matrix from values in any order, in bounded memory: an external sort.

Values are gathered to runs of a fixed number, each sorted by cell and gene and appended to files.
At the end, as many whole cells as fit are merged from all runs at a time, and appended to the
matrix.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.errors import InputError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

VALUES_AT_ONCE = 1 << 21
"""Values held in memory; about 150 MB with what sorting them takes."""


@dataclass(frozen=True)
class _Values:
    cells: npt.NDArray[np.int32]
    genes: npt.NDArray[np.int32]
    values: Floats

    def sorted(self) -> "_Values":
        """By cell and gene; those of the same cell and gene keep their order."""
        key = self.cells.astype(np.int64) << 32 | self.genes
        if (key[1:] >= key[:-1]).all():
            return self
        order = np.argsort(key, kind="stable")
        return _Values(self.cells[order], self.genes[order], self.values[order])

    @staticmethod
    def joined(parts: "list[_Values]") -> "_Values":
        return _Values(
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.genes for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


class CsrWriter:
    """Writes ``data.bin``, ``indices.bin`` and ``indptr.bin`` into a folder.

    Values that are all exact in float32 are stored so, otherwise as float64. Zeros are not stored.

    Args:
        folder: exists, and holds the runs meanwhile.
        values_at_once: values held in memory.
    """

    def __init__(self, folder: Path, *, values_at_once: int = VALUES_AT_ONCE) -> None:
        self._folder = folder
        self._limit = values_at_once
        self._parts: list[_Values] = []
        self._waiting = 0
        self._runs: list[int] = []
        self._counts = np.zeros(0, dtype=np.int64)
        self._exact = True
        self.cells = 0
        """Number of cells; at least that of the values added."""
        self.genes = 0
        """Number of genes; at least that of the values added."""

    def add(self, cells: npt.NDArray[Any], genes: npt.NDArray[Any], values: Floats) -> None:
        """Add values of cells and genes, which are counted from 0."""
        kept = values != 0
        if not kept.any():
            return
        for start in range(0, values.size, self._limit):
            part = slice(start, start + self._limit)
            chosen = kept[part]
            self._gather(
                _Values(
                    cells[part][chosen].astype(np.int32),
                    genes[part][chosen].astype(np.int32),
                    values[part][chosen].astype(np.float64),
                )
            )

    def finish(self) -> dict[str, Any]:
        """Write the matrix, and return its shape, number of values and their type."""
        self._write_run()
        self._counts = _longer(self._counts, self.cells)
        indptr = np.concatenate([[0], np.cumsum(self._counts)]).astype("<i8")
        dtype = "<f4" if self._exact else "<f8"
        with (
            self._writing(),
            (self._folder / "data.bin").open("wb") as data,
            (self._folder / "indices.bin").open("wb") as indices,
        ):
            (self._folder / "indptr.bin").write_bytes(indptr.tobytes())
            for merged in self._merged(indptr):
                data.write(merged.values.astype(dtype).tobytes())
                indices.write(merged.genes.astype("<i4").tobytes())
        for path in self._run_files():
            path.unlink(missing_ok=True)
        return {
            "cells": self.cells,
            "genes": self.genes,
            "values": int(indptr[-1]),
            "dtype": dtype,
        }

    def _gather(self, part: _Values) -> None:
        if not part.values.size:
            return
        if self._waiting + part.values.size > self._limit:
            self._write_run()
        self._parts.append(part)
        self._waiting += part.values.size

    def _write_run(self) -> None:
        """Sort what waits, and append it to the files of runs."""
        if not self._parts:
            return
        run = _Values.joined(self._parts).sorted()
        self._parts, self._waiting = [], 0
        self._exact &= bool((run.values.astype(np.float32) == run.values).all())
        self.cells = max(self.cells, int(run.cells[-1]) + 1)
        self.genes = max(self.genes, int(run.genes.max()) + 1)
        self._counts = _longer(self._counts, self.cells)
        self._counts += np.bincount(run.cells, minlength=self.cells)
        arrays: tuple[npt.NDArray[Any], ...] = (run.cells, run.genes, run.values)
        for path, array in zip(self._run_files(), arrays, strict=True):
            with self._writing(), path.open("ab") as handle:
                handle.write(array.tobytes())
        self._runs.append(run.values.size)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say that it is this folder, and not what is read, where something went wrong."""
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._folder.parent}: the matrix cannot be written there "
                f"({error.strerror or error}): make room, or choose another folder"
            ) from error

    def _run_files(self) -> tuple[Path, Path, Path]:
        names = ("cells", "genes", "values")
        return tuple(self._folder / f"run.{name}" for name in names)  # type: ignore[return-value]  # three names

    def _merged(self, indptr: Integers) -> Iterator[_Values]:
        """Values of as many whole cells at a time as fit."""
        bounds = _bounds(indptr, self._limit)
        starts = np.concatenate([[0], np.cumsum(self._runs)]).astype(np.int64)
        edges = [
            start + np.searchsorted(self._read(0, start, start + size, np.int32), bounds)
            for start, size in zip(starts, self._runs, strict=False)
        ]
        for number in range(len(bounds) - 1):
            parts = [
                self._values(int(edge[number]), int(edge[number + 1]))
                for edge in edges
                if edge[number] < edge[number + 1]
            ]
            if parts:
                yield _Values.joined(parts).sorted()

    def _values(self, start: int, stop: int) -> _Values:
        return _Values(
            self._read(0, start, stop, np.int32),
            self._read(1, start, stop, np.int32),
            self._read(2, start, stop, np.float64),
        )

    def _read(self, file: int, start: int, stop: int, dtype: Any) -> npt.NDArray[Any]:
        size = np.dtype(dtype).itemsize
        return np.fromfile(
            self._run_files()[file], dtype, count=stop - start, offset=int(start) * size
        )


def _longer(counts: Integers, length: int) -> Integers:
    """The counts with zeros behind, up to a length."""
    return np.pad(counts, (0, max(0, length - counts.size)))


def _bounds(indptr: Integers, limit: int) -> Integers:
    """First cells of groups of at most ``limit`` values, or of one cell; and the end."""
    bounds = [0]
    cells = indptr.size - 1
    while bounds[-1] < cells:
        fitting = int(np.searchsorted(indptr, indptr[bounds[-1]] + limit, side="right")) - 1
        bounds.append(max(bounds[-1] + 1, min(fitting, cells)))
    return np.asarray(bounds, dtype=np.int64)
