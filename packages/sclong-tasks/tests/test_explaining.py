"""Which genes make the vectors of a group what they are."""

import json
from types import SimpleNamespace

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.errors import ConfigError, InputError
from sclong_core.testing import make_counts_anndata, make_tiny_model
from sclong_tasks import plot
from sclong_tasks.cli import explain as command
from sclong_tasks.in_silico import EXPLANATION, explain
from sclong_tasks.in_silico import explaining as subject
from sclong_tasks.in_silico.moving import VectorReader

GENES, TOLD = 90, 8
FEW = {"cells": 24, "steps": 4, "top": 10}


@pytest.fixture(scope="module")
def made():
    """Two types, told apart by the first eight genes, and a column that tells nothing."""
    model = ScLong.from_pretrained(device="cpu")
    places = model.require_readout().variable.numpy()[:GENES]
    generator = np.random.default_rng(0)
    types = np.repeat(["a", "b"], 50)
    rates = np.tile(generator.gamma(1.0, size=GENES) + 0.3, (100, 1))
    rates[types == "b", :TOLD] += 6
    cells = anndata.AnnData(sparse.csr_matrix(generator.poisson(rates).astype(np.float32)))
    cells.var_names = [model.vocabulary.ids[place] for place in places]
    cells.obs_names = [f"cell {number}" for number in range(100)]
    cells.obs["type"] = pd.Categorical(types)
    cells.obs["coin"] = pd.Categorical(generator.permutation(types))
    explain(cells, by="type", allow_poor_match=True, **FEW)
    return cells


@pytest.fixture
def cells(made):
    return made.copy()


def _told(cells):
    model = ScLong.from_pretrained(device="cpu")
    places = model.vocabulary.lookup(list(cells.var_names[:TOLD]))
    return {model.vocabulary.symbols[place] for place in places}


def test_genes_that_tell_the_types_apart_come_first_and_occlusion_agrees(made):
    record = made.uns[EXPLANATION]
    table = record["table"]
    assert list(table.columns) == list(subject.COLUMNS)
    for _, rows in table.groupby("group"):
        assert len(_told(made) & set(rows["gene"].head(TOLD))) >= TOLD - 2
        assert rows["attribution"].is_monotonic_decreasing
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert (rows["low"] <= rows["attribution"]).all()
        assert (rows["attribution"] <= rows["high"]).all()
        assert rows["occlusion"].notna().sum() == 20
    assert (record["groups"]["agreement"] > 0.5).all()
    assert (record["groups"]["score_gained"] > 0.1).all()
    assert set(table.loc[table["q"] < 0.05, "gene"]) >= set(table["gene"].head(3))


def test_groups_that_differ_in_nothing_have_no_gene_beyond_chance(cells):
    explain(cells, by="coin", **FEW)
    table = cells.uns[EXPLANATION]["table"]
    assert (table["q"] >= 0.05).mean() > 0.98
    assert 0.005 < (table["p"] < 0.05).mean() < 0.12


def test_attributions_of_a_linear_score_are_exact(monkeypatch):
    """Where the score is linear, they are the weights times the differences."""
    model = make_tiny_model()
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(model.config.genes, generator=generator)

    class Linear:
        def __init__(self) -> None:
            self.model = model

        def __call__(self, x_bg):
            angle = 0.01 * (x_bg @ weights)
            return torch.stack([angle.sin(), angle.cos()], dim=1)

    cells, pairs = (torch.rand(5, model.config.genes, generator=generator) for _ in range(2))
    direction = np.array([1, 0], dtype=np.float32)
    options = subject.ExplainOptions("type", steps=64)
    found = subject._gradients(Linear(), cells, pairs, direction, options)
    gained = (0.01 * (cells @ weights)).sin() - (0.01 * (pairs @ weights)).sin()
    np.testing.assert_allclose(found.sum(1), gained.numpy(), atol=1e-5)
    share = found / ((cells - pairs) * weights).numpy()
    np.testing.assert_allclose(share, share[:, :1].repeat(share.shape[1], 1), rtol=1e-3)


def test_swapping_a_pair_changes_the_sign_of_its_attributions(made):
    model = ScLong.from_pretrained(device="cpu")
    from sclong_core.expression import prepare_cells  # noqa: PLC0415  # for this test alone
    from sclong_tasks.in_silico.moving import read_expression  # noqa: PLC0415

    with prepare_cells(
        made, model.vocabulary, model.config.input, allow_poor_match=True
    ) as prepared:
        reader = VectorReader(model, "cell", prepared)
        x = torch.from_numpy(read_expression(prepared, np.array([0, 1, 60, 61])).toarray())
    direction = np.zeros(model.require_readout().config.embedding_width, dtype=np.float32)
    direction[0] = 1
    options = subject.ExplainOptions("type", steps=3)
    there = subject._gradients(reader, x[:2], x[2:], direction, options)
    back = subject._gradients(reader, x[2:], x[:2], direction, options)
    assert np.abs(there).max() > 0
    np.testing.assert_allclose(there, -back, atol=1e-6)


