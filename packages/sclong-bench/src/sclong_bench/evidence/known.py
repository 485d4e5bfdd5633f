"""What is known of genes - markers of cell types, regulatory networks - beside cells to ask.

Everything here holds genes that the models know and nothing else: a gene that they do not know
would have the representation of all others. What is too little to give a number is counted.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from anndata import AnnData

from sclong_bench.evidence.cells import Floats, HeldOut
from sclong_bench.evidence.panel import SETTINGS, marker_lists
from sclong_bench.evidence.suite import EvidenceSuite, NetworkSource
from sclong_core.files import write_json
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.grn import data as grn
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.reading import read_expression, read_network
from sclong_tasks.marker_clustering.config import MarkerSettings
from sclong_tasks.marker_clustering.data import MarkerData, read_cells

COVERAGE = "coverage.json"
"""How much of what is known is among the genes of the models."""
VECTORS = "gene_vectors.npz"
"""What models start from, by the symbols of genes."""
_KIND = "label"


@dataclass(frozen=True)
class MarkerCount:
    """Markers of one cell type."""

    cells: str
    """The data set."""
    kind: str
    count: int
    """Cells of the type."""
    listed: int
    known: int
    """To the models."""
    expressed: int
    """In cells of the type, of those that are known."""
    measured: bool


@dataclass(frozen=True)
class NetworkCount:
    """Edges of one network."""

    cells: str
    network: str
    edges: int
    known: int
    """Between genes that the cells measure and the models know."""
    factors: int
    genes: int
    measured: bool


@dataclass(frozen=True)
class Coverage:
    """What the genes of the models hold of what is known."""

    genes: int
    expressed: int
    """Those of them with most non-zero values; all others are there because they are asked for."""
    markers: tuple[MarkerCount, ...]
    networks: tuple[NetworkCount, ...]

    def write(self, path: Path) -> None:
        """As JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Coverage":
        """What :meth:`write` wrote."""
        content = json.loads(path.read_text(encoding="utf-8"))
        markers = tuple(MarkerCount(**one) for one in content.pop("markers"))
        networks = tuple(NetworkCount(**one) for one in content.pop("networks"))
        return cls(markers=markers, networks=networks, **content)


@dataclass(frozen=True)
class KnownGenes:
    """A folder of what is known of genes, and the cells to ask."""

    folder: Path

    @property
    def coverage(self) -> Coverage:
        """Of everything that there is, measured or not."""
        return Coverage.read(self.folder / COVERAGE)

    def markers(self) -> dict[str, MarkerData]:
        """By data set, where at least one type can be measured."""
        measured = {one.cells for one in self.coverage.markers if one.measured}
        return {name: self._markers(name) for name in sorted(measured)}

    def networks(self) -> dict[str, GrnData]:
        """By the cells that they are to be told from, where a network can be measured."""
        measured = {one.cells for one in self.coverage.networks if one.measured}
        return {name: grn.load(self.folder / f"networks-{name}", GrnSettings())
                for name in sorted(measured)}  # fmt: skip

    def _markers(self, name: str) -> MarkerData:
        lists = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return read_cells(self.folder / f"{name}.h5ad", lists, _settings(lists))


def _settings(kinds: Sequence[str] | dict[str, list[str]]) -> MarkerSettings:
    """Lists are by the data's own names of types."""
    return MarkerSettings(
        markers=SETTINGS.markers,
        scale=SETTINGS.scale,
        cell_type_key=_KIND,
        names={kind: kind for kind in kinds},
    )


@dataclass(frozen=True)
class Known:
    """What :func:`prepare_known` starts from."""

    suite: EvidenceSuite
    data: Path
    """Folder of the original files."""
    vocabulary: GeneVocabulary
    expressed: int
    """Genes that are in it for their non-zero values."""
    table: GeneTable
    held_out: tuple[HeldOut, ...]
    vectors: Floats
    """``(genes, numbers)`` that models start from."""

    @cached_property
    def named(self) -> npt.NDArray[np.bool_]:
        """Genes with a symbol of their own."""
        symbols = np.array(self.vocabulary.symbols)
        _, places, counts = np.unique(symbols, return_inverse=True, return_counts=True)
        found: npt.NDArray[np.bool_] = (counts[places] == 1) & (symbols != "")
        return found

    def there(self, cells: HeldOut) -> npt.NDArray[np.bool_]:
        """Those of them that a data set measures: others are zero in all of its cells."""
        found: npt.NDArray[np.bool_] = cells.expression.any(0) & self.named
        return found


