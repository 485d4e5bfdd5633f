"""Networks of genes from the cells of an AnnData object."""

import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse

from sclong_core.embedding.attention import AttentionReader
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression import PreparedCells, ReadingOptions
from sclong_core.graph import GeneGraph
from sclong_core.model import ScLong
from sclong_core.progress import cell_progress
from sclong_tasks.annotation.vectors import Embedder
from sclong_tasks.cells import obs_column
from sclong_tasks.in_silico.moving import read_expression
from sclong_tasks.network.edges import (
    Doubles,
    Places,
    beyond_both,
    cosine,
    enrichment,
    significance,
    strongest,
)
from sclong_tasks.network.graph import between, reference_graph

_LOG = logging.getLogger("sclong")
RECORD = "sclong_network"
"""Of ``uns``: the edges, what a graph has of them, and what made them."""
COLUMNS = (
    "source", "target", "weight", "group", "p", "q", "gene_vectors", "correlation", "in_graph"
)  # fmt: skip
Source = Literal["representations", "attention"]
FEWEST_CELLS, FEWEST_GENES = 20, 50
_IN_MEMORY = Path("adata")


@dataclass(frozen=True)
class Options:
    """What is asked for; see :func:`network`."""

    by: str | None = None
    source: Source = "representations"
    graph: Path | str | None = None
    top: int = 1_000
    per_gene: int | None = None
    genes: int = 2_000
    detection: float = 0.05
    cells: int = 200
    seed: int = 0
    batch_size: int = 8
    progress: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.source not in get_args(Source):
            listed = " or ".join(get_args(Source))
            raise ConfigError(f"source must be {listed}, not {self.source!r}")
        for name in ("top", "per_gene", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be positive, not {value}")
        for name, fewest in (("cells", FEWEST_CELLS), ("genes", FEWEST_GENES)):
            value = getattr(self, name)
            if value and value < fewest:
                raise ConfigError(f"{name} must be at least {fewest}, or 0 for all, not {value}")
        if self.seed < 0:
            raise ConfigError(f"the seed must not be negative, and is {self.seed}")
        if not 0 < self.detection <= 1:
            raise ConfigError(f"detection must be above 0 and at most 1, not {self.detection}")


def network(
    adata: anndata.AnnData,
    *,
    checkpoint: str | None = None,
    device: str = "auto",
    copy: bool = False,
    **options: Any,
) -> anndata.AnnData | None:
    """Find the pairs of genes that are most alike to a model, in each type of cells.

    Adds ``uns["sclong_network"]``: ``table``, with the columns of :data:`COLUMNS`, and
    ``enrichment``, what a graph of genes has of its edges.

    Args:
        adata: counts or log1p values.
        checkpoint: folder or hub id; the model that comes with the package if None.
        device: to compute on.
        copy: return a copy and leave ``adata`` as it is.
        **options: ``by``: column of ``obs`` with types, each with edges of its own; all cells as
            one by default. ``source``: "representations" (cosine similarity of the mean
            representations of genes) or "attention". ``graph``: ``graph.npz`` of the model's
            vocabulary or a file of annotations that edges are compared to; the model's own graph,
            if it has one, by default. ``top``: edges of each type (1,000). ``per_gene``: edges of
            each gene, instead. ``genes``: the most variable, of those that the share ``detection``
            (0.05) of cells expresses (2,000; 0 for all). ``cells``: of each type, drawn by
            ``seed`` (200; 0 for all). ``batch_size``, ``progress``; and how cells are read, see
            :class:`sclong_core.expression.ReadingOptions`.

    Returns:
        The copy, or None.

    Raises:
        ConfigError: an option is impossible, or the model has no representations of genes.
        InputError: a column, the cells or the graph cannot be used.
    """
    reading = {n: options.pop(n) for n in ReadingOptions.__annotations__ if n in options}
    chosen = Options(**options)
    written = adata.copy() if copy else adata
    embedder = Embedder(checkpoint, device=device, **reading)
    network_of_cells(written, embedder, chosen, _IN_MEMORY)
    return written if copy else None


def network_of_cells(
    adata: anndata.AnnData, embedder: Embedder, options: Options, path: Path
) -> dict[str, Any]:
    """:func:`network` in place, with a model at hand; returns what it put into ``uns``."""
    rows = _types(adata, options, path)
    model = embedder.model
    with torch.no_grad():
        gene_embedding = model.gene_embedding()  # a student refuses here
    graph = reference_graph(model, None if options.graph is None else Path(options.graph))
    tables, enriched = [], []
    with embedder.prepare(adata, path) as cells:
        total = sum(map(len, rows.values()))
        with cell_progress("gene network", total, shown=options.progress) as advance:
            for name, chosen in rows.items():
                one = _Type(model, gene_embedding, cells, chosen, options, name)
                table, found = one.network(graph, advance)
                tables.append(table)
                enriched += found
    record: dict[str, Any] = {
        "sclong_version": version("sclong-tasks"),
        "checkpoint": embedder.digest,
        **{name: getattr(options, name) for name in ("source", "top", "genes", "detection")},
        **{name: getattr(options, name) for name in ("cells", "seed")},
        "per_gene": options.per_gene or 0,
        "by": options.by or "",
        "graph": "" if graph is None else graph.digest,
        "graph_of": str(options.graph or ("" if graph is None else "the model")),
        "types": {name: len(chosen) for name, chosen in rows.items()},
        "table": pd.concat(tables, ignore_index=True),
        "enrichment": pd.DataFrame(enriched),
    }
    stored = {name: value for name, value in record.items() if name != "types"}
    stored["types"] = list(rows)
    adata.uns[RECORD] = stored
    return record


def _types(
    adata: anndata.AnnData, options: Options, path: Path
) -> dict[str, npt.NDArray[np.int64]]:
    """Rows of the cells that are drawn from each type."""
    names = np.full(adata.n_obs, "all cells")
    if options.by is not None:
        names = obs_column(adata.obs, [options.by], "--by", path)
    drawn = np.random.default_rng(options.seed)
    rows: dict[str, npt.NDArray[np.int64]] = {}
    for name in np.unique(names[names != ""]).tolist():
        found = np.flatnonzero(names == name)
        if len(found) < FEWEST_CELLS:
            _LOG.warning(
                "%s has %d cells, of the %d that a network needs: it is left out",
                name, len(found), FEWEST_CELLS,
            )  # fmt: skip
            continue
        if 0 < options.cells < len(found):
            found = np.sort(drawn.choice(found, options.cells, replace=False))
        rows[name] = found
    if not rows:
        raise InputError(
            f"{path}: no type has {FEWEST_CELLS} cells: too few for a network of genes. Give more "
            "cells, or a column with larger types to --by"
        )
    return rows


class _Type:
    """The cells of one type, and the genes that a network of them can join."""

    def __init__(
        self,
        model: ScLong,
        gene_embedding: torch.Tensor,
        cells: PreparedCells,
        rows: npt.NDArray[np.int64],
        options: Options,
        name: str,
    ) -> None:
        self._model, self._gene_embedding = model.eval(), gene_embedding
        self._options, self._name = options, name
        self._x: sparse.csr_matrix = read_expression(cells, rows)
        self._positions = self._chosen_genes(cells)
        names = {
            int(place): cells.match.names[column]
            for column, place in zip(cells.match.columns, cells.match.positions, strict=True)
        }
        self._names = np.array([names[place] for place in self._positions.tolist()], dtype=object)
        self._values_ng = self._x[:, self._positions].toarray().astype(np.float64)

    def _chosen_genes(self, cells: PreparedCells) -> Places:
        """Positions of genes that enough cells express, the most variable ones, ascending."""
        count = self._x.shape[0]
        mean = np.asarray(self._x.mean(0)).ravel()
        variance = np.asarray(self._x.multiply(self._x).mean(0)).ravel() - mean**2
        usable = np.zeros(len(mean), dtype=bool)
        usable[cells.match.positions] = True
        # Without variance there is no correlation to compare with.
        usable &= (self._x.getnnz(0) >= self._options.detection * count) & (variance > 1e-9)
        found = np.flatnonzero(usable)
        if len(found) < FEWEST_GENES:
            raise InputError(
                f"{self._name}: {len(found)} genes that the model reads are expressed by "
                f"{self._options.detection:.0%} of the cells, and a network needs {FEWEST_GENES}: "
                "give data with more genes, or lower --detection"
            )
        if 0 < self._options.genes < len(found):
            order = np.argsort(-variance[found], kind="stable")[: self._options.genes]
            found = np.sort(found[order])
        return found.astype(np.int64)

    def network(
        self, graph: GeneGraph | None, advance: Any
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """Edges, and what the graph has of them and of those of two simpler ways."""
        options = self._options
        attention = options.source == "attention"
        read = self._attention if attention else self._representations
        weights = {
            options.source: read(advance),
            "gene_vectors": cosine(
                self._gene_embedding[self._positions].detach().float().cpu().numpy()
            ),
            "correlation": np.clip(np.nan_to_num(np.corrcoef(self._values_ng.T)), -1, 1),
        }
        own = weights[options.source]
        edges = strongest(own, options.top, options.per_gene)
        p, q = significance(own, self._values_ng.mean(0), edges, correlation=not attention)
        pair = edges.source_e, edges.target_e
        table = pd.DataFrame(
            {
                "source": self._names[edges.source_e],
                "target": self._names[edges.target_e],
                "weight": own[pair],
                "group": self._name,
                "p": p,
                "q": q,
                "gene_vectors": weights["gene_vectors"][pair],
                "correlation": weights["correlation"][pair],
            }
        )
        if graph is None:
            return table, []
        joined = between(graph, self._positions)
        table["in_graph"] = np.asarray(joined[pair]).ravel() > 0
        found = []
        for source, weight in weights.items():
            of_source = strongest(weight, options.top, options.per_gene)
            shared = enrichment(of_source, joined, options.seed)
            found.append(
                {"group": self._name, "edges_by": source, "genes": len(own), **asdict(shared)}
            )
        return table, found

    def _blocks(self, advance: Any) -> Any:
        """Forward passes: the output for a few cells at a time."""
        with torch.inference_mode():
            for start in range(0, self._x.shape[0], self._options.batch_size):
                part = self._x[start : start + self._options.batch_size]
                x = torch.from_numpy(part.toarray()).to(self._model.device)
                yield self._model(x, gene_embedding=self._gene_embedding)
                advance(part.shape[0])

    def _representations(self, advance: Any) -> Doubles:
        chosen = torch.from_numpy(self._positions).to(self._model.device)
        total = np.zeros((len(self._positions), self._model.config.dim))
        for output in self._blocks(advance):
            found = output.gene_representations.index_select(1, chosen)
            total += found.double().sum(0).cpu().numpy()
        return cosine(total / self._x.shape[0])

    def _attention(self, advance: Any) -> Doubles:
        reader = AttentionReader(self._model, "full", -1)
        total = np.zeros((len(self._positions),) * 2)
        try:
            for output in self._blocks(advance):
                total += reader.read(output, self._positions).sum(0, dtype=np.float64)
        finally:
            reader.close()
        return beyond_both(total / self._x.shape[0])
