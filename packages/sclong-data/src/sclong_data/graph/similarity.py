"""How alike two genes are: one interface for all that is known of genes in pairs or in sets.

Legend: g genes of a vocabulary, t terms, b genes of a block.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from sclong_core.errors import InputError

_FREQUENT = 0.02
"""Terms of more than this share of the genes are multiplied densely."""


class GeneSimilarity(Protocol):
    """A source of similarities between the genes of a vocabulary."""

    @property
    def genes(self) -> int:
        """Number of genes."""

    def known(self) -> npt.NDArray[np.bool_]:
        """``(genes,)``: whether the source says anything about each gene."""

    def rows(self, start: int, stop: int, over: float) -> sparse.csr_array:
        """``(stop - start, genes)`` float64: how alike a block of genes is to all, at most 1.

        Only values greater than ``over`` are stored, with sorted indices. A gene's similarity to
        itself may be left out.
        """


class TermSimilarity:
    """The Jaccard index of two genes' sets of terms: shared terms over all terms of either.

    Args:
        gene_to_terms: the terms of each gene, by the names in ``genes``; others are skipped.
        genes: the genes in order.

    Raises:
        InputError: none of the genes has a term.
    """

    def __init__(  # settings of a user, each by its name
        self, gene_to_terms: Mapping[str, Iterable[Hashable]], genes: Sequence[str]
    ) -> None:
        columns: dict[Hashable, int] = {}
        indices: list[int] = []
        indptr = [0]
        for gene in genes:
            terms = set(gene_to_terms.get(gene, ()))
            indices.extend(columns.setdefault(term, len(columns)) for term in terms)
            indptr.append(len(indices))
        if not indices:
            raise InputError(
                f"none of the {len(genes):,} genes has a term: annotations and vocabulary must "
                "name genes alike"
            )
        has_gt = sparse.csr_array(
            (np.ones(len(indices), dtype=np.float32), indices, indptr),
            shape=(len(genes), len(columns)),
        )
        self._sizes_g = np.diff(has_gt.indptr)
        frequent = np.bincount(indices, minlength=len(columns)) > len(genes) * _FREQUENT
        # Most of the work is in the few terms that many genes have, and dense products do it best.
        self._frequent_gt = has_gt[:, np.flatnonzero(frequent)].toarray()
        self._rare_gt = has_gt[:, np.flatnonzero(~frequent)].tocsr()
        self._rare_tg = self._rare_gt.T.tocsr()

    @property
    def genes(self) -> int:
        """Number of genes."""
        return int(self._sizes_g.size)

    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each gene has a term."""
        found: npt.NDArray[np.bool_] = self._sizes_g > 0
        return found

    def rows(self, start: int, stop: int, over: float) -> sparse.csr_array:
        """Jaccard indices of a block of genes with all genes."""
        # Counts of terms are exact in float32.
        shared_bg = self._frequent_gt[start:stop] @ self._frequent_gt.T
        rare_bg = self._rare_gt[start:stop] @ self._rare_tg
        row = np.repeat(np.arange(stop - start), np.diff(rare_bg.indptr))
        shared_bg[row, rare_bg.indices] += rare_bg.data
        # Shared over either exceeds `over` where shared exceeds this; a little less, for rounding.
        sizes = self._sizes_g.astype(np.float32)
        least = np.float32(over / (1 + over) * (1 - 1e-5))
        row, column = np.nonzero(shared_bg > least * (sizes[start:stop, None] + sizes))
        shared = shared_bg[row, column].astype(np.float64)
        values = shared / (self._sizes_g[start + row] + self._sizes_g[column] - shared)
        chosen = values > over
        return _rows(row[chosen], column[chosen], values[chosen], shared_bg.shape)


class PairSimilarity:
    """Similarities given pair by pair, such as scores of interactions; they hold both ways.

    Args:
        pairs: ``(2, pairs)`` positions of genes. Where a pair is there twice, in either order, the
            larger value counts. Pairs of a gene with itself are skipped.
        values: ``(pairs,)`` over 0, at most 1.
        genes: number of genes.

    Raises:
        InputError: there is no pair, or a value is not a similarity.
    """

    def __init__(  # settings of a user, each by its name
        self, pairs: npt.NDArray[np.int64], values: npt.NDArray[np.float64], genes: int
    ) -> None:
        between = pairs[0] != pairs[1]
        one, two, values = pairs[0][between], pairs[1][between], values[between]
        if not values.size:
            raise InputError(
                "none of the pairs joins two genes of the vocabulary: pairs and vocabulary must "
                "name genes alike"
            )
        if not (np.isfinite(values).all() and (values > 0).all() and (values <= 1).all()):
            raise InputError("a similarity of two genes must be over 0 and at most 1")
        keys = np.concatenate([one * genes + two, two * genes + one])
        both = np.concatenate([values, values])
        order = np.lexsort((-both, keys))
        keys, both = keys[order], both[order]
        first = np.concatenate([[True], keys[1:] != keys[:-1]])
        keys, both = keys[first], both[first]
        indptr = np.searchsorted(keys, np.arange(genes + 1) * genes)
        self._similarity_gg = sparse.csr_array((both, keys % genes, indptr), shape=(genes, genes))

    @property
    def genes(self) -> int:
        """Number of genes."""
        return int(self._similarity_gg.shape[0])

    def known(self) -> npt.NDArray[np.bool_]:
        """Whether each gene is in a pair."""
        found: npt.NDArray[np.bool_] = np.diff(self._similarity_gg.indptr) > 0
        return found

    def rows(self, start: int, stop: int, over: float) -> sparse.csr_array:
        """Similarities of a block of genes to all genes."""
        block = self._similarity_gg[start:stop]
        row = np.repeat(np.arange(stop - start), np.diff(block.indptr))
        chosen = block.data > over
        return _rows(row[chosen], block.indices[chosen], block.data[chosen], block.shape)


class JoinedSimilarity:
    """Several sources as one: two genes are as alike as the source says that finds them most alike.

    Args:
        sources: one or more, of the same genes.
    """

    def __init__(self, sources: Sequence[GeneSimilarity]) -> None:
        if len({source.genes for source in sources}) != 1:
            raise InputError("sources to join must be of the same genes, and at least one")
        self._sources = tuple(sources)

    @property
    def genes(self) -> int:
        """Number of genes."""
        return self._sources[0].genes

    def known(self) -> npt.NDArray[np.bool_]:
        """Whether any source says anything about each gene."""
        found: npt.NDArray[np.bool_] = np.any([source.known() for source in self._sources], axis=0)
        return found

    def rows(self, start: int, stop: int, over: float) -> sparse.csr_array:
        """The largest similarity of each pair."""
        joined = self._sources[0].rows(start, stop, over)
        for source in self._sources[1:]:
            joined = joined.maximum(source.rows(start, stop, over)).tocsr()
        joined.sort_indices()
        return joined


def _rows(
    row: npt.NDArray[Any], column: npt.NDArray[Any], values: npt.NDArray[Any], shape: Any
) -> sparse.csr_array:
    """A CSR array of entries that are sorted by row and column."""
    indptr = np.searchsorted(row, np.arange(shape[0] + 1))
    return sparse.csr_array((values, column, indptr), shape=shape)
