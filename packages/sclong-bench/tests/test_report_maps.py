import json
import shutil

import numpy as np
import pandas as pd
import pytest

from sclong_bench.report import maps
from sclong_bench.report.comparison import gather
from sclong_bench.report.figures import ablation_figure
from sclong_bench.report.page import report_page
from sclong_bench.results.reading import read_results

MODELS = ("sclong", "sclong_no_graph", "pca")
CELLS = 24


def _run(folder, model, seed):
    generator = np.random.default_rng(seed)
    row = {"task": "mixing", "metric": "bras", "model": model, "seed": seed}
    row |= {"value": 0.5 + 0.01 * seed + 0.1 * MODELS.index(model)}
    run = folder / f"{model}-{seed}"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps({"rows": [row], "facts": {}}))
    table = pd.DataFrame(
        generator.normal(size=(CELLS, 3)), columns=["predicted_0", "predicted_1", "predicted_2"]
    )
    table.insert(0, "batch", np.array(["b1", "b2", "b3"])[np.arange(CELLS) % 3])
    table.insert(1, "cell_type", np.array(["T", "NK"])[np.arange(CELLS) % 2])
    table.to_parquet(run / "predictions.parquet")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for model in MODELS:
        for seed in (1, 2):
            _run(folder, model, seed)
    failed = folder / "broken"
    failed.mkdir()
    why = {"task": "mixing", "model": "pca", "protocol": "", "scenario": "", "seed": 3}
    (failed / "failed.json").write_text(json.dumps({**why, "reason": "no memory"}))
    return folder


@pytest.fixture
def evidence(results, monkeypatch):
    monkeypatch.setattr(maps, "umap", lambda values, settings: values[:, :2])
    return gather(read_results(results))


def test_cells_are_drawn_by_batch_and_by_type_for_two_models(evidence):
    by_batch, by_type = maps.run_maps(evidence, "mixing")
    assert len(by_batch.panels) == len(by_type.panels) == 2
    assert [row[0] for row in by_batch.numbers[0].rows] == ["b1", "b2", "b3"]
    assert sorted(row[0] for row in by_type.numbers[0].rows) == ["NK", "T"]
    assert all(row[1] == CELLS / 3 for row in by_batch.numbers[0].rows)


def test_shuffled_cells_are_drawn_where_there_is_nothing_else(results, tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "umap", lambda values, settings: values[:, :2])
    shutil.copytree(results, tmp_path / "runs")
    for path in (tmp_path / "runs").glob("*/metrics.json"):
        text = path.read_text().replace('"sclong_no_graph"', '"permuted_pca"')
        path.write_text(text.replace("0.6", "0.9"))  # mixes best
    by_batch, _ = maps.run_maps(gather(read_results(tmp_path / "runs")), "mixing")
    names = [panel.find("title").text for panel in by_batch.panels]
    assert names == ["Map of the cells: sclong", "Map of the cells: pca"]


def test_rows_that_are_no_cells_are_not_drawn(evidence, results):
    for path in results.glob("*/predictions.parquet"):
        pd.read_parquet(path).drop(columns="batch").to_parquet(path)
    assert maps.run_maps(evidence, "mixing") == []


def test_ablations_stand_beside_the_whole_model_without_other_models(evidence):
    figure = ablation_figure(evidence, "mixing")
    assert figure is not None
    assert [column.heading for column in figure.numbers[0].columns[1:]] == [
        "sclong",
        "sclong_no_graph",
    ]


def test_runs_that_failed_are_counted(evidence):
    assert "1 run failed" in "".join(report_page(evidence).summary.itertext())
