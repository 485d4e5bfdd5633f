"""What is refused: results on different data in one table, and seeds that are missing."""

from collections.abc import Iterable

import pandas as pd

from sclong_bench.results.schema import LABEL, SETTING, SOURCE, measured
from sclong_core.errors import InputError

_MODEL = ["task", "protocol", "scenario", LABEL]


def refuse_mixed_digests(rows: pd.DataFrame) -> None:
    """Refuse results that do not belong in one table.

    Within a task and protocol all rest on the same data; for one seed all have the same split; a
    model has one set of settings and one checkpoint for all of its seeds, or, where seeds belong
    to them, another one for each seed. Rows without a digest are not checked.

    Raises:
        InputError: names the two runs.
    """
    _one(rows, ["task", "protocol"], "data_digest", "data")
    _one(rows, ["task", "protocol", "scenario", "seed"], "split_digest", "splits")
    _one_or_each(rows, "config_digest", "settings")
    _one_or_each(rows, "checkpoint_digest", "checkpoints")


def expected_seeds(rows: pd.DataFrame, seeds: Iterable[int] | None = None) -> pd.DataFrame:
    """Models that lack seeds, in the settings where they do.

    Args:
        rows: a table of results.
        seeds: that every model was to be run with; by default those that any model of the same
            task, protocol and scenario has. Models without a seed are deterministic and lack none.

    Returns:
        One row a setting and model, with the columns of the setting, "label", "missing" (text) and
        "reason" of the first run that failed.
    """
    asked = None if seeds is None else set(seeds)
    found = []
    for _, scenario in rows.groupby(["task", "protocol", "scenario"], sort=False):
        wanted = asked or set(scenario["seed"].dropna().astype(int))
        for keys, group in scenario.groupby([*SETTING, LABEL], sort=False):
            done = measured(group)
            if len(done) and done["seed"].isna().all():
                continue
            missing = sorted(wanted - set(done["seed"].dropna().astype(int)))
            reasons = [reason for reason in group["reason"] if reason]
            if missing or not len(done):
                words = " ".join(map(str, missing))
                found.append([*keys, words, len(wanted), reasons[0] if reasons else ""])
    columns = [*SETTING, LABEL, "missing", "expected", "reason"]
    return pd.DataFrame(found, columns=columns)


def refuse_missing_seeds(rows: pd.DataFrame, seeds: Iterable[int] | None = None) -> None:
    """Refuse a table in which a model lacks seeds: four are never shown as five.

    Raises:
        InputError: names the model, the setting and the seeds.
    """
    lacking = expected_seeds(rows, seeds)
    if len(lacking):
        first = lacking.iloc[0]
        others = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        why = f": {first['reason']}" if first["reason"] else ""
        setting = ", ".join(first[name] for name in SETTING if first[name])
        raise InputError(
            f"{first[LABEL]} lacks seed {first['missing']} in {setting}{why}{others}; run what is "
            "missing, or ask for incomplete models to be marked and left out of the tests"
        )


def _one(rows: pd.DataFrame, keys: list[str], column: str, what: str) -> None:
    for names, group in rows[rows[column].ne("")].groupby(keys, sort=False, dropna=False):
        if group[column].nunique() > 1:
            _refuse(group, column, f"the runs of {_words(names)} rest on different {what}")


def _one_or_each(rows: pd.DataFrame, column: str, what: str) -> None:
    for names, group in rows[rows[column].ne("")].groupby(_MODEL, sort=False):
        runs = group.drop_duplicates(["seed", column])
        digests, seeds = runs[column].nunique(), runs["seed"].nunique(dropna=False)
        if digests > 1 and (digests != seeds or len(runs) != seeds):
            _refuse(group, column, f"the runs of {_words(names)} have different {what}")


def _refuse(group: pd.DataFrame, column: str, what: str) -> None:
    first = group.iloc[0]
    other = group[group[column].ne(first[column])].iloc[0]
    raise InputError(
        f"{what}: {first[SOURCE]} ({first[column][:12]}) and {other[SOURCE]} "
        f"({other[column][:12]}); they make no one table"
    )


def _words(names: object) -> str:
    parts = names if isinstance(names, tuple) else (names,)
    return ", ".join("no seed" if pd.isna(part) else str(part) for part in parts if part != "")
