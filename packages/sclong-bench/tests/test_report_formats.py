import math
import re
import shutil
import subprocess
from xml.etree.ElementTree import parse

import pandas as pd
import pytest

from sclong_bench.report.comparison import gather
from sclong_bench.report.formats import models_frame, write_formats
from sclong_bench.results.reading import read_results
from sclong_core.errors import ConfigError
from sclong_core.escaping import for_latex


@pytest.fixture(scope="module")
def evidence(made_up_runs):
    return gather(read_results(made_up_runs))


@pytest.fixture(scope="module")
def written(evidence, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "deep" / "report.html"
    files = write_formats(path, evidence, ["html", "csv", "markdown", "latex", "svg"])
    return path.parent, files


def test_everything_that_is_asked_for_is_written(written):
    folder, files = written
    assert all(file.is_file() for file in files)
    names = {str(file.relative_to(folder)) for file in files}
    assert {"report.html", "report.models.csv", "report.comparisons.csv", "report.md"} <= names
    assert {"report.tex", "report.beyond_seeds.csv"} <= names


def test_csv_holds_the_numbers_unrounded(written, evidence):
    folder, _ = written
    table = pd.read_csv(folder / "report.comparisons.csv")
    pd.testing.assert_series_equal(
        table["p_value"], evidence.comparisons["p_value"], check_exact=False, rtol=1e-14
    )
    models = pd.read_csv(folder / "report.models.csv")
    assert len(models) == len(models_frame(evidence))
    row = models.query("model == 'sclong' and metric == 'pearson' and stratum != stratum").iloc[0]
    assert row["published"] == 0.878
    assert math.isfinite(row["mean"])


def test_markdown_keeps_names_as_text(written):
    text = (written[0] / "report.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {10}
    assert "\\<b>T\\</b>" in text
    assert "| sclong | reference | 0.878 |" in text


def test_latex_keeps_names_as_text(written):
    text = (written[0] / "report.tex").read_text("utf-8")
    assert for_latex("a_b & 50 % <x> {y} \\") == r"a\_b \& 50 \% $<$x$>$ \{y\} \textbackslash{}"
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 6
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {8}
    assert all(ord(character) < 128 for character in text)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(written, tmp_path):
    body = (written[0] / "report.tex").read_text("utf-8")
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n%s\\end{document}"
    (tmp_path / "all.tex").write_text(document % body)
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_figures_are_files(written):
    _, files = written
    figures = [file for file in files if file.suffix == ".svg"]
    assert len(figures) == 12
    for figure in figures:
        root = parse(figure).getroot()  # noqa: S314  # our own
        assert root.tag.endswith("svg")
        assert "var(" not in figure.read_text("utf-8")


def test_unknown_formats_are_refused(evidence, tmp_path):
    with pytest.raises(ConfigError, match="docx"):
        write_formats(tmp_path / "r.html", evidence, ["docx"])
    assert not list(tmp_path.iterdir())
