"""GENIE3: a forest for each gene, from the expression of all transcription factors."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from sclong_core.errors import ConfigError
from sclong_tasks.cache import ContentCache, digest_arrays
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.models.edges import EdgeModel
from sclong_tasks.settings import as_plain
from sclong_tasks.task import RunContext

_VERSION = 1
_FORESTS = {"random_forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}


@dataclass
class Genie3Options:
    """The forests. The original grows 1,000 trees a gene."""

    trees: int = 100
    """For each gene."""
    kind: str = "random_forest"
    """"random_forest" or "extra_trees"."""
    max_depth: int = 0
    """Of each tree; 0 grows them to the end, as the original does."""
    targets: str = "candidates"
    """Genes that get a forest: those of the network's candidates, or "all"."""

    def __post_init__(self) -> None:
        if self.kind not in _FORESTS:
            raise ConfigError(f"model.kind must be one of {', '.join(_FORESTS)}")
        if self.targets not in ("candidates", "all"):
            raise ConfigError("model.targets must be candidates or all")
        if self.trees < 1 or self.max_depth < 0:
            raise ConfigError("model.trees must be at least 1, model.max_depth not negative")


class Genie3(EdgeModel):
    """How much each factor lowers the variance of a gene of variance 1, in the mean over trees.

    Genes that are not factors have no edges. Each split looks at the square root of the number of
    factors, as in the original.
    """

    Options: ClassVar[type] = Genie3Options

    def infer(self, data: GrnData, context: RunContext) -> npt.NDArray[Any]:
        """Grow forests, or take those of the same cells, genes, options and seed."""
        key = {"what": "GENIE3", "version": _VERSION, "cells": data.cells.digest}
        key.update(options=as_plain(self.options), seed=context.seed)
        key["places"] = digest_arrays(data.factors, data.regulators, np.unique(data.target))
        found = ContentCache(context.cache).arrays(
            key, lambda: {"weights": self._grow(data, context.seed)}
        )
        return found["weights"]

    def _grow(self, data: GrnData, seed: int) -> npt.NDArray[np.float32]:
        """One forest after the other, so that memory holds one."""
        options: Genie3Options = self.options
        values = data.cells.log1p
        spread = values.std(0)
        factors = np.asarray(data.factors, dtype=np.int64)
        targets = np.arange(len(data.genes))
        if options.targets == "candidates":
            targets = np.unique(data.target).astype(np.int64)
        targets = targets[spread[targets] > 0]
        self.facts["forests"] = len(targets)
        found = np.zeros((len(data.regulators), len(data.genes)), dtype=np.float32)
        row = np.searchsorted(data.regulators, factors)
        seeds = np.random.default_rng(seed).integers(2**31, size=len(data.genes))
        for gene in targets:
            others = np.flatnonzero(factors != gene)
            if not len(others):
                continue
            forest = _FORESTS[options.kind](
                options.trees,
                max_features="sqrt",
                max_depth=options.max_depth or None,
                random_state=int(seeds[gene]),
            )
            centred = (values[:, gene] - values[:, gene].mean()) / spread[gene]
            forest.fit(values[:, factors[others]], centred)
            shares = [
                tree.tree_.compute_feature_importances(normalize=False)
                for tree in forest.estimators_
            ]
            found[row[others], gene] = np.mean(shares, axis=0)
        return found
