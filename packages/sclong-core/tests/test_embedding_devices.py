"""Two processes over gloo, through the real command."""

import os
import signal
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest

from sclong_core import ConfigError, save_checkpoint
from sclong_core.embedding.block_store import partial_folder
from sclong_core.embedding.devices import embed_files_on_devices
from sclong_core.testing import SYNTHETIC_GENES, make_counts_anndata, make_tiny_model

CELLS = 600
MODEL = make_tiny_model()
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "SLURM_PROCID", "MASTER_ADDR", "MASTER_PORT")


@pytest.fixture
def words(tmp_path):
    save_checkpoint(MODEL, tmp_path / "model")
    adata = make_counts_anndata(CELLS, SYNTHETIC_GENES)
    (tmp_path / "data").mkdir()
    adata.write_h5ad(tmp_path / "data" / "many.h5ad")
    adata[:5].copy().write_h5ad(tmp_path / "data" / "few.h5ad")
    (tmp_path / "data" / "bad.h5ad").write_bytes(b"not HDF5")
    checkpoint = ["--checkpoint", str(tmp_path / "model"), "--device", "cpu", "--devices", "2"]
    return ["embed", str(tmp_path / "data"), *checkpoint, "-o", str(tmp_path / "out")]


def environment():
    outside = {name: value for name, value in os.environ.items() if name not in RANKS}
    return {**outside, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def launch(launcher, words):
    return subprocess.run(
        [*launcher, *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=240,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        ["-m", "sclong_core"],
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "sclong_core"],
    ],
    ids=["by itself", "torchrun"],
)
def test_two_devices_give_what_one_gives(words, tmp_path, launcher):
    (tmp_path / "data" / "bad.h5ad").unlink()
    done = launch([sys.executable, *launcher], words)
    assert done.returncode == 0, done.stderr
    for name, cells in (("many", CELLS), ("few", 5)):
        expected = MODEL.embed(ad.read_h5ad(tmp_path / "data" / f"{name}.h5ad"))
        found = ad.read_h5ad(tmp_path / "out" / f"{name}.h5ad").obsm["X_sclong"]
        assert len(found) == cells
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert done.stdout.count("pooled by") == 1
    assert done.stderr.count("600 cells, 24 genes") == 1
    assert "GLOBAL_RANK" not in done.stderr
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.slow
def test_a_bad_file_and_damaged_blocks_are_survived(words, tmp_path):
    output = tmp_path / "out" / "many.h5ad"
    done = launch([sys.executable, "-m", "sclong_core"], [*words, "--pool", "mean"])
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: 1 of 3 files were not embedded")
    assert "Traceback" not in done.stderr
    before = ad.read_h5ad(output).obsm["X_sclong"]
    again = launch([sys.executable, "-m", "sclong_core"], [*words, "--resume"])
    assert again.returncode == 2
    assert again.stderr.count("finished before") == 2
    np.testing.assert_array_equal(ad.read_h5ad(output).obsm["X_sclong"], before)


@pytest.mark.slow
@pytest.mark.fault
def test_an_interrupted_run_resumes_with_another_number_of_devices(words, tmp_path):
    (tmp_path / "data" / "bad.h5ad").unlink()
    script = (
        "import sys, time; from sclong_core.cli.main import main\n"
        "from sclong_core.embedding.block_store import BlockStore\n"
        "write = BlockStore.write\n"
        "def stall(store, number, values):\n"
        "    write(store, number, values)\n"
        "    if store.cells > 5 and number == 0:\n"
        "        print('stalled', flush=True); time.sleep(600)\n"
        "BlockStore.write = stall\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    (tmp_path / "stalled.py").write_text(script)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "stalled.py"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    assert process.stdout.readline() == "stalled\n", process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    output = tmp_path / "out" / "many.h5ad"
    assert list(partial_folder(output).glob("block-00000000*"))
    words[words.index("--devices") + 1] = "1"
    assert launch([sys.executable, "-m", "sclong_core"], [*words, "--resume"]).returncode == 0
    expected = MODEL.embed(ad.read_h5ad(tmp_path / "data" / "many.h5ad"))
    found = ad.read_h5ad(output).obsm["X_sclong"]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("device", "reason"), [("cuda:1", "leave out"), ("abacus", "abacus")])
def test_devices_that_cannot_be_are_refused(device, reason):
    with pytest.raises(ConfigError, match=reason):
        embed_files_on_devices(None, [], device=device, devices=2)
