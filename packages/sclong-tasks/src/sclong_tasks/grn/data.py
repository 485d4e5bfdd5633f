"""Candidate edges of networks, with the expression that they are told from."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.cache import digest_arrays, digest_of
from sclong_tasks.chemistry.molecules import shown
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.grn.config import GrnSettings
from sclong_tasks.grn.names import GeneNames
from sclong_tasks.grn.reading import read_expression, read_factors, read_network, unlike_log1p
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
TARGET = "edge"
"""Column of the truth, and of what is predicted: the weight of an edge."""
_EXPRESSION, _GENES, _NETWORKS, _FACTORS = "cells.npy", "genes.json", "edges.parquet", "tf.json"
Places = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class GrnData:
    """Candidates as rows: one network after the other."""

    genes: tuple[str, ...]
    expression: ExpressionTable | None
    """Of these genes, in their order; None where only networks are known."""
    networks: tuple[str, ...]
    """Names of the networks."""
    network: npt.NDArray[np.int8]
    """Network of each row."""
    source: Places
    """Gene that regulates, of each row."""
    target: Places
    """Gene that is regulated."""
    edge: npt.NDArray[np.float32]
    """1 where the network has this edge, 0 where it has not; NaN where that is hidden."""
    factors: Places
    """Transcription factors: those that are listed, and sources of edges of any network."""
    regulators: Places
    """Genes whose edges models give: factors, and sources of rows."""
    settings: GrnSettings

    @cached_property
    def digest(self) -> str:
        """SHA-256 over genes, expression, candidates and edges."""
        names = [self.genes, self.networks, self.expression and self.expression.digest]
        arrays = (self.network, self.source, self.target, self.edge, self.factors)
        return digest_of([names, digest_arrays(*arrays)])

    @cached_property
    def labels(self) -> pd.DataFrame:
        """Network and both genes of each row."""
        names = pd.Index(self.genes)
        return pd.DataFrame(
            {
                "network": pd.Categorical.from_codes(self.network, list(self.networks)),
                "Gene1": pd.Categorical.from_codes(self.source, names),
                "Gene2": pd.Categorical.from_codes(self.target, names),
            }
        )

    @property
    def truth(self) -> pd.DataFrame:
        """Whether there is an edge."""
        return pd.DataFrame({TARGET: self.edge})

    def hide(self, rows: Rows) -> "GrnData":
        """The same without the knowledge of these edges."""
        edge = self.edge.copy()
        edge[rows] = np.nan
        return replace(self, edge=edge)

    def rows_of(self, network: str) -> Rows:
        """Rows of a network.

        Raises:
            InputError: there is none of this name.
        """
        if network not in self.networks:
            raise InputError(
                f"there is no network {network!r} in the data: it has {', '.join(self.networks)}; "
                "choose one with --scenario"
            )
        return np.flatnonzero(self.network == self.networks.index(network))

    def with_regulators(self, regulators: Places) -> "GrnData":
        """The same with other genes that edges start from."""
        return replace(self, regulators=regulators)

    @property
    def cells(self) -> ExpressionTable:
        """Expression, for those who need it.

        Raises:
            InputError: there is none.
        """
        if self.expression is None:
            raise InputError("these data are networks without expression: only edge_list reads it")
        return self.expression


def prepare(sources: Mapping[str, Path], folder: Path, networks: Mapping[str, str]) -> None:
    """Read the original files, and write what :func:`load` reads.

    Args:
        sources: expression ("ExpressionData.csv"), factors ("tfs.csv") and networks.
        folder: where to.
        networks: name of a file -> name of the network.

    Raises:
        InputError: there is no network, a file is not as published, or hardly an edge of a network
            is between genes of the expression.
    """
    tables = []
    for file, name in networks.items():
        if file in sources:
            tables.append(read_network(sources[file]).assign(network=name))
    if not tables:
        raise InputError(f"no network is there: give one of {', '.join(networks)}")
    pd.concat(tables, ignore_index=True).to_parquet(folder / _NETWORKS, index=False)
    if "tfs.csv" in sources:
        write_json(folder / _FACTORS, list(read_factors(sources["tfs.csv"])))
    if "ExpressionData.csv" in sources:
        table = read_expression(sources["ExpressionData.csv"])
        np.save(folder / _EXPRESSION, table.values, allow_pickle=False)
        write_json(folder / _GENES, {"genes": list(table.genes), "cells": list(table.cells)})
        unlike = unlike_log1p(table.values)
        if unlike is not None:
            _LOG.warning(
                (
"%s: the expression, which sclong task run treats as log1p unless you "
"set another scale with --set, %s"
), sources["ExpressionData.csv"], unlike,
            )  # fmt: skip
        for edges in tables:
            _known_edges(edges["network"].iloc[0], edges, GeneNames(table.genes))


def load(folder: Path, settings: GrnSettings) -> GrnData:
    """Read what :func:`prepare` wrote, and make the candidates.

    Raises:
        InputError: none is left, or there are more than the settings allow.
    """
    edges = pd.read_parquet(folder / _NETWORKS)
    expression = _load_expression(folder, settings)
    if expression is None:
        genes = tuple(sorted({*edges["Gene1"], *edges["Gene2"]}))
    else:
        genes = expression.genes
    place = GeneNames(genes)
    networks = tuple(str(name) for name in edges["network"].unique())
    known = [_known_edges(name, edges[edges["network"] == name], place) for name in networks]
    parts = [_candidates(name, here, settings) for name, here in zip(networks, known, strict=True)]
    source, target, edge = (np.concatenate([part[at] for part in parts]) for at in range(3))
    factors = _factors(folder, place, np.unique(np.concatenate(known)[:, 0]))
    return GrnData(
        genes=genes,
        expression=expression,
        networks=networks,
        network=np.repeat(np.arange(len(parts), dtype=np.int8), [len(part[0]) for part in parts]),
        source=source,
        target=target,
        edge=edge,
        factors=factors,
        regulators=np.union1d(factors, source).astype(np.int32),
        settings=settings,
    )


def read_edges(path: Path, known: GrnData) -> GrnData:
    """A user's edges, in the order of their file: columns ``Gene1`` and ``Gene2``.

    Raises:
        InputError: a gene is not in the data.
    """
    edges = read_network(path)
    place = GeneNames(known.genes)
    both = [place.places(edges[name]) for name in ("Gene1", "Gene2")]
    missing = sorted(
        {name for at, side in zip(both, ("Gene1", "Gene2"), strict=True)
         for name in edges[side][at < 0]}
    )  # fmt: skip
    if missing:
        raise InputError(f"{path}: {len(missing)} genes are not in the data: {shown(missing)}")
    source, target = (at.astype(np.int32) for at in both)
    return replace(
        known,
        networks=("",),
        network=np.zeros(len(source), dtype=np.int8),
        source=source,
        target=target,
        edge=np.full(len(source), np.nan, dtype=np.float32),
    )


def _load_expression(folder: Path, settings: GrnSettings) -> ExpressionTable | None:
    if not (folder / _GENES).is_file():
        return None
    names = json.loads((folder / _GENES).read_text(encoding="utf-8"))
    values = np.load(folder / _EXPRESSION, allow_pickle=False)
    unlike = unlike_log1p(values) if settings.scale == "log1p" else None
    if unlike is not None:
        raise InputError(
            f"{folder}: the expression, which is taken as log1p, {unlike}; task.scale=stored takes "
            "the values as log1p whatever they look like. The data are prepared: give the setting "
            "to sclong task run, with --set"
        )
    scale = "log1p" if settings.scale == "stored" else settings.scale
    return ExpressionTable(
        values,
        tuple(names["cells"]),
        tuple(names["genes"]),
        scale,  # type: ignore[arg-type]  # checked there
    )


def _known_edges(name: str, edges: pd.DataFrame, place: GeneNames) -> npt.NDArray[np.int64]:
    """``(edges, 2)`` places of genes; edges of genes that are not measured are left out."""
    codes = place.edges(f"network {name}", edges)
    for column, side, what in ((0, "Gene1", "transcription factors"), (1, "Gene2", "targets")):
        absent = sorted(set(edges[side][codes[:, column] < 0]))
        if absent:
            _LOG.info(
                "network %s: %d %s are not measured: %s", name, len(absent), what, shown(absent)
            )
    known = codes[(codes >= 0).all(axis=1)]
    if not len(known):
        raise InputError(
            f"no edge of the network {name} is between genes of the expression: give the network "
            "of these cells, with the same kind of gene names"
        )
    if len(known) < len(codes):
        _LOG.info(
            "network %s: %d of %d edges are left out with them",
            name, len(codes) - len(known), len(codes),
        )  # fmt: skip
    return known


def _candidates(
    name: str, known: npt.NDArray[np.int64], settings: GrnSettings
) -> tuple[Places, Places, npt.NDArray[np.float32]]:
    """Source, target and edge of all candidates of a network."""
    loops = known[:, 0] == known[:, 1]
    if loops.any() and not settings.self_loops:
        _LOG.info("network %s: %d edges of a gene to itself are left out", name, int(loops.sum()))
        known = known[~loops]
        if not len(known):
            raise InputError(f"the network {name} has no edges but of genes to themselves")
    nodes = np.unique(known)
    sources = nodes if settings.candidates == "pairs" else np.unique(known[:, 0])
    count = len(sources) * len(nodes)
    if count > settings.most_candidates:
        raise InputError(
            f"the network {name} has {count:,} candidates, more than {settings.most_candidates:,}: "
            "take task.candidates=tf, or raise task.most_candidates"
        )
    edge = np.zeros((len(sources), len(nodes)), dtype=np.float32)
    edge[np.searchsorted(sources, known[:, 0]), np.searchsorted(nodes, known[:, 1])] = 1
    source = np.repeat(sources, len(nodes)).astype(np.int32)
    target = np.tile(nodes, len(sources)).astype(np.int32)
    kept = np.ones(count, dtype=bool) if settings.self_loops else source != target
    if edge.ravel()[kept].all():
        raise InputError(
            f"all {int(kept.sum()):,} candidates of the network {name} are edges, so that no model "
            "is better than another: give a network of more genes, or take task.candidates=pairs"
        )
    return source[kept], target[kept], edge.ravel()[kept]


def _factors(folder: Path, place: GeneNames, sources: npt.NDArray[np.int64]) -> Places:
    """Genes on the list of factors, and sources of edges."""
    names: list[str] = []
    if (folder / _FACTORS).is_file():
        names = json.loads((folder / _FACTORS).read_text(encoding="utf-8"))
    codes = place.places(names)
    listed = np.unique(codes[codes >= 0])
    _say("listed factors are not measured", [names[at] for at in np.flatnonzero(codes < 0)])
    if names:
        idle, other = np.setdiff1d(listed, sources), np.setdiff1d(sources, listed)
        _say("listed factors have no edge in any network", [str(place.genes[at]) for at in idle])
        _say("sources of edges are not listed factors", [str(place.genes[at]) for at in other])
    return np.union1d(listed, sources).astype(np.int32)


def _say(what: str, names: list[str]) -> None:
    if names:
        _LOG.info("%d %s: %s", len(names), what, shown(names))
