"""Cells for pretraining: one file, split into training and validation, masked, in batches."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from sclong_core.config import InputConfig
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells, open_cells, prepare_cells
from sclong_core.expression.features import types_as_they_are
from sclong_core.expression.genes import INDEX, gene_names_in
from sclong_core.human_genes import symbols_of_other_species, vocabulary_of_symbols
from sclong_core.pretraining.batches import (
    CellDataset,
    EpochBatches,
    TrainingLoader,
    ValidationLoader,
    cells_digest,
    split_cells,
    validation_loader,
)
from sclong_core.pretraining.datamodule import (
    PretrainingData,
    check_numbers,
    mean_of_genes,
    spread,
)
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.reference import SampledCells
from sclong_core.vocabulary import GeneVocabulary, without_version

_LOG = logging.getLogger("sclong")
_OTHERS = 0.1
_IDS = 0.9
"""Share of names that look like Ensembl ids in a column of ids."""


class AnnDataModule(PretrainingData):
    """Cells of one ``.h5ad``, ``.zarr``, 10x ``.h5`` or ``.loom`` file.

    Args:
        path: the file.
        vocabulary: genes of the model, a ``vocabulary.tsv`` or a list of ids; the file's own genes
            if None.
        matrix: the one to read: ``X`` (default), ``raw`` or the name of a layer.
        gene_column: column of ``var`` that names the genes, or "var_names"; the best by default.
        normalisation: what the values are; recognised by default.
        duplicates: several columns of one gene: "error", or "sum" their counts.
        input: what the model is fed with, stored with it. ``maximum: 10`` is the paper's.
        masking: which values are hidden and scored.
        validation_fraction: share of cells held out, by a hash of their names; 0 for none.
        batch_size: cells a rank and step.
        num_workers: processes that read; 0 reads in the training process.
        seed: of the split and the order of cells.
        baseline_cells: at most so many training cells are read for the mean of each gene.

    Raises:
        ConfigError: an impossible number, or no path.
        InputError: the file cannot be used.
    """

    def __init__(  # noqa: PLR0913  # settings of a user, each by its name
        self,
        path: str | Path | None = None,
        vocabulary: str | Path | None = None,
        *,
        matrix: str | None = None,
        gene_column: str | None = None,
        normalisation: Literal["auto", "raw", "log1p"] = "auto",
        duplicates: Literal["error", "sum"] = "error",
        input: InputConfig = InputConfig(),  # noqa: A002, B008  # the name in config.json; frozen
        masking: MaskingConfig = MaskingConfig(),  # noqa: B008  # frozen
        validation_fraction: float = 0.05,
        batch_size: int = 8,
        num_workers: int = 0,
        seed: int = 0,
        baseline_cells: int = 10_000,
    ) -> None:
        super().__init__()
        check_numbers(
            validation_fraction=validation_fraction,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
        )
        if path is None:
            raise ConfigError("data.path is missing: set it to a file of cells")
        self.path = str(path)
        self.matrix, self.gene_column = matrix, gene_column
        self.normalisation, self.duplicates = normalisation, duplicates
        self.input, self.masking = input, masking
        self.validation_fraction = validation_fraction
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.baseline_cells = baseline_cells
        self.vocabulary = self._own_genes() if vocabulary is None else _read(vocabulary)
        self.gene_means = None
        self._cells: PreparedCells | None = None

    def setup(self, stage: str) -> None:  # Lightning gives it
        """Check all cells once, split them, and take the mean of each gene."""
        if self._cells is not None:
            return
        _LOG.info("reading cells from %s, as set by data.path", Path(self.path).absolute())
        with (
            types_as_they_are(),
            prepare_cells(
                self.path,
                self.vocabulary,
                self.input,
                matrix=self.matrix,
                gene_column=self.gene_column,
                normalisation=self.normalisation,
                duplicates=self.duplicates,
                allow_poor_match=True,
            ) as cells,
        ):
            self._cells = cells
            names = cells.obs_names
        self._digest = cells_digest(names)
        self.training_cells, self.validation_cells = split_cells(
            names, self.validation_fraction, self.seed
        )
        _LOG.info(
            "%s cells for training, %s held out for validation",
            f"{self.training_cells.size:,}",
            f"{self.validation_cells.size:,}",
        )
        if not self.training_cells.size:
            raise ConfigError("no cells are left for training: lower data.validation_fraction")
        self.gene_means = self._mean_of_genes()

    def train_dataloader(self) -> TrainingLoader:
        """This rank's batches; the tail of an epoch that fills no batch is left out."""
        rank, ranks = self.ranks()
        batches = EpochBatches(
            self.training_cells,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=rank,
            ranks=ranks,
        )
        left_out = self.training_cells.size - len(batches) * batches.global_batch
        if rank == 0:
            _LOG.info(
                (
                    "an epoch has %s batches of %s cells; %s cells, different ones each "
                    "time, are skipped"
                ),
                f"{len(batches):,}",
                f"{batches.global_batch:,}",
                f"{left_out:,}",
            )
        return TrainingLoader(
            self._dataset(), batches, workers=self.num_workers, data_digest=self._digest
        )

    def val_dataloader(self) -> ValidationLoader | list[Any]:
        """Each held-out cell once, with masks that never change; empty where none is held out."""
        if not self.validation_cells.size:
            return []
        rank, ranks = self.ranks()
        return validation_loader(
            self._dataset(validation=True),
            self.validation_cells,
            batch_size=self.batch_size,
            rank=rank,
            ranks=ranks,
            workers=self.num_workers,
        )

    def reference_cells(self, most: int) -> SampledCells:
        """Training cells of the one source that a file is."""
        chosen = spread(self.training_cells, most)
        dataset = self._dataset()
        blocks = [
            sparse.csr_array(dataset.expression(chosen[start : start + 256].tolist()))
            for start in range(0, chosen.size, 256)
        ]
        sources = np.zeros(chosen.size, dtype=np.int64)
        return SampledCells(sparse.vstack(blocks, format="csr"), sources, self.measured(chosen[:1]))

    def measured(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """The genes of the file, in every cell."""
        measured = np.zeros(len(self.vocabulary), dtype=np.bool_)
        measured[self.prepared.match.positions] = True
        return np.broadcast_to(measured, (len(cells), measured.size))

    def state_dict(self) -> dict[str, Any]:
        """What the data is, for the checkpoint."""
        return {
            "cells": self._digest,
            "seed": self.seed,
            "validation_fraction": self.validation_fraction,
            "normalisation": self.prepared.survey.normalisation,
        }

    def describe(self) -> dict[str, Any]:
        """What was read and how it was split, for the record: plain JSON values."""
        return {
            **self.prepared.describe(),
            "cells_digest": self._digest,
            "training_cells": int(self.training_cells.size),
            "validation_cells": int(self.validation_cells.size),
            "seed": self.seed,
            "masking": vars(self.masking),
        }

    @property
    def prepared(self) -> PreparedCells:
        """What is known of the cells; their file is closed.

        Raises:
            ConfigError: ``setup`` did not run.
        """
        if self._cells is None:
            raise ConfigError('the cells have not been read yet: call setup("fit") first')
        return self._cells

    def _dataset(self, *, validation: bool = False) -> CellDataset:
        return CellDataset(
            self.path, self.prepared, self.matrix, self.masking, validation=validation
        )

    def _own_genes(self) -> GeneVocabulary:
        with types_as_they_are(), open_cells(self.path, matrix=self.matrix) as source:
            vocabulary = genes_of(source.var, self.gene_column)
        _LOG.info(
            "no vocabulary is set: using the %s genes of %s",
            f"{len(vocabulary):,}",
            self.path,
        )
        return vocabulary

    def _mean_of_genes(self) -> npt.NDArray[np.float32]:
        """Mean non-zero value of each gene; of all genes for one that is never expressed."""
        dataset = self._dataset()
        chosen = spread(self.training_cells, self.baseline_cells)
        sums = np.zeros(len(self.vocabulary))
        counts = np.zeros(len(self.vocabulary))
        for start in range(0, chosen.size, 256):
            rows = dataset.expression(chosen[start : start + 256].tolist())
            sums += rows.sum(axis=0, dtype=np.float64)
            counts += (rows > 0).sum(axis=0)
        return mean_of_genes(sums, counts)


def genes_of(var: pd.DataFrame, gene_column: str | None) -> GeneVocabulary:
    """A vocabulary of the data's own genes.

    Args:
        var: annotation of the genes.
        gene_column: the column of ids; by default the index, unless only another column holds
            Ensembl ids, in which case the index is taken for symbols.

    Raises:
        ConfigError: there is no such column.
        InputError: a gene occurs twice, or genes are named by symbols of another species.

    Symbols of human genes become the Ensembl ids that HGNC gives them; names without one are no
    genes of the model. Symbols of other species are refused: no table of them is at hand. Names
    that are neither ids nor symbols are kept, with a warning.
    """
    index = gene_names_in(var, INDEX)[0][1]
    if gene_column not in (None, "var_names"):
        if gene_column not in var:
            raise ConfigError(f"the data has no gene column {gene_column!r}: set data.gene_column")
        return _named(gene_names_in(var, gene_column)[0][1])
    if gene_column is None and not _are_ids(index):
        for column in var:
            values = var[column].astype(str).tolist()
            if _are_ids(values):
                return GeneVocabulary.from_ids(values, index)
    return _named(index)


def _named(names: list[str]) -> GeneVocabulary:
    """A vocabulary of ids, or of the ids that HGNC knows for symbols: a symbol is never an id."""
    if all(map(_is_id, names)):
        return GeneVocabulary.from_ids(names)
    found = vocabulary_of_symbols(names)
    if found is None:
        _refuse_other_symbols(names)
        _LOG.warning(
            (
                "the gene names are neither Ensembl ids nor human symbols (%s, ...): "
                "keeping them unchanged; only data with the same names will fit the model"
            ),
            ", ".join(names[:3]),
        )
        return GeneVocabulary.from_ids(names)
    vocabulary, lost = found
    _LOG.info(
        "the gene names are symbols: %s of %s are stored as Ensembl ids from HGNC%s",
        f"{len(vocabulary):,}",
        f"{len(names):,}",
        f"; {len(lost):,} have none and are not genes of the model: {', '.join(lost[:5])}"
        if lost
        else "",
    )
    return vocabulary


def _refuse_other_symbols(names: list[str]) -> None:
    """Refuse symbols of another species, of which no ids are known.

    Raises:
        InputError: a tenth of the names are human symbols but for their capitals.
    """
    others = symbols_of_other_species(names)
    if len(others) >= _OTHERS * len(names):
        raise InputError(
            f"{len(others):,} of {len(names):,} gene names look like symbols of the "
            f"mouse or another species ({', '.join(others[:3])}, ...), but a model "
            "stores Ensembl ids: set data.gene_column to the column with ids, or "
            "data.vocabulary to a list of ids"
        )


def _is_id(name: str) -> bool:
    return without_version(name).startswith(("ENS", "FBgn", "WBGene"))


def _are_ids(names: list[str]) -> bool:
    return sum(map(_is_id, names)) >= _IDS * len(names)


def _read(path: str | Path) -> GeneVocabulary:
    if not Path(path).is_file():
        raise ConfigError(f"{path} does not exist: set data.vocabulary to a list of genes")
    return GeneVocabulary.read(path)
