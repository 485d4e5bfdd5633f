"""``sclong embed --encoder`` and ``sclong info`` with published models."""

import json
import re

import anndata
import numpy as np
import pytest

from sclong_core.cli.main import main
from sclong_core.embedding.offered import offered_encoder, providers
from sclong_core.errors import ConfigError
from sclong_tasks.encoders.offered import PublishedModels, provider
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder
from tests.support.published import fixture, furthest, tiny_cells, tiny_folder

OUTPUTS = {
    "scgpt": ("scgpt", "det_cell_embedding"),
    "geneformer_v1": ("geneformer", "det_cell_layerm1"),
    "geneformer_v2": ("geneformer", "det_cell_layerm1"),
    "uce": ("uce", "det_single_cell_embedding"),
    "scfoundation": ("scfoundation", "cell_all_F_t4"),
    "genecompass": ("genecompass", "det_human_masked_cls"),
}


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    """As with this package installed, whatever the environment was installed from."""
    monkeypatch.setattr("sclong_core.embedding.offered.providers", lambda: [provider])


def run(*words):
    return main([str(word) for word in words])


@pytest.mark.real_data
@pytest.mark.parametrize("name", OUTPUTS)
def test_the_command_gives_what_the_authors_code_gave(name, tmp_path):
    case = fixture(name)
    encoder, output = OUTPUTS[name]
    out = tmp_path / "out.h5ad"
    given = ("--encoder", encoder, "--checkpoint", case.folder, "-o", out)
    assert run("embed", case.folder / "input.h5ad", *given) == 0
    found = anndata.read_h5ad(out)
    limit = 5e-6 if "gene" in encoder else 1e-5
    assert furthest(found.obsm[f"X_{encoder}"], case.expected[output]) < limit
    record = found.uns["sclong"][f"X_{encoder}"]
    assert record["encoder"]["name"] == encoder
    assert len(record["encoder"]["digest"]) == 64
    assert record["encoder"]["files"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_info_says_whose_checkpoint_it_is(name, tmp_path, capsys):
    assert run("info", tiny_folder(name, tmp_path)) == 0
    shown = capsys.readouterr().out
    assert f"--encoder {name}" in shown
    assert "parameters" in shown


def test_info_names_what_is_wrong_with_a_checkpoint(tmp_path, capsys):
    folder = tiny_folder("scgpt", tmp_path)
    (folder / "vocab.json").write_text('{"A": 0}')
    assert run("info", folder) == 2
    error = capsys.readouterr().err
    assert "scGPT: " in error
    assert error.count("\n") == 1


def test_options_formats_and_records(tmp_path, capsys):
    folder = tiny_folder("scgpt", tmp_path)
    cells = tiny_cells()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    given = ("--encoder", "scgpt", "--checkpoint", folder)
    drawn = ("--encoder-option", "draws=cell", "--encoder-option", "max_length=20")
    assert run("embed", tmp_path / "cells.h5ad", *given, *drawn, "-o", tmp_path / "out.npy") == 0
    expected = get_encoder("scgpt", folder, draws="cell", max_length=20).embed(cells)
    assert furthest(np.load(tmp_path / "out.npy"), expected) < 1e-6
    record = json.loads((tmp_path / "out.npy.json").read_text())
    assert record["encoder"]["options"]["draws"] == "cell"
    assert record["columns"][:2] == ["scgpt_0", "scgpt_1"]
    assert record["cells"]["genes_unknown"] == 2
    assert "40 of 42" in capsys.readouterr().out


def test_finished_and_other_work_is_told_apart(tmp_path, capsys):
    folder = tiny_folder("geneformer", tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    out = tmp_path / "out.h5ad"
    given = ("embed", tmp_path / "cells.h5ad", "--encoder", "geneformer", "--checkpoint", folder)
    assert run(*given, "-o", out) == 0
    before = out.stat().st_mtime_ns
    assert run(*given, "-o", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(*given, "-o", out, "--resume") == 0
    assert out.stat().st_mtime_ns == before
    assert run(*given, "-o", out, "--resume", "--encoder-option", "pool=cls") == 2
    assert "belongs to another run" in capsys.readouterr().err


def test_many_files_go_on_after_a_bad_one(tmp_path, capsys):
    folder = tiny_folder("uce", tmp_path)
    (tmp_path / "in").mkdir()
    tiny_cells().write_h5ad(tmp_path / "in" / "a.h5ad")
    bad = tiny_cells()
    bad.X = np.sqrt(bad.X)
    bad.write_h5ad(tmp_path / "in" / "b.h5ad")
    given = ("--encoder", "uce", "--checkpoint", folder, "-o", tmp_path / "out")
    assert run("embed", tmp_path / "in", *given) == 2
    assert "1 of 2 files were not embedded" in capsys.readouterr().err
    assert "X_uce" in anndata.read_h5ad(tmp_path / "out" / "a.h5ad").obsm


def test_blocks_are_the_cells_of_the_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("sclong_core.embedding.block_store.BLOCK_CELLS", 4)
    monkeypatch.setattr("sclong_tasks.encoders.offered.BLOCK_CELLS", 3)
    folder = tiny_folder("scfoundation", tmp_path)
    cells = tiny_cells(22)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    given = ("--encoder", "scfoundation", "--checkpoint", folder, "--batch-size", 2)
    assert run("embed", tmp_path / "cells.h5ad", *given, "-o", tmp_path / "out.h5ad") == 0
    found = anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_scfoundation"]
    assert furthest(found, get_encoder("scfoundation", folder).embed(cells)) < 1e-5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--encoder", "bert"), "there is no encoder 'bert': choose one of sclong, scgpt"),
        (("--encoder", "scgpt", "--pool", "gene_sums"), "--pool only works with --encoder sclong"),
        (
            ("--encoder", "scgpt", "--duplicates", "sum"),
            "--duplicates only works with --encoder sclong",
        ),
        (("--encoder", "scgpt", "--encoder-option", "x"), "expected NAME=VALUE"),
        (("--encoder", "scgpt", "--encoder-option", "x=1"), "x is not an option of scgpt"),
        (("--encoder", "uce"), "they are of scGPT"),
        (("--encoder-option", "x=1"), "only works with another --encoder than sclong"),
    ],
)
def test_arguments_that_do_not_go_together(words, message, tmp_path, capsys):
    folder = tiny_folder("scgpt", tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    given = ("--checkpoint", folder, "-o", tmp_path / "out.h5ad")
    assert run("embed", tmp_path / "cells.h5ad", *given, *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0


def test_the_package_offers_its_models():
    assert tuple(PublishedModels().names())[:5] == tuple(PUBLISHED)
    assert providers()[0].names() == provider.names()
    with pytest.raises(ConfigError, match="choose one of sclong, scgpt"):
        offered_encoder("bert", "nowhere", {})


def _spoilt(how, tmp_path):
    cells = tiny_cells()
    if how == "types":
        cells.var["feature_types"] = ["mine"] * 40 + ["Antibody Capture", "other"]
    elif how == "noted mouse":
        cells.uns["organism"] = "Mus musculus"
    elif how == "mouse cells":
        cells.obs["organism_ontology_term_id"] = "NCBITaxon:10090"
    elif how == "mouse genes":
        cells.var["genome"] = "mm10"
        cells.var["symbol"] = [name.capitalize() for name in cells.var["symbol"]]
        cells.var_names = [name.replace("ENSG", "ENSMUSG") for name in cells.var_names]
        cells.var["human"] = tiny_cells().var["symbol"].to_numpy()
    else:
        unknown = [name.startswith("UNKNOWN") for name in cells.var["symbol"]]
        cells.X[:, unknown] += 5_000
    cells.write_h5ad(tmp_path / "cells.h5ad")


@pytest.mark.parametrize(
    ("how", "said", "switch"),
    [
        (
            "types",
            "unknown feature types: .*--feature-types",
            "--feature-types=mine",
        ),
        ("noted mouse", "not human data: uns says", "--allow-other-species"),
        (
            "mouse cells",
            "not human data: organism_ontology_term_id",
            "--allow-other-species",
        ),
        (
            "mouse genes",
            "42 of its 42 genes are those of mouse",
            "--allow-other-species",
        ),
        ("poor", "knows too little of these cells: .*--allow-poor-match", "--allow-poor-match"),
    ],
)
def test_every_option_of_reading_counts_with_any_encoder(how, said, switch, tmp_path, capsys):
    folder = tiny_folder("scgpt", tmp_path)
    _spoilt(how, tmp_path)
    out = tmp_path / "out.npy"
    words = ("embed", tmp_path / "cells.h5ad", "--encoder", "scgpt", "--checkpoint", folder)
    assert run(*words, "-o", out) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not out.exists()
    assert run(*words, "-o", out, switch) == 0
    assert json.loads((tmp_path / "out.npy.json").read_text())["cells"]["cells"] == 9


def test_vectors_that_are_all_alike_are_refused_with_any_encoder(tmp_path, capsys):
    folder = tiny_folder("scgpt", tmp_path)
    cells = tiny_cells()
    cells.X[:] = cells.X[:1]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    given = ("--encoder", "scgpt", "--checkpoint", folder, "--encoder-option", "draws=cell")
    words = ("embed", tmp_path / "cells.h5ad", *given, "-o", tmp_path / "out.npy")
    assert run(*words) == 2
    assert "embeddings of all 9 cells are alike" in capsys.readouterr().err
    assert run(*words, "--allow-poor-match", "--resume") == 0
