"""The commands and the Python of the README, run as they are printed."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.testing import make_counts_anndata
from sclong_core.vocabulary import GeneVocabulary
from tests.support.release import write_synthetic_release

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", README, flags=re.DOTALL)
PRINTED_NAMES = {
    "weights": "gocont_4096_48m_pretrain_1b_mix_2024-02-05_16-23-37.pth",
    "hyper_params": "gocont_4096_48m_pretrain_1b_mix.pkl",
    "genes": "selected_genes_27k.txt",
    "gene2vec": "selected_gene2vec_27k.npy",
}


def commands(start: str) -> list[list[str]]:
    """Every command of the README that begins so, split into words."""
    script = "\n".join(text for kind, text in BLOCKS if kind == "bash").replace("\\\n", " ")
    lines = (shlex.split(line, comments=True) for line in script.splitlines())
    return [words for words in lines if words[: len(start.split())] == start.split()]


def run(words: list[str], folder: Path) -> None:
    assert words[0] == "sclong"
    done = subprocess.run(
        [sys.executable, "-m", "sclong_core", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the files that the README names, made up and small."""
    folder = tmp_path_factory.mktemp("readme")
    for argument, path in write_synthetic_release(folder).items():
        path.rename(folder / PRINTED_NAMES[argument])
    genes = GeneVocabulary.read(packaged_checkpoint() / "vocabulary.tsv").ids[:1500]
    make_counts_anndata(40, len(genes), names=genes).write_h5ad(folder / "cells.h5ad")
    (convert,) = commands("sclong convert")
    run(convert, folder)
    (folder / "FOLDER").symlink_to(folder / "sclong-1b")
    return folder


def test_make_has_the_targets_that_are_named():
    makefile = (ROOT / "Makefile").read_text()
    named = {words[1] for words in commands("make") if len(words) > 1}
    assert {"demo", "test"} <= named
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in named)


@pytest.mark.slow
def test_embedding_and_the_way_to_a_umap(workplace):
    (embed,) = commands("sclong embed")
    run(embed, workplace)
    umap, notebook = (text for kind, text in BLOCKS if kind == "python")
    script = f"import matplotlib\nmatplotlib.use('Agg')\n{umap}\n{notebook}"
    script += '\nassert adata.obsm["X_sclong"].shape[0] == 40 and "X_umap" in adata.obsm\n'
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=workplace,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_named_configuration_for_pretraining_exists(workplace):
    (line,) = re.findall(r"`(sclong pretrain fit [^`]+)`", README)
    run([*shlex.split(line), "--dry-run"], workplace)
