"""Students: vectors of cells like any model's, and a sentence for what they cannot do."""

import dataclasses

import numpy as np
import pytest
import torch

from sclong_core import ScLong
from sclong_core.checkpoint import read_checkpoint_info, save_checkpoint
from sclong_core.cli.main import main
from sclong_core.config import ScLongConfig, StudentConfig
from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.graph import GeneGraph
from sclong_core.manifest import write_manifest
from sclong_core.model import Student, load_checkpoint
from sclong_core.nn.student import SparseCells
from sclong_core.testing import make_counts_anndata, make_tiny_model

TEACHER = make_tiny_model()
SHAPE = StudentConfig(width=8, rank=4, hidden=16, inner=24, blocks=2)
CONFIG = dataclasses.replace(TEACHER.config, student=SHAPE, storage="bfloat16")


def _student(seed: int = 0) -> Student:
    student = Student(CONFIG, TEACHER.vocabulary).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in student.state_dict().items():
            drawn = torch.randn(values.shape, generator=generator) * 0.3
            positive = name.endswith(("rate", "sum_scale"))
            values.copy_((drawn.abs() + 0.5 if positive else drawn).bfloat16())
    return student


@pytest.fixture
def folder(tmp_path):
    save_checkpoint(_student(), tmp_path / "student", origin={"kind": "distillation"})
    return tmp_path / "student"


def test_a_student_opens_by_the_same_door_and_embeds(folder):
    adata = make_counts_anndata(20, CONFIG.genes)
    model = ScLong.from_pretrained(folder, device="cpu")
    assert isinstance(model, Student)
    assert model.vocabulary == TEACHER.vocabulary
    found = model.embed(adata)
    assert found.shape == (20, 8)
    np.testing.assert_array_equal(found, model.embed(adata, pool="cell"))
    np.testing.assert_allclose(found, _student().embed(adata), atol=1e-6)


def test_a_cell_depends_neither_on_its_batch_nor_on_the_order_of_genes():
    adata = make_counts_anndata(17, CONFIG.genes)
    model = _student()
    found = model.embed(adata, batch_size=17)
    for size in (1, 2, 5):
        np.testing.assert_allclose(model.embed(adata, batch_size=size), found, atol=1e-5)
    turned = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    np.testing.assert_array_equal(model.embed(turned, batch_size=17), found)
    few = model.embed(adata[3:5].copy(), allow_poor_match=True)
    np.testing.assert_allclose(few, found[3:5], atol=1e-5)


def test_a_gene_that_is_not_measured_is_not_a_gene_that_is_silent():
    model = _student()
    expression = torch.rand(3, CONFIG.genes)
    measured = torch.ones(CONFIG.genes, dtype=torch.bool)
    measured[:8] = False
    hidden = model.cell_vectors(expression, measured).embedding
    silent = model.cell_vectors(expression.masked_fill(~measured, 0)).embedding
    assert (hidden - silent).abs().max() > 1e-3
    each = model.cell_vectors(expression, measured.expand(3, -1)).embedding
    torch.testing.assert_close(each, hidden)


def test_the_sums_are_those_of_dense_products():
    network = _student().network
    expression = torch.rand(5, CONFIG.genes) * (torch.rand(5, CONFIG.genes) > 0.6)
    expression[2] = 0  # a cell without any expressed gene
    nothing = torch.zeros(5, 2 * SHAPE.rank)
    found = network.sums(SparseCells.of(expression), nothing)
    dense = torch.cat(
        [expression @ network.by_value, (expression > 0).float() @ network.by_presence], dim=1
    )
    torch.testing.assert_close(found, dense)
    expected = network.expected(torch.ones(1, CONFIG.genes, dtype=torch.bool))
    mean = network.mean @ network.by_value
    torch.testing.assert_close(expected[0, : SHAPE.rank], mean)


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, cells: model.gene_representations(cells),
        lambda model, cells: model.reconstruct(cells),
        lambda model, cells: model.attention(cells, ["ENSG00000000001"]),
        lambda model, cells: model.embed(cells, pool="mean"),
        lambda model, cells: model.embed(cells, pool="gene_sums"),
        lambda model, cells: model.embed(cells, pool="components"),
        lambda model, cells: model(torch.zeros(1, CONFIG.genes)),
        lambda model, cells: model.gene_embedding(),
        lambda model, cells: model.require_readout(),
        lambda model, cells: model.redraw_features(1),
    ],
)
def test_what_a_student_cannot_do_is_refused_in_a_sentence(ask):
    with pytest.raises(ConfigError, match=r"student.*use its teacher"):
        ask(_student(), make_counts_anndata(3, CONFIG.genes))


