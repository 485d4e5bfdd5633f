"""Running the model over prepared cells, a batch at a time."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sclong_core.devices import one_thread
from sclong_core.embedding.pooling import OF_READOUT, Pool, pool_cells, pool_width
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells
from sclong_core.expression.rows import Csr
from sclong_core.nn.network import Network, ScLongOutput
from sclong_core.nn.student import SparseCells, StudentNetwork
from sclong_core.vocabulary import GeneVocabulary

Advance = Callable[[int], None]
SMALL = 10_000_000
"""A model of fewer parameters than this runs on one thread of a CPU."""

_CPU_BYTES = 8 << 20
"""Representations, or input, of the cells of a pass on a CPU. The C library hands out memory of up
to 32 MiB again and again; beyond that, every result costs new pages, and took longer than computing
it."""


class Batch(NamedTuple):
    """Some cells and what the model says of them."""

    cells: slice
    expression: Tensor
    output: ScLongOutput


def run_model(
    model: Network,
    cells: PreparedCells,
    *,
    batch_size: int,
    start: int = 0,
    stop: int | None = None,
    advance: Advance = lambda _cells: None,
) -> Iterator[Batch]:
    """Forward passes over cells ``start`` to ``stop``, in evaluation mode and without gradients.

    The gene embedding, which is the same in every cell, is computed once.

    Args:
        model: to run.
        cells: prepared for its vocabulary.
        batch_size: most cells of a pass. Results do not depend on it.
        start: first cell.
        stop: cell after the last; by default all.
        advance: told the number of cells after each batch.

    Raises:
        ConfigError: ``batch_size`` is not positive.
    """
    if batch_size < 1:
        raise ConfigError(f"batch_size must be a positive integer, not {batch_size}")
    stop = len(cells) if stop is None else stop
    with _evaluating(model), torch.inference_mode():
        gene_embedding = model.gene_embedding()
        step = min(batch_size, _cells_a_pass(model, model.config.genes * model.config.dim))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            expression = torch.from_numpy(cells.block(first, last)).to(model.device)
            with _threads(model):  # left before the caller goes on
                output = model(expression, gene_embedding=gene_embedding)
            yield Batch(slice(first, last), expression, output)
            advance(last - first)


def default_batch_size(pool: Pool) -> int:
    """Cells of a pass where nobody chooses.

    A vector of the cell takes so little work that the calls count, and representations of all genes
    take memory.
    """
    return 32 if pool in OF_READOUT else 8


def embed_cells(
    model: Network,
    cells: PreparedCells,
    *,
    pool: Pool,
    batch_size: int | None = None,
    start: int = 0,
    stop: int | None = None,
    advance: Advance = lambda _cells: None,
) -> npt.NDArray[np.float32]:
    """Embeddings of cells ``start`` to ``stop``: ``(cells, width)``, see :func:`.pool_width`.

    Only the pooled vectors are kept, whatever the number of cells. The arguments are those of
    :func:`run_model`; ``batch_size`` is :func:`default_batch_size` by default.

    Raises:
        ConfigError: ``batch_size`` is not positive.
    """
    if batch_size is None:
        batch_size = default_batch_size(pool)
    if batch_size < 1:
        raise ConfigError(f"batch_size must be a positive integer, not {batch_size}")
    if pool in OF_READOUT:
        return _read_out(
            model, cells, pool, batch_size, start, len(cells) if stop is None else stop, advance
        )
    batches = run_model(
        model, cells, batch_size=batch_size, start=start, stop=stop, advance=advance
    )
    pooled = [pool_cells(batch.output, batch.expression, pool).cpu() for batch in batches]
    if not pooled:
        return np.zeros((0, pool_width(model, pool)), dtype=np.float32)
    embedded: npt.NDArray[np.float32] = torch.cat(pooled).float().numpy()
    return embedded


def _read_out(  # of one caller
    model: Network,
    cells: PreparedCells,
    pool: Pool,
    batch_size: int,
    start: int,
    stop: int,
    advance: Advance,
) -> npt.NDArray[np.float32]:
    """The vectors or components that a model with a readout has for cells."""
    embedded = np.zeros((stop - start, pool_width(model, pool)), dtype=np.float32)
    measured = torch.zeros(model.config.genes, dtype=torch.bool)
    measured[torch.from_numpy(cells.match.positions)] = True
    measured = measured.to(model.device)
    with _evaluating(model), torch.inference_mode(), _threads(model):
        read = _reader(model, measured, pool)
        step = min(batch_size, _cells_a_pass(model, 2 * model.config.genes))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            found = read(cells.sparse_block(first, last))
            embedded[first - start : last - start] = found.float().cpu().numpy()
            advance(last - first)
    return embedded


def _reader(model: Network, measured: Tensor, pool: Pool) -> Callable[[Csr], Tensor]:
    """What computes the vectors of cells that all measure the same genes."""
    if model.config.student is not None:
        network = model.network
        assert isinstance(network, StudentNetwork)
        expected = network.expected(measured[None])

        def of_student(rows: Csr) -> Tensor:
            stored = (rows.indices.astype(np.int64), rows.data, rows.indptr[:-1].astype(np.int64))
            cells = SparseCells(*(torch.from_numpy(part).to(model.device) for part in stored))
            return network.decode(network(cells, expected.expand(rows.shape[0], -1)))

        return of_student
    gene_embedding = model.gene_embedding()

    def of_readout(rows: Csr) -> Tensor:
        expression = torch.from_numpy(rows.toarray()).to(model.device)
        found = model.cell_vectors(expression, measured, gene_embedding=gene_embedding)
        return found.embedding if pool == "cell" else found.components

    return of_readout


def vocabulary_of(model: Network) -> GeneVocabulary:
    """The model's vocabulary.

    Raises:
        ConfigError: it has none.
    """
    if model.vocabulary is None:
        raise ConfigError("a model without a vocabulary cannot read cells: create it with one")
    return model.vocabulary


def data_gene_positions(cells: PreparedCells) -> npt.NDArray[np.int64]:
    """Vocabulary position of every gene of the data, -1 where it is unknown."""
    positions = np.full(len(cells.match.names), -1, dtype=np.int64)
    positions[cells.match.columns] = cells.match.positions
    return positions


def refuse_unknown(names: list[str]) -> None:
    """Raise InputError if there are ``names`` of genes that the model does not know."""
    if names:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputError(
            f"{len(names)} genes are not in the model's vocabulary ({listed}): remove "
            'them, or pass unknown="mean" to give them the mean of the cell'
        )


def with_mean(values_bgx: Tensor, positions: npt.NDArray[np.int64]) -> Tensor:
    """Columns of ``values`` (cells, genes, ...) at ``positions``; the cell's mean at -1."""
    unknown = torch.from_numpy(np.flatnonzero(positions < 0)).to(values_bgx.device)
    known = torch.from_numpy(positions.clip(min=0)).to(values_bgx.device)
    chosen = values_bgx.index_select(1, known)
    chosen[:, unknown] = values_bgx.mean(1, keepdim=True)
    return chosen


