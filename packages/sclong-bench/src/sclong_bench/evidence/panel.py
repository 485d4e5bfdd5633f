"""Which genes the models of the evidence know: those most expressed, and those that are asked for.

Most genes that mark a cell type, and most of a regulatory network, are not among the few hundred
genes with most non-zero values; without them nothing could be measured against either.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import anndata

from sclong_bench.evidence.suite import EvidenceSuite, Source
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.grn.reading import read_expression
from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.markers import Lists, choose_lists, list_name, read_sctype

SETTINGS = MarkerSettings(markers="sctype", scale="log1p")
"""Of lists of markers, and of how they are measured: those of the task."""


def name_table(suite: EvidenceSuite, data: Path) -> GeneTable:
    """Every name that a gene goes by."""
    return GeneTable.read(data / suite.names.hgnc, data / suite.names.gencode)


def marker_lists(suite: EvidenceSuite, data: Path, types: Iterable[str]) -> Lists:
    """Markers by the data's own names of types; types without a list are not there."""
    lists = choose_lists({"sctype": read_sctype(data / suite.markers.path)}, SETTINGS)
    named = {kind: lists.get(list_name(kind, SETTINGS)) for kind in types}
    return {kind: genes for kind, genes in named.items() if genes}


def wanted_genes(
    suite: EvidenceSuite, data: Path, sources: Path, table: GeneTable
) -> tuple[str, ...]:
    """Ids of markers that their cells measure, and of genes of networks; all are pretrained on.

    Args:
        suite: which lists and networks.
        data: folder of the original files.
        sources: folder of the data sets as they are harmonised.
        table: of names.
    """
    asked: set[str] = set()
    for name in suite.markers.cells:
        cells = anndata.read_h5ad(sources / f"{name}.h5ad", backed="r")
        lists = marker_lists(suite, data, cells.obs["label"].astype(str).unique())
        marked = _ids([gene for genes in lists.values() for gene in genes], table)
        asked |= marked & _ids(cells.var_names, table)
    for network in suite.networks:
        if network.expression:
            found = table.resolve(read_expression(data / network.expression).genes)
            asked |= {
                name
                for name, how in zip(found.ids, found.how, strict=True)
                if name is not None and how == "symbol"  # other names are no genes of the mouse
            }
    return tuple(sorted(asked & _measured(suite.pretraining, sources, table)))


def with_genes(vocabulary: GeneVocabulary, ids: Sequence[str], table: GeneTable) -> GeneVocabulary:
    """The vocabulary with more genes, in the order of ids."""
    symbols = dict(zip(vocabulary.ids, vocabulary.symbols, strict=True))
    symbols.update({name: table.genes[name].symbol for name in ids if name not in symbols})
    every = sorted(symbols)
    return GeneVocabulary(tuple(every), tuple(symbols[name] for name in every))


def _measured(pretraining: Iterable[Source], sources: Path, table: GeneTable) -> set[str]:
    found: set[str] = set()
    for source in pretraining:
        cells = anndata.read_h5ad(sources / f"{source.name}.h5ad", backed="r")
        found |= _ids(cells.var_names, table)
    return found


def _ids(names: Iterable[str], table: GeneTable) -> set[str]:
    return {name for name in table.resolve(list(map(str, names))).ids if name is not None}
