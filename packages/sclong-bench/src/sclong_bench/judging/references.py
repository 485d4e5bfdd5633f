"""What a model is compared to: components of the target, components and a network of the corpus."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from sclong_bench.judging.sets import LabelledCells
from sclong_core.config import InputConfig
from sclong_core.expression import prepare_cells
from sclong_core.vocabulary import GeneVocabulary
from sclong_tasks.batch_integration.models.simple import highly_variable
from sclong_tasks.components import CLIP, Components, fit_components
from sclong_tasks.corpus_cells import CorpusCells, read_corpus_cells
from sclong_tasks.denoising import DenoisingNetwork, DenoisingOptions, train_denoising

Floats = npt.NDArray[np.float32]
Embed = Callable[[LabelledCells], Floats]
PCA_50, VARIABLE_PCA_20 = "PCA-50", "variable genes + PCA-20"
COMPONENTS = ("50 components", "150 components")
DENOISING = "denoising network"
PERMUTED = "permuted"


def own_log1p(cells: LabelledCells) -> Floats:
    """log1p of counts per 10,000 over the genes of the target itself."""
    stored = cells.adata.X
    values = stored.toarray() if hasattr(stored, "toarray") else np.asarray(stored)
    values = np.asarray(values, dtype=np.float64)
    if _is_raw(cells, values):
        values = np.log1p(values / np.maximum(values.sum(1, keepdims=True), 1e-12) * 1e4)
    return np.asarray(values, dtype=np.float32)


def _is_raw(cells: LabelledCells, values: npt.NDArray[np.float64]) -> bool:
    if cells.described.normalisation != "auto":
        return cells.described.normalisation == "raw"
    return bool((values == np.floor(values)).all())


def pca_50(cells: LabelledCells) -> Floats:
    """50 components of log1p, fitted on the target."""
    return _principal(own_log1p(cells), 50)


def variable_pca_20(cells: LabelledCells) -> Floats:
    """20 components of 2,000 variable genes, scaled and clipped at 10, fitted on the target."""
    values = own_log1p(cells)
    values = values[:, highly_variable(values, 2000)]
    spread = values.std(0)
    scaled = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    return _principal(np.minimum(scaled, CLIP), 20)


def _principal(values: Floats, count: int) -> Floats:
    few = min(count, *values.shape)
    found = PCA(few, svd_solver="full" if min(values.shape) < 500 else "randomized", random_state=0)
    return np.asarray(found.fit_transform(values), dtype=np.float32)


def in_vocabulary(
    cells: LabelledCells, vocabulary: GeneVocabulary
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """log1p over a vocabulary, and which of its genes the data holds."""
    with prepare_cells(
        cells.adata,
        vocabulary,
        InputConfig(maximum=None),
        normalisation=cells.described.normalisation,
        allow_poor_match=True,
    ) as prepared:
        measured = np.zeros(len(vocabulary), dtype=bool)
        measured[prepared.match.positions] = True
        return prepared.block(0, len(prepared)), measured


@dataclass(frozen=True, eq=False)
class CorpusReferences:
    """What is fitted on one corpus, made when it is first asked for.

    Args:
        corpus: its folder.
        cache: folder that keeps trained networks, by digest of the corpus.
    """

    corpus: Path
    cache: Path

    @cached_property
    def cells(self) -> CorpusCells:
        """All cells."""
        return read_corpus_cells(self.corpus)

    @cached_property
    def components(self) -> Components:
        """150 of them."""
        return fit_components(self.cells)

    def embed_components(self, count: int) -> Embed:
        """The first components of the corpus, zero-shot."""

        def embed(cells: LabelledCells) -> Floats:
            values, measured = in_vocabulary(cells, self.cells.vocabulary)
            return self.components(values, measured, count)

        return embed

    def embed_denoising(self, seed: int, options: DenoisingOptions) -> Embed:
        """The plain denoising network of a seed, zero-shot."""

        def embed(cells: LabelledCells) -> Floats:
            network = self._denoising(seed, options)
            return network.embed(*in_vocabulary(cells, self.cells.vocabulary))

        return embed

    def _denoising(self, seed: int, options: DenoisingOptions) -> DenoisingNetwork:
        folder = self.cache / f"denoising-{self.cells.digest[:12]}-{options.steps}-{seed}"
        if not (folder / "denoising.json").is_file():
            train_denoising(self.cells, options, seed=seed).save(folder)
        return DenoisingNetwork.load(folder)


def permuted(embedding: Floats, seed: int = 0) -> Floats:
    """Floor: each cell with the vector of another one."""
    return np.random.default_rng(seed).permutation(embedding)
