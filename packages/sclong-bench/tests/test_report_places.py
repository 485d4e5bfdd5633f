"""A report replaces a former report, and nothing else that is there."""

import json

import pandas as pd
import pytest

from sclong_bench.report import formats
from sclong_bench.report.formats import FORMATS
from sclong_core.cli.main import main

MODELS = ("m", "n")


def table(folder, tasks=("t",), name="r.json"):
    rows = [
        {
            "task": task,
            "metric": "acc",
            "model": model,
            "seed": seed,
            "value": 0.5 + 0.01 * seed + 0.1 * place,
            "higher_is_better": True,
        }
        for task in tasks
        for place, model in enumerate(MODELS)
        for seed in (1, 2, 3)
    ]
    path = folder / name
    if path.suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text(json.dumps(rows))
    return path


def report(results, output, *names):
    words = ["bench", "report", str(results), "-o", str(output), "--reference", "m"]
    return main([*words, "--format", *names])


def test_a_former_report_is_replaced_in_every_format(tmp_path):
    for tasks in (("t", "u"), ("t",)):
        assert report(table(tmp_path, tasks), tmp_path / "rep.html", *FORMATS) == 0
    assert len(list((tmp_path / "rep.figures").iterdir())) == 2
    assert "## U" not in (tmp_path / "rep.md").read_text()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("html", "rep.html"),
        ("csv", "rep.models.csv"),
        ("csv", "rep.comparisons.csv"),
        ("markdown", "rep.md"),
        ("latex", "rep.tex"),
        ("svg", "rep.figures/thesis.docx"),
        ("svg", "rep.figures/own.svg"),
        ("svg", "rep.figures"),
    ],
)
def test_what_no_report_has_written_stays(tmp_path, capsys, name, place):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("<svg>of my own</svg>")
    assert report(table(tmp_path), tmp_path / "rep.html", "markdown", "csv", name) == 2
    assert path.read_text() == "<svg>of my own</svg>"
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert path.name in error
    written = {one.name for one in tmp_path.iterdir()} - {"r.json", place.partition("/")[0]}
    assert not written  # nothing of the other formats either


def test_what_is_read_is_never_written(tmp_path, capsys):
    own = table(tmp_path, name="x.models.csv")
    before = own.read_bytes()
    assert report(own, tmp_path / "x.html", "csv") == 2
    assert report(own, own, "html") == 2
    link = tmp_path / "y.models.csv"
    link.symlink_to(own)
    assert report(own, tmp_path / "y.html", "csv") == 2
    assert own.read_bytes() == before
    assert "is also an input" in capsys.readouterr().err


def test_a_folder_of_figures_that_is_a_link_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "rep.figures").symlink_to(tmp_path / "elsewhere")
    assert report(table(tmp_path), tmp_path / "rep.html", "svg") == 2
    assert (tmp_path / "rep.figures").is_symlink()


def test_compare_writes_over_a_former_comparison_alone(tmp_path):
    a, b = table(tmp_path), table(tmp_path, name="b.csv")
    for name in ("out.csv", "out.json", "out.parquet"):
        words = ["bench", "compare", str(a), str(b), "-o", str(tmp_path / name)]
        assert main(words) == 0
        assert main(words) == 0
        (tmp_path / name).write_text("[1]")
        assert main(words) == 2
        assert (tmp_path / name).read_text() == "[1]"
    before = b.read_bytes()
    assert main(["bench", "compare", str(a), str(b), "-o", str(b)]) == 2
    assert b.read_bytes() == before


def test_every_task_has_its_figures_whatever_its_name(tmp_path):
    tasks = ("a b", "a-b", "A_B", "\u65e5\u672c", "\u4e2d\u6587", "x" * 300)
    assert report(table(tmp_path, tasks), tmp_path / "rep.html", "svg", "latex") == 0
    assert len(list((tmp_path / "rep.figures").iterdir())) == 2 * len(tasks)
    labels = [line for line in (tmp_path / "rep.tex").read_text().splitlines() if r"\label" in line]
    assert len(set(labels)) == len(tasks)


def test_marks_of_formats_are_comments():
    assert formats._LATEX_MARK.startswith("% ")
    assert formats._MARKDOWN_MARK.startswith("<!-- ")
