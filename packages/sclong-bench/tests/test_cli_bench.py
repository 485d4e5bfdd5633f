import re
import shlex
from html import unescape

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


TWO_TASKS = """task,metric,model,seed,value
grn,epr,correlation,1,1.2
grn,epr,correlation,2,1.3
grn,epr,deep=sem (a b),1,1.1
grn,epr,deep=sem (a b),2,1.0
grn,epr,random,1,1.0
grn,epr,random,2,0.9
pairs,auroc,mine,1,0.8
pairs,auroc,mine,2,0.9
pairs,auroc,other,1,0.7
pairs,auroc,other,2,0.6
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"grn": "correlation"}),
        (["--role", "mine=simple"], {"grn": "correlation", "pairs": "mine"}),
        (["--reference", "other"], {"grn": "correlation", "pairs": "other"}),
        (["--reference", "pairs=other"], {"grn": "correlation", "pairs": "other"}),
        (["--reference", "MINE", "grn=random"], {"grn": "random", "pairs": "mine"}),
        (["--reference", "deep=sem (a b)"], {"grn": "deep=sem (a b)"}),
        (["--reference", "grn=deep=sem (a b)"], {"grn": "deep=sem (a b)"}),
        (["--reference", "grn=random", "--reference", "mine"], {"grn": "random", "pairs": "mine"}),
    ],
)
def test_a_reference_per_task_and_the_printed_command_makes_the_same_page(
    words, expected, tmp_path, capsys
):
    path, page = tmp_path / "two.csv", tmp_path / "r.html"
    path.write_text(TWO_TASKS)
    command = ["bench", "report", str(path), "-o", str(page), "--format", "html", "csv", *words]
    assert main(command) == 0
    said = capsys.readouterr().out
    for task in ("grn", "pairs"):
        assert re.search(rf"{task} reference +{re.escape(expected.get(task, 'none'))}", said)
    found = pd.read_csv(tmp_path / "r.comparisons.csv")
    assert dict(zip(found["task"], found["reference"], strict=True)) == expected
    first = page.read_text("utf-8")
    (line,) = re.findall(r"<code>(sclong bench report .*?)</code>", first)
    page.unlink()
    (tmp_path / "r.comparisons.csv").unlink()
    assert main(shlex.split(unescape(line))[1:]) == 0
    assert page.read_text("utf-8") == first
    assert (tmp_path / "r.comparisons.csv").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reference", "scGPT"], "no model is called 'scGPT'"),
        (["--reference", "knn=scGPT"], "no model is called 'scGPT' in the task 'knn'"),
        (["--reference", "kn=PCA"], "task 'kn', which the results do not have"),
        (["--reference", "PCA", "scLong"], "--reference names PCA and scLong for all tasks"),
        (["--reference", "knn=PCA", "knn=scLong"], "names PCA and scLong for knn"),
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
    assert "bad.csv, line 5, column 'value': 'high' is not a number" in said
