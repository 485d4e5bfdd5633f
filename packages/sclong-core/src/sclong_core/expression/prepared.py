"""Cells ready for the model: matched, checked, and read in blocks of the vocabulary's genes."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Any, Literal, Self, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.expression.anndata_objects import source_from_anndata
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.genes import Duplicates, GeneMatch, match_genes
from sclong_core.expression.normalisation import normalised
from sclong_core.expression.opening import open_cells
from sclong_core.expression.orthologs import MOUSE, Organism, as_human, mouse_orthologs
from sclong_core.expression.rows import Csr, cells_at_once
from sclong_core.expression.species import (
    HUMAN,
    check_species,
    other_organisms,
    species_of_genes,
    species_of_vocabulary,
)
from sclong_core.expression.surveys import (
    Asked,
    Progress,
    Survey,
    refuse_poor_match,
    survey_matched,
)
from sclong_core.vocabulary import GeneVocabulary

_LOG = logging.getLogger("sclong")


class ReadingOptions(TypedDict, total=False):
    """How cells are read."""

    matrix: str | None
    """Matrix to read: the name of a layer, "raw", or X by default."""
    gene_column: str | None
    """Column of ``var`` that names the genes, or "var_names"; the best one by default."""
    normalisation: Literal["auto", "raw", "log1p"]
    """What the values are; recognised by default."""
    duplicates: Literal["error", "sum"]
    """Several columns of one gene: an error by default, or their counts are summed."""
    feature_types: Collection[str] | None
    """Types of features that are genes, as ``var`` writes them; the usual ones by default."""
    organism: Literal["human", "mouse"]
    """Of the cells: mouse genes are taken for their one human ortholog; human by default."""
    allow_other_species: bool
    """Take cells whose genes are those of another species than the model's."""
    allow_poor_match: bool
    """Take cells although the model knows less than half of their counts."""


