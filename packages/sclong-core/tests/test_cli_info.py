import logging
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sclong_core import save_checkpoint
from sclong_core.cli.info import command
from sclong_core.cli.main import main
from sclong_core.cli.terminal import messages
from sclong_core.embedding.compatibility import Speed, gene_ids_place, measure_speed
from sclong_core.expression import prepare_cells
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

MODEL = make_tiny_model()


@pytest.fixture
def checkpoint(tmp_path):
    save_checkpoint(MODEL, tmp_path / "model", origin={"kind": "test", "epoch": 3})
    return str(tmp_path / "model")


@pytest.fixture
def adata():
    adata = make_counts_anndata(12, SYNTHETIC_GENES)
    adata.layers["counts"] = adata.X.copy()
    return adata


@pytest.fixture
def data(tmp_path, adata):
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return str(tmp_path / "cells.h5ad")


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")


def test_a_checkpoint_is_described_and_verified(checkpoint, capsys):
    assert main(["info", checkpoint]) == 0
    shown = capsys.readouterr().out
    for part in (
        f"{sum(p.numel() for p in MODEL.parameters()):,} (float32)",
        "24 (0 with a symbol)",
        "2 layers of width 16, 2 heads; of the 6 highest genes",
        "counts scaled to 10,000 per cell, then log1p",
        "kind test",
        "epoch 3",
        "verified",
    ):
        assert part in shown


def test_a_damaged_checkpoint_is_described_as_far_as_it_goes(checkpoint, tmp_path, capsys):
    path = tmp_path / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert main(["info", checkpoint]) == 2
    shown = capsys.readouterr()
    assert "damaged: " in shown.out
    assert "24 (0 with a symbol)" in shown.out
    assert shown.err.splitlines()[-1].startswith("error: ")
    path.unlink()
    assert main(["info", checkpoint]) == 2
    assert "is missing" in capsys.readouterr().out


def test_data_are_described_without_a_checkpoint(data, capsys):
    assert main(["info", data]) == 0
    shown = capsys.readouterr().out
    assert "Ensembl ids in var_names" in shown
    assert "raw counts (in 12 cells" in shown
    assert "layers/counts" in shown
    assert "time to embed" not in shown


def test_data_and_checkpoint_are_compared(data, checkpoint, capsys):
    assert main(["info", data, checkpoint]) == 0
    shown = capsys.readouterr()
    assert "100.0% of all counts" in shown.out
    assert "raw counts: scaled to 10,000 per cell, then log1p" in shown.out
    assert "measured on 8 cells" in shown.out
    assert "measuring the speed" in shown.err
    assert "likely reasons" not in shown.out


def test_a_poor_fit_is_explained_and_timing_can_be_left_out(tmp_path, adata, checkpoint, capsys):
    adata.var_names = [*adata.var_names[:6], *(f"LOC{number}" for number in range(18))]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    words = ["info", str(tmp_path / "cells.h5ad"), "--checkpoint", checkpoint, "--no-timing"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "18 genes are unknown to the model (LOC0" in shown
    assert "lacks genes of the model" in shown
    assert "time to embed" not in shown


def test_what_embed_would_refuse_is_said(tmp_path, adata, checkpoint, capsys):
    counts = adata.X.toarray()
    counts[3] = 0
    adata.X = counts
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert main(["info", str(tmp_path / "cells.h5ad"), checkpoint]) == 2
    shown = capsys.readouterr()
    assert "1 of 12 cells have no count" in shown.out
    assert "not usable" in shown.out
    assert "no counts in 1 of its cells" in shown.err.splitlines()[-1]


def test_wrong_paths_are_refused(data, checkpoint, tmp_path, capsys):
    assert main(["info", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["info", data, "--checkpoint", "nowhere"]) == 2
    assert "neither a checkpoint folder nor a hub id" in capsys.readouterr().err
    save_checkpoint(MODEL, tmp_path / "other")
    assert main(["info", data, checkpoint, str(tmp_path / "other")]) == 2
    assert "several checkpoints" in capsys.readouterr().err


def test_the_column_of_gene_ids_is_found():
    names = pd.Index(["TP53", "CD3E", "CD8A"])
    ids = [f"ENSG{number:011d}.2" for number in range(3)]
    assert gene_ids_place(pd.DataFrame({"gene_id": ids}, index=names)) == "Ensembl ids in gene_id"
    assert gene_ids_place(pd.DataFrame(index=names)).startswith("no Ensembl ids; var_names are TP5")


def test_time_is_said_in_words():
    assert Speed(8, 0.5).total(10) == "5.0 seconds"
    assert Speed(8, 0.5).total(1_000) == "8.3 minutes"
    assert Speed(8, 0.5).total(100_000) == "13.9 hours"
    assert Speed(8, 0.5).total(10_000_000) == "57.9 days"


def test_speed_is_measured_on_cells_that_are_there(adata):
    cells = prepare_cells(adata[:3].copy(), MODEL.vocabulary, MODEL.config.input)
    speed = measure_speed(MODEL, cells, batch_size=8)
    assert speed.batch == 3
    assert np.isfinite(speed.seconds_per_cell)


def test_messages_are_one_line_and_marked(capsys):
    log = logging.getLogger("sclong")
    with messages():
        log.info("read %d\ncells [bold]", 3)
        log.warning("few genes")
        log.debug("nobody asks")
    with messages(shown=False):
        log.warning("another rank says so")
        log.error("this rank failed")
    log.info("after")
    assert capsys.readouterr().err.splitlines() == [
        "read 3 cells [bold]",
        "warning: few genes",
        "error: this rank failed",
    ]


def test_the_command_is_light_to_import():
    check = (
        "import sys, sclong_core.cli.info; print([name for name in "
        "('torch', 'numpy', 'rich', 'anndata', 'lightning') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
    assert command.help
