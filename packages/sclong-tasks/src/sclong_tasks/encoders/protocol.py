"""What an encoder takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData

from sclong_core.errors import ConfigError, InputError
from sclong_core.expression.normalisation import LARGEST
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import shown

Scale = Literal["tpm", "log2", "log1p", "counts"]
_TARGET_SUM = 10_000.0


@dataclass(frozen=True, eq=False)
class ExpressionTable:
    """Expression of cells, or of cell lines in bulk.

    Args:
        values: ``(cells, genes)`` finite and not negative.
        cells: their names, each once.
        genes: their names: Ensembl ids or symbols, each once.
        scale: of the values: transcripts per million, log2 of one plus these, natural log1p, or
            counts.

    Raises:
        InputError: names and values do not fit, a name occurs twice, or a value is impossible.
    """

    values: npt.NDArray[np.float32]
    cells: tuple[str, ...]
    genes: tuple[str, ...]
    scale: Scale

    def __post_init__(self) -> None:
        """Refuse what is not an expression table."""
        if self.values.shape != (len(self.cells), len(self.genes)):
            raise InputError(
                f"expression is {self.values.shape}, but there are {len(self.cells)} cells and "
                f"{len(self.genes)} genes"
            )
        if self.scale not in get_args(Scale):
            raise ConfigError(f"scale must be one of {', '.join(get_args(Scale))}")
        for what, names in (("cell", self.cells), ("gene", self.genes)):
            if len(set(names)) != len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                raise InputError(f"{len(twice)} {what}s occur twice: {shown(twice)}")
        wrong = np.argwhere(~((self.values >= 0) & (self.values <= LARGEST)))
        if len(wrong):
            cell, gene = wrong[0]
            raise InputError(
                f"{len(wrong)} values of expression are missing, infinite, negative or beyond any "
                f"count: the first in cell {self.cells[cell]!r}, gene {self.genes[gene]!r}"
            )

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, scale and values."""
        names = digest_of([self.cells, self.genes, self.scale])
        return digest_of([names, digest_arrays(self.values)])

    @cached_property
    def log1p(self) -> npt.NDArray[np.float32]:
        """Natural log1p: of TPM as they are, of counts after scaling each cell to 10,000."""
        values = self.values.astype(np.float64)
        if self.scale == "log2":
            values = values * np.log(2)
        elif self.scale == "tpm":
            values = np.log1p(values)
        elif self.scale == "counts":
            total = values.sum(1, keepdims=True)
            values = np.log1p(values / np.where(total > 0, total, 1) * _TARGET_SUM)
        return values.astype(np.float32)

    def anndata(self, genes: Sequence[str] | None = None) -> AnnData:
        """The log1p values, with other names of genes where they are given."""
        return AnnData(
            self.log1p,
            obs=pd.DataFrame(index=list(self.cells)),
            var=pd.DataFrame(index=list(self.genes if genes is None else genes)),
        )

    def take(self, cells: Sequence[str]) -> "ExpressionTable":
        """Some of the cells, in this order.

        Raises:
            InputError: a cell is not there.
        """
        place = {name: number for number, name in enumerate(self.cells)}
        missing = [name for name in cells if name not in place]
        if missing:
            raise InputError(f"{len(missing)} cells have no expression: {shown(missing)}")
        rows = [place[name] for name in cells]
        return ExpressionTable(self.values[rows], tuple(cells), self.genes, self.scale)


@dataclass(frozen=True)
class Coverage:
    """Which of the names asked for an encoder knows."""

    what: str
    """"genes" or "cells"."""
    known: int
    unknown: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Known ones among all, 0 to 1; 1 where nothing was asked for."""
        total = self.known + len(self.unknown)
        return self.known / total if total else 1.0

    def describe(self) -> str:
        """A sentence."""
        total = self.known + len(self.unknown)
        text = f"{self.known} of {total} {self.what} are known"
        return f"{text}; not known: {shown(self.unknown)}" if self.unknown else text


@dataclass(frozen=True, eq=False)
class Representation:
    """Numbers for cells or genes, by name."""

    values: npt.NDArray[np.float32]
    """``(names, dim)``, or ``(names, genes, dim)`` where gene representations are not pooled."""
    names: tuple[str, ...]
    coverage: Coverage
    """Of the genes of the data, or, for what was computed elsewhere, of the cells."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What it rests on: JSON."""


class Encoder(Protocol):
    """Represents cells and genes."""

    @property
    def name(self) -> str:
        """As in settings."""
        ...

    def cells(self, expression: ExpressionTable) -> Representation:
        """A representation of each cell.

        Raises:
            InputError: the encoder cannot represent these cells.
        """
        ...

    def genes(self, names: Sequence[str]) -> Representation:
        """A representation of each gene, the same in every cell.

        Raises:
            InputError: the encoder has none, or knows none of the genes.
        """
        ...