def prepare_known(known: Known, folder: Path) -> None:
    """Write lists, networks and cells, and how much of them the models know.

    Args:
        known: data and genes.
        folder: to fill.
    """
    folder.mkdir()
    held_out = {cells.name: cells for cells in known.held_out}
    markers = [
        count
        for name in known.suite.markers.cells
        for count in _write_markers(known, held_out[name], folder)
    ]
    networks = [
        count
        for source in known.suite.networks
        for count in _write_networks(known, source, held_out.get(source.name), folder)
    ]
    names = np.array(known.vocabulary.symbols)[known.named]
    with (folder / VECTORS).open("wb") as handle:
        np.savez(handle, allow_pickle=False, names=names, values=known.vectors[known.named])
    genes = len(known.vocabulary)
    Coverage(genes, known.expressed, tuple(markers), tuple(networks)).write(folder / COVERAGE)


def _write_markers(known: Known, cells: HeldOut, folder: Path) -> list[MarkerCount]:
    listed = marker_lists(known.suite, known.data, np.unique(cells.label).tolist())
    place = {name: number for number, name in enumerate(known.vocabulary.ids)}
    symbols = known.vocabulary.symbols
    lists = {
        kind: [symbols[place[name]] for name in known.table.resolve(genes).ids if name in place]
        for kind, genes in listed.items()
    }
    lists = {kind: list(dict.fromkeys(genes)) for kind, genes in lists.items()}
    there = known.there(cells)
    _cells(cells.expression[:, there], _chosen(symbols, there), cells.label).write_h5ad(
        folder / f"{cells.name}.h5ad"
    )
    write_json(folder / f"{cells.name}.json", lists)
    counts = []
    for kind, genes in lists.items():
        here = cells.expression[cells.label == kind]
        often = ((here > 0).sum(0) >= SETTINGS.expressed_in) & there
        expressed = set(_chosen(symbols, often)) & set(genes)
        enough = (
            len(here) >= SETTINGS.fewest_cells
            and len(expressed) >= SETTINGS.fewest_markers
            and int(often.sum()) >= 2 * len(expressed)
        )
        counts.append(
            MarkerCount(
                cells.name, kind, len(here), len(listed[kind]), len(genes), len(expressed), enough
            )
        )
    return counts


def _cells(values: Floats, genes: Sequence[str], kinds: npt.NDArray[np.str_]) -> AnnData:
    names = [f"cell{number}" for number in range(len(values))]
    obs = pd.DataFrame({_KIND: pd.Categorical(kinds)}, index=names)
    return AnnData(values, obs=obs, var=pd.DataFrame(index=list(genes)))


def _write_networks(
    known: Known, source: NetworkSource, held_out: HeldOut | None, folder: Path
) -> list[NetworkCount]:
    """Networks with enough edges go into one folder with the expression that they share."""
    expression = _expression(known, source, held_out)
    evaluation = known.suite.evaluation
    counts, kept, paths = [], {}, {}
    for network, path in source.edges.items():
        edges = read_network(known.data / path)
        edges = edges[edges["Gene1"].ne(edges["Gene2"])]
        both = edges["Gene1"].isin(expression.index) & edges["Gene2"].isin(expression.index)
        found = edges[both]
        factors = found["Gene1"].nunique()
        genes = pd.unique(found[["Gene1", "Gene2"]].to_numpy().ravel()).size
        enough = len(found) >= evaluation.fewest_edges and factors >= evaluation.fewest_factors
        counts.append(
            NetworkCount(source.name, network, len(edges), len(found), factors, genes, enough)
        )
        if enough:
            kept[f"{network}.csv"], paths[f"{network}.csv"] = network, known.data / path
    if kept:
        made = folder / f"networks-{source.name}"
        made.mkdir()
        table = made / "expression.csv"
        expression.to_csv(table)
        grn.prepare({**paths, "ExpressionData.csv": table}, made, kept)
        table.unlink()
    return counts


def _expression(known: Known, source: NetworkSource, held_out: HeldOut | None) -> pd.DataFrame:
    """``(genes, cells)`` of genes that the models know, by their symbols."""
    vocabulary, evaluation = known.vocabulary, known.suite.evaluation
    if not source.expression:
        assert held_out is not None  # the suite was checked
        there = known.there(held_out)
        values, names = held_out.expression[:, there].T, _chosen(vocabulary.symbols, there)
        return pd.DataFrame(values, index=list(names))
    table = read_expression(known.data / source.expression)
    kept = vocabulary.lookup(table.genes) >= 0
    rows = np.arange(len(table.cells))
    drawn = np.random.default_rng(evaluation.seed).permutation(rows)[: evaluation.cells]
    values = table.values[np.sort(drawn)][:, kept].T
    return pd.DataFrame(values, index=list(_chosen(table.genes, kept)))


def _chosen(names: Sequence[str], which: npt.NDArray[np.bool_]) -> list[str]:
    return [name for name, yes in zip(names, which, strict=True) if yes]
