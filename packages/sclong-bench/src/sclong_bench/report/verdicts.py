"""What the numbers say, in words, made of the numbers alone."""

from dataclasses import dataclass

import numpy as np

from sclong_bench.report.comparison import Comparison
from sclong_bench.report.summaries import Setting
from sclong_bench.report.words import LEVEL, counted, listed, name_of

_OTHERS = ("model", "ablation", "simple", "floor")


@dataclass(frozen=True)
class Verdict:
    """How the reference stands in one setting."""

    setting: Setting
    compared: int
    """Models with a value beside the reference, without ceilings."""
    ahead: tuple[str, ...]
    """Models whose mean is worse."""
    clearly_ahead: tuple[str, ...]
    """Those of them with a q-value below the level."""
    behind: tuple[str, ...]
    """Models whose mean is as good or better."""
    clearly_behind: tuple[str, ...]
    untested: tuple[str, ...]
    """Models without a p-value."""
    has_value: bool
    """Whether the reference itself has one."""
    has_reference: bool
    """Whether the task has one."""

    @property
    def good(self) -> bool:
        """Whether it is ahead of all, and clearly so."""
        return bool(self.compared) and len(self.clearly_ahead) == self.compared

    @property
    def words(self) -> str:
        """A few words for a table."""
        if not self.has_value:
            return "no value" if self.has_reference else "no reference"
        if not self.compared:
            return "nothing to compare with"
        if self.good:
            return f"ahead of all {self.compared}" if self.compared > 1 else "ahead"
        if not self.behind:
            return f"ahead of all {self.compared}, {len(self.clearly_ahead)} clearly"
        if self.clearly_behind:
            return (
                f"behind {len(self.behind)} of {self.compared}, {len(self.clearly_behind)} clearly"
            )
        return f"not ahead of {len(self.behind)} of {self.compared}"


def verdict(comparison: Comparison, setting: Setting) -> Verdict:
    """How the reference stands beside all others but ceilings."""
    name = comparison.reference_of(setting.task)
    ours = setting.of(name)
    table = comparison.comparisons_of(setting).set_index("model")
    ahead: list[str] = []
    clearly_ahead: list[str] = []
    behind: list[str] = []
    clearly_behind: list[str] = []
    untested: list[str] = []
    has_value = ours is not None and bool(np.isfinite(ours.mean))
    if ours is not None and has_value:
        for line in setting.lines:
            if line.role not in _OTHERS or not np.isfinite(line.mean):
                continue
            q_value = float(table.loc[line.label, "q_value"])
            better = setting.better(ours.mean, line.mean)
            (ahead if better else behind).append(line.label)
            if np.isnan(q_value):
                untested.append(line.label)
            elif q_value < LEVEL:
                (clearly_ahead if better else clearly_behind).append(line.label)
    return Verdict(
        setting,
        len(ahead) + len(behind),
        tuple(ahead),
        tuple(clearly_ahead),
        tuple(behind),
        tuple(clearly_behind),
        tuple(untested),
        has_value,
        bool(name),
    )


def reference_words(comparison: Comparison, task: str) -> str:
    """Which reference a task has, and why this one, or why none."""
    one = comparison.references[task]
    return f"Reference: {one.label}. {one.why}" if one.label else f"No reference. {one.why}"


def sentence(comparison: Comparison, setting: Setting) -> str:
    """The verdict as sentences for the head of a setting."""
    found = verdict(comparison, setting)
    name = comparison.reference_of(setting.task)
    if not name:
        return "Nothing is compared: the task has no reference."
    ours = setting.of(name)
    if ours is None or not np.isfinite(ours.mean):
        why = f": {ours.reason}" if ours is not None and ours.reason else ""
        why = why or (": it was not run" if ours is None or not ours.values else "")
        return f"{name} has no value here{why}."
    if not found.compared:
        return f"There is no other model to compare {name} with."
    parts = [_ahead(name, found)]
    if found.behind:
        clearly = f" ({listed(list(found.clearly_behind))} with q < {LEVEL:g})"
        parts.append(
            f"It is not ahead of {listed(list(found.behind))}"
            f"{clearly if found.clearly_behind else ''}."
        )
    trivial = setting.best("floor", "simple")
    if trivial is None and ours.kind not in ("floor", "simple"):
        parts.append("No trivial baseline was run, so that the numbers have no floor.")
    elif trivial is not None and not setting.better(ours.mean, trivial.mean):
        kind = {"floor": "trivial", "simple": "simple"}[trivial.role]
        parts.append(f"The {kind} baseline {trivial.label} does as well or better.")
    if found.untested:
        parts.append(f"Not tested: {listed(list(found.untested))}.")
    return " ".join(parts)


def _ahead(name: str, found: Verdict) -> str:
    others = counted(found.compared, "other model")
    if not found.ahead:
        return f"{name} is ahead of none of {others}."
    clearly = f"{len(found.clearly_ahead)} with q < {LEVEL:g}"
    return f"{name} is ahead of {len(found.ahead)} of {others}, of {clearly}."


def place_of(setting: Setting) -> str:
    """A setting in words, without its task."""
    parts = [
        f"{name_of(setting.scenario)} split" if setting.scenario else "",
        f"{setting.protocol} protocol" if setting.protocol else "",
        f"stratum {setting.stratum}" if setting.stratum else "",
    ]
    return ", ".join(filter(None, parts))


def metric_of(setting: Setting) -> str:
    """The metric with its direction."""
    direction = "higher" if setting.higher_is_better else "lower"
    return f"{name_of(setting.metric)} ({direction} is better)"
