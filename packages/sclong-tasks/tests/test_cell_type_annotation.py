"""The task of cell-type annotation, from a file to metrics and predictions of new cells."""

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from sclong_core.errors import InputError
from sclong_core.testing import make_tiny_model, synthetic_gene_ids
from sclong_tasks.cell_type_annotation import task
from sclong_tasks.cell_type_annotation.data import AnnotationSettings, read_cells
from sclong_tasks.cell_type_annotation.task import BY_CELL, HELD_OUT
from sclong_tasks.data_files import prepare_data
from sclong_tasks.predict import PredictRequest, predict
from sclong_tasks.registry import get_model
from sclong_tasks.run import RunRequest, run_task
from sclong_tasks.task import RunContext
from tests.support.typed_cells import typed_counts

GENES = 60


def write(path, count=240, *, seed=0, **obs):
    counts, kinds = typed_counts(count, GENES, types=4, seed=seed)
    found = anndata.AnnData(counts, obs=pd.DataFrame(index=[f"c{i}" for i in range(count)]))
    found.var_names = synthetic_gene_ids(GENES)
    found.obs["cell_type"], found.obs["donor"] = kinds, [f"d{i % 8}" for i in range(count)]
    for name, values in obs.items():
        found.obs[name] = values
    path.parent.mkdir(parents=True, exist_ok=True)
    found.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("types") / "cells.h5ad").parent


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    make_tiny_model(genes=GENES).save_pretrained(folder)
    return folder


def fitted(data, name, checkpoint, *, seed=0, scenario=HELD_OUT):
    settings = AnnotationSettings(bootstrap=20)
    cells = task.load(data, settings)
    split = task.split(cells, scenario=scenario, seed=seed, settings=settings)
    kind = get_model(task, name)
    model = kind(kind.Options())
    context = RunContext(seed=seed, protocol="honest", scratch=data, checkpoint=checkpoint)
    model.fit(cells.hide(split.test), split, context)
    told = model.predict(cells.hide(split.test), split.test)
    return cells, split, told, {m.name: m for m in task.evaluate(cells, told, split, settings)}


@pytest.mark.parametrize("name", ["sclong", "pca_logistic", "pca_neighbours"])
def test_models_beat_the_commonest_and_permuted_types(data, checkpoint, name):
    found = fitted(data, name, checkpoint)[3]["macro_f1"].value
    floors = [
        fitted(data, one, checkpoint)[3]["macro_f1"].value
        for one in ("commonest", "permuted_types")
    ]
    assert found > max(floors)
    if name != "sclong":
        assert found > 0.9


def test_metrics_are_those_of_scikit_learn_and_macro_f1_comes_first(data, checkpoint):
    cells, split, told, found = fitted(data, "pca_logistic", checkpoint)
    truth, labels = cells.cell_type[split.test], told.idxmax(axis=1).to_numpy()
    expected = f1_score(truth, labels, average="macro", labels=np.unique(truth))
    assert next(iter(found)) == "macro_f1" == task.headline[0]
    assert found["macro_f1"].value == pytest.approx(expected)
    expected = balanced_accuracy_score(truth, labels)
    assert found["balanced_accuracy"].value == pytest.approx(expected)
    np.testing.assert_allclose(told.sum(axis=1), 1, atol=1e-5)
    assert found["macro_f1"].low <= found["macro_f1"].value <= found["macro_f1"].high


def test_donors_are_kept_apart_and_the_seed_draws_them(data):
    settings = AnnotationSettings()
    cells = task.load(data, settings)
    held = set()
    for seed in range(5):
        split = task.split(cells, scenario=HELD_OUT, seed=seed, settings=settings)
        groups = [set(cells.group[getattr(split, part)]) for part in ("train", "test")]
        assert not groups[0] & groups[1]
        held.add(tuple(sorted(groups[1])))
    assert len(held) > 1
    by_cell = task.split(cells, scenario=BY_CELL, seed=0, settings=settings)
    assert by_cell.unit == "cell"


def test_a_file_without_donors_is_split_by_cell_and_says_so(tmp_path, caplog):
    path = write(tmp_path / "cells.h5ad")
    cells = anndata.read_h5ad(path)
    del cells.obs["donor"]
    cells.write_h5ad(path)
    settings = AnnotationSettings()
    found = task.load(tmp_path, settings)
    assert task.split(found, scenario=HELD_OUT, seed=0, settings=settings).unit == "cell"
    assert "task.group_key" in caplog.text


def test_hidden_types_are_not_there(data):
    cells = task.load(data, AnnotationSettings())
    hidden = cells.hide(np.arange(10))
    assert (hidden.cell_type[:10] == "").all()
    assert hidden.truth["cell_type"][:10].isna().all()
    assert (hidden.cell_type[10:] == cells.cell_type[10:]).all()


@pytest.mark.parametrize(
    ("obs", "settings", "message"),
    [
        ({"cell_type": "one"}, {}, "fewer than two cell types"),
        ({}, {"cell_type_key": "none"}, "task.cell_type_key"),
        ({}, {"group_key": "none"}, "task.group_key"),
        ({}, {"min_cells": 10_000}, "no gene"),
    ],
)
def test_cells_that_cannot_be_used_are_refused(tmp_path, obs, settings, message):
    path = write(tmp_path / "cells.h5ad", **obs)
    with pytest.raises(InputError, match=message):
        read_cells(path, AnnotationSettings(**settings))


def test_one_donor_is_refused_with_the_way_out(tmp_path):
    write(tmp_path / "cells.h5ad", donor="d0")
    settings = AnnotationSettings()
    cells = task.load(tmp_path, settings)
    with pytest.raises(InputError, match="--scenario cell"):
        task.split(cells, scenario=HELD_OUT, seed=0, settings=settings)


@pytest.mark.parametrize("model", ["pca_logistic", "pca_neighbours", "commonest"])
def test_a_run_is_kept_and_predicts_new_cells(tmp_path, model):
    path = write(tmp_path / "sources" / "mine.h5ad")
    prepare_data(task, tmp_path / "data", str(path))
    request = RunRequest(
        task=task.name, model=model, seed=0, data=tmp_path / "data", output=tmp_path / "runs"
    )
    folder = run_task(request).folder
    new = write(tmp_path / "new.h5ad", 50, seed=3)
    table = predict(
        PredictRequest(task=task.name, run=folder, inputs={"cells": new}, data=tmp_path / "data")
    )
    columns = [name for name in table if name.startswith("predicted_")]
    assert len(table) == 50
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-5)
    if model != "commonest":
        told = table[columns].idxmax(axis=1).str.removeprefix("predicted_")
        assert (told == anndata.read_h5ad(new).obs["cell_type"].to_numpy()).mean() > 0.9
