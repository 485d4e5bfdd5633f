"""The commands on made-up files: data, run, predict, results, and what they say."""

import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_tasks.drug_response.example import write_example


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_example(tmp_path / "original")
    return tmp_path


def test_from_original_files_to_predictions_and_a_table(place, capsys):
    assert main(["task", "list"]) == 0
    assert "not there" in capsys.readouterr().out
    assert main(["task", "data", "drug_response", "--source", "original"]) == 0
    assert main(["task", "list", "drug_response"]) == 0
    shown = capsys.readouterr().out
    assert "there: task-data/drug_response" in shown
    assert "GDSC_IC50.csv" in shown.replace("\n", "")
    words = ["task", "run", "drug_response", "--model", "drug_mean", "drug_line_offsets"]
    words += ["--seed", "1", "2", "--set", "task.bootstrap=10"]
    assert main(words) == 0
    runs = sorted((place / "task-runs" / "drug_response").iterdir())
    assert len(runs) == 4
    assert main([*words, "--resume"]) == 0
    assert main(words) == 1
    capsys.readouterr()
    pd.DataFrame({"line": ["ACH-000002"], "smiles": ["CCO"]}).to_csv("pairs.csv", index=False)
    ask = ["task", "predict", "drug_response", "--run", str(runs[0])]
    assert main([*ask, "--input", "pairs.csv"]) == 0
    assert "predicted_ln_ic50" in capsys.readouterr().out
    assert main([*ask, "--input", "pairs=pairs.csv", "--output", "out.csv"]) == 0
    assert len(pd.read_csv("out.csv")) == 1
    assert main(["task", "results", "task-runs", "--csv", "rows.csv", "--markdown", "t.md"]) == 0
    assert "| drug_line_offsets | 2 |" in (place / "t.md").read_text()
    assert len(pd.read_csv("rows.csv")) == 16
    assert main(["task", "results", "task-runs", "--csv", "rows.csv"]) == 0
    (place / "rows.csv").write_text("task,protocol,scenario,metric\nmy,own,table,\n")
    assert main(["task", "results", "task-runs", "--csv", "rows.csv"]) == 2
    assert "my,own,table" in (place / "rows.csv").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "x"], "no task"),
        (["data", "drug_response", "--source", "none"], "none does not exist: give a folder"),
        (["run", "drug_response", "--model", "drug_mean"], "run sclong task data"),
        (["run", "drug_response", "--model", "drug_mean", "--set", "x"], "name=value"),
        (["results", "original"], "no metrics.json"),
    ],
)
def test_what_cannot_be_done_is_one_line(place, capsys, words, said):
    assert main(["task", *words]) == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert "Traceback" not in error


def test_new_lines_need_their_expression(place, capsys):
    main(["task", "data", "drug_response", "--source", "original"])
    main(["task", "run", "drug_response", "--model", "linear", "--set", "model.bits=32"])
    run = next((place / "task-runs" / "drug_response").iterdir())
    pd.DataFrame({"line": ["new", "ACH-000001"], "pubchem": ["1003", "1004"]}).to_csv(
        "pairs.csv", index=False
    )
    ask = ["task", "predict", "drug_response", "--run", str(run), "--input", "pairs=pairs.csv"]
    assert main(ask) == 2
    assert "1 cell lines are unknown: new" in " ".join(capsys.readouterr().err.split())
    genes = {f"GENE{number}": [1.0] for number in range(12)}
    pd.DataFrame({"line": ["new"], **genes}).to_csv("new.csv", index=False)
    assert main([*ask, "--input", "expression=new.csv"]) == 0
    pd.DataFrame({"line": ["new"], "GENE0": [1.0]}).to_csv("few.csv", index=False)
    assert main([*ask, "--input", "expression=few.csv"]) == 2
    assert "lacks 11 genes" in " ".join(capsys.readouterr().err.split())
    pd.DataFrame({"line": ["ACH-000001"], "pubchem": ["9"]}).to_csv("pairs.csv", index=False)
    assert main(ask) == 2
    assert "1 drugs are not among the known ones: 9" in " ".join(capsys.readouterr().err.split())
