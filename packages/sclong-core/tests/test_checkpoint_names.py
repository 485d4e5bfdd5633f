"""The model that comes with the package is there without a name, a network or a file."""

import shutil
from pathlib import Path

import anndata
import numpy as np
import pytest

from sclong_core import ScLong, checkpoint_names, read_checkpoint_info
from sclong_core.card import CARD_FILE, read_card
from sclong_core.checkpoint_names import (
    checkpoint_folder,
    checkpoint_word,
    packaged_checkpoint,
    packaged_names,
    resolve_checkpoint,
)
from sclong_core.cli.main import main
from sclong_core.errors import CheckpointError
from sclong_core.manifest import verify_checkpoint
from sclong_core.vocabulary import GeneVocabulary

MINI = packaged_checkpoint()


@pytest.fixture(scope="module")
def cells():
    """Made-up counts of genes that the model knows, by symbol."""
    symbols = [name for name in GeneVocabulary.read(MINI / "vocabulary.tsv").symbols if name]
    draw = np.random.default_rng(0)
    chosen = sorted(set(symbols[:1200]))
    counts = draw.poisson(0.5, size=(9, len(chosen))).astype(np.float32)
    found = anndata.AnnData(counts)
    found.var_names = chosen
    return found


@pytest.fixture
def file(cells, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    return str(tmp_path / "cells.h5ad")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_no_name_and_its_name_mean_the_same_model(cells):
    first = ScLong.from_pretrained(device="cpu")
    second = ScLong.from_pretrained("mini", device="cpu")
    np.testing.assert_array_equal(first.embed(cells), second.embed(cells))


def test_every_file_of_it_is_verified_and_small():
    info = verify_checkpoint(MINI)
    assert "mini" in packaged_names()
    assert sum(record.bytes for record in info.files.values()) < 10_000_000
    assert str(MINI) not in info.source
    assert info.source.startswith("sclong-mini, which comes with sclong-core")


def test_a_damaged_file_of_it_is_refused(tmp_path, monkeypatch):
    shutil.copytree(MINI, tmp_path / "mini")
    monkeypatch.setattr(checkpoint_names, "_FOLDER", tmp_path)
    weights = tmp_path / "mini" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        ScLong.from_pretrained(device="cpu")


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve_checkpoint("mini").resolve() == tmp_path / "mini"
    assert resolve_checkpoint() == MINI


def test_what_does_not_come_with_the_package_is_refused(monkeypatch, tmp_path):
    with pytest.raises(CheckpointError, match="available: mini"):
        packaged_checkpoint("maxi")
    with pytest.raises(CheckpointError, match="no revision"):
        resolve_checkpoint("mini", revision="main")
    monkeypatch.setattr(checkpoint_names, "_FOLDER", tmp_path / "none")
    with pytest.raises(CheckpointError, match="install sclong-core again"):
        resolve_checkpoint()


def test_embed_needs_no_checkpoint(file, tmp_path, capsys):
    assert main(["embed", file, "-o", str(tmp_path / "embedded.h5ad")]) == 0
    shown = capsys.readouterr()
    assert "sclong-mini, which comes with sclong-core" in shown.err
    found = anndata.read_h5ad(tmp_path / "embedded.h5ad")
    assert found.obsm["X_sclong"].shape[0] == 9
    assert np.isfinite(found.obsm["X_sclong"]).all()
    assert str(MINI) not in str(found.uns), "no path of this machine is written"


def test_another_encoder_needs_a_folder(file, tmp_path, capsys):
    words = ["embed", file, "-o", str(tmp_path / "out.h5ad"), "--encoder", "uce"]
    assert main(words) == 2
    assert "needs the folder of its files: give --checkpoint" in capsys.readouterr().err


def test_info_without_anything_shows_the_card(capsys):
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    card = read_card(MINI, checkpoint=read_checkpoint_info(MINI).digest)
    assert card is not None
    assert (
        f"trained on  {card.cells:,} cells" in shown.replace("   ", "  ")
        or f"{card.cells:,} cells" in shown
    )
    for source in card.sources:
        assert source.dataset in shown
        assert source.study in shown
        assert source.licence in shown
    for words in ("PCA-50", "not for", "licence", "verified", *card.tissues):
        assert words in shown


def test_info_compares_cells_with_the_packaged_model(file, capsys):
    assert main(["info", file]) == 0
    shown = capsys.readouterr().out
    assert "compared with" in shown
    assert "100.0% of all counts" in shown


def test_cells_that_do_not_fit_the_packaged_model_are_still_described(tmp_path, capsys):
    other = anndata.AnnData(np.ones((4, 5), dtype=np.float32))
    other.write_h5ad(tmp_path / "other.h5ad")
    assert main(["info", str(tmp_path / "other.h5ad")]) == 0
    assert "not usable" in capsys.readouterr().out


def test_the_card_is_of_these_weights(tmp_path, monkeypatch, capsys):
    shutil.copytree(MINI, tmp_path / "mini")
    card = tmp_path / "mini" / CARD_FILE
    digest = read_checkpoint_info(MINI).digest
    card.write_text(card.read_text("utf-8").replace(digest, "0" * 64), "utf-8")
    assert main(["info", str(tmp_path / "mini")]) == 2
    assert "describes the checkpoint" in capsys.readouterr().err


def test_a_command_may_name_it_by_its_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_folder("mini") == MINI
    assert checkpoint_word(MINI) == "mini"
    assert checkpoint_folder("runs/model") == Path("runs/model")
    assert checkpoint_word(Path("runs/model")) == "runs/model"
    (tmp_path / "mini").mkdir()
    assert checkpoint_folder("mini") == Path("mini")
