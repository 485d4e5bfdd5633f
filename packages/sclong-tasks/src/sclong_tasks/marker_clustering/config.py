"""Settings of marker-gene clustering: cells, lists of markers, and how these are compared."""

from dataclasses import dataclass, field

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName

SCALES = ("auto", "counts", "log1p")
LISTS = ("sctype", "pegasus", "paper")


@dataclass
class MarkerSettings:
    """Data and metrics."""

    cell_type_key: str = ""
    """Column of obs that names cell types; where empty, the first of the usual names."""
    layer: str = ""
    """Layer of the file to read; X where empty."""
    scale: str = "auto"
    """Of the values: "counts", "log1p", or "auto": whole numbers are counts."""
    as_stored: bool = False
    """Values go into models as they are, counts too; else counts are scaled to 10,000 a cell and
    log1p is taken."""
    markers: str = "sctype"
    """Lists of markers: "sctype", "pegasus", "paper" (those of its figures), or a table with the
    columns ``cell_type`` and ``gene``."""
    names: dict[str, str] = field(default_factory=dict)
    """Cell types of the data under the names of the list, beside those that are known here."""
    gene_tables: list[str] = field(default_factory=list)
    """Files of gene names (HGNC, GENCODE): lists write CD20, data MS4A1."""
    tissue: str = "Immune system"
    """Whose types of ScType's list are read."""
    cells: int = 50
    """Drawn of each type, without replacement; all of a type that has fewer."""
    fewest_cells: int = 5
    """Types of fewer cells are left out."""
    fewest_markers: int = 4
    """Types of which fewer markers are expressed are left out."""
    expressed_in: int = 3
    """Cells of a type that must express a gene for it to be looked at there."""
    top: int = 50
    """Genes of the highest cumulative similarity, which the figure shows."""
    forced_markers: bool = False
    """The figure shows all markers beside these: a fault of the original."""
    clusters: int = 10
    """That the tree of genes is cut into."""
    cluster_genes: int = 1000
    """Genes of the highest expression that are clustered, beside the markers."""
    near: int = 50
    """Genes of the most similar expression, of which one replaces a marker in a random set."""
    draws: int = 1000
    """Random sets."""
    bootstrap: int = 200
    """Draws of cell types for the intervals of means over them."""

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ConfigError(f"task.scale must be one of {', '.join(SCALES)}, not {self.scale!r}")
        if self.markers not in LISTS and not self.markers.endswith((".csv", ".tsv")):
            raise ConfigError(
                f"task.markers must be one of {', '.join(LISTS)}, or a .csv or .tsv file, not "
                f"{self.markers!r}"
            )
        if min(self.cells, self.fewest_cells, self.expressed_in, self.top, self.near) < 2:
            raise ConfigError(
                "task.cells, fewest_cells, expressed_in, top and near must be at least 2"
            )
        if self.fewest_markers < 3 or self.clusters < 2:
            raise ConfigError("task.fewest_markers must be at least 3, clusters at least 2")
        if self.draws < 1 or min(self.cluster_genes, self.bootstrap) < 0:
            raise ConfigError("task.draws must be positive, cluster_genes and bootstrap not < 0")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "MarkerSettings":
        """As published: the figures' own lists, values as stored, and markers forced in."""
        if protocol == "published":
            return cls(markers="paper", as_stored=True, forced_markers=True)
        return cls()
