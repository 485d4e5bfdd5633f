"""What a suite takes: runs that are there, that failed, that are missing, and their time."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from sclong_bench.suites.grid import State, seconds_of, state_of
from sclong_bench.suites.suite import GridRun, Suite


@dataclass(frozen=True)
class PlanLine:
    """One model of one task, protocol and scenario."""

    task: str
    protocol: str
    scenario: str
    model: str
    done: int
    failed: int
    missing: int
    seconds: float | None
    """Mean of a run; None where none is known."""

    @property
    def seconds_left(self) -> float | None:
        """For what is failed or missing; None where it is not known."""
        left = self.failed + self.missing
        if left == 0:
            return 0.0
        return None if self.seconds is None else left * self.seconds


def plan(suite: Suite) -> list[PlanLine]:
    """One line a model, in the order of the suite.

    A model that has never been run in a scenario is taken to last as long as in its others.
    """
    groups: dict[tuple[str, str, str, str], list[GridRun]] = defaultdict(list)
    for run in suite.runs:
        groups[run.task, run.protocol, run.scenario, run.model].append(run)
    lasted = {names: _known(runs) for names, runs in groups.items()}
    found = []
    for (task, protocol, scenario, model), runs in groups.items():
        states: list[State] = [state_of(run) for run in runs]
        own = lasted[task, protocol, scenario, model]
        others = [
            seconds
            for (other_task, _, _, other_model), known in lasted.items()
            if (other_task, other_model) == (task, model)
            for seconds in known
        ]
        known = own or others
        found.append(
            PlanLine(
                task=task,
                protocol=protocol,
                scenario=scenario,
                model=model,
                done=states.count("done"),
                failed=states.count("failed"),
                missing=states.count("missing"),
                seconds=fmean(known) if known else None,
            )
        )
    return found


def _known(runs: Iterable[GridRun]) -> list[float]:
    times = map(seconds_of, runs)
    return [seconds for seconds in times if seconds is not None]
