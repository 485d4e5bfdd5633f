"""Representations of genes, measured by what is known of them: the task's own models and metrics.

Cells, random sets and candidates are the same for all models and seeds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sclong_bench.evidence.data import GRAPH, KNOWN, VOCABULARY, EvidenceData
from sclong_bench.evidence.known import VECTORS
from sclong_bench.evidence.measured import Measured
from sclong_bench.evidence.suite import EvidenceSuite
from sclong_tasks.encoders.choose import EncoderOptions
from sclong_tasks.grn import task as networks_task
from sclong_tasks.grn.data import GrnData
from sclong_tasks.grn.models import simple as simple_edges
from sclong_tasks.grn.models.edges import EdgeModel
from sclong_tasks.grn.models.representation import Cosine, CosineOptions
from sclong_tasks.marker_clustering import task as markers_task
from sclong_tasks.marker_clustering.data import MarkerData
from sclong_tasks.marker_clustering.models import simple as simple_genes
from sclong_tasks.marker_clustering.models.base import GeneModel
from sclong_tasks.marker_clustering.models.sclong import ScLongGenes, ScLongOptions
from sclong_tasks.marker_clustering.task import SCENARIO
from sclong_tasks.task import Metric, NoOptions, RunContext

MARKERS, NETWORKS = "marker_genes", "gene_networks"
"""Tasks of the evidence. Their names are not those of the paper's tasks, whose numbers are of other
cells and genes."""
_FIRST = "marker_auroc"
"""Stands before the other metrics of markers, because claims are judged by it."""


@dataclass(frozen=True)
class Represented:
    """How a method represents genes, or weighs edges; None where it does not."""

    genes: Callable[[], GeneModel] | None = None
    edges: Callable[[], EdgeModel] | None = None


SCLONG = Represented(
    lambda: ScLongGenes(ScLongOptions()),
    # All channels, as in the released code: the mean over channels, of which the paper speaks, is
    # the same for all genes before the last normalisation has been trained.
    lambda: Cosine(CosineOptions(rule="flattened")),
)


def simple_methods(data: EvidenceData) -> Mapping[str, Represented]:
    """What models start from, what expression itself says, the gene graph, and chance."""
    graph = simple_edges.GraphOptions(
        path=str(data.folder / GRAPH), vocabulary=str(data.folder / VOCABULARY)
    )
    vectors = str(data.folder / KNOWN / VECTORS)
    given = EncoderOptions(name="precomputed", path=vectors)
    return {
        "gene_vectors": Represented(
            lambda: simple_genes.FromFile(simple_genes.PrecomputedOptions(vectors)),
            lambda: Cosine(CosineOptions(encoder=given)),
        ),
        "correlation": Represented(
            lambda: simple_genes.Correlation(NoOptions()),
            lambda: simple_edges.Correlation(simple_edges.CorrelationOptions()),
        ),
        "expression_cosine": Represented(lambda: simple_genes.ExpressionCosine(NoOptions())),
        "partial_correlation": Represented(
            edges=lambda: simple_edges.PartialCorrelation(NoOptions())
        ),
        "go_graph": Represented(edges=lambda: simple_edges.GoGraph(graph)),
        "random": Represented(
            lambda: simple_genes.Random(simple_genes.RandomOptions()),
            lambda: simple_edges.Random(NoOptions()),
        ),
    }


def measure_genes(
    method: Represented,
    data: EvidenceData,
    suite: EvidenceSuite,
    folder: Path,
    *,
    model: Path | None,
) -> Iterator[Measured]:
    """All numbers of one method.

    Args:
        method: how it represents genes.
        data: with what is known of them.
        suite: whose seed draws cells.
        folder: of the run.
        model: its checkpoint, if it has one.
    """
    context = RunContext(
        suite.evaluation.seed, "honest", scratch=folder, checkpoint=model, device="cpu"
    )
    if method.genes is not None:
        for name, markers in data.known.markers().items():
            yield from _markers(method.genes(), name, markers, context)
    if method.edges is not None:
        for name, networks in data.known.networks().items():
            yield from _networks(method.edges(), name, networks, context)


def _markers(
    model: GeneModel, name: str, data: MarkerData, context: RunContext
) -> Iterator[Measured]:
    split = markers_task.split(data, scenario=SCENARIO, seed=context.seed, settings=data.settings)
    hidden = data.hide(split.test)
    model.fit(hidden, split, context)
    predicted = model.predict(hidden, split.test)
    found = markers_task.evaluate(data, predicted, split, data.settings)
    for metric in sorted(found, key=lambda metric: metric.name != _FIRST):
        yield from _whole(MARKERS, name, metric)


def _networks(
    model: EdgeModel, name: str, data: GrnData, context: RunContext
) -> Iterator[Measured]:
    """Weights are found once for all networks of the same cells."""
    rows = np.arange(len(data.edge))
    for number, network in enumerate(data.networks):
        split = networks_task.split(
            data, scenario=network, seed=context.seed, settings=data.settings
        )
        hidden = data.hide(rows)
        if not number:
            model.fit(hidden, split, context)
        predicted = model.predict(hidden, split.test)
        for metric in networks_task.evaluate(data, predicted, split, data.settings):
            yield from _whole(NETWORKS, f"{name} {network}", metric)


def _whole(task: str, scenario: str, metric: Metric) -> Iterator[Measured]:
    """Metrics of all types or candidates; those of parts stay with the tasks."""
    if metric.stratum == "all":
        yield Measured(
            task, "", scenario, metric.name, metric.value, metric.n, metric.unit,
            metric.low, metric.high, metric.higher_is_better,
        )  # fmt: skip
