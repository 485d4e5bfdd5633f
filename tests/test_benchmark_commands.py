"""``python -m benchmarks.commands``; busy machines and previous results, for all benchmarks."""

import copy
import json

import pytest

from benchmarks import commands, core, machine
from benchmarks.previous import beside_previous


@pytest.mark.slow
def test_commands_are_run_and_written_down(tmp_path):
    commands.main(["--only", "embed", "--cells", "60", "--output", str(tmp_path), "--busy"])
    commands.main(["--only", "embed", "--cells", "60", "--output", str(tmp_path)])
    (row,) = json.loads((tmp_path / "commands.json").read_text())["measurements"]
    assert row["bytes_peak"] > 1e8
    assert row["processor_seconds"] > 0
    assert row["page_faults"] > 1000
    text = (tmp_path / "commands.md").read_text()
    assert "| [embed](../../docs/mini.md) |" in text
    assert "Of 1 figures of" in text


def test_a_command_that_fails_ends_the_benchmark_with_its_words(tmp_path):
    missing = commands.Command("embed", "embed {cells} -o {out}.h5ad", "mini.md")
    places = {"cells": str(tmp_path / "missing.h5ad"), "out": str(tmp_path / "out")}
    with pytest.raises(RuntimeError, match=r"embed: .*missing\.h5ad"):
        commands.measure(missing, places)


def test_every_command_names_a_page():
    for command in commands.COMMANDS:
        assert (machine.ROOT / "docs" / command.page).is_file()


@pytest.mark.parametrize("main", [core.main, commands.main])
def test_kept_results_are_not_replaced_on_a_busy_machine(main, monkeypatch, capsys):
    monkeypatch.setattr(machine, "load_average", lambda: 7.5)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "other processes are running (load 7.5" in capsys.readouterr().err


def results(seconds, *, load=0.0, cores=2):
    kind = {"system": "Linux", "architecture": "x", "cores": cores, "instruction_set": "AVX2"}
    return {
        "date": "2026-01-02",
        "commit": "abc",
        "load_at_start": load,
        "machine": {**kind, "accelerator": None},
        "measurements": [{"name": {"of": n}, "s": s} for n, s in enumerate(seconds)],
    }


def beside(before, now):
    return "\n".join(beside_previous(before, now, key=("name.of",), value="s"))


def test_what_moved_is_named_beside_the_previous_results():
    text = beside(results([1.0, 2.0, 3.0]), results([1.05, 3.0, 1.5, 9.0]))
    assert "Of 3 figures of 2026-01-02, commit abc, 2 moved by more than 10%." in text
    assert "- 1: 2.00 s, now 3.00 s (+50%)" in text
    assert "- 2: 3.00 s, now 1.50 s (-50%)" in text
    assert "Other processes" not in text


def test_results_of_a_busy_machine_are_compared_with_a_warning():
    assert "Other processes ran" in beside(results([1.0]), results([2.0], load=3.0))


def test_another_machine_is_not_compared():
    text = beside(results([1.0]), results([2.0], cores=8))
    assert "another machine (cores)" in text
    assert "moved" not in text
    assert "There were none" in beside(None, copy.deepcopy(results([1.0])))
