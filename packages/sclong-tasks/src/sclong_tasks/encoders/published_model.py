"""What the file of a published model defines: reading, preprocessing, network.

A model is a module whose weights come from its authors' own files. From counts it makes the tokens
of each cell, from those alone; from a batch of tokens it computes states, and from states a vector
a cell. :mod:`sclong_tasks.encoders.published` runs it; a new model is one such file and one line in
:mod:`sclong_tasks.encoders.names`.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from sclong_core.errors import ConfigError
from sclong_core.expression.rows import Csr

Ints = npt.NDArray[np.int64]
LONGEST = 1_000_000
"""Tokens of a cell that may be asked for."""
DRAWS = ("none", "cell", "stream")
"""What stands in for the original's random draws: a rule without any, draws by a generator that
the cell itself seeds, or draws from one stream over all cells, as the original."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before it is loaded."""

    name: str
    """As in settings and commands."""
    title: str
    """As its authors write it."""
    genes_by: str
    """"symbol" or "Ensembl id"."""
    columns: tuple[str, ...] = ()
    """Columns of ``var`` that usually hold them; looked at before others."""
    notice: str = ""
    """What the licence of the weights restricts, one sentence."""
    vector: str = ""
    """What the vector of a cell is."""
    licence: str = ""
    """Of the code and of the weights, as their authors state them."""


@dataclass(frozen=True)
class Arrangement:
    """Genes of the data that a model knows, in the order it takes them in.

    Counts of the data times ``select`` are counts of these genes.
    """

    tokens: Ints
    """Token of each."""
    select: Csr
    """``(genes of the data, these genes)``, of ones."""
    names: tuple[str, ...]
    """In the data, of the first column of each."""
    unknown: tuple[str, ...] = ()
    """Genes of the data that the model does not know."""

    @classmethod
    def of_columns(cls, names: Sequence[str], columns: Ints, tokens: Ints) -> Self:
        """One gene a column.

        Args:
            names: of all genes of the data.
            columns: those that the model knows, in its order.
            tokens: of each of these.
        """
        ones = np.ones(len(columns))
        numbers = np.arange(len(columns))
        select = sparse.csr_array((ones, (columns, numbers)), shape=(len(names), len(columns)))
        known = set(columns.tolist())
        unknown = tuple(name for place, name in enumerate(names) if place not in known)
        return cls(tokens, select, tuple(names[place] for place in columns), unknown)


@dataclass(frozen=True)
class CellTokens:
    """A cell as a model takes it."""

    ids: Ints
    """``(tokens,)``"""
    genes: Ints
    """``(tokens,)`` number of the gene in the arrangement, -1 for what is not a gene."""
    values: npt.NDArray[np.float32] | None = None
    """``(tokens,)`` for models that take some."""
    left_out: int = 0
    """Expressed genes that are known and did not fit."""


@dataclass(frozen=True)
class Batch:
    """Cells of a batch, padded at the end where they differ in length."""

    ids: Tensor
    """``(cells, tokens)``"""
    real: Tensor
    """``(cells, tokens)`` False where padded."""
    genes: Tensor
    """``(cells, tokens)`` -1 for what is not a gene."""
    values: Tensor | None = None
    """``(cells, tokens)`` for models that take some."""
    even: bool = True
    """All cells have one length."""

    @property
    def mask(self) -> Tensor | None:
        """What may be attended to; None where all of it may."""
        return None if self.even else self.real[:, None, None, :]

    @property
    def lengths(self) -> Tensor:
        """Tokens of each cell."""
        return self.real.sum(1)


@dataclass
class ModelOptions:
    """What a user chooses about a model; each model adds its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be; models extend it."""

    @classmethod
    def parse(cls, given: dict[str, Any], model: str) -> Self:
        """From names and values, which may be text.

        Raises:
            ConfigError: there is no such option, or it cannot have this value.
        """
        known = {item.name: item for item in fields(cls)}
        values = {}
        for name, value in given.items():
            if name not in known:
                raise ConfigError(
                    f"{name} is not an option of {model}: it has {', '.join(known) or 'none'}"
                )
            values[name] = _as(type(known[name].default), value, f"{model}: {name}")
        return cls(**values)


