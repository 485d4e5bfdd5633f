"""Cells that a published model was not made for, and what the command says of them."""

import re

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_tasks.encoders.offered import provider
from sclong_tasks.encoders.registry import PUBLISHED, get_encoder
from tests.support.published import GENES, messages, tiny_cells, tiny_folder

NAMES = tuple(PUBLISHED)


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    """As with this package installed, whatever the environment was installed from."""
    monkeypatch.setattr("sclong_core.embedding.offered.providers", lambda: [provider])


def mouse_cells():
    """Symbols as those of the mouse are written, which UCE knows in any case."""
    cells = tiny_cells()
    symbols = [symbol.capitalize() for symbol in cells.var["symbol"]]
    cells.var = pd.DataFrame(index=[re.sub("^Gene", "Gnea", symbol) for symbol in symbols])
    cells.var["gene_symbol"] = symbols
    return cells


def embed(cells, name, folder, tmp_path, *more):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", tmp_path / "cells.h5ad", "--encoder", name, "--checkpoint", folder, *more]
    return main([str(word) for word in (*words, "-o", tmp_path / "out.h5ad", "--overwrite")])


def test_cells_of_a_mouse_are_not_taken_as_human_by_their_symbols(tmp_path, capsys):
    folder, cells = tiny_folder("uce", tmp_path), mouse_cells()
    with pytest.raises(InputError, match="are those of mouse"):
        get_encoder("uce", folder).embed(cells)
    with pytest.raises(InputError, match="are those of mouse"):
        get_encoder("uce", folder).gene_representations(cells)
    assert embed(cells, "uce", folder, tmp_path) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "is not human data" in error
    assert "by the option species of uce" in error
    assert embed(cells, "uce", folder, tmp_path, "--allow-other-species") == 0
    assert "is treated as human although" in capsys.readouterr().err
    assert np.isfinite(anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_uce"]).all()


@pytest.mark.parametrize("name", NAMES)
def test_cells_whose_file_notes_another_species(name, tmp_path):
    encoder, cells = get_encoder(name, tiny_folder(name, tmp_path)), tiny_cells()
    expected = encoder.embed(cells)
    for note in ("Homo sapiens", "NCBITaxon:9606", "human"):
        cells.obs["organism"] = note
        assert np.array_equal(encoder.embed(cells), expected)
    cells.obs["organism"] = "Mus musculus"
    with pytest.raises(InputError, match="organism in obs is 'Mus musculus' for 9 of 9 cells"):
        encoder.embed(cells)
    assert np.array_equal(encoder.embed(cells, allow_other_species=True), expected)


def test_a_species_that_was_chosen_is_believed(tmp_path, caplog):
    encoder = get_encoder("genecompass", tiny_folder("genecompass", tmp_path), species="mouse")
    assert np.isfinite(encoder.embed(tiny_cells())).all()
    assert "is treated as mouse although" in messages(caplog)


@pytest.mark.parametrize("name", NAMES)
def test_cells_of_whose_counts_a_model_knows_little(name, tmp_path, caplog):
    encoder, cells = get_encoder(name, tiny_folder(name, tmp_path)), tiny_cells()
    encoder.embed(cells)
    assert "of the counts" not in messages(caplog)
    unknown = np.flatnonzero(~cells.var["symbol"].isin(GENES.values()))
    cells.X[:, unknown] = np.round(np.asarray(cells.X).sum(1, keepdims=True) * 2)
    encoder.embed(cells)
    assert re.search("knows the genes of [12][0-9]% of the counts alone", messages(caplog))


def test_a_column_of_one_symbol_is_not_the_one_of_the_genes(tmp_path, caplog):
    """Though the model knows the symbol, and so all values of the column."""
    caplog.set_level("INFO")
    cells = tiny_cells()
    cells.var["panel"] = "GENE1"
    get_encoder("scgpt", tiny_folder("scgpt", tmp_path)).embed(cells)
    assert "40 of 42 genes are known, by symbol in symbol" in messages(caplog)


def test_genes_without_a_name_are_shown_as_such(tmp_path, caplog):
    caplog.set_level("INFO")
    cells = tiny_cells()
    cells.var["symbol"] = ["", *cells.var["symbol"][1:]]
    get_encoder("scgpt", tiny_folder("scgpt", tmp_path)).embed(cells)
    assert "unknown: ''" in messages(caplog)


@pytest.mark.parametrize("name", ["sclong", "uce"])
@pytest.mark.parametrize("device", ["abacus", "cuda:77"])
def test_a_device_that_is_not_there(name, device, tmp_path, capsys):
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    words = ["embed", str(tmp_path / "cells.h5ad"), "-o", str(tmp_path / "o.h5ad")]
    words += ["--device", device, "--encoder", name]
    if name != "sclong":
        words += ["--checkpoint", str(tiny_folder(name, tmp_path))]
    assert main(words) == 2
    assert f"error: there is no device '{device}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--encoder-option", "=1"), "'=1' is not a setting; expected NAME=VALUE"),
    ],
)
def test_flags_that_would_do_nothing(words, message, tmp_path, capsys):
    assert embed(tiny_cells(), "uce", tiny_folder("uce", tmp_path), tmp_path, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("scgpt", "best_model.pt"),
        ("uce", "tiny_model.torch"),
        ("uce", "all_tokens.torch"),
        ("scfoundation", "models.ckpt"),
        ("genecompass", "pytorch_model.bin"),
    ],
)
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_that_is_half_copied(name, file, kept, tmp_path):
    folder = tiny_folder(name, tmp_path)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError) as error:
        get_encoder(name, folder)
    assert f"{file} is refused: it is damaged, or a part of it is missing" in str(error.value)


def test_settings_of_genecompass_that_are_half_copied(tmp_path):
    folder = tiny_folder("genecompass", tmp_path)
    content = (folder / "config.json").read_text()
    (folder / "config.json").write_text(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"config\.json is not JSON"):
        get_encoder("genecompass", folder)


def test_uce_of_another_size_without_its_sizes(tmp_path):
    folder = tiny_folder("uce", tmp_path)
    (folder / "sizes.json").unlink()
    with pytest.raises(CheckpointError, match=r"a model of another size needs sizes\.json"):
        get_encoder("uce", folder)


def test_no_device_for_an_encoder_in_python(tmp_path):
    with pytest.raises(ConfigError, match="there is no device 'cuda:77'"):
        get_encoder("scgpt", tiny_folder("scgpt", tmp_path), device="cuda:77")
