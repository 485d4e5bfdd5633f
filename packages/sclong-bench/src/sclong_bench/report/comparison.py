"""All that a report rests on, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from sclong_bench.published.recomputed import recomputed_tests
from sclong_bench.report.summaries import Setting, settings
from sclong_bench.report.units import Beyond, beyond_seeds
from sclong_bench.results.integrity import expected_seeds
from sclong_bench.results.reading import Results
from sclong_bench.results.references import Reference, Wanted, find_references
from sclong_bench.results.roles import headline_of, roles
from sclong_bench.results.schema import SETTING
from sclong_bench.statistics.comparison import Plan, compare_rows


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results, what was compared with what, and what came of it."""

    results: Results
    references: Mapping[str, Reference]
    """What others are compared with, by task."""
    plan: Plan
    roles: Mapping[str, str]
    """Of each label, apart from being a reference."""
    settings: tuple[Setting, ...]
    comparisons: pd.DataFrame
    lacking: pd.DataFrame
    """Models that lack seeds."""
    beyond: tuple[Beyond, ...]
    recomputed: pd.DataFrame
    """The paper's tests for these tasks, made again."""
    command: str = ""
    """That the report was made with."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """In order."""
        return tuple(dict.fromkeys(setting.task for setting in self.settings))

    @property
    def reference(self) -> str:
        """Label of the reference that all tasks share; empty where they do not share one."""
        labels = {one.label for one in self.references.values()}
        return labels.pop() if len(labels) == 1 else ""

    def reference_of(self, task: str) -> str:
        """Label of the reference of a task; empty where it has none."""
        return self.references[task].label

    def of_task(self, task: str) -> tuple[Setting, ...]:
        """The settings of a task."""
        return tuple(setting for setting in self.settings if setting.task == task)

    def main_settings(self, task: str) -> tuple[Setting, ...]:
        """Those that a reader sees first.

        These are the metrics that the task declares, and those that the paper has numbers for;
        where there is neither, the first. Strata are parts of them, and never among them.
        """
        whole = [setting for setting in self.of_task(task) if not setting.stratum]
        there = {setting.metric for setting in whole}
        published = {setting.metric for setting in whole if setting.has_published}
        declared = set(headline_of(task))
        chosen = published | (declared if declared <= there else set())
        chosen = chosen or {setting.metric for setting in whole[:1]}
        return tuple(setting for setting in whole if setting.metric in chosen)

    def comparisons_of(self, setting: Setting) -> pd.DataFrame:
        """The comparisons of a setting."""
        table = self.comparisons
        mine = pd.Series(True, index=table.index)
        for name, value in zip(SETTING, setting.keys, strict=True):
            mine &= table[name].eq(value)
        return table[mine]


def gather(
    results: Results,
    reference: Wanted = None,
    plan: Plan | None = None,
    *,
    declared: Mapping[str, str] | None = None,
    command: str = "",
) -> Comparison:
    """Compare, summarise, and look up what was published.

    A model that lacks seeds is marked, and left out of the tests.

    Args:
        results: what was read.
        reference: the model that others are compared with, or models by task; the rule of
            :func:`sclong_bench.results.references.find_references` where there is none by this.
        plan: how.
        declared: roles of models that their names do not tell.
        command: that the report is made with.

    Raises:
        InputError: results that make no one table, or a reference that is not there.
    """
    plan = replace(plan or Plan(), incomplete="mark")
    rows = results.rows
    found_roles = roles(rows, declared)
    references = find_references(rows, reference, found_roles)
    labels = {task: one.label for task, one in references.items()}
    comparisons = compare_rows(rows, labels, plan)
    lacking = expected_seeds(rows, plan.seeds)
    found = settings(rows, found_roles, labels, lacking, confidence=plan.confidence)
    recomputed = recomputed_tests()
    return Comparison(
        results=results,
        references=references,
        plan=plan,
        roles=found_roles,
        settings=found,
        comparisons=comparisons,
        lacking=lacking,
        beyond=beyond_seeds(results, labels),
        recomputed=recomputed[recomputed["task"].isin({setting.task for setting in found})],
        command=command,
    )