@dataclass
class DrawOptions(ModelOptions):
    """Of models whose original draws at random."""

    draws: str = "none"
    """One of ``DRAWS``."""
    seed: int = 0
    """Of the draws."""

    def __post_init__(self) -> None:
        require_choices(self, draws=DRAWS)
        require(0 <= self.seed < 1 << 32, f"seed must be from 0 to 2**32 - 1, not {self.seed}")


def require(holds: bool, message: str) -> None:  # noqa: FBT001  # reads as an assertion does
    """Raise ConfigError unless ``holds``."""
    if not holds:
        raise ConfigError(message)


def require_choices(options: object, **choices: Sequence[str]) -> None:
    """Raise ConfigError unless each named setting is one of its choices."""
    for name, chosen in choices.items():
        value = getattr(options, name)
        require(value in chosen, f"{name} must be one of {', '.join(chosen)}, not {value!r}")


def _as(kind: type, value: Any, where: str) -> Any:
    """A value as its option has it."""
    if isinstance(value, str) and kind is bool:
        if value.lower() not in ("true", "false"):
            raise ConfigError(f"{where} must be true or false, not {value!r}")
        return value.lower() == "true"
    if isinstance(value, str) and kind is not str:
        try:
            return kind(value)
        except ValueError as error:
            raise ConfigError(f"{where} must be {_KINDS[kind]}, not {value!r}") from error
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {_KINDS[kind]}, not {value!r}")
    return value


_KINDS: dict[type, str] = {int: "a whole number", float: "a number", str: "text"}
_KINDS[bool] = "true or false"


class PublishedModel(nn.Module):
    """A published model with its weights."""

    card: ClassVar[ModelCard]
    Options: ClassVar[type[ModelOptions]] = ModelOptions
    pad_id: int = 0
    pad_value: float = 0.0
    width: int
    """Numbers of a cell's vector."""
    limit: int
    """Genes of a cell that it takes, at most; 0 for all."""
    files: dict[str, str]
    """SHA-256 of the files that were read, by name."""
    options: Any
    by_ratios: ClassVar[bool] = False
    """Its tokens depend on the ratios of a cell's counts alone: a factor that all share is none."""
    in_order: bool = False
    """Batches hold cells in the order of the data: the original's behaviour, where a cell's vector
    depends on its batch."""

    @property
    def known_genes(self) -> int:
        """Genes that it knows; 0 where the model does not say."""
        return 0

    @property
    def reads(self) -> str:
        """Species of the cells that it takes."""
        return str(getattr(self.options, "species", "human"))

    @property
    def of_human_cells(self) -> bool:
        """Its cells are human, whose genes have other symbols in the table of core."""
        return self.reads == "human"

    @classmethod
    @abstractmethod
    def recognise(cls, folder: Path) -> bool:
        """Whether a folder holds this model's files, by their names and without reading tensors."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, options: Any) -> Self:
        """The model in a folder, float32, on the CPU.

        Raises:
            CheckpointError: a file is missing, damaged, or does not belong to the others.
            ConfigError: an option does not fit this checkpoint.
        """

    @abstractmethod
    def token_of(self, names: Sequence[str]) -> Ints:
        """Token of each gene by its name, -1 where the model does not know it."""

    @abstractmethod
    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """Tokens of each cell; none of any kind for a cell that expresses no gene of the model.

        Args:
            counts: ``(cells, genes of the arrangement)`` canonical.
            arrangement: the genes.
        """

    @abstractmethod
    def states(self, batch: Batch) -> Tensor:
        """``(cells, tokens, dim)``: what the last layer that is asked for gives."""

    @abstractmethod
    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """``(cells, width)`` from the states."""

    @abstractmethod
    def gene_table(self) -> Tensor | None:
        """``(tokens, dim)``: vectors of genes that are the same in every cell, if it has them."""

    def arrange(self, names: Sequence[str]) -> Arrangement:
        """The genes of the data, by default in their order."""
        found = self.token_of(names)
        columns = np.flatnonzero(found >= 0)
        return Arrangement.of_columns(names, columns, found[columns])

    def gene_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States ``(cells, genes, dim)`` of genes in cells, and their numbers (-1: none)."""
        return self.states(batch), batch.genes

    def forward(self, batch: Batch) -> Tensor:
        """One vector a cell, ``(cells, width)``."""
        return self.pool(self.states(batch), batch)

    def describe(self) -> dict[str, Any]:
        """Sizes and options, for the record."""
        return {
            "encoder": self.card.name,
            "width": self.width,
            "parameters": sum(parameter.numel() for parameter in self.parameters()),
            "options": {
                item.name: getattr(self.options, item.name) for item in fields(self.options)
            },
        }


