import pandas as pd
import pytest

from sclong_bench.cli import report, statistics
from sclong_bench.report.formats import FORMATS
from sclong_bench.statistics.tests import TESTS
from sclong_core.cli.main import main


@pytest.mark.parametrize("words", [[], ["report"], ["compare"]])
def test_every_command_explains_itself(capsys, words):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", *words, "--help"])
    assert stopped.value.code == 0
    assert " ".join(["sclong bench", *words]) in capsys.readouterr().out


def test_choices_are_those_of_the_modules_that_are_slow_to_import():
    assert statistics.TESTS == TESTS
    assert report.FORMATS == FORMATS


def test_a_report_of_any_tidy_table(table, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["bench", "report", str(table), "-o", str(page)]) == 0
    html = page.read_text("utf-8")
    assert "trivial baseline" in html
    assert f"sclong bench report {table}" in html
    out = capsys.readouterr().out
    assert "ahead of all 2" in out
    assert "report.html" in "".join(out.split())


def test_statistics_and_roles_by_argument(table, tmp_path):
    page = tmp_path / "r.html"
    words = ["--test", "paired", "--family", "", "--correction", "by", "--role", "PCA=floor"]
    words += ["--format", "html", "csv", "--reference", "pca"]
    assert main(["bench", "report", str(table), "-o", str(page), *words]) == 0
    found = pd.read_csv(tmp_path / "r.comparisons.csv")
    assert set(found["reference"]) == {"PCA"}
    assert set(found["family"]) == {"all comparisons"}
    assert set(found["correction"]) == {"by"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "scGPT"], "no model is called 'scGPT'"),
        (["--role", "PCA"], "write MODEL=ROLE"),
        (["--role", "PCA=best"], "the role 'best'"),
        (["--family", "seed"], "families cannot be made by 'seed'"),
    ],
)
def test_wrong_arguments_get_one_line(table, tmp_path, capsys, words, message):
    page = tmp_path / "r.html"
    assert main(["bench", "report", str(table), "-o", str(page), *words]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not page.exists()


def test_wrong_files_get_one_line(table, tmp_path, capsys):
    path = tmp_path / "bad.csv"
    path.write_text(table.read_text().replace("0.85", "high"))
    assert main(["bench", "report", str(path), "-o", str(tmp_path / "r.html")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "bad.csv, line 5, column 'value': 'high' is no number" in said
