"""Representations computed elsewhere, by name: h5ad, npz or parquet.

This is how scGPT, scFoundation, UCE and GeneCompass take part: their own tools write a table of
cells (or genes) by name, and here it is checked against the names that the task needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.array_files import read_arrays
from sclong_core.errors import InputError
from sclong_core.files import sha256_file
from sclong_tasks.cells import read_h5ad
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable, Representation


@dataclass(frozen=True, eq=False)
class Precomputed:
    """A table of representations by name.

    Args:
        names: of its rows, each once.
        values: ``(names, dim)`` finite.
        source: file that it came from, for messages.
        sha256: of the file.
        need: least share of the names asked for that it must hold; others get its mean row.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    source: str
    sha256: str = ""
    need: float = 1.0
    name: str = "precomputed"

    def __post_init__(self) -> None:
        """Refuse tables with repeated names or impossible values."""
        if self.values.ndim != 2 or len(self.values) != len(self.names) or not len(self.names):
            raise InputError(
                f"{self.source}: {len(self.names)} names but values {self.values.shape}; give one "
                "row of numbers a name"
            )
        twice = pd.Index(self.names)
        if not twice.is_unique:
            names = list(twice[twice.duplicated()].unique())
            raise InputError(f"{self.source}: {len(names)} names occur twice: {shown(names)}")
        wrong = np.flatnonzero(~np.isfinite(self.values).all(1))
        if len(wrong):
            names = [self.names[int(row)] for row in wrong]
            raise InputError(
                f"{self.source}: {len(wrong)} rows hold NaN or infinite: {shown(names)}"
            )

    @classmethod
    def read(cls, path: Path, *, key: str | None = None, need: float = 1.0) -> "Precomputed":
        """Read a table.

        Args:
            path: ``.h5ad`` (names of obs; ``X`` or the obsm ``key``), ``.npz`` (arrays ``names``
                and ``values``, or ``key``) or ``.parquet`` (names as index, or in the first column
                of text).
            key: of the matrix in the file.
            need: least share of the names that must be there.

        Raises:
            InputError: no such file, another format, a damaged file, or no such matrix.
        """
        readers = {".h5ad": _read_h5ad, ".npz": _read_npz, ".parquet": _read_parquet}
        if path.suffix not in readers:
            raise InputError(f"{path}: representations are read from .h5ad, .npz or .parquet")
        if not path.is_file():
            raise InputError(f"{path} is not there: compute the representations first")
        try:
            names, values = readers[path.suffix](path, key)
            table = np.ascontiguousarray(values, dtype=np.float32)
        except (OSError, LookupError, ValueError, TypeError, MemoryError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{path} holds no table of representations: {reason}") from error
        return cls(tuple(map(str, names)), table, str(path), sha256_file(path), need)

    def cells(self, expression: ExpressionTable) -> Representation:
        """The rows of these cells."""
        return self._rows(expression.cells, "cells")

    def genes(self, names: Sequence[str]) -> Representation:
        """The rows of these genes."""
        return self._rows(names, "genes")

    def _rows(self, names: Sequence[str], what: str) -> Representation:
        places = pd.Index(self.names).get_indexer(pd.Index(list(names)))
        unknown = tuple(names[int(row)] for row in np.flatnonzero(places < 0))
        coverage = Coverage(what, len(names) - len(unknown), unknown)
        if coverage.share < self.need or not coverage.known:
            raise InputError(
                f"{self.source}: {coverage.describe()}; at least {self.need:.0%} must be: compute "
                "the others too, or lower the share that is needed"
            )
        extended = np.concatenate([self.values, self.values.mean(0, keepdims=True)])
        facts = {"encoder": self.name, "file": Path(self.source).name, "sha256": self.sha256}
        return Representation(extended[places], tuple(names), coverage, facts)


_Table = tuple[Sequence[str], npt.NDArray[np.float32]]


def _read_h5ad(path: Path, key: str | None) -> _Table:
    adata = read_h5ad(path, needs_genes=key is None)
    values = adata.X if key is None else adata.obsm[key]
    dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return list(adata.obs_names), dense


def _read_npz(path: Path, key: str | None) -> _Table:
    wanted = key or "values"
    arrays = read_arrays(path, ("names", wanted), "a table of representations")
    return arrays["names"].astype(str).tolist(), arrays[wanted]


def _read_parquet(path: Path, key: str | None) -> _Table:
    frame = pd.read_parquet(path)
    if key is not None:
        frame = frame.set_index(key)
    elif frame.index.dtype != object and len(frame.select_dtypes("object").columns):
        frame = frame.set_index(frame.select_dtypes("object").columns[0])
    return list(frame.index), frame.to_numpy(dtype=np.float32)