@dataclass(frozen=True)
class PreparedCells:
    """Cells that were read once, checked and recognised, and can be read as model input.

    A context manager: leaving it closes the file.
    """

    source: CellSource
    """Where the cells are."""
    match: GeneMatch
    """Which of their genes are in the vocabulary."""
    survey: Survey
    """What the pass over all cells found."""
    input_config: InputConfig
    """What the model was trained on."""
    organism: Organism = HUMAN
    """Of the cells as they were given; mouse genes were matched by their human orthologs."""

    def __len__(self) -> int:
        """Number of cells."""
        return self.source.n_cells

    @property
    def obs(self) -> pd.DataFrame:
        """Annotation of the cells."""
        return self.source.obs

    @property
    def obs_names(self) -> tuple[str, ...]:
        """Names of the cells."""
        return tuple(str(name) for name in self.source.obs.index)

    def block(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Expression of cells ``start`` to ``stop``, exclusive.

        The values of a cell depend neither on the block it is in nor on the order of its genes.

        Returns:
            ``(stop - start, genes of the vocabulary)`` float32, as the model takes it.

        Raises:
            IndexError: the cells are not there.
            InputError: the file is damaged.
        """
        block = np.zeros((max(0, stop - start), self.match.vocabulary_genes), dtype=np.float32)
        for first, rows in self._parts(start, stop):
            block[first - start : first - start + rows.shape[0]] = rows.toarray()
        return block

    def sparse_block(self, start: int, stop: int) -> Csr:
        """What :meth:`block` returns as sorted CSR without stored zeros."""
        parts = [rows for _, rows in self._parts(start, stop)]
        if len(parts) == 1:
            return parts[0]
        empty = sparse.csr_array((0, self.match.vocabulary_genes), dtype=np.float32)
        return sparse.vstack([empty, *parts], format="csr")

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, Csr]]:
        """Cells in steps that fit into memory, and the first of each step."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"cells {start} to {stop} are not among {len(self)}")
        step = cells_at_once(max(self.source.n_genes, self.match.vocabulary_genes))
        for first in range(start, stop, step):
            rows = self.source.read_rows(first, min(first + step, stop))
            kind = self.survey.normalisation
            yield first, normalised(rows, kind, self.input_config, self.match)

    def describe(self) -> dict[str, Any]:
        """What was read and what was done with it, for the record: plain JSON values."""
        found = self.survey
        raw = found.normalisation == "raw"
        return {
            "source": self.source.name,
            "matrix": found.matrix,
            "cells": found.cells,
            "genes": found.genes,
            "gene_column": self.match.found_in,
            "gene_names": self.match.kind,
            "genes_matched": found.matched,
            "genes_unknown": found.unknown,
            "genes_summed": self.match.repeated,
            "genes_by_other_name": len(self.match.by_other_name),
            "share_of_counts_matched": found.share_of_counts_matched,
            "cells_without_matched_counts": found.unmatched_cells,
            "cells_matched_poorly": found.poor_cells,
            "normalisation": found.normalisation,
            "normalisation_forced": found.forced,
            "target_sum": self.input_config.target_sum if raw else None,
            "target_sum_found": found.target_sum,
            "maximum": self.input_config.maximum,
            "cells_rescaled": found.rescaled_cells,
            "cells_clipped": found.clipped_cells,
            **self._orthologs(),
        }

    def _orthologs(self) -> dict[str, Any]:
        if self.organism != MOUSE:
            return {}
        return {"organism": self.organism, "orthologs": mouse_orthologs().digest}

    def close(self) -> None:
        """Close the file. Nothing can be read afterwards."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def prepare_cells(  # noqa: PLR0913  # settings of a user, each by its name
    cells: CellSource | AnnData | str | PathLike[str],
    vocabulary: GeneVocabulary,
    input_config: InputConfig,
    *,
    matrix: str | None = None,
    gene_column: str | None = None,
    normalisation: Asked = "auto",
    duplicates: Duplicates = "error",
    feature_types: Collection[str] | None = None,
    organism: Organism = HUMAN,
    allow_other_species: bool = False,
    allow_poor_match: bool = False,
    progress: Progress | None = None,
) -> PreparedCells:
    """Open cells, match their genes, check all values, and recognise their normalisation.

    Each step is announced through the logger "sclong".

    Args:
        cells: a file, an AnnData object, or an open source.
        vocabulary: genes of the model.
        input_config: what the model was trained on.
        matrix: the matrix to read, for files and AnnData objects; by default X.
        gene_column: column of ``var`` that names the genes, or "var_names"; by default the best.
        normalisation: "raw" or "log1p" to take the values as such whatever they look like.
        duplicates: "sum" adds the counts of several columns of one gene.
        feature_types: types of features that are genes, for files and AnnData objects; the usual
            ones by default.
        organism: "mouse" takes each mouse gene for its one human ortholog; see :mod:`.orthologs`.
        allow_other_species: take cells whose genes are those of another species than the model's.
        allow_poor_match: take cells although the model knows less than half of their counts.
        progress: told how far the pass over all cells is.

    Raises:
        InputError: anything about the cells that cannot be used as it is.
    """
    source = _source(cells, matrix, feature_types)
    _LOG.info(
        "%s: %s cells, %s genes, from %s",
        source.name,
        f"{source.n_cells:,}",
        f"{source.n_genes:,}",
        source.matrix,
    )
    try:
        if organism == MOUSE:
            source, gene_column = as_human(source, gene_column), None
        match = match_genes(source.var, vocabulary, gene_column=gene_column, duplicates=duplicates)
        species = None
        if organism != MOUSE:  # those were checked before their genes were renamed
            species = species_of_genes(source.var, species_of_vocabulary(vocabulary.ids))
            noted = other_organisms(source.obs, source.organism, species.wanted)
            reasons = (species.reason, noted if species.wanted else None)
            check_species(source.name, species.wanted, reasons, allowed=allow_other_species)
        found = survey_matched(
            source,
            match,
            input_config,
            normalisation=normalisation,
            species=None if allow_other_species else species,
            progress=progress,
        )
        if not allow_poor_match:
            refuse_poor_match(found, match, vocabulary, source.name)
    except BaseException:
        source.close()
        raise
    return PreparedCells(source, match, found, input_config, organism)


def _source(
    cells: CellSource | AnnData | str | PathLike[str],
    matrix: str | None,
    feature_types: Collection[str] | None,
) -> CellSource:
    """The cells as a source, opened if need be."""
    if isinstance(cells, CellSource):
        return cells
    if isinstance(cells, AnnData):
        return source_from_anndata(cells, matrix=matrix, feature_types=feature_types)
    return open_cells(cells, matrix=matrix, feature_types=feature_types)
