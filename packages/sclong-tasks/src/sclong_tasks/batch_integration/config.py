"""Settings of batch integration: what is read, what is left out, how it is measured."""

from dataclasses import dataclass

from sclong_core.errors import ConfigError
from sclong_tasks.metrics.neighbours import GRAPH_NEIGHBOURS, LISI_NEIGHBOURS
from sclong_tasks.task import ProtocolName

SCALES = ("auto", "counts", "log1p")


@dataclass
class IntegrationSettings:
    """Data and metrics."""

    batch_key: str = ""
    """Column of obs that names batches; where empty, the first of the usual names."""
    cell_type_key: str = ""
    """Column of obs that names cell types; where empty, the first of the usual names."""
    layer: str = ""
    """Layer of the file to read; X where empty."""
    scale: str = "auto"
    """Of the values: "counts", "log1p", or "auto": whole numbers are counts."""
    as_stored: bool = False
    """Values go into models as they are, counts too; else counts are scaled to 10,000 a cell and
    log1p is taken."""
    batch_asw_only: bool = False
    """Measure nothing but batch ASW, which embeddings without information win."""
    min_genes: int = 10
    """Cells that express fewer genes are left out."""
    min_cells: int = 10
    """Genes that fewer cells express are left out."""
    neighbours: int = GRAPH_NEIGHBOURS
    """Of the graph, with the cell itself."""
    lisi_neighbours: int = LISI_NEIGHBOURS
    """Of LISI, with the cell itself; the perplexity is a third of them."""
    leiden: bool = False
    """Measure NMI and ARI of Leiden's clusters too, at the best resolution of twenty, as scIB
    does; needs the extra ``leiden``."""
    bootstrap: int = 200
    """Draws of cell types for the intervals of means over them."""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ConfigError(f"task.scale must be one of {', '.join(SCALES)}, not {self.scale!r}")
        if min(self.neighbours, self.lisi_neighbours) < 3:
            raise ConfigError("task.neighbours and task.lisi_neighbours must be at least 3")
        if min(self.min_genes, self.min_cells, self.bootstrap) < 0:
            raise ConfigError("task.min_genes, min_cells and bootstrap must not be negative")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "IntegrationSettings":
        """As published: values as stored, and batch ASW alone."""
        if protocol == "published":
            return cls(as_stored=True, batch_asw_only=True)
        return cls()
