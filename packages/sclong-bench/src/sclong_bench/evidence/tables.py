"""Tables of the evidence, the same for the report and the page of words."""

import math

from sclong_bench.evidence.claims import PRIMARY, Claim, Gain
from sclong_bench.evidence.known import Coverage
from sclong_bench.evidence.measure import BATCHES
from sclong_bench.report.comparison import Comparison
from sclong_bench.report.summaries import Setting
from sclong_bench.report.words import LEVEL, counted, interval, name_of, p_text, plain
from sclong_data.report.markup import tag
from sclong_data.report.table import Cell, Column, Ranked, Table

GAIN_HEADINGS = (
    *("measure", "data", "without it", "full", "without", "gain [95 %]", "q", "Hedges g [95 %]"),
    "reading",
)
"""Of the table of a claim."""
KNOWN_HEADINGS = ("data", "known", "in the list", "known to the models", "enough")
"""Of the table of what is known of genes."""
_FLOORS = {"permuted_embedding": "shuffled", "random": "random"}
"""Models that stand for chance, in a word."""
BASELINE_HEADINGS = ("measure", "data", "scLong", "best simple method", "floor", "scLong is")
"""Of the table of baselines."""


def gain_cells(claim: Claim, gain: Gain) -> tuple[str, ...]:
    """One line of a claim as texts."""
    words = dict(claim.without)
    effect = f"{plain(gain.effect, 1)} {interval(gain.effect_low, gain.effect_high, 1)}".strip()
    return (
        gain.measure,
        name_of(gain.scenario),
        words[gain.without],
        plain(gain.full, 3),
        plain(gain.ablated, 3),
        f"{plain(gain.gain, 3)} {interval(gain.low, gain.high, 3)}".strip(),
        p_text(gain.q_value),
        effect,
        gain.verdict,
    )


def gains_table(claim: Claim, found: list[Gain]) -> Table:
    """The gains of a claim; every column sorts."""
    numbers = {3: "full", 4: "ablated", 5: "gain", 6: "q_value", 7: "effect"}
    rows: list[list[Cell]] = []
    for gain in found:
        row: list[Cell] = []
        for place, text in enumerate(gain_cells(claim, gain)):
            if place not in numbers:
                row.append(text)
                continue
            value, _, span = text.partition(" [")
            shown = tag("span", value, " ", tag("small", f"[{span}")) if span else value
            row.append(Ranked(shown, getattr(gain, numbers[place])))
        rows.append(row)
    columns = [
        Column(name, right=place in numbers, words=place in (0, 2, 8))
        for place, name in enumerate(GAIN_HEADINGS)
    ]
    caption = (
        f"{claim.part}: full model minus the model without it; above zero the part helps. Welch's "
        "test over seeds, q by Benjamini-Hochberg over all data sets and models of a measure"
    )
    return Table(columns, rows, caption=caption, sortable=True)


def primary_settings(evidence: Comparison) -> list[Setting]:
    """The settings that claims are judged by, in their order."""
    return [
        setting
        for task, protocol, metric in PRIMARY
        for setting in evidence.settings
        if (setting.task, setting.protocol, setting.metric) == (task, protocol, metric)
    ]


def baseline_cells(evidence: Comparison, setting: Setting, measure: str) -> tuple[str, ...]:
    """The full model beside the best simple method and the best floor of a setting.

    Where batches are to mix, shuffled points are the best of all: no floor, but a warning.
    """
    ours = setting.of(evidence.reference_of(setting.task))
    others = ("simple",) if setting.task == BATCHES else ("simple", "floor")
    simple = [
        line
        for line in setting.lines
        if line.role in others and line.deterministic and line.label not in _FLOORS
    ]
    sign = 1 if setting.higher_is_better else -1
    best = max(simple, key=lambda line: sign * line.mean, default=None)
    floor = next(filter(None, map(setting.of, _FLOORS)), None)
    mean = math.nan if ours is None else ours.mean
    span = "" if ours is None else interval(ours.low, ours.high, 3)
    found = (
        measure,
        name_of(setting.scenario),
        f"{plain(mean, 3)} {span}".strip(),
        "" if best is None else f"{plain(best.mean, 3)} {name_of(best.label)}",
        "" if floor is None else f"{plain(floor.mean, 3)} {_FLOORS[floor.label]}",
    )
    return (*found, _standing(evidence, setting, None if best is None else best.label))


def _standing(evidence: Comparison, setting: Setting, other: str | None) -> str:
    """Whether the full model is ahead of a simple method, and clearly so."""
    table = evidence.comparisons_of(setting).set_index("model")
    if other is None or other not in table.index:
        return "not compared"
    row = table.loc[other]
    if not math.isfinite(float(row["q_value"])):
        return "not tested"
    if float(row["q_value"]) >= LEVEL:
        return "not clearly apart"
    ahead = (float(row["difference"]) < 0) == bool(row["higher_is_better"])
    return "ahead" if ahead else "behind"


def known_cells(coverage: Coverage) -> list[tuple[str, ...]]:
    """A line for each list of markers and each network: how much of it the models know."""
    found: list[tuple[str, ...]] = []
    for one in coverage.markers:
        known = f"{one.known}, of which {counted(one.count, 'cell')} express {one.expressed}"
        state = "yes" if one.measured else "no"
        found.append((name_of(one.cells), f"markers of {one.kind}", str(one.listed), known, state))
    for net in coverage.networks:
        factors = f"{counted(net.factors, 'factor')}, {counted(net.genes, 'gene')}"
        known = f"{counted(net.known, 'edge')} ({factors})"
        state = "yes" if net.measured else "no"
        found.append((name_of(net.cells), f"edges of {name_of(net.network)}", f"{net.edges:,}",
                      known, state))  # fmt: skip
    return found
