"""A corpus as the data of pretraining."""

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.config import InputConfig
from sclong_core.errors import ConfigError
from sclong_core.pretraining.datamodule import (
    PretrainingData,
    check_numbers,
    mean_of_genes,
    spread,
)
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.reference import SampledCells
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.layout import corpus_folder
from sclong_data.loading.loader import CorpusLoader, CorpusValidationLoader
from sclong_data.loading.order import ShuffleConfig
from sclong_data.loading.pools import PoolDataset, Share
from sclong_data.loading.splits import SplitConfig, split_corpus
from sclong_data.loading.weights import EpochCells, stratified_weights

_LOG = logging.getLogger("sclong")
_BLOCK = 1024
"""Cells that are summed up at a time."""
_ASKED = 2_048
"""Cells of a data set that are asked which genes it measures."""


class CorpusDataModule(PretrainingData):
    """Cells of a corpus that ``sclong data harmonise`` made.

    Args:
        path: folder of the corpus.
        vocabulary: a list of genes that the corpus must have; it is not needed.
        input: how the corpus must be normalised; it is not needed, since the corpus knows.
        masking: which values are hidden and scored.
        validation_fraction: share held out; 0 for none.
        split: of what it is a share: cells, data sets, donors, groups of an obs column.
        balance: obs column whose groups come about equally often in training, rare cells several
            times an epoch and frequent ones not in each; by default every cell comes once.
        balance_power: 1 evens the groups out; 0.5 goes half of the way.
        shuffle: how far cells are moved from where they are stored.
        ragged: batches of expressed genes only, for models that take them.
        batch_size: cells a rank and step.
        num_workers: processes that read; 0 reads in the training process.
        seed: of the split and the order of cells.
        baseline_cells: at most so many training cells are read for the mean of each gene.

    Raises:
        ConfigError: an impossible setting, or one that contradicts the corpus.
        InputError: there is no corpus, or it is damaged.
    """

    def __init__(  # noqa: PLR0913  # settings of a user, each by its name
        self,
        path: str | Path | None = None,
        vocabulary: str | Path | None = None,
        *,
        input: InputConfig | None = None,  # noqa: A002  # the name in config.json
        masking: MaskingConfig = MaskingConfig(),  # noqa: B008  # frozen
        validation_fraction: float = 0.05,
        split: SplitConfig = SplitConfig(),  # noqa: B008  # frozen
        balance: str | None = None,
        balance_power: float = 1.0,
        shuffle: ShuffleConfig = ShuffleConfig(),  # noqa: B008  # frozen
        ragged: bool = False,
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
            raise ConfigError("data.path is missing: set it to the folder of a corpus")
        if not 0 <= balance_power <= 1:
            raise ConfigError(f"data.balance_power must be from 0 to 1, not {balance_power}")
        self.corpus = CellCorpus(corpus_folder(path))
        self.vocabulary = self.corpus.vocabulary
        self.input = _normalisation(self.corpus, input)
        _check_vocabulary(self.corpus, vocabulary)
        self.masking, self.split, self.shuffle = masking, split, shuffle
        self.validation_fraction = validation_fraction
        self.balance, self.balance_power, self.ragged = balance, balance_power, ragged
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed
        self.baseline_cells = baseline_cells
        self.gene_means = None
        self._training: EpochCells | None = None

    def setup(self, stage: str) -> None:  # noqa: ARG002  # Lightning gives it
        """Split the cells, weigh them, and take the mean of each gene."""
        if self._training is not None:
            return
        self.training_cells, self.validation_cells = split_corpus(
            self.corpus, self.split, self.validation_fraction, self.seed
        )
        _LOG.info(
            "%s cells of %s data sets for training, %s held out for validation",
            f"{self.training_cells.size:,}",
            f"{len({record.dataset for record in self.corpus.index.shards}):,}",
            f"{self.validation_cells.size:,}",
        )
        if not self.training_cells.size:
            raise ConfigError("no cells are left for training: lower data.validation_fraction")
        self._training = EpochCells(self.training_cells, self._weights(), seed=self.seed)
        self.gene_means = self._mean_of_genes()

    def train_dataloader(self) -> CorpusLoader:
        """This rank's batches; what fills the last batch of an epoch is not scored."""
        loader = CorpusLoader(
            self._pools(self._cells(), shuffle=self.shuffle),
            workers=self.num_workers,
            seed=self.seed,
            identity=self._identity(),
            ragged=self.ragged,
        )
        if self.ranks()[0] == 0:
            _LOG.info(
                "an epoch has %s batches of %s cells",
                f"{len(loader):,}",
                f"{self.batch_size * self.ranks()[1]:,}",
            )
        return loader

    def val_dataloader(self) -> CorpusValidationLoader | list[Any]:
        """Each held-out cell once, with masks that never change; empty where none is held out."""
        self._cells()
        if not self.validation_cells.size:
            return []
        pools = self._pools(EpochCells(self.validation_cells), validation=True)
        return CorpusValidationLoader(pools, workers=self.num_workers, ragged=self.ragged)

    def reference_cells(self, most: int) -> SampledCells:
        """Training cells, their data sets, and what those measure."""
        chosen = spread(self.training_cells, most)
        return SampledCells(self.corpus.read(chosen), self._sources[chosen], self._measured)

    def measured(self, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Genes of the data set that each cell is of: those that any of its cells expresses."""
        return np.asarray(self._measured[self._sources[cells]])

    def state_dict(self) -> dict[str, Any]:
        """What the data is, for the checkpoint."""
        return {
            **self._identity(),
            "seed": self.seed,
            "validation_fraction": self.validation_fraction,
        }

    def describe(self) -> dict[str, Any]:
        """What was read and how it was split, for the record: plain JSON values."""
        return {
            **self.state_dict(),
            "cells": len(self.corpus),
            "rules": dict(self.corpus.index.rules),
            "datasets": sorted({record.dataset for record in self.corpus.index.shards}),
            "training_cells": int(self.training_cells.size),
            "validation_cells": int(self.validation_cells.size),
            "masking": vars(self.masking),
        }

    def _identity(self) -> dict[str, Any]:
        """What decides which cells come when, beside the seed and the size of batches."""
        return {
            "corpus": self.corpus.digest,
            "split": [self.split.by, *sorted(self.split.groups)],
            "balance": None if self.balance is None else [self.balance, self.balance_power],
            "shuffle": [self.shuffle.block_cells, self.shuffle.pool_blocks],
        }

    @cached_property
    def _sources(self) -> npt.NDArray[np.int64]:
        """Number of the data set of each cell."""
        codes, _ = pd.factorize(pd.Series(self.corpus.datasets()).astype(str))
        return np.asarray(codes, dtype=np.int64)

    @cached_property
    def _measured(self) -> npt.NDArray[np.bool_]:
        """Genes that are expressed in some cell of each data set.

        A corpus does not know more: a gene that is measured and never seen teaches little.
        """
        sources = self._sources
        measured = np.zeros((sources.max() + 1, len(self.vocabulary)), dtype=np.bool_)
        for source in range(len(measured)):
            mine = spread(np.flatnonzero(sources == source), _ASKED)
            measured[source, np.unique(self.corpus.read(mine).indices)] = True
        return measured

    def _cells(self) -> EpochCells:
        if self._training is None:
            raise ConfigError('the cells have not been read yet: call setup("fit") first')
        return self._training

    def _pools(
        self, cells: EpochCells, *, shuffle: ShuffleConfig | None = None, validation: bool = False
    ) -> PoolDataset:
        rank, ranks = self.ranks()
        return PoolDataset(
            self.corpus,
            cells,
            shuffle,
            self.masking,
            Share(self.batch_size, rank, ranks),
            seed=self.seed,
            validation=validation,
        )

    def _weights(self) -> npt.NDArray[np.float64] | None:
        if self.balance is None:
            return None
        labels = self.corpus.obs([self.balance])[self.balance].iloc[self.training_cells]
        _LOG.info(
            "training cells are drawn evenly over %s groups of %s", labels.nunique(), labels.name
        )
        return stratified_weights(labels, self.balance_power)

    def _mean_of_genes(self) -> npt.NDArray[np.float32]:
        chosen = spread(self.training_cells, self.baseline_cells)
        sums, counts = np.zeros(len(self.vocabulary)), np.zeros(len(self.vocabulary))
        for start in range(0, chosen.size, _BLOCK):
            rows = self.corpus.read(chosen[start : start + _BLOCK])
            sums += np.bincount(rows.indices, rows.data, minlength=sums.size)
            counts += np.bincount(rows.indices, minlength=sums.size)
        return mean_of_genes(sums, counts)


def _normalisation(corpus: CellCorpus, asked: InputConfig | None) -> InputConfig:
    """How the corpus is normalised, in the terms of a model's input."""
    rules = corpus.index.rules
    stored = InputConfig(
        target_sum=rules.get("target_sum", InputConfig.target_sum), maximum=rules.get("maximum")
    )
    if asked is not None and asked != stored:
        raise ConfigError(
            f"data.input asks for target_sum {asked.target_sum} and maximum {asked.maximum}, the "
            f"corpus {corpus.folder} was made with {stored.target_sum} and {stored.maximum}: "
            "leave data.input out, or harmonise with other rules"
        )
    if rules.get("log1p", "cp10k") != "cp10k":
        _LOG.warning(
            "%s was made with log1p %r, which embedding does not know: a model that is trained on "
            "it must be fed with cells normalised the same way",
            corpus.folder,
            rules["log1p"],
        )
    return stored


def _check_vocabulary(corpus: CellCorpus, path: str | Path | None) -> None:
    """A vocabulary that is asked for must be that of the corpus: genes cannot be moved here."""
    if path is None:
        return
    if not Path(path).is_file():
        raise ConfigError(f"{path} does not exist: leave data.vocabulary out, the corpus has one")
    asked = GeneVocabulary.read(path)
    if asked.digest != corpus.vocabulary.digest:
        raise ConfigError(
            f"{path} has digest {asked.digest} ({len(asked):,} genes), the corpus has the "
            f"vocabulary {corpus.vocabulary.digest} ({len(corpus.vocabulary):,} genes): leave "
            "data.vocabulary out, or harmonise with that vocabulary"
        )
