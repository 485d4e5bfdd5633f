"""Harmony, scVI, Leiden and drawings of batch integration, on made-up cells."""

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.testing import synthetic_gene_ids
from sclong_tasks.batch_integration import task
from sclong_tasks.batch_integration.config import IntegrationSettings
from sclong_tasks.batch_integration.data import read_cells
from sclong_tasks.batch_integration.metrics import measure
from sclong_tasks.batch_integration.models.corrected import Placed, ScViOptions
from sclong_tasks.drawn import draw_runs
from sclong_tasks.maps import label_maps, plane
from sclong_tasks.registry import get_model
from sclong_tasks.run import fit_and_predict
from sclong_tasks.settings import resolve
from sclong_tasks.task import RunContext

CELLS, GENES = 90, 24
SETTINGS = IntegrationSettings(min_genes=2, min_cells=3, bootstrap=20)


def make_cells():
    """Three types with genes of their own; other genes are high in the second batch."""
    generator = np.random.default_rng(0)
    types, batches = np.repeat(["B", "NK", "T"], CELLS // 3), np.tile(["x", "y"], CELLS // 2)
    means = np.full((CELLS, GENES), 2.0)
    for place, kind in enumerate(["B", "NK", "T"]):
        means[types == kind, 6 * place : 6 * place + 4] = 12
    means[batches == "y", 18:] = 14
    return anndata.AnnData(
        generator.poisson(means).astype(np.float32),
        obs=pd.DataFrame(
            {"batch": batches, "cell_type": types}, index=[f"cell{n}" for n in range(CELLS)]
        ),
        var=pd.DataFrame(index=synthetic_gene_ids(GENES)),
    )


@pytest.fixture
def path(tmp_path):
    make_cells().write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


@pytest.fixture
def data(path):
    return read_cells(path, SETTINGS)


def embedded(name, data, tmp_path, **changes):
    kind = get_model(task, name)
    model = kind(resolve(kind.Options, "honest", changes, "model"))
    context = RunContext(seed=2, protocol="honest", scratch=tmp_path, device="cpu")
    split = task.split(data, scenario="zero_shot", seed=2, settings=SETTINGS)
    found = fit_and_predict(task, model, data, split, context, SETTINGS)
    return model, found, context


def scores(found, data, settings=SETTINGS):
    metrics = measure(found.to_numpy(), data.batch, data.cell_type, seed=0, settings=settings)
    return {metric.name: metric.value for metric in metrics}


def check_placed(name, data, tmp_path, **changes):
    """Repeats with its seed, comes back from its files, and places no other cells."""
    model, found, context = embedded(name, data, tmp_path, **changes)
    pd.testing.assert_frame_equal(embedded(name, data, tmp_path, **changes)[1], found)
    folder = tmp_path / name
    folder.mkdir()
    model.save(folder)
    again = type(model).load(folder, context)
    rows = np.arange(CELLS)
    pd.testing.assert_frame_equal(again.predict(data.hide(rows), rows), found)
    again.arrays["cells"] = again.arrays["cells"][1:]
    with pytest.raises(InputError, match="1 cells are not among those that were integrated: cell0"):
        again.predict(data, rows)
    return found


def test_harmony_mixes_batches_that_components_keep_apart(data, tmp_path):
    pytest.importorskip("harmonypy")
    found = scores(check_placed("harmony", data, tmp_path), data)
    components = scores(embedded("pca", data, tmp_path)[1], data)
    assert found["cilisi"] > components["cilisi"] + 0.05
    assert found["bras"] > components["bras"] + 0.1
    assert found["nmi"] > 0.9


def test_harmony_is_that_of_its_package(data, tmp_path):
    harmonypy = pytest.importorskip("harmonypy")
    components = embedded("pca", data, tmp_path)[1].to_numpy(dtype=np.float64)
    expected = harmonypy.run_harmony(
        components, pd.DataFrame({"batch": data.batch}), ["batch"], verbose=False, random_state=2
    )
    found = embedded("harmony", data, tmp_path)[1]
    np.testing.assert_allclose(found, expected.Z_corr, atol=1e-3)


@pytest.mark.filterwarnings("ignore")  # of the packages that scvi-tools stands on
def test_scvi_learns_from_counts_alone(data, tmp_path):
    pytest.importorskip("scvi")
    found = check_placed("scvi", data, tmp_path, epochs=3)
    assert found.shape == (CELLS, 30)


def test_scvi_refuses_what_is_no_count(data, tmp_path):
    data.expression.values[0, 0] = 0.5
    with pytest.raises(InputError, match=r"name a layer with task\.layer"):
        embedded("scvi", data, tmp_path)
    with pytest.raises(ConfigError, match="latent"):
        ScViOptions(latent=0)


@pytest.mark.parametrize(("name", "package"), [("harmony", "harmonypy"), ("scvi", "scvi")])
def test_a_missing_package_is_named_with_its_extra(name, package, data, tmp_path, monkeypatch):
    assert issubclass(get_model(task, name), Placed)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"pip install 'sclong-tasks\[{name}\]'"):
        embedded(name, data, tmp_path)