def _cells_a_pass(model: Network, values: int) -> int:
    """Cells of so many values each that a CPU computes in memory that it already has."""
    return max(1, _CPU_BYTES // (4 * values)) if model.device.type == "cpu" else sys.maxsize


def _threads(model: Network) -> AbstractContextManager[None]:
    """One thread for a small model on a CPU, else as many as PyTorch is set to."""
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL
    return one_thread() if small and model.device.type == "cpu" else nullcontext()


@contextmanager
def _evaluating(model: Network) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


_FEWEST = 3
_ALIKE = 1e-6


def refuse_alike(name: str, blocks: Iterable[npt.NDArray[np.float32]]) -> None:
    """Refuse embeddings of three cells or more that differ by nothing but rounding.

    Args:
        name: the file or object, for the message.
        blocks: embeddings of some cells each, ``(cells, width)``.

    Raises:
        InputError: all vectors are alike.
    """
    cells, low, high = 0, np.array(np.inf), np.array(-np.inf)
    for values in blocks:
        if len(values):
            cells += len(values)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
    if cells < _FEWEST:
        return
    if np.max(high - low) <= _ALIKE * np.max(np.abs([low, high])):
        raise InputError(
            f"{name}: the embeddings of all {cells:,} cells are alike: the model sees no "
            "difference between them; check --gene-column and --matrix, or pass "
            "allow_poor_match=True (--allow-poor-match)"
        )
