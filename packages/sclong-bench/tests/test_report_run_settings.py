"""Commands that a report prints have the settings of the runs."""

import shlex

import pytest
import yaml

from sclong_bench.report.comparison import gather
from sclong_bench.report.provenance import commands
from sclong_bench.report.run_settings import settings_words
from sclong_bench.results.reading import read_results
from sclong_core.cli.main import main
from sclong_tasks.data_files import prepare_data
from sclong_tasks.drug_combination import task
from sclong_tasks.drug_combination.example import write_synthetic_files
from sclong_tasks.registry import get_model, get_task
from sclong_tasks.run import CONFIG_FILE
from sclong_tasks.settings import as_plain, read_changes, resolve


@pytest.mark.parametrize(
    ("name", "model", "changes"),
    [
        ("marker_clustering", "random", {"task": {"markers": "paper", "draws": 7}}),
        (
            "marker_clustering",
            "random",
            {"task": {"tissue": "a: b", "layer": "1e3", "cell_type_key": "null"}},
        ),
        ("drug_response", "sclong", {"model": {"training": {"epochs": 3}}}),
        ("grn", "correlation", {}),
    ],
)
def test_settings_come_back_from_their_words(name, model, changes, tmp_path):
    found = get_task(name)
    kinds = {"task": found.Settings, "model": get_model(found, model).Options}
    settings = {
        part: as_plain(resolve(kind, "honest", changes.get(part, {}), part))
        for part, kind in kinds.items()
    }
    config = {"task": name, "model": model, "protocol": "honest", "settings": settings}
    (tmp_path / CONFIG_FILE).write_text(yaml.safe_dump(config))
    words = settings_words(tmp_path)
    assert len(words) == sum(len(part) for part in changes.values())
    again = read_changes(None, words)
    for part, kind in kinds.items():
        assert as_plain(resolve(kind, "honest", again.get(part, {}), part)) == settings[part]


def test_nothing_is_said_of_runs_that_record_nothing(tmp_path):
    assert settings_words(None) == settings_words(tmp_path) == ()
    for text in ("- 1", "{", "task: none", "task: grn\nmodel: correlation\nprotocol: honest"):
        (tmp_path / CONFIG_FILE).write_text(text)
        assert settings_words(tmp_path) == ()


def test_the_commands_make_the_same_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_synthetic_files(tmp_path / "files")
    prepare_data(task, tmp_path / "task-data" / "drug_combination", str(tmp_path / "files"))
    words = ["task", "run", task.name, "--model", "pair_prior", "drug_prior", "--seed", "1"]
    assert main([*words, "--set", "task.bootstrap_draws=20", "--output", "first"]) == 0
    printed = commands(gather(read_results(tmp_path / "first")))
    assert len(printed) == 1
    assert "--set task.bootstrap_draws=20" in printed[0]
    assert main([*shlex.split(printed[0])[1:], "--output", "again"]) == 0
    columns = ["model", "metric", "stratum", "value", "low", "high", "config_digest"]
    first, again = (
        read_results(tmp_path / name).rows[columns].sort_values(columns[:3]).reset_index(drop=True)
        for name in ("first", "again")
    )
    assert len(first)
    assert first.equals(again)