def test_leiden_is_measured_where_it_is_asked_for(data, tmp_path, monkeypatch):
    pytest.importorskip("igraph")
    found = embedded("pca", data, tmp_path)[1]
    settings = IntegrationSettings(bootstrap=5, leiden=True)
    values = scores(found, data, settings)
    assert values["nmi_leiden"] >= 0.6
    assert "nmi_leiden" not in scores(found, data)
    monkeypatch.setattr("sclong_tasks.metrics.leiden.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"sclong-tasks\[leiden\]"):
        task.split(data, scenario="zero_shot", seed=0, settings=settings)


def test_runs_are_drawn_from_what_they_left(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["task", "data", "batch_integration", "--source", str(path)]) == 0
    words = ["--model", "pca", "random_embedding", "--seed", "1", "2", "--set", "task.min_genes=2"]
    assert main(["task", "run", "batch_integration", *words, "--set", "task.bootstrap=20"]) == 0
    metrics = ["--metrics", "cell_type_asw", "batch_asw"]
    assert main(["task", "figures", "task-runs", "-o", "out", "--map", "pca", *metrics]) == 0
    names = sorted(file.name for file in Path("out").iterdir())
    assert len(names) == 6  # two metrics; two models by batch and by type, one seed each
    assert "batch_integration-honest-zero_shot-cell_type_asw-all.svg" in names
    maps = [name for name in names if name.startswith("pca-") and "seed1" in name]
    assert [name.rsplit("-", 1)[1] for name in maps] == ["batch.svg", "cell_type.svg"]
    text = (Path("out") / maps[1]).read_text()
    for said in ("pca, by cell type", "NK 30", "component 2"):
        assert said in text
    assert main(["task", "results", "task-runs", "--csv", "rows.csv"]) == 0
    assert main(["task", "figures", "rows.csv", "-o", "bars"]) == 0
    assert sorted(file.name for file in Path("bars").iterdir()) == [
        "batch_integration-honest-zero_shot-bras-all.svg",
        "batch_integration-honest-zero_shot-nmi-all.svg",
    ]
    capsys.readouterr()
    assert main(["task", "figures", "task-runs", "-o", "out2", "--metrics", "auroc"]) == 2
    assert "has no auroc" in capsys.readouterr().err
    with pytest.raises(InputError):
        draw_runs(Path("rows.csv"), Path("bars"))  # is there already


def test_maps_name_all_groups_inside_the_picture(data):
    points = plane(data.expression.values, way="pca")
    assert points.shape == (CELLS, 2)
    assert plane(np.arange(4.0)[:, None], way="pca").shape == (4, 2)
    drawings = label_maps(points, {"cell_type": data.cell_type}, axes="component", name="raw")
    drawing = drawings["cell_type"]
    _, _, width, height = map(float, drawing.get("viewBox").split())
    places = [(float(text.get("x", 0)), float(text.get("y", 0))) for text in drawing.iter("text")]
    assert all(0 <= x < width and 0 <= y < height for x, y in places)


def test_maps_without_umap_say_what_to_install(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ConfigError, match=r"sclong-tasks\[umap\]"):
        plane(data.expression.values)


@pytest.mark.slow
def test_umap_keeps_planted_types_together(data):
    pytest.importorskip("umap")
    points = plane(data.expression.log1p, seed=3)
    np.testing.assert_array_equal(plane(data.expression.log1p, seed=3), points)
    middles = np.array([points[data.cell_type == kind].mean(0) for kind in ("B", "NK", "T")])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(1)
    assert (np.array(["B", "NK", "T"])[nearest] == data.cell_type).mean() > 0.8
