"""``sclong annotate`` on files."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core import ScLong
from sclong_core.cli.main import main
from sclong_core.packaged import packaged_checkpoint
from sclong_core.testing import make_counts_anndata
from sclong_core.vocabulary import GeneVocabulary

CENTRES = np.random.default_rng(1).standard_normal((3, 8))


def file_of(path, count, *, seed, note="a" * 64, **obs):
    generator = np.random.default_rng(seed)
    codes = generator.integers(3, size=count)
    found = anndata.AnnData(np.ones((count, 4), dtype=np.float32))
    found.obs_names = [f"cell {number}" for number in range(count)]
    found.obs["cell_type"] = pd.Categorical([f"type {code}" for code in codes])
    for name, value in obs.items():
        found.obs[name] = value
    found.obsm["X_sclong"] = CENTRES[codes] + 0.4 * generator.standard_normal((count, 8))
    if note:
        found.uns["sclong"] = {"X_sclong": {"checkpoint": {"digest": note}, "pool": "cell"}}
    found.write_h5ad(path)
    return path


@pytest.fixture
def files(tmp_path):
    query = file_of(tmp_path / "query.h5ad", 60, seed=1)
    reference = file_of(tmp_path / "reference.h5ad", 300, seed=2)
    return [str(query), "--reference", str(reference), "--label", "cell_type", "--key", "X_sclong"]


def test_labels_go_into_a_copy_of_the_query(files, tmp_path, capsys):
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.h5ad", "--truth", "cell_type"]) == 0
    found = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert (found.obs["sclong_nearest_label"].astype(str) == found.obs["cell_type"]).mean() > 0.9
    assert found.obs["sclong_probability"].between(0, 1).all()
    record = found.uns["sclong_annotation"]
    assert record["reference"] == "reference.h5ad"
    assert record["encoder"] == "a" * 64 + " cell"
    assert record["coverage"] == 0.95
    printed = capsys.readouterr().out
    assert "agreement" in printed
    assert "commonest label alone" in printed
    assert "sclong_label" not in anndata.read_h5ad(tmp_path / "query.h5ad").obs


def test_a_kept_reference_tells_the_same(files, tmp_path):
    kept = str(tmp_path / "kept")
    assert main(["annotate", *files, "-o", f"{tmp_path}/a.tsv", "--save-reference", kept]) == 0
    words = [files[0], "--reference", kept, "--key", "X_sclong"]
    assert main(["annotate", *words, "-o", f"{tmp_path}/b.tsv"]) == 0
    first, second = ((tmp_path / name).read_text() for name in ("a.tsv", "b.tsv"))
    assert first == second
    assert first.splitlines()[0].split("\t")[:3] == ["cell", "label", "nearest_label"]
    assert len(first.splitlines()) == 61


def test_vectors_of_another_model_are_refused(files, tmp_path, capsys):
    file_of(tmp_path / "query.h5ad", 60, seed=1, note="b" * 64)
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.tsv"]) == 2
    assert "embed both with one model" in capsys.readouterr().err
    assert not (tmp_path / "out.tsv").exists()


def test_vectors_of_unknown_origin_are_taken_with_a_word(files, tmp_path, capsys):
    file_of(tmp_path / "query.h5ad", 60, seed=1, note="")
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.tsv"]) == 0
    assert "does not say what made" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "none"], "it has cell_type"),
        (["--truth", "none"], "--truth"),
        (["--key", "X_pca"], "it has X_sclong"),
        (["--coverage", "1.5"], "--coverage"),
        (["-o", "{tmp}/out.txt"], "must end in"),
        (["-o", "{tmp}/query.h5ad"], "already exists"),
        (["-o", "{tmp}/query.h5ad", "--overwrite"], "is an input"),
        (["--reference", "{tmp}"], "no reference"),
        (["--reference", "{tmp}/absent.h5ad"], "absent.h5ad"),
    ],
)
def test_what_cannot_be_done_is_one_line(files, tmp_path, capsys, words, message):
    before = sorted(path.name for path in tmp_path.iterdir())
    asked = [
        "-o",
        f"{tmp_path}/out.h5ad",
        *(word.replace("{tmp}", str(tmp_path)) for word in words),
    ]
    assert main(["annotate", *files, *asked]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_label_is_needed_with_cells_and_not_with_a_folder(files, tmp_path, capsys):
    without = [files[0], *files[1:3], *files[5:]]
    assert main(["annotate", *without, "-o", f"{tmp_path}/out.tsv"]) == 2
    assert "--label is missing" in capsys.readouterr().err


def test_columns_of_an_earlier_annotation_are_kept(files, tmp_path, capsys):
    file_of(tmp_path / "query.h5ad", 60, seed=1, sclong_label="mine")
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.h5ad"]) == 2
    assert "already has the column sclong_label" in capsys.readouterr().err


def test_cells_are_embedded_once_by_the_model_of_the_package(tmp_path, monkeypatch, capsys):
    ids = GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:3000]
    cells = make_counts_anndata(150, len(ids), seed=0)
    cells.var_names = list(ids)
    cells.obs["cell_type"] = ["a", "b", "c"] * 50
    cells.write_h5ad(tmp_path / "plain.h5ad")
    embed = [
        "embed",
        f"{tmp_path}/plain.h5ad",
        "-o",
        f"{tmp_path}/embedded.h5ad",
        "--batch-size",
        "32",
    ]
    assert main([*embed, "--allow-poor-match"]) == 0
    calls = []
    plain = ScLong.embed

    def counted(self, *args, **kwargs):
        calls.append(1)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(ScLong, "embed", counted)
    common = ["--label", "cell_type", "--allow-poor-match"]
    for query in ("plain", "embedded"):
        words = ["annotate", f"{tmp_path}/{query}.h5ad", "--reference", f"{tmp_path}/embedded.h5ad"]
        assert main([*words, *common, "-o", f"{tmp_path}/{query}.csv"]) == 0
    assert len(calls) == 1
    assert "was made by this model" in capsys.readouterr().err
    a, b = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "embedded"))
    assert (a["nearest_label"] == b["nearest_label"]).mean() > 0.99