def test_a_student_is_float32(folder):
    assert load_checkpoint(folder, device="cpu", dtype="float32").dtype == torch.float32
    with pytest.raises(ConfigError, match="float32"):
        load_checkpoint(folder, device="cpu", dtype="bfloat16")


@pytest.mark.parametrize("ablation", [{"graph": "none"}, {"low_expression": "none"}])
def test_a_student_is_not_ablated(folder, ablation):
    with pytest.raises(ConfigError, match="student"):
        load_checkpoint(folder, device="cpu", **ablation)


def test_the_command_embeds_by_a_student_and_refuses_other_pools(folder, tmp_path, capsys):
    make_counts_anndata(9, CONFIG.genes).write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", str(tmp_path / "cells.h5ad"), "--checkpoint", str(folder)]
    assert main([*words, "-o", str(tmp_path / "cells.npy")]) == 0
    found = np.load(tmp_path / "cells.npy")
    np.testing.assert_allclose(found, _student().embed(tmp_path / "cells.h5ad"), atol=1e-5)
    assert main([*words, "-o", str(tmp_path / "other.npy"), "--pool", "mean"]) == 2
    assert "student" in capsys.readouterr().err


def test_info_describes_a_student(folder, capsys):
    assert main(["info", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert "2 blocks of width 16" in shown
    assert "kind distillation" in shown
    assert "encoder" not in shown


@pytest.mark.parametrize(
    "larger",
    [{"rank": 10**9}, {"hidden": 10**9}, {"inner": 10**9}, {"blocks": 10**9}, {"width": 10**9}],
)
def test_a_configuration_of_a_larger_student_than_its_weights_is_refused(folder, larger):
    info = read_checkpoint_info(folder)
    (folder / "config.json").unlink()
    huge = dataclasses.replace(CONFIG, student=dataclasses.replace(SHAPE, **larger))
    write_manifest(
        folder,
        config=huge,
        vocabulary_digest=info.vocabulary_digest,
        graph_digest=None,
        origin={},
    )
    with pytest.raises(CheckpointError, match="does not fit its configuration"):
        load_checkpoint(folder, device="cpu")


def test_the_readme_of_a_student_has_no_encoder(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "width of a cell | 8" in text
    assert "encoder" not in text


def test_impossible_students_are_refused():
    with pytest.raises(ConfigError, match=r"student\.rank"):
        StudentConfig(rank=0)
    with pytest.raises(ConfigError, match="sizes"):
        Student(TEACHER.config)
    with pytest.raises(ConfigError, match="vocabulary"):
        Student(dataclasses.replace(CONFIG, genes=30), TEACHER.vocabulary)
    empty = GeneGraph(CONFIG.genes, np.zeros((2, 0), np.int64), np.zeros(0, np.float32))
    with pytest.raises(ConfigError, match="gene graph"):
        Student(CONFIG, TEACHER.vocabulary, empty)


def test_a_configuration_with_a_student_survives_its_file():
    assert ScLongConfig.from_dict(CONFIG.to_dict()) == CONFIG
    assert "student" not in TEACHER.config.to_dict()


def test_a_whole_vocabulary_fits_into_ten_megabytes():
    with torch.device("meta"):
        student = Student(ScLongConfig(student=StudentConfig(width=200), graph="none"))
    weights = 2 * sum(values.numel() for values in student.state_dict().values())
    names = 27_874 * len("ENSG00000000001\tSYMBOL-12\n")
    assert weights + names < 10_000_000
