"""What the evidence is about: three claims, each a full model beside one without the part."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from sclong_bench.evidence.genes import MARKERS, NETWORKS
from sclong_bench.evidence.measure import BATCHES, CELL_TYPES, GENE_SUMS, RECONSTRUCTION
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.words import LEVEL, counted

FAMILY = ("task", "protocol", "metric")
"""What is corrected together: all data sets and models of one measure."""
PRIMARY = (
    (RECONSTRUCTION, "", "r2"),
    (CELL_TYPES, GENE_SUMS, "accuracy"),
    (BATCHES, GENE_SUMS, "bras"),
    (BATCHES, GENE_SUMS, "cilisi"),
    (MARKERS, "", "marker_auroc"),
    (NETWORKS, "", "aupr_ratio"),
    (NETWORKS, "", "epr"),
)
"""Task, protocol and metric that claims are judged by; written before models were compared."""
MEASURES = {
    (RECONSTRUCTION, "r2"): "R² of hidden values",
    (CELL_TYPES, "accuracy"): "cell types told by neighbours",
    (BATCHES, "bras"): "batches mixed, BRAS",
    (BATCHES, "cilisi"): "batches mixed, cell-type iLISI",
    (MARKERS, "marker_auroc"): "markers told from genes of like expression",
    (NETWORKS, "aupr_ratio"): "edges of networks, AUPR over chance",
    (NETWORKS, "epr"): "edges of networks, early precision over chance",
}
"""Their names for people."""


@dataclass(frozen=True)
class Claim:
    """A part of the method, and the models that lack it."""

    part: str
    without: tuple[tuple[str, str], ...]
    """Model, and what it is in words."""


CLAIMS = (
    Claim("Pretraining", (("untrained_sclong", "never trained"),)),
    Claim(
        "The encoder of low-expression genes",
        (
            ("sclong_no_low_expression", "these genes left out"),
            ("sclong_random_low_expression", "its start drawn from N(0, 1)"),
        ),
    ),
    Claim(
        "The gene graph",
        (
            ("sclong_no_graph", "no graph"),
            ("sclong_random_graph", "weights of edges drawn at random"),
            ("sclong_shuffled_graph", "edges led to other genes"),
        ),
    ),
)


@dataclass(frozen=True)
class Gain:
    """What the part adds in one setting: full model minus the one without, better is above 0."""

    task: str
    scenario: str
    metric: str
    without: str
    full: float
    ablated: float
    gain: float
    low: float
    high: float
    p_value: float
    q_value: float
    effect: float
    """Hedges' g, with its interval."""
    effect_low: float
    effect_high: float

    @property
    def verdict(self) -> str:
        """In a word: whether the part helps."""
        if not math.isfinite(self.q_value):
            return "not tested"
        if self.q_value >= LEVEL:
            return "not clear"
        return "helps" if self.gain > 0 else "harms"

    @property
    def measure(self) -> str:
        """The measure in words."""
        return MEASURES[self.task, self.metric]


def gains(evidence: Comparison, claim: Claim) -> list[Gain]:
    """Every primary setting of a claim, model by model."""
    table = evidence.comparisons
    found = []
    for model, _ in claim.without:
        for task, protocol, metric in PRIMARY:
            mine = table["task"].eq(task) & table["protocol"].eq(protocol)
            mine &= table["metric"].eq(metric) & table["model"].eq(model)
            found += [_gain(row) for _, row in table[mine].iterrows()]
    return found


def _gain(row: "pd.Series[float]") -> Gain:
    """Comparisons are model minus reference: the gain is the other way round."""
    sign = -1.0 if row["higher_is_better"] else 1.0
    ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
    effects = sorted((sign * row["hedges_g_low"], sign * row["hedges_g_high"]))
    return Gain(
        task=str(row["task"]),
        scenario=str(row["scenario"]),
        metric=str(row["metric"]),
        without=str(row["model"]),
        full=float(row["mean_reference"]),
        ablated=float(row["mean"]),
        gain=sign * float(row["difference"]),
        low=ends[0],
        high=ends[1],
        p_value=float(row["p_value"]),
        q_value=float(row["q_value"]),
        effect=sign * float(row["hedges_g"]),
        effect_low=effects[0],
        effect_high=effects[1],
    )


def summary(found: Iterable[Gain]) -> str:
    """How often a part helps, harms, or neither."""
    verdicts = [gain.verdict for gain in found]
    helps, harms = verdicts.count("helps"), verdicts.count("harms")
    clear = f"helps in {helps} of {counted(len(verdicts), 'setting')}, harms in {harms}"
    unclear = len(verdicts) - helps - harms
    return f"{clear}; {unclear} {'is' if unclear == 1 else 'are'} not clear either way"


def judgement(found: list[Gain]) -> str:
    """One word for a claim: by the settings that are clear."""
    verdicts = [gain.verdict for gain in found]
    helps, harms = verdicts.count("helps"), verdicts.count("harms")
    if not helps and not harms:
        return "not shown"
    if helps and harms:
        return "mixed"
    every = helps == len(verdicts) or harms == len(verdicts)
    word = "helps" if helps else "harms"
    return word if every else f"{word} in part"
