"""Made-up data sets and what a corpus folder holds, for tests of what makes corpora."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sclong_core.testing import make_counts_anndata, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.workplace import FOLDER

GENES: Final = 60
"""Genes of each made-up data set; the vocabulary holds the first 50 and 5 others."""
SMALL_RULES: Final = HarmoniseRules(
    min_genes_per_dataset=20, min_genes_per_cell=10, cells_per_shard=16
)
"""Rules that made-up data sets pass, and that cut them into several shards."""


def made_up_vocabulary() -> GeneVocabulary:
    """Genes of which the data sets hold most."""
    return GeneVocabulary.from_ids(synthetic_gene_ids(GENES + 5)[:50] + synthetic_gene_ids(65)[60:])


def made_up_dataset(cells: int, *, seed: int) -> AnnData:
    """Raw counts of cells with the annotation of the CELLxGENE schema.

    The second cell is empty and the third has two genes.
    """
    adata = make_counts_anndata(cells, GENES, seed=seed)
    counts = sparse.lil_matrix(adata.X)
    counts[1] = 0
    counts[2] = 0
    counts[2, [3, 4]] = 5
    adata.X = sparse.csr_matrix(counts)
    generator = np.random.default_rng(seed)
    adata.obs["tissue"] = pd.Categorical(generator.choice(["blood", "lung"], cells))
    adata.obs["donor_id"] = pd.Categorical(generator.choice(["d1", "d2", "d3"], cells))
    adata.obs["is_primary_data"] = generator.random(cells) < 0.9
    return adata


def write_datasets(folder: Path, *, cells: int = 40) -> Manifest:
    """Three data sets: "a" and "b" raw, of which "b" holds ten cells of "a"; "c" log1p values."""
    parts = {name: made_up_dataset(cells, seed=number) for number, name in enumerate("abc")}
    counts = sparse.vstack([parts["a"].X[10:20], parts["b"].X[10:]])
    parts["b"].X = sparse.csr_matrix(counts)
    logged = parts["c"]
    totals = np.maximum(np.asarray(logged.X.sum(axis=1)), 1)
    logged.X = sparse.csr_matrix(logged.X.multiply(1e4 / totals)).log1p().astype(np.float32)
    for name, adata in parts.items():
        adata.write_h5ad(folder / f"{name}.h5ad")
    entries = (DatasetEntry(name, location=f"{name}.h5ad", title=f"Set {name}") for name in parts)
    return Manifest(tuple(entries), folder)


def corpus_bytes(folder: Path) -> dict[str, bytes]:
    """Every file of a corpus but its notes, by its place."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != FOLDER
    }
