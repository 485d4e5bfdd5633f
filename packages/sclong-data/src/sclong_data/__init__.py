"""Corpora for scLong.

The names below are loaded on first use, so that ``import sclong_data`` stays fast.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING

from sclong_core.lazy import lazy_names

if TYPE_CHECKING:
    from sclong_data.corpus.corpus import CellCorpus as CellCorpus
    from sclong_data.dataset_manifest import DatasetEntry as DatasetEntry
    from sclong_data.dataset_manifest import Manifest as Manifest
    from sclong_data.fetching.fetch import fetch as fetch
    from sclong_data.gene2vec import read_gene2vec as read_gene2vec
    from sclong_data.genes.table import GeneTable as GeneTable
    from sclong_data.genes.vocabulary import build_vocabulary as build_vocabulary
    from sclong_data.graph.building import build_gene_graph as build_gene_graph
    from sclong_data.harmoniser.run import harmonise as harmonise
    from sclong_data.loading.module import CorpusDataModule as CorpusDataModule

__version__ = version("sclong-data")

_MODULES = {
    "CellCorpus": "corpus.corpus",
    "CorpusDataModule": "loading.module",
    "DatasetEntry": "dataset_manifest",
    "GeneTable": "genes.table",
    "Manifest": "dataset_manifest",
    "build_gene_graph": "graph.building",
    "build_vocabulary": "genes.vocabulary",
    "fetch": "fetching.fetch",
    "harmonise": "harmoniser.run",
    "read_gene2vec": "gene2vec",
}

__all__ = [
    "CellCorpus",
    "CorpusDataModule",
    "DatasetEntry",
    "GeneTable",
    "Manifest",
    "__version__",
    "build_gene_graph",
    "build_vocabulary",
    "fetch",
    "harmonise",
    "read_gene2vec",
]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