def test_a_run_is_repeated_by_its_seed_and_a_copy_leaves_the_cells(cells):
    del cells.uns[EXPLANATION]
    found = explain(cells, by="type", copy=True, **FEW)
    assert EXPLANATION not in cells.uns
    again = explain(cells, by="type", copy=True, **FEW)
    pd.testing.assert_frame_equal(found.uns[EXPLANATION]["table"], again.uns[EXPLANATION]["table"])
    other = explain(cells, by="type", copy=True, seed=1, **FEW)
    assert not other.uns[EXPLANATION]["table"].equals(found.uns[EXPLANATION]["table"])


def test_the_command_writes_table_record_and_figure(cells, tmp_path, capsys):
    pytest.importorskip("scanpy")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["explain", str(tmp_path / "cells.h5ad"), "--by", "type", "--cells-per-group", "12"]
    words += ["--steps", "2", "--top", "5"]
    outputs = ["-o", str(tmp_path / "out.tsv"), "--figure", str(tmp_path / "out.png")]
    assert main([*words, *outputs]) == 0
    table = pd.read_csv(tmp_path / "out.tsv", sep="\t")
    assert list(table.columns) == list(subject.COLUMNS)
    record = json.loads((tmp_path / "out.tsv.json").read_text())
    assert record["by"] == "type"
    assert [group["pairs"] for group in record["groups"]] == [12, 12]
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert table["gene"][0] in said
    assert "rank correlation with occlusion" in said
    assert main([*words, *outputs]) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path / "out.h5ad")]) == 0
    assert EXPLANATION in anndata.read_h5ad(tmp_path / "out.h5ad").uns
    assert main([*words, "--attention", str(tmp_path / "attention.csv")]) == 2
    assert "encoders read all genes" in capsys.readouterr().err


def test_attention_of_a_model_that_reads_all_genes_is_a_labelled_table(tmp_path):
    model = make_tiny_model()
    model.save_pretrained(tmp_path / "model")
    adata = make_counts_anndata(50, model.config.genes)
    adata.obs["type"] = np.repeat(["a", "b"], 25)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    words = ["explain", str(tmp_path / "cells.h5ad"), "--by", "type", "--top", "4"]
    words += ["--cells-per-group", "10", "--steps", "1", "--checkpoint", str(tmp_path / "model")]
    assert main([*words, "--attention", str(tmp_path / "attention.csv")]) == 0
    table = pd.read_csv(tmp_path / "attention.csv")
    assert list(table.columns) == ["group", "source", "target", "weight"]
    assert len(table) == 2 * 4 * 4
    assert table["weight"].between(0, 1).all()


def test_what_cannot_be_explained_is_refused_in_words(cells, tmp_path, capsys):
    with pytest.raises(InputError, match="no column kind"):
        explain(cells, by="kind")
    cells.obs["one"] = "a"
    with pytest.raises(InputError, match="one has 1 groups of 20 cells or more"):
        explain(cells, by="one")
    for name, value in (("steps", 0), ("top", 0), ("cells", 3), ("seed", -1), ("batch_size", 0)):
        with pytest.raises(ConfigError, match=name):
            explain(cells, by="type", **{name: value})
    with pytest.raises(InputError, match=r"call sclong_tasks\.in_silico\.explain"):
        plot.explanation(make_counts_anndata(2, 3))
    cells.write_h5ad(tmp_path / "cells.h5ad")
    same = str(tmp_path / "same.csv")
    words = ["explain", str(tmp_path / "cells.h5ad"), "--by", "type"]
    assert main([*words, "-o", same, "--attention", same]) == 2
    assert "two outputs have one name" in capsys.readouterr().err


def test_a_share_of_next_to_nothing_is_not_told():
    table = pd.DataFrame({"q": [1.0]})
    groups = pd.DataFrame(
        {"attributed": [0.2], "score_gained": [0.01], "agreement": [0.5], "genes_occluded": [2]}
    )
    args = SimpleNamespace(output=None, figure=None)
    said = dict(command._facts({"table": table, "groups": groups}, args))
    assert said["attributed"] == "little: the vectors of these groups hardly differ"
    groups["score_gained"] = 0.4
    assert dict(command._facts({"table": table, "groups": groups}, args))["attributed"][:3] == "50%"
