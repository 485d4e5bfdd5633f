"""Reports of one's own data: no number of the paper, and a headline that a floor does not win."""

import numpy as np
import pandas as pd
import pytest

from sclong_bench.report.comparison import gather
from sclong_bench.report.formats import models_frame
from sclong_bench.report.page import report_page
from sclong_bench.results.reading import Results
from sclong_bench.results.schema import tidy
from sclong_core.cli.main import main
from sclong_data.report.page import page_html
from sclong_tasks.batch_integration import task
from sclong_tasks.data_files import prepare_data
from tests.support.typed_cells import typed_counts


def evidence_of(*rows, **common):
    base = {"task": "drug_response", "metric": "pearson", "model": "sclong", "value": 0.5, **common}
    frame = pd.DataFrame([{**base, "seed": seed, **row} for row in rows for seed in (1, 2)])
    return gather(Results(tidy(frame), "made up"))


def published(evidence):
    return {line.label for one in evidence.settings for line in one.lines if line.published}


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"scenario": "random", "data_set": "paper"}, True),
        ({"scenario": "random", "data_digest": "9691288f" + "0" * 56}, True),
        ({"scenario": "random", "data_digest": "0" * 64}, False),
        ({"scenario": "random"}, False),
        ({"scenario": "pair", "data_set": "paper"}, False),
        ({"scenario": "cell_line", "data_set": "paper"}, False),
        ({"data_set": "paper"}, False),
    ],
)
def test_data_set_and_split_must_both_be_the_papers(columns, shown):
    found = evidence_of({"model": "sclong"}, {"model": "linear"}, **columns)
    assert ({"sclong", "Geneformer"} <= published(found)) == bool(published(found)) == shown
    page = page_html(report_page(found))
    assert ("0.878" in page) == shown
    assert models_frame(found)["published"].notna().any() == shown


@pytest.mark.parametrize(
    ("name", "metric", "scenario", "other"),
    [
        ("batch_integration", "batch_asw", "zero_shot", ""),
        ("chemical_perturbation", "pearson", "files", "compound"),
        ("drug_combination", "auroc", "independent", "pair"),
        ("grn", "aupr_ratio", "specific", "string"),
    ],
)
def test_so_it_is_in_every_task(name, metric, scenario, other):
    own = {"task": name, "metric": metric, "scenario": scenario}
    assert published(evidence_of({}, **own, data_set="paper"))
    assert not published(evidence_of({}, **own))
    if other:
        assert not published(evidence_of({}, **{**own, "scenario": other}, data_set="paper"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Cells of one's own through the commands: their results, and the task's own table."""
    root = tmp_path_factory.mktemp("own")
    counts, types = typed_counts(90, 40)
    import anndata  # noqa: PLC0415  # only here

    obs = pd.DataFrame(
        {"batch": np.tile(["x", "y"], 45), "cell_type": types},
        index=[f"cell {number}" for number in range(90)],
    )
    var = pd.DataFrame(index=[f"GENE{number}" for number in range(40)])
    anndata.AnnData(counts, obs=obs, var=var).write_h5ad(root / "own.h5ad")
    prepare_data(task, root / "data", str(root / "own.h5ad"))
    words = ["task", "run", "batch_integration", "--model", "pca", "permuted_pca", "--seed", "1"]
    words += ["2", "--data", str(root / "data"), "--output", str(root / "runs")]
    assert main([*words, "--set", "task.bootstrap=5"]) == 0
    return root


def test_a_page_of_own_cells_holds_no_number_of_the_paper(runs):
    assert main(["bench", "report", str(runs / "runs"), "-o", str(runs / "page.html")]) == 0
    page = (runs / "page.html").read_text("utf-8")
    for number in ("0.96", "0.89", "0.85", "0.83", "0.71", "0.62", "not run", "Geneformer"):
        assert f">{number}<" not in page, number
    words = ["task", "results", str(runs / "runs"), "--markdown", str(runs / "t.md")]
    assert main(words) == 0
    table = (runs / "t.md").read_text("utf-8")
    assert "Geneformer" not in table
    assert "scGPT" not in table


def test_a_permuted_embedding_does_not_win_the_headline_of_batch_integration(runs):
    from sclong_bench.results.reading import read_results  # noqa: PLC0415  # only here

    evidence = gather(read_results(runs / "runs"))
    mixing, types = evidence.main_settings("batch_integration")
    assert (mixing.metric, types.metric) == task.headline == ("bras", "nmi")
    values = {one.metric: {line.label: line.mean for line in one.lines} for one in (mixing, types)}
    assert values["nmi"]["permuted_pca"] < values["nmi"]["pca"] - 0.3
    page = page_html(report_page(evidence))
    summary = page.partition("</table>")[0]
    assert "bras" in summary.lower()
    assert "nmi" in summary.lower()
