import json

import pandas as pd
import pytest

from sclong_core.cli.main import main


@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_two_result_sets(table, tmp_path, capsys, ending):
    other = tmp_path / "other.csv"
    other.write_text(
        table.read_text().replace("0.91", "0.81").replace("0.92", "0.82").replace("0.90", "0.80")
    )
    output = tmp_path / f"moved.{ending}"
    assert main(["bench", "compare", str(table), str(other), "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert "moved, worse" in out
    assert "2 same; 1 moved" in out
    rows = {
        "csv": lambda: pd.read_csv(output).to_dict("records"),
        "json": lambda: json.loads(output.read_text()),
        "parquet": lambda: pd.read_parquet(output).to_dict("records"),
    }[ending]()
    assert [row["verdict"] for row in rows] == ["moved", "same", "same"]


def test_two_result_sets_that_are_the_same(table, tmp_path, capsys):
    assert main(["bench", "compare", str(table), str(table)]) == 0
    assert capsys.readouterr().out.strip() == "3 same"
    assert main(["bench", "compare", str(table), str(table), "--all"]) == 0
    assert "PCA" in capsys.readouterr().out
    assert main(["bench", "compare", str(table), str(table), "-o", str(tmp_path / "x.doc")]) == 2
