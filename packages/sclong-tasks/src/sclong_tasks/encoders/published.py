"""Published models at work: from cells to vectors, whichever model it is.

A cell's tokens come from that cell alone, and cells of one length are computed together, so that
its vector depends neither on its file nor on its batch. Cells are read in blocks: memory does not
grow with their number.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from sclong_core.devices import find_device
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression.features import types_as_they_are
from sclong_core.expression.genes import gene_names_in
from sclong_core.expression.rows import Csr, canonical
from sclong_core.expression.surveys import Asked
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.counts import Cells, CountedCells, counts_of_table, open_counts
from sclong_tasks.encoders.foreign import require_species, warn_of_poor_match
from sclong_tasks.encoders.genes import by_other_symbols
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable, Representation
from sclong_tasks.encoders.published_files import digest_of_files
from sclong_tasks.encoders.published_model import (
    Arrangement,
    CellTokens,
    PublishedModel,
    batches_by_length,
    collate,
)

_LOG = logging.getLogger("sclong")
_VERSION = 1
BLOCK_CELLS = 256
"""Cells whose tokens are in memory at a time."""
Values = npt.NDArray[np.float32]
Dtype = Literal["float32", "bfloat16"]
Advance = Callable[[int], None]


def _nothing() -> npt.NDArray[np.float64]:
    return np.zeros(2)


@dataclass(eq=False)
class PublishedEncoder:
    """A published model that represents cells and genes, its weights as they are.

    Args:
        model: in evaluation mode.
        batch_size: cells at a time; it changes nothing else.
        device: where to compute; "auto" is a GPU if there is one.
        dtype: of the large products.
        cache: where representations are kept for tasks.
        rename: other names for genes, such as ids for symbols of earlier days.
    """

    model: PublishedModel
    batch_size: int = 8
    device: str = "cpu"
    dtype: Dtype = "float32"
    cache: ContentCache | None = None
    rename: Callable[[Sequence[str]], Sequence[str]] | None = None
    digest: str = field(init=False)
    _left_out: list[int] = field(init=False, default_factory=list, repr=False)
    _seen: npt.NDArray[np.float64] = field(init=False, default_factory=_nothing, repr=False)
    """Counts of genes that the model knows, and of all, since what was left out was said."""

    def __post_init__(self) -> None:
        """Move the model to its device."""
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be a positive integer, not {self.batch_size}")
        if self.dtype not in ("float32", "bfloat16"):
            raise ConfigError(f'dtype must be "float32" or "bfloat16", not {self.dtype!r}')
        device = find_device(self.device)
        self.device = str(device)
        self.model.to(device)
        self.digest = digest_of_files(self.model.files)

    @property
    def name(self) -> str:
        """As in settings."""
        return self.model.card.name

    @property
    def width(self) -> int:
        """Numbers of a cell's vector."""
        return self.model.width

    def embed(
        self,
        cells: Cells,
        *,
        matrix: str | None = None,
        gene_column: str | None = None,
        normalisation: Asked = "auto",
        allow_other_species: bool = False,
    ) -> Values:
        """One vector a cell.

        Args:
            cells: an AnnData object or a file, with raw counts, or log1p values that lead back to
                them exactly.
            matrix: the matrix to read; by default X.
            gene_column: column of ``var`` that names the genes, or "var_names"; by default the
                one with most genes of the model.
            normalisation: "raw" or "log1p" to take the values as such whatever they look like.
            allow_other_species: take cells that are of another species than the model's.

        Returns:
            ``(cells, width)`` float32.

        Raises:
            InputError: the cells cannot be used as they are, or one has no gene of the model.
        """
        with self._opened(cells, matrix, normalisation) as opened:
            arrangement = self.arrange(opened.var, gene_column)
            require_species(opened.source, self.model, allowed=allow_other_species)
            parts = [
                self.block(opened, arrangement, start, min(start + BLOCK_CELLS, len(opened)))
                for start in range(0, len(opened), BLOCK_CELLS)
            ]
        self.say_left_out()
        return np.concatenate(parts)

    def gene_representations(
        self,
        cells: Cells,
        *,
        matrix: str | None = None,
        gene_column: str | None = None,
        normalisation: Asked = "auto",
        allow_other_species: bool = False,
    ) -> tuple[Values, tuple[str, ...]]:
        """One vector a gene: its states, averaged over the cells whose tokens hold it.

        Genes that no cell holds have no vector and are left out.

        Args:
            cells: as in :meth:`embed`.
            matrix: as there.
            gene_column: as there.
            normalisation: as there.
            allow_other_species: as there.

        Returns:
            ``(genes, dim)`` float32, and the names of these genes in the data.
        """
        with self._opened(cells, matrix, normalisation) as opened:
            arrangement = self.arrange(opened.var, gene_column)
            require_species(opened.source, self.model, allowed=allow_other_species)
            blocks = (
                opened.counts(start, min(start + BLOCK_CELLS, len(opened)))
                for start in range(0, len(opened), BLOCK_CELLS)
            )
            means, held = self._gene_means(blocks, arrangement)
        self.say_left_out()
        names = tuple(name for name, there in zip(arrangement.names, held, strict=True) if there)
        return means[held], names

    def arrange(self, var: pd.DataFrame, gene_column: str | None = None) -> Arrangement:
        """Match genes by the column that holds most of the model's, and say so.

        Raises:
            InputError: no gene of the data is one of the model.
        """
        card = self.model.card
        candidates = gene_names_in(var, gene_column)
        preferred = {column: rank for rank, column in enumerate(card.columns)}
        candidates.sort(key=lambda one: preferred.get(one[0], len(preferred)))
        best, column, most = None, "", 0
        for place, names in candidates:
            tokens = self.model.token_of(self._spelt(names)[0])
            known, distinct = int((tokens >= 0).sum()), len(np.unique(tokens[tokens >= 0]))
            known = known if 2 * distinct > known else distinct  # a column of something else
            if known > most:
                best, column, most = names, place, known
        if best is None:
            raise InputError(self._none_known(candidates))
        arrangement = self._arranged(best)
        genes, unknown = len(best), len(arrangement.unknown)
        _LOG.info(
            "%s: %s of %s genes are known, by %s in %s%s",
            card.title,
            f"{genes - unknown:,}",
            f"{genes:,}",
            card.genes_by,
            column,
            f"; unknown: {shown([name or repr(name) for name in arrangement.unknown])}"
            if unknown
            else "",
        )
        return arrangement

    def _arranged(self, names: Sequence[str]) -> Arrangement:
        """Genes by the names that the model knows them by; named as in the data."""
        spelt, other = self._spelt(names)
        found = self.model.arrange(spelt)
        if other:
            pairs = [f"{names[place]} ({name})" for place, name in other.items()]
            _LOG.info(
                "%s: %s of them by another symbol of the same gene: %s",
                self.model.card.title,
                f"{len(other):,}",
                shown(pairs),
            )
        own: dict[str, str] = {}
        for name, given in zip(spelt, names, strict=True):
            own.setdefault(name, given)
        known = tuple(own[name] for name in found.names)
        return replace(found, names=known, unknown=tuple(own[name] for name in found.unknown))

    def _spelt(self, names: Sequence[str]) -> tuple[list[str], dict[int, str]]:
        """Names as the model may know them, and those that were another symbol of the gene."""
        spelt = list(names if self.rename is None else self.rename(names))
        other = by_other_symbols(spelt, self._knows) if self.model.of_human_cells else {}
        for place, name in other.items():
            spelt[place] = name
        return spelt, other

    def _knows(self, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self.model.token_of(names) >= 0
        return found

    def block(self, cells: CountedCells, arrangement: Arrangement, start: int, stop: int) -> Values:
        """Vectors of cells ``start`` to ``stop``."""
        return self.vectors(cells.counts(start, stop), arrangement, cells.names[start:stop])

    def vectors(
        self,
        counts: Csr,
        arrangement: Arrangement,
        names: Sequence[str],
        advance: Advance = lambda _cells: None,
    ) -> Values:
        """Vectors of cells by their counts ``(cells, genes of the data)``."""
        tokens = self.tokens(counts, arrangement, names)
        found = np.empty((len(tokens), self.model.width), dtype=np.float32)
        for rows in self._batches(tokens):
            batch = collate([tokens[row] for row in rows], self.model, torch.device(self.device))
            with torch.inference_mode(), self._precision():
                found[rows] = self.model(batch).float().cpu().numpy()
            advance(len(rows))
        return found

    def tokens(
        self, counts: Csr, arrangement: Arrangement, names: Sequence[str]
    ) -> list[CellTokens]:
        """Tokens of cells.

        Raises:
            InputError: a cell expresses no gene of the model.
        """
        of_model = canonical(counts @ arrangement.select)
        self._seen += np.array([of_model.sum(), counts.sum()])
        tokens = self.model.tokens(of_model, arrangement)
        empty = [name for name, cell in zip(names, tokens, strict=True) if not len(cell.ids)]
        if empty:
            raise InputError(
                f"{len(empty):,} of {len(names):,} cells express no gene that "
                f"{self.model.card.title} knows (the first is {empty[0]!r}): remove them"
            )
        self._left_out += [cell.left_out for cell in tokens if cell.left_out]
        return tokens

    def say_left_out(self) -> None:
        """Say for how many cells there were too many genes, or too few, since the last time."""
        warn_of_poor_match(self.model, *self._seen.tolist())
        self._seen = _nothing()
        if self._left_out:
            _LOG.info(
                "%s: %s cells express more genes than fit into its %s tokens: up to %s are left "
                "out of a cell",
                self.model.card.title,
                f"{len(self._left_out):,}",
                f"{self.model.limit:,}",
                f"{max(self._left_out):,}",
            )
        self._left_out.clear()

    def cells(self, expression: ExpressionTable) -> Representation:
        """One vector a cell, ``(cells, width)``."""
        arrangement, coverage = self._known(expression.genes)
        counts, facts = self._counted(expression)
        key = {"what": "published", "version": _VERSION, **facts, "cells": expression.digest}

        def compute() -> dict[str, Any]:
            return {"cells": self.vectors(counts, arrangement, expression.cells)}

        found = (self.cache or ContentCache(None)).arrays(key, compute)
        self.say_left_out()
        return Representation(found["cells"], expression.cells, coverage, facts)

    def tokens_of_table(
        self, expression: ExpressionTable
    ) -> tuple[list[CellTokens], dict[str, Any]]:
        """Tokens of all cells of a table, and facts for the record."""
        arrangement, coverage = self._known(expression.genes)
        counts, facts = self._counted(expression)
        tokens = self.tokens(counts, arrangement, expression.cells)
        self.say_left_out()
        return tokens, {**facts, "coverage": coverage.describe()}

    def genes(self, names: Sequence[str]) -> Representation:
        """``(genes, dim)``: vectors that are the same in every cell; unknown ones get the mean.

        Raises:
            InputError: the model has none.
        """
        with torch.inference_mode():
            table = self.model.gene_table()
        if table is None:
            raise InputError(f"{self.model.card.title} has no vectors of genes without cells")
        tokens = self.model.token_of(self._spelt(names)[0])
        _, coverage = self._known(names)
        weights = table.detach().float().cpu().numpy()
        known = np.unique(tokens[tokens >= 0])
        extended = np.concatenate([weights, weights[known].mean(0, keepdims=True)])
        return Representation(extended[tokens], tuple(names), coverage, self.facts)

    def genes_in_cells(self, expression: ExpressionTable) -> Representation:
        """``(genes, dim)``: states of each gene averaged over the cells; others get the mean."""
        arrangement, coverage = self._known(expression.genes)
        counts, facts = self._counted(expression)
        facts |= {"genes": "mean over cells"}
        key = {"what": "published", "version": _VERSION, **facts, "cells": expression.digest}

        def compute() -> dict[str, Any]:
            means, held = self._gene_means(iter([counts]), arrangement)
            table = np.tile(means[held].mean(0), (len(expression.genes), 1))
            of_data, of_model = arrangement.select.nonzero()
            there = held[of_model]
            table[of_data[there]] = means[of_model[there]]
            return {"genes": table.astype(np.float32)}

        found = (self.cache or ContentCache(None)).arrays(key, compute)
        self.say_left_out()
        return Representation(found["genes"], expression.genes, coverage, facts)

    @property
    def facts(self) -> dict[str, Any]:
        """Which model, for the record."""
        return {**self.model.describe(), "model": self.digest, "dtype": self.dtype}

    def _opened(self, cells: Cells, matrix: str | None, normalisation: Asked) -> CountedCells:
        ratios = self.model.by_ratios
        with types_as_they_are():
            return open_counts(cells, matrix=matrix, normalisation=normalisation, ratios=ratios)

    def _counted(self, expression: ExpressionTable) -> tuple[Csr, dict[str, Any]]:
        counts, done = counts_of_table(expression)
        _LOG.info("%s: values: %s", self.model.card.title, done)
        return counts, self.facts | {"values": done}

    def _gene_means(
        self, blocks: Iterator[Csr], arrangement: Arrangement
    ) -> tuple[Values, npt.NDArray[np.bool_]]:
        sums: npt.NDArray[np.float64] | None = None
        seen = np.zeros(len(arrangement.tokens))
        for counts in blocks:
            names = [str(row) for row in range(counts.shape[0])]
            tokens = self.tokens(counts, arrangement, names)
            for rows in self._batches(tokens):
                batch = collate(
                    [tokens[row] for row in rows], self.model, torch.device(self.device)
                )
                with torch.inference_mode(), self._precision():
                    states, numbers = self.model.gene_states(batch)
                chosen = (numbers >= 0).cpu().numpy()
                genes = numbers.cpu().numpy()[chosen]
                vectors = states.float().cpu().numpy()[chosen]
                if sums is None:
                    sums = np.zeros((len(seen), vectors.shape[1]))
                np.add.at(sums, genes, vectors)
                np.add.at(seen, genes, 1)
        assert sums is not None
        return (sums / np.maximum(seen, 1)[:, None]).astype(np.float32), seen > 0

    def _batches(self, tokens: Sequence[CellTokens]) -> list[npt.NDArray[np.int64]]:
        if not tokens:
            return []
        return batches_by_length(tokens, self.batch_size, in_order=self.model.in_order)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, torch.bfloat16)

    def _known(self, names: Sequence[str]) -> tuple[Arrangement, Coverage]:
        arrangement = self._arranged(names)
        if not len(arrangement.tokens):
            raise InputError(self._none_known([("the data", list(names))]))
        unknown = arrangement.unknown
        return arrangement, Coverage("genes", len(names) - len(unknown), unknown)

    def _none_known(self, candidates: Sequence[tuple[str, Sequence[str]]]) -> str:
        card = self.model.card
        first = [name for name in candidates[0][1][:3] if name]
        other = {"symbol": "Ensembl ids", "Ensembl id": "symbols"}.get(card.genes_by, "other names")
        return (
            f"{card.title} knows none of the genes: it takes genes by {card.genes_by}, and the "
            f"data has {', '.join(first) or 'no names'}; give a column of var with them by "
            f"--gene-column, or a gene table that turns {other} into them"
        )
