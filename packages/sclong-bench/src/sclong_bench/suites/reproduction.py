"""Running a suite again and holding its figures to what they were."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from sclong_bench.suites.bands import Judged, judge, make_bands, read_bands, write_bands
from sclong_bench.suites.grid import RunOutcome
from sclong_bench.suites.running import run_here, runs_left
from sclong_bench.suites.suite import Suite, read_suite
from sclong_core.errors import ConfigError, InputError
from sclong_tasks.data_files import find_files, prepare_data
from sclong_tasks.registry import get_task
from sclong_tasks.results import read_runs

_LOG = logging.getLogger("sclong")
_ENDING = ".expected.tsv"


@dataclass(frozen=True)
class Reproduction:
    """What came of it."""

    judged: tuple[Judged, ...]
    failed: tuple[RunOutcome, ...]
    """Runs that gave no result."""
    skipped: tuple[str, ...]
    """Tasks whose original files are not there."""

    @property
    def succeeded(self) -> bool:
        """Whether every figure that could be made is as expected."""
        return not self.failed and not any(one.moved for one in self.judged)


def suite_file(name: str) -> Path:
    """The file of a suite: a path, or the name of one that comes with the package.

    Raises:
        ConfigError: there is none.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    shipped = files("sclong_bench") / "suites" / f"{name}.yaml"
    if not shipped.is_file():
        known = sorted(
            path.name.removesuffix(".yaml")
            for path in (files("sclong_bench") / "suites").iterdir()
            if path.name.endswith(".yaml")
        )
        raise ConfigError(f"there is no suite {name!r}: give a .yaml file, or {', '.join(known)}")
    with as_file(shipped) as path:
        return path


def expected_file(suite: Path) -> Path:
    """Where the expected results of a suite are."""
    return suite.with_name(suite.name.rsplit(".", 1)[0] + _ENDING)


def prepare_sources(suite: Suite, sources: Path | None) -> None:
    """Convert original files of tasks whose data folder is not there.

    Args:
        suite: whose tasks.
        sources: a folder that holds a folder with the name of each task, or what its entries in
            the suite name.
    """
    named = {entry.task: entry.source for entry in suite.config.runs if entry.source}
    for name in suite.missing_data:
        task = get_task(name)
        place = None if sources is None else sources / named.get(name, name)
        if place is None or not (place.is_file() or find_files(task, place)):
            continue
        _LOG.info("preparing the data of %s", name)
        prepare_data(task, Path(suite.config.data) / name, str(place))


def reproduce(
    path: Path, *, output: Path, sources: Path | None, jobs: int, update: bool = False
) -> Reproduction:
    """Run what is missing of a suite and judge all of its figures.

    Args:
        path: of the suite; its expected results lie beside it.
        output: folder of the runs and of the prepared data.
        sources: original files, a folder a task.
        jobs: runs at a time.
        update: write what came out as what is expected from now on.

    Raises:
        InputError: no task has its files, or there are no expected results.
    """
    expected = expected_file(path)
    bands = None if update else read_bands(expected)
    suite = _read(path, output)
    prepare_sources(suite, sources)
    suite = _read(path, output)
    if not suite.runs:
        raise InputError(
            f"no task of {path.name} has its files ({', '.join(suite.missing_data)}): give the "
            "folder that holds a folder of original files for each, with --source"
        )
    failed = [
        outcome for outcome in _run(suite, jobs) if outcome.state == "failed"
    ]  # all are made before any is judged
    rows = _rows(suite)
    if bands is None:
        if failed or suite.missing_data:
            raise InputError("expected results are only written where every run was made")
        write_bands(make_bands(rows), expected)
        bands = read_bands(expected)
    bands = bands[~bands["task"].isin(suite.missing_data)]
    return Reproduction(tuple(judge(rows, bands)), tuple(failed), suite.missing_data)


def _read(path: Path, output: Path) -> Suite:
    return read_suite(path, output=output / "runs", data=output / "data")


def _run(suite: Suite, jobs: int) -> Sequence[RunOutcome]:
    found = []
    left = runs_left(suite)
    for number, outcome in enumerate(run_here(left, jobs=jobs), start=1):
        _LOG.info(
            "%d of %d: %s: %s, %.0f s",
            number,
            len(left),
            outcome.run.name,
            outcome.state,
            outcome.seconds,
        )
        found.append(outcome)
    return found


def _rows(suite: Suite) -> pd.DataFrame:
    """Results of the suite's own runs: others may lie in the same folder."""
    own = [run.folder for run in suite.runs if run.folder.is_dir()]
    found = []
    for folder in own:
        try:
            found.append(read_runs(folder))
        except InputError:  # it failed, which is reported on its own
            continue
    if not found:
        raise InputError("no run of the suite was made: nothing can be compared")
    return pd.concat(found, ignore_index=True)