def batches_by_length(cells: Sequence[CellTokens], size: int, *, in_order: bool) -> list[Ints]:
    """Numbers of cells for each batch: cells of one length together, or nearly one.

    Args:
        cells: not empty.
        size: cells of a batch at most.
        in_order: keep the order of the cells instead.
    """
    lengths = np.array([len(cell.ids) for cell in cells])
    order = np.arange(len(cells)) if in_order else np.argsort(lengths, kind="stable")
    batches, start = [], 0
    for stop in range(1, len(order) + 1):
        last = stop == len(order)
        uneven = not last and not in_order and lengths[order[stop]] > 1.1 * lengths[order[start]]
        if last or stop - start == size or uneven:
            batches.append(order[start:stop])
            start = stop
    return batches


def collate(cells: Sequence[CellTokens], model: PublishedModel, device: torch.device) -> Batch:
    """A batch of these cells."""
    lengths = [len(cell.ids) for cell in cells]
    shape, longest = (len(cells), max(lengths)), max(lengths)
    ids = np.full(shape, model.pad_id, dtype=np.int64)
    genes = np.full(shape, -1, dtype=np.int64)
    with_values = cells[0].values is not None
    values = np.full(shape, model.pad_value, dtype=np.float32) if with_values else None
    for row, cell in enumerate(cells):
        ids[row, : lengths[row]] = cell.ids
        genes[row, : lengths[row]] = cell.genes
        if values is not None:
            values[row, : lengths[row]] = cell.values
    real = np.arange(longest)[None, :] < np.array(lengths)[:, None]
    return Batch(
        torch.from_numpy(ids).to(device),
        torch.from_numpy(real).to(device),
        torch.from_numpy(genes).to(device),
        None if values is None else torch.from_numpy(values).to(device),
        even=min(lengths) == longest,
    )


def cell_generator(seed: int, tokens: Ints, counts: npt.NDArray[Any]) -> np.random.Generator:
    """A generator that a cell seeds: by its genes and counts in whatever order, and the seed."""
    order = np.lexsort((counts, tokens))
    digest = hashlib.sha256(str(seed).encode())
    digest.update(np.ascontiguousarray(tokens[order], dtype="<i8").data)
    digest.update(np.ascontiguousarray(counts[order], dtype="<f8").data)
    return np.random.default_rng(int.from_bytes(digest.digest()[:16], "little"))


def rows_of(counts: Csr) -> list[tuple[Ints, npt.NDArray[np.float64]]]:
    """Columns and counts of each row, in the order of the columns."""
    counts = counts.copy()
    counts.sort_indices()
    return [
        (counts.indices[start:stop].astype(np.int64), counts.data[start:stop])
        for start, stop in zip(counts.indptr[:-1], counts.indptr[1:], strict=True)
    ]
