"""The cells of the demonstration, which come with scanpy, and what is derived from them.

The 700 cells are a sample of "68k PBMCs" (Zheng et al. 2017, Nature Communications 8:14049). The
file holds log1p values of 765 chosen genes; each cell had been scaled to 10,000 counts over all
genes before they were chosen, and values are rounded to three decimals.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from anndata import AnnData
from scipy import sparse

from sclong_bench.demo.harmonised import harmonised
from sclong_bench.demo.settings import DemoSettings
from sclong_core.config import ScLongConfig
from sclong_core.files import atomic_file
from sclong_core.graph import GeneGraph
from sclong_core.vocabulary import GeneVocabulary

CELL_TYPE, SPLIT = "cell_type", "split"
"""Columns of ``obs``."""
TRAINING, HELD_OUT = "training", "held out"
"""Values of the column ``split``."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DemoData:
    """Cells, and what the model is built from."""

    cells: AnnData
    """All cells: ``X`` CSR log1p values, ``obs`` with cell type and split."""
    vocabulary: GeneVocabulary
    """Gene symbols, in the order of the file."""
    gene_vectors: Floats
    """``(genes, dim)`` float32."""
    graph: GeneGraph
    """Which genes go together in the training cells."""
    read: int
    """Cells that the harmoniser was given."""
    recognised: str
    """What the harmoniser saw of their values."""

    @property
    def training(self) -> npt.NDArray[np.bool_]:
        """Which cells pretraining sees."""
        return np.asarray(self.cells.obs[SPLIT] == TRAINING)

    @property
    def cell_types(self) -> npt.NDArray[np.str_]:
        """Label of each cell."""
        return np.asarray(self.cells.obs[CELL_TYPE], dtype=np.str_)

    @property
    def expression(self) -> Floats:
        """``(cells, genes)`` log1p values."""
        values: Floats = self.cells.X.toarray()
        return values

    @property
    def digest(self) -> str:
        """SHA-256 over names of cells and genes, labels, split, and all values."""
        digest = hashlib.sha256()
        for names in (self.cells.obs_names, self.vocabulary.ids, self.cell_types):
            digest.update("\n".join(map(str, names)).encode() + b"\0")
        digest.update(np.ascontiguousarray(self.training).tobytes())
        digest.update(np.ascontiguousarray(self.expression).astype("<f4", copy=False).tobytes())
        return digest.hexdigest()


def prepare(settings: DemoSettings) -> DemoData:
    """Harmonise the cells, split them, and derive vectors and graph from the training cells."""
    found = harmonised(load_cells(), keep=(CELL_TYPE,))
    cells = found.cells
    held_out = choose_held_out(
        cells.obs[CELL_TYPE].to_numpy(), share=settings.held_out, seed=settings.seed
    )
    cells.obs[SPLIT] = np.where(held_out, HELD_OUT, TRAINING)
    names = tuple(map(str, cells.var_names))
    vectors = gene_vectors(
        cells.X[~held_out].toarray(),
        dim=ScLongConfig.preset(settings.preset, genes=len(names)).dim,
    )
    graph = gene_graph(
        vectors, neighbours=settings.neighbours, least_similarity=settings.least_similarity
    )
    vocabulary = GeneVocabulary.from_ids(names)
    return DemoData(cells, vocabulary, vectors, graph, found.read, found.recognised)


def load_cells() -> AnnData:
    """The cells that come with scanpy: nothing is fetched."""
    import scanpy as sc  # noqa: PLC0415  # slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of the file
        found = sc.datasets.pbmc68k_reduced()
    cells = AnnData(sparse.csr_matrix(found.raw.X, dtype=np.float32))
    cells.obs_names = found.obs_names.astype(str)
    cells.var_names = found.raw.var_names.astype(str)
    cells.obs[CELL_TYPE] = found.obs["bulk_labels"].astype(str).to_numpy()
    return cells


def choose_held_out(
    cell_types: npt.NDArray[np.object_], *, share: float, seed: int
) -> npt.NDArray[np.bool_]:
    """Which cells are held out: the same share of each type, as far as whole cells allow."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  # slow to import

    numbers = np.arange(cell_types.size)
    _, chosen = train_test_split(
        numbers, test_size=share, random_state=seed, stratify=cell_types, shuffle=True
    )
    return np.isin(numbers, chosen)


def gene_vectors(expression: Floats, *, dim: int) -> Floats:
    """A vector for each gene, from a truncated SVD of centred expression.

    They are the right singular vectors times their singular values, so that the inner product of
    two genes is near their covariance, scaled to a mean square of 1.

    Args:
        expression: ``(cells, genes)`` of the training cells.
        dim: components to keep.

    Returns:
        ``(genes, dim)`` float32. The largest entry of each component is positive, since a singular
        vector has no sign of its own.
    """
    centred = expression.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, values, rows = np.linalg.svd(centred, full_matrices=False)
    vectors = (rows[:dim] * values[:dim, None]).T
    largest = np.abs(vectors).argmax(axis=0)
    vectors *= np.where(np.take_along_axis(vectors, largest[None], axis=0) < 0, -1.0, 1.0)
    vectors /= np.sqrt(np.mean(vectors**2))
    return np.asarray(vectors, dtype=np.float32)


def gene_graph(vectors: Floats, *, neighbours: int, least_similarity: float) -> GeneGraph:
    """Edges to each gene from those with the most similar vectors, and from itself with weight 1.

    Args:
        vectors: ``(genes, dim)``.
        neighbours: edges to a gene from others, at most.
        least_similarity: cosine that an edge must exceed; it becomes the edge's weight.
    """
    unit = vectors.astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    weights = np.take_along_axis(similarity, nearest, axis=1)
    kept = weights > least_similarity
    genes = np.arange(len(vectors))
    sources = np.concatenate([nearest[kept], genes])
    targets = np.concatenate([np.broadcast_to(genes[:, None], nearest.shape)[kept], genes])
    weight = np.concatenate([weights[kept], np.ones(genes.size)])
    order = np.lexsort((targets, sources))
    index = np.stack([sources, targets])[:, order].astype(np.int64)
    return GeneGraph(genes.size, index, np.minimum(weight[order], 1.0).astype(np.float32))


def write_data(data: DemoData, folder: Path) -> None:
    """Write ``cells.h5ad``, ``vocabulary.tsv``, ``graph.npz`` and ``gene_vectors.npy``."""
    data.vocabulary.write(folder / "vocabulary.tsv")
    data.graph.write(folder / "graph.npz")
    with atomic_file(folder / "gene_vectors.npy") as temporary, temporary.open("wb") as handle:
        np.save(handle, data.gene_vectors)
    with atomic_file(folder / "cells.h5ad") as temporary:
        data.cells.write_h5ad(temporary)
