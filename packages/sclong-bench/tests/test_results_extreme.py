"""Numbers at the ends of what a number can be, in tables of results of every format."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from sclong_bench.results.reading import read_results
from sclong_core.cli.main import main
from sclong_core.errors import InputError

ROWS = [
    {"task": "t", "metric": "mse", "model": model, "seed": seed, "value": 0.5 + seed / 10}
    for model in ("scLong", "other")
    for seed in (1, 2, 3)
]
PLACE = "(row 5|line 6)"
"""In a file of lines the heading is the first."""
KEPT = [0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-70, 1e69, -1e69]
REFUSED = [1e71, -1e71, 1e300, 1e308, -1e308, 1.7976931348623157e308]
BEYOND = ["1e309", "9" * 400, "-" + "9" * 400]
"""Texts that no float holds."""
INTEGERS = [2**63, 2**64, 10**30, -(10**30), "1e30", "9" * 400, "inf"]


def write(path, rows):
    table = pd.DataFrame(rows)
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if path.suffix == ".tsv" else ",", index=False)
    return path


def changed(column, value):
    return [{**row, column: value} if place == 4 else dict(row) for place, row in enumerate(ROWS)]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".parquet"])
@pytest.mark.parametrize("value", KEPT)
def test_small_and_moderate_numbers_are_read_as_they_are(tmp_path, ending, value):
    path = write(tmp_path / f"r{ending}", changed("value", value))
    found = read_results(path).rows["value"].iloc[4]
    assert found == (value if abs(value) >= 1e-70 else 0)  # less is as good as nothing


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".json", ".parquet"])
@pytest.mark.parametrize("value", REFUSED)
def test_numbers_beyond_all_measure_are_refused_by_row_and_column(tmp_path, ending, value):
    path = write(tmp_path / f"r{ending}", changed("value", value))
    with pytest.raises(InputError, match=f"{PLACE}, column 'value'"):
        read_results(path)


@pytest.mark.parametrize("column", ["value", "low", "high"])
@pytest.mark.parametrize("text", BEYOND)
def test_texts_that_no_number_holds_are_bounded_or_refused(tmp_path, column, text):
    rows = [{name: str(held) for name, held in row.items()} for row in changed(column, text)]
    said, found = "", math.inf
    try:
        found = read_results(write(tmp_path / "r.csv", rows)).rows[column].iloc[4]
    except InputError as error:
        said = str(error)
    assert math.isinf(found)
    assert not said or re.search(rf"{PLACE}, column '{column}'", said)
    assert len(said) < 600


@pytest.mark.parametrize("value", INTEGERS)
@pytest.mark.parametrize("column", ["seed", "n", "wall_seconds", "peak_memory_bytes"])
def test_whole_numbers_beyond_64_bits_are_refused_by_row_and_column(tmp_path, column, value):
    rows = [{**row, column: str(row.get(column, 7))} for row in ROWS]
    rows[4][column] = str(value)
    with pytest.raises(InputError, match=rf"{PLACE}, column '{column}'") as refused:
        read_results(write(tmp_path / "r.csv", rows))
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 5e-324, -0.0, 1e69])
def test_a_report_of_extreme_numbers_is_a_page_or_one_line(tmp_path, capsys, value):
    rows = [{**row, "value": str(row["value"])} for row in ROWS]
    rows[4]["value"] = str(value)
    path = write(tmp_path / "r.csv", rows)
    words = ["bench", "report", str(path), "-o", str(tmp_path / "r.html")]
    status = main([*words, "--format", "html", "csv", "markdown", "latex", "svg"])
    printed = capsys.readouterr()
    assert status in (0, 2)
    assert "Traceback" not in printed.err
    if status == 2:
        assert len([line for line in printed.err.splitlines() if line.startswith("error:")]) == 1
    else:
        for drawing in tmp_path.rglob("*.svg"):
            assert not re.search(r'="[^"]*(nan|inf)\b[^"]*"', drawing.read_text("utf-8").lower())
