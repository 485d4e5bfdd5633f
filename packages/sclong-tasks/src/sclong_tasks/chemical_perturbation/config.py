"""Settings of chemical perturbation: what belongs to data, splits and metrics."""

from dataclasses import dataclass, field

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName

REPLICATES = ("central", "mean", "all")
RESPONSES = ("auto", "stored", "difference")
DEEPCE_LINES = ("A375", "HA1E", "HELA", "HT29", "MCF7", "PC3", "YAPC")
DEEPCE_DOSES = (0.04, 0.12, 0.37, 1.11, 3.33, 10.0)
DEEPCE_LEFT_OUT = ("BRD-U41416256", "BRD-U60236422")


@dataclass
class ChemicalSettings:
    """Which profiles are rows, how they are split, and what is measured."""

    hours: float | None = None
    """Time of treatment, which no model is told: 24 where the data hold it, else that of most
    profiles. 0 takes all times."""
    pert_types: list[str] = field(default_factory=lambda: ["trt_cp"])
    """Kinds of wells that are rows; compounds alone by default, no positive controls."""
    cell_lines: list[str] = field(default_factory=list)
    """To use; all where empty."""
    doses: list[float] = field(default_factory=list)
    """To use, in micromolar; all where empty."""
    leave_out: list[str] = field(default_factory=list)
    """Compounds (pert_id) to leave out."""
    replicates: str = "central"
    """Of one compound, cell line, dose and time: the profile whose ranks are nearest the middle
    ("central", as the original), their mean ("mean"), or each as a row ("all")."""
    response: str = "auto"
    """What a row's target is: the values of the file ("stored"), or what they are above the mean of
    the vehicle wells of the same plate ("difference"). "auto" takes the difference where the file
    holds vehicle wells and no negative value, as files of expression do (L1000 level 3)."""
    top_genes: int = 100
    """Genes that go up, and as many that go down, of which precision is measured."""
    test_fraction: float = 0.1
    """Of the rows."""
    validation_fraction: float = 0.1
    """Of the rows."""
    bootstrap: int = 200
    """Draws for intervals; 0 gives none."""

    def __post_init__(self) -> None:
        if self.replicates not in REPLICATES:
            raise ConfigError(f"task.replicates must be one of {', '.join(REPLICATES)}")
        if self.response not in RESPONSES:
            raise ConfigError(f"task.response must be one of {', '.join(RESPONSES)}")
        if min(self.test_fraction, self.validation_fraction) <= 0:
            raise ConfigError("task.test_fraction and validation_fraction must be positive")
        if self.test_fraction + self.validation_fraction >= 1:
            raise ConfigError(
                "task.test_fraction and validation_fraction leave nothing to train on"
            )
        if self.top_genes < 1 or (self.hours or 0) < 0:
            raise ConfigError("task.top_genes must be at least 1, task.hours not negative")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "ChemicalSettings":
        """As published: DeepCE's seven cell lines, six doses, and the two compounds it drops."""
        if protocol != "published":
            return cls()
        return cls(
            hours=24.0,
            cell_lines=list(DEEPCE_LINES),
            doses=list(DEEPCE_DOSES),
            leave_out=list(DEEPCE_LEFT_OUT),
            test_fraction=0.2,
            validation_fraction=0.2,
        )
