"""Students as ONNX: the vectors of PyTorch from raw counts, and refusals that say what to do."""

import json

import numpy as np
import pytest
import torch

from sclong_core import ScLong
from sclong_core.checkpoint import save_checkpoint
from sclong_core.cli.main import main
from sclong_core.config import InputConfig, ScLongConfig, StudentConfig
from sclong_core.distillation import export
from sclong_core.errors import ConfigError, InputError
from sclong_core.expression.genes import match_genes
from sclong_core.model import Student
from sclong_core.testing import make_counts_anndata, make_tiny_model

onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime: sclong-core[onnx]")
pytest.importorskip("onnx", reason="no onnx: sclong-core[onnx]")

TEACHER = make_tiny_model()
SHAPE = StudentConfig(width=8, rank=16, hidden=128, inner=96, blocks=2)


def _student(folder, **changes):
    config = ScLongConfig(**{**vars(TEACHER.config), "student": SHAPE, **changes})
    student = Student(config, TEACHER.vocabulary).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, values in student.state_dict().items():
            drawn = torch.randn(values.shape, generator=generator) * 0.3
            positive = name.endswith(("rate", "sum_scale"))
            values.copy_((drawn.abs() + 0.5 if positive else drawn).bfloat16())
    save_checkpoint(student, folder, origin={"kind": "distillation"})
    return student


@pytest.fixture
def folder(tmp_path):
    _student(tmp_path / "student")
    return tmp_path / "student"


def _vectors(exported, adata):
    """Vectors of ONNX Runtime, with genes placed by the names that the export wrote."""
    about = json.loads((exported / "genes.json").read_text())
    places = {name: position for position, name in enumerate(about["ids"])}
    counts = np.zeros((adata.n_obs, len(places)), dtype=np.float32)
    measured = np.zeros((1, len(places)), dtype=np.float32)
    for column, name in enumerate(adata.var_names):
        if name in places:
            counts[:, places[name]] = adata.X[:, column]
            measured[0, places[name]] = 1
    totals = np.asarray(adata.X.sum(axis=1), dtype=np.float32).reshape(-1, 1)
    session = onnxruntime.InferenceSession(exported / "student.onnx")
    return session.run(None, {"counts": counts, "totals": totals, "measured": measured})[0]


@pytest.mark.parametrize("genes", [slice(None), slice(5, None, 2)], ids=["all genes", "a panel"])
def test_the_graph_has_the_vectors_of_the_student(folder, tmp_path, genes):
    adata = make_counts_anndata(30, TEACHER.config.genes)
    adata.X = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X)
    adata = adata[:, genes].copy()
    found = export.export_student(folder, tmp_path / "onnx")
    assert found.cosine >= 0.9999
    wanted = ScLong.from_pretrained(folder, device="cpu").embed(adata)
    vectors = _vectors(tmp_path / "onnx", adata)
    cosine = (vectors * wanted).sum(1) / np.linalg.norm(vectors, axis=1)
    assert (cosine / np.linalg.norm(wanted, axis=1)).min() >= 0.9999
    np.testing.assert_allclose(vectors, wanted, rtol=0.05, atol=0.05 * np.abs(wanted).max())


def test_names_of_the_export_find_the_genes_that_the_model_finds(tmp_path):
    model = ScLong.from_pretrained("mini", device="cpu")
    about = export.gene_names(model.vocabulary)
    import pandas as pd  # noqa: PLC0415  # for the frame of this test alone

    for kind in ("approved", "other"):
        names = list(about[kind])[::50]
        match = match_genes(pd.DataFrame(index=names), model.vocabulary, duplicates="sum")
        wanted = {about[kind][name] for name in names}
        assert set(match.positions.tolist()) <= wanted
        assert len(set(match.positions.tolist())) > 0.9 * len(wanted)
    assert about["ids"] == list(model.vocabulary.ids)


def test_an_export_is_replaced_only_if_asked_and_never_another_folder(folder, tmp_path, capsys):
    out = tmp_path / "onnx"
    assert main(["export", str(folder), "-o", str(out)]) == 0
    assert "least cosine with PyTorch" in capsys.readouterr().out
    before = (out / "student.onnx").read_bytes()
    with pytest.raises(InputError, match="already exists"):
        export.export_student(folder, out)
    export.export_student(folder, out, overwrite=True)
    assert (out / "student.onnx").read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an exported student"):
        export.export_student(folder, other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "mine"


def test_models_that_cannot_be_exported_are_refused(folder, tmp_path, monkeypatch):
    save_checkpoint(TEACHER, tmp_path / "teacher")
    with pytest.raises(ConfigError, match="is no student"):
        export.export_student(tmp_path / "teacher", tmp_path / "onnx")
    _student(tmp_path / "scaled", input=InputConfig(maximum=10.0))
    with pytest.raises(ConfigError, match="rescaled to a maximum"):
        export.export_student(tmp_path / "scaled", tmp_path / "onnx")
    monkeypatch.setattr(export, "_least_cosine", lambda *_: 0.5)
    with pytest.raises(ConfigError, match="differs from the student"):
        export.export_student(folder, tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'sclong-core\[onnx\]'"):
        export.export_student(folder, tmp_path / "onnx")
