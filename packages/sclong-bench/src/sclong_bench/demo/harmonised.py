"""The demonstration's cells through the harmoniser, as those of any corpus go."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from anndata import AnnData
from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.harmoniser.rules import HarmoniseRules
from sclong_data.harmoniser.run import harmonise

RULES: Final = HarmoniseRules(min_genes_per_dataset=1, min_genes_per_cell=1, maximum=None)
"""Few genes were chosen for these cells, fewer than the paper's rules ask for; and the
demonstration models log1p values as they are."""
_DATASET = "demonstration"


@dataclass(frozen=True)
class Harmonised:
    """Cells of a corpus, and what the harmoniser says of them."""

    cells: AnnData
    """In the order of the data set; ``X`` CSR float32."""
    read: int
    """Cells that went in."""
    recognised: str
    """What was seen of their values."""


def harmonised(cells: AnnData, *, keep: tuple[str, ...]) -> Harmonised:
    """Make a corpus of some cells, over their own genes, and read it back.

    Args:
        cells: log1p values or counts.
        keep: columns of ``obs`` to keep.

    Raises:
        InputError: the harmoniser leaves the cells out.
    """
    with tempfile.TemporaryDirectory() as place, _quiet():
        folder = Path(place)
        cells.write_h5ad(folder / "cells.h5ad")
        entry = DatasetEntry(_DATASET, location="cells.h5ad")
        vocabulary = GeneVocabulary.from_ids(map(str, cells.var_names))
        result = harmonise(
            Manifest((entry,), folder), folder / "corpus", vocabulary=vocabulary, rules=RULES
        )
        row = result.rows[0]
        if row["status"] != "kept":
            raise InputError(f"the cells cannot be harmonised: {row.get('detail', row['reason'])}")
        corpus = CellCorpus(result.corpus)
        rows = corpus.obs(["row"])["row"].to_numpy()
        found = AnnData(sparse.csr_matrix(corpus.read(np.arange(len(corpus)))))
    found.obs_names = cells.obs_names[rows]
    found.var_names = cells.var_names
    for name in keep:
        found.obs[name] = cells.obs[name].to_numpy()[rows]
    return Harmonised(found, cells.n_obs, str(row["recognised"]))


@contextmanager
def _quiet() -> Iterator[None]:
    """The demonstration says in its own words what is done."""
    logger = logging.getLogger("sclong")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
