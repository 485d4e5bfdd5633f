"""``sclong annotate`` on files."""

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core import ScLong
from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.cli.main import main
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
    assert "told so" in printed
    assert record["agreement"]["accuracy"] > 0.9
    assert record["agreement"]["confusion"].sum() == 60
    assert not record["aligned"]
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
        (["--false-unknown", "0"], "--false-unknown"),
        (["--batch", "none"], "--batch"),
        (["--align-query"], "at least 100"),
        (["--reference", "{tmp}/query.h5ad"], "query and reference"),
        (["--save-reference", "{tmp}/query.h5ad", "--overwrite"], "is an input"),
        (["--reference", "{tmp}"], "not a reference"),
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


def test_a_table_holds_no_formula_of_a_label(files, tmp_path):
    file_of(tmp_path / "reference.h5ad", 300, seed=2, cell_type=["=HYPERLINK(1)", "b", "c"] * 100)
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.csv"]) == 0
    text = (tmp_path / "out.csv").read_text()
    assert "HYPERLINK" in text
    assert ",=HYPERLINK" not in text


def test_a_query_that_lies_elsewhere_is_told_so_and_can_be_aligned(files, tmp_path, capsys):
    query = anndata.read_h5ad(file_of(tmp_path / "query.h5ad", 200, seed=1))
    query.obsm["X_sclong"] += 2.0 * np.random.default_rng(3).standard_normal(8)
    query.write_h5ad(tmp_path / "query.h5ad")
    assert main(["annotate", *files, "-o", f"{tmp_path}/as_is.h5ad"]) == 0
    assert "try --align-query" in capsys.readouterr().err
    assert main(["annotate", *files, "-o", f"{tmp_path}/aligned.h5ad", "--align-query"]) == 0
    assert "on its own mean" in capsys.readouterr().out
    as_is, aligned = (anndata.read_h5ad(tmp_path / f"{n}.h5ad") for n in ("as_is", "aligned"))
    assert aligned.uns["sclong_annotation"]["aligned"]
    assert aligned.obs["sclong_unknown"].mean() < as_is.obs["sclong_unknown"].mean()


def test_too_few_cells_for_a_rate_are_told_so(files, tmp_path, capsys):
    words = ["--coverage", "0.999", "--false-unknown", "0.001", "-o", f"{tmp_path}/out.csv"]
    assert main(["annotate", *files, *words]) == 0
    said = capsys.readouterr().err
    assert "all labels are in every set" in said
    assert "no cell is unknown" in said


def test_another_organism_is_refused(files, tmp_path, capsys):
    file_of(tmp_path / "query.h5ad", 60, seed=1, organism="Mus musculus")
    file_of(tmp_path / "reference.h5ad", 300, seed=2, organism="Homo sapiens")
    assert main(["annotate", *files, "-o", f"{tmp_path}/out.tsv"]) == 2
    assert "different organisms" in capsys.readouterr().err


def test_batches_of_the_reference_are_used_and_are_not_asked_of_a_folder(files, tmp_path, capsys):
    file_of(tmp_path / "reference.h5ad", 300, seed=2, donor=["a", "b", "c"] * 100)
    kept = ["--save-reference", f"{tmp_path}/kept"]
    assert main(["annotate", *files, "--batch", "donor", *kept, "-o", f"{tmp_path}/a.tsv"]) == 0
    words = [files[0], "--reference", f"{tmp_path}/kept", "--key", "X_sclong", "--batch", "donor"]
    assert main(["annotate", *words, "-o", f"{tmp_path}/b.tsv"]) == 2
    assert "omit it" in capsys.readouterr().err


def test_a_folder_of_other_things_is_not_replaced_by_a_reference(files, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    words = ["--save-reference", f"{tmp_path}/mine", "--overwrite", "-o", f"{tmp_path}/out.tsv"]
    assert main(["annotate", *files, *words]) == 2
    assert "not a reference" in capsys.readouterr().err
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_true_labels_in_other_words_are_told_so(files, tmp_path, capsys):
    file_of(tmp_path / "query.h5ad", 60, seed=1, mine=["x", "y", ""] * 20)
    assert main(["annotate", *files, "--truth", "mine", "-o", f"{tmp_path}/out.h5ad"]) == 0
    assert "spelled alike" in " ".join(capsys.readouterr().out.split())


def test_cells_are_embedded_once_and_their_vectors_kept(tmp_path, monkeypatch, capsys):
    ids = GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:3000]
    calls = []
    plain = ScLong.embed

    def counted(self, *args, **kwargs):
        calls.append(1)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(ScLong, "embed", counted)
    for seed, name in enumerate(("query", "reference")):
        cells = make_counts_anndata(150, len(ids), seed=seed)
        cells.var_names = list(ids)
        cells.obs["cell_type"] = ["a", "b", "c"] * 50
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
    words = ["--reference", f"{tmp_path}/reference.h5ad", "--label", "cell_type"]
    kept = ["--save-reference", f"{tmp_path}/kept", "--allow-poor-match"]
    first = ["annotate", f"{tmp_path}/query.h5ad", *words, *kept, "-o", f"{tmp_path}/told.h5ad"]
    assert main(first) == 0
    assert len(calls) == 2
    again = ["annotate", f"{tmp_path}/told.h5ad", "--reference", f"{tmp_path}/kept", "--overwrite"]
    assert main([*again, "-o", f"{tmp_path}/again.h5ad"]) == 0
    assert len(calls) == 2
    said = capsys.readouterr().err
    assert "was made by this model" in said
    assert "query.h5ad: embedding 150 cells" in said
    a, b = (anndata.read_h5ad(tmp_path / f"{name}.h5ad").obs for name in ("told", "again"))
    pd.testing.assert_frame_equal(a, b)


def test_cells_are_read_as_is_asked_for_and_named_by_their_file(tmp_path, capsys):
    ids = GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:3000]
    for seed, name in enumerate(("query", "reference")):
        cells = make_counts_anndata(120, len(ids), seed=seed)
        cells.var_names = list(ids)
        cells.layers["counts"], cells.X = cells.X, -cells.X
        cells.obs["cell_type"] = ["a", "b", "c"] * 40
        cells.write_h5ad(tmp_path / f"{name}.h5ad")
    words = ["annotate", f"{tmp_path}/query.h5ad", "--reference", f"{tmp_path}/reference.h5ad"]
    words += ["--label", "cell_type", "--allow-poor-match", "-o", f"{tmp_path}/out.h5ad"]
    assert main(words) == 2
    assert "reference.h5ad: X holds negative values" in capsys.readouterr().err
    assert main([*words, "--matrix", "counts"]) == 0
    assert "query.h5ad: 120 cells, 3,000 genes, from layers/counts" in capsys.readouterr().err
    record = anndata.read_h5ad(tmp_path / "out.h5ad").uns["sclong"]["X_sclong"]
    assert record["work"] == {"matrix": "counts"}
