"""The wheels as a user gets them: built, opened, and core alone installed where nothing else is."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import anndata
import numpy as np
import pytest

from tests.support.published import tiny_cells, tiny_folder

ROOT = Path(__file__).parents[1]
PARTS = ("core", "data", "tasks", "bench")

pytestmark = pytest.mark.slow

MAKE_CELLS_AND_CHECKPOINT = """
import anndata, numpy as np, pandas as pd
from sclong_core import GeneGraph, GeneVocabulary, ScLong, ScLongConfig

ids = [f"ENSG{number:011d}" for number in range(1, 301)]
counts = np.random.default_rng(0).poisson(1.0, (20, len(ids))).astype(np.float32)
anndata.AnnData(counts, var=pd.DataFrame(index=ids)).write_h5ad("cells.h5ad")
itself = np.arange(len(ids))
graph = GeneGraph(len(ids), np.stack([itself, itself]), np.ones(len(ids), np.float32))
config = ScLongConfig.preset("tiny", genes=len(ids))
ScLong(config, GeneVocabulary.from_ids(ids), graph).save_pretrained("checkpoint")
"""


def run(*words: str | Path, cwd: Path, ok: bool = True) -> str:
    """Standard output of a command, started away from the sources; where it fails, its errors."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout if ok else done.stderr


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> dict[str, Path]:
    """The four wheels by part."""
    folder = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    for part in PARTS:
        run(*build, ROOT / f"packages/sclong-{part}", cwd=folder)
    return {part: next(folder.glob(f"sclong_{part}-*.whl")) for part in PARTS}


@pytest.fixture(scope="module")
def clean(tmp_path_factory, wheels) -> Path:
    """Folder of the programs of an environment in which just core's wheel was asked for."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", folder, cwd=folder)
    programs = folder / "bin"
    constraints = ROOT / "constraints.txt"
    run(programs / "pip", "install", "-q", "-c", constraints, wheels["core"], cwd=folder)
    return programs


@pytest.mark.parametrize("part", PARTS)
def test_a_wheel_holds_all_of_its_source_folder(wheels, part):
    source = ROOT / f"packages/sclong-{part}/src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheels[part]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert f"sclong_{part}/py.typed" in held
    assert held == files


def test_core_alone_is_complete(clean, tmp_path):
    assert run(clean / "sclong", "--version", cwd=tmp_path).startswith("sclong ")
    listed = run(clean / "sclong", "--help", cwd=tmp_path)
    assert "embed" in listed
    assert "cannot be loaded" not in listed
    assert "demo" not in listed
    run(clean / "pip", "check", cwd=tmp_path)
    run(clean / "python", "-c", "from sclong_core import *", cwd=tmp_path)


@pytest.mark.parametrize("other", ["sclong_data", "sclong_tasks", "sclong_bench", "scanpy"])
def test_core_alone_brings_nothing_of_the_others(clean, tmp_path, other):
    run(clean / "python", "-c", f"import {other}", cwd=tmp_path, ok=False)


def test_core_alone_embeds_cells(clean, tmp_path):
    run(clean / "python", "-c", MAKE_CELLS_AND_CHECKPOINT, cwd=tmp_path)
    embed = (clean / "sclong", "embed", "cells.h5ad", "--checkpoint", "checkpoint")
    run(*embed, "-o", "out.h5ad", cwd=tmp_path)
    embedding = anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_sclong"]
    assert embedding.shape == (20, 64)
    assert np.isfinite(embedding).all()


def test_core_alone_names_the_package_of_other_encoders(clean, tmp_path):
    run(clean / "python", "-c", MAKE_CELLS_AND_CHECKPOINT, cwd=tmp_path)
    embed = (clean / "sclong", "embed", "cells.h5ad", "--encoder", "scgpt", "--checkpoint", ".")
    errors = run(*embed, "-o", "out.h5ad", cwd=tmp_path, ok=False)
    assert errors.strip().count("\n") == 0
    assert "pip install sclong-tasks" in errors
    assert not (tmp_path / "out.h5ad").exists()


def test_the_installed_command_embeds_with_the_encoders_of_the_tasks_package(tmp_path):
    """By the entry points that the packages were installed with, in a process of its own."""
    tiny_folder("scgpt", tmp_path)
    tiny_cells().write_h5ad(tmp_path / "cells.h5ad")
    program = Path(sys.executable).with_name("sclong")
    embed = (program, "embed", "cells.h5ad", "--encoder", "scgpt", "--checkpoint", "scgpt")
    run(*embed, "-o", "out.h5ad", cwd=tmp_path)
    assert anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_scgpt"].shape == (9, 16)
    assert "--encoder scgpt" in run(program, "info", "scgpt", cwd=tmp_path)
