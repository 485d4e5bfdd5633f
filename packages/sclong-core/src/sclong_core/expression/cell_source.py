"""Where cells come from: one shape for every file format and for AnnData objects."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression.features import Features, FeatureTypesError, find_features
from sclong_core.expression.rows import Rows
from sclong_core.expression.store import refuse_unreadable

_LOG = logging.getLogger("sclong")


class RowReader(Protocol):
    """Reads a run of cells from wherever they are."""

    def __call__(self, start: int, stop: int, /) -> Rows:
        """Cells ``start`` to ``stop``, exclusive, over all genes."""
        ...


@dataclass(frozen=True)
class CellSource:
    """Cells of one file or object, read in runs: the matrix is never loaded whole.

    A context manager: leaving it closes the file.
    """

    name: str
    """The file as it was named, or "AnnData object": for messages and provenance."""
    matrix: str
    """Which matrix is read: ``X``, ``raw``, ``layers/<name>``, ``matrix`` or a 10x genome."""
    obs: pd.DataFrame
    """Annotation of cells; its index holds their names."""
    var: pd.DataFrame
    """Annotation of genes; its index holds their names."""
    reader: RowReader
    """Reads cells of the matrix."""
    logged: bool = False
    """The file says that this matrix was transformed by log1p (``uns["log1p"]``)."""
    organism: str = ""
    """What ``uns`` of the file says of the species of its cells."""
    others: Mapping[str, "Callable[[], CellSource]"] = field(default_factory=dict)
    """Other matrices of the same cells, by the name to ask for them with."""
    closer: Callable[[], None] = lambda: None
    """Closes the file."""

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return len(self.obs)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return len(self.var)

    def read_rows(self, start: int, stop: int) -> Rows:
        """Cells ``start`` to ``stop``, exclusive, as a dense array or CSR ``(cells, genes)``.

        Raises:
            InputError: the file is damaged there.
        """
        with refuse_unreadable(self.name, f"cells {start:,} to {stop:,} of {self.matrix}"):
            return self.reader(start, stop)

    def close(self) -> None:
        """Close the file. Nothing can be read afterwards."""
        self.closer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def checked(source: CellSource, feature_types: Collection[str] | None = None) -> CellSource:
    """The source without features that are not genes; refuses one that holds nothing.

    Args:
        source: as it was opened.
        feature_types: types of features that are genes; see :func:`.features.find_features`.

    Raises:
        InputError: no cell, no gene, or a type of features that is not known.
    """
    for what, count in (("cells", source.n_cells), ("genes", source.n_genes)):
        if count == 0:
            raise InputError(f"{source.name} holds 0 {what}: there is nothing to embed")
    try:
        features = find_features(source.var, feature_types)
    except FeatureTypesError as error:
        raise error.within(source.name) from error
    if source.others:
        others = {name: _checks(reopen, feature_types) for name, reopen in source.others.items()}
        source = replace(source, others=others)
    return source if features.kept.all() else _only_genes(source, features)


def _checks(
    reopen: Callable[[], CellSource], feature_types: Collection[str] | None
) -> Callable[[], CellSource]:
    return lambda: checked(reopen(), feature_types)


def _only_genes(source: CellSource, features: Features) -> CellSource:
    """The source with only its genes, announced."""
    _LOG.info("%s: skipped features that are not genes: %s", source.name, features.describe())
    columns = np.flatnonzero(features.kept)
    reader = source.reader
    return replace(
        source,
        var=source.var.loc[features.kept],
        reader=lambda start, stop: reader(start, stop)[:, columns],
    )
