"""Settings of genetic interactions: the fit, its genes, and how pairs are ranked."""

from dataclasses import dataclass, field

from sclong_core.errors import ConfigError
from sclong_tasks.task import ProtocolName

FITS = ("theil_sen", "least_squares")
GENES = ("all", "ranked", "listed")
SOURCES = ("auto", "profiles", "published")


@dataclass
class FitSettings:
    """How the effect of a pair is written as a sum of the effects of its genes."""

    method: str = "theil_sen"
    """"theil_sen", as Norman et al. and GEARS, or "least_squares", as the paper."""
    intercept: bool = False
    """A constant beside the two effects: the paper's "offset"."""
    genes: str = "all"
    """"all", the "ranked" ones of the pair itself, or those "listed" in ``gene_list``."""
    ranked: int = 50
    """How many, with genes=ranked. They are found in the measured pair: a fault of the original."""
    gene_list: str = ""
    """File of one gene a line, such as GEARS's genes_with_hi_mean."""
    draws: int = 100_000
    """Pairs of genes that Theil-Sen takes at most."""

    def __post_init__(self) -> None:
        if self.method not in FITS:
            raise ConfigError(f"fit.method must be one of {', '.join(FITS)}, not {self.method!r}")
        if self.genes not in GENES:
            raise ConfigError(f"fit.genes must be one of {', '.join(GENES)}, not {self.genes!r}")
        if (self.genes == "listed") != bool(self.gene_list):
            raise ConfigError("fit.genes=listed and fit.gene_list=FILE go together")
        if self.ranked < 3 or self.draws < 1:
            raise ConfigError("fit.ranked must be at least 3, fit.draws positive")


@dataclass
class InteractionSettings:
    """What belongs to data, split and metrics."""

    source: str = "auto"
    """Of the measures: "profiles" of a screen, the "published" table, or "auto": the first that is
    there."""
    fit: FitSettings = field(default_factory=FitSettings)
    only: str = ""
    """File whose pairs alone are kept: predictions of a run, or a table with a column
    ``perturbation``."""
    top: int = 15
    """Pairs at either end of the ranking that are called synergy and suppressor."""
    permutations: int = 10_000
    """Draws for the p-values of overlaps."""
    bootstrap: int = 200
    """Draws of pairs for intervals; 0 gives none."""
    split_seed: int = -1
    """Of the split: that of the run (-1), or the same for all runs: 1 as published."""
    train_share: float = 0.75
    """As in genetic perturbation."""
    validation_share: float = 0.9
    """As in genetic perturbation."""
    merge_spellings: bool = True
    """As in genetic perturbation: of the conditions that are split."""

    def __post_init__(self) -> None:
        if isinstance(self.fit, dict):
            self.fit = FitSettings(**self.fit)
        if self.source not in SOURCES:
            raise ConfigError(f"task.source must be one of {', '.join(SOURCES)}")
        if self.top < 1 or self.permutations < 1 or self.bootstrap < 0:
            raise ConfigError("task.top and permutations must be positive, bootstrap not negative")
        if not (0 < self.train_share < 1 and 0 < self.validation_share < 1):
            raise ConfigError("task.train_share and validation_share must lie between 0 and 1")
        if self.split_seed < -1:
            raise ConfigError("task.split_seed must be a seed, or -1 for the seed of the run")

    @classmethod
    def for_protocol(cls, protocol: ProtocolName) -> "InteractionSettings":
        """As published: least squares with an intercept over ranked genes, one split for all."""
        if protocol == "published":
            fit = FitSettings(method="least_squares", intercept=True, genes="ranked")
            return cls(fit=fit, split_seed=1, merge_spellings=False)
        return cls()
