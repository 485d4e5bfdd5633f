"""What embedding costs beside its arithmetic: new memory, and imports."""

import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sclong_core.checkpoint_names import packaged_checkpoint
from sclong_core.cli.main import main
from sclong_core.config import (
    ContextConfig,
    PerformerConfig,
    ReadoutConfig,
    ScLongConfig,
    StudentConfig,
)
from sclong_core.embedding.tables import read_table_record
from sclong_core.model import ScLong, Student, load_checkpoint
from sclong_core.nn import network
from sclong_core.testing import make_counts_anndata, make_tiny_model, synthetic_gene_ids
from sclong_core.vocabulary import GeneVocabulary

C_LIBRARY_KEEPS = 32 << 20
"""Bytes of the largest memory that glibc hands out again instead of asking for new pages."""


class _Largest(TorchDispatchMode):
    """The largest tensor that any operation made, in bytes."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, _types, arguments=(), named=None):
        found = function(*arguments, **(named or {}))
        made = [leaf for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        self.bytes = max([self.bytes, *(leaf.untyped_storage().nbytes() for leaf in made)])
        return found


@pytest.fixture(scope="module")
def mini():
    return load_checkpoint(packaged_checkpoint(), device="cpu")


@pytest.mark.parametrize("what", ["gene representations", "reconstruction", "mean", "cell"])
def test_no_batch_is_too_large_to_be_computed_in_memory_that_is_used_again(mini, what):
    names = mini.vocabulary.ids[:400]
    cells = make_counts_anndata(6, 400, names=names)
    runs = {
        "gene representations": lambda: mini.gene_representations(cells, batch_size=6),
        "reconstruction": lambda: mini.reconstruct(cells, batch_size=6),
        "mean": lambda: mini.embed(cells, pool="mean", batch_size=6),
        "cell": lambda: mini.embed(make_counts_anndata(300, 400, names=names), batch_size=300),
    }
    with _Largest() as largest:
        runs[what]()
    assert largest.bytes < C_LIBRARY_KEEPS / 2


def test_a_wide_model_computes_fewer_genes_at_once():
    genes, dim = 10_000, 256
    side = PerformerConfig(dim=dim, depth=1, heads=4, dim_head=64, attention="softmax")
    config = ScLongConfig(
        genes=genes,
        dim=dim,
        high_genes=24,
        **dict.fromkeys(("large", "mini", "full"), side),
        graph="none",
        context=ContextConfig(low_genes=8),
        readout=ReadoutConfig(width=8, hidden=16, queries=2, variable_genes=40, components=4),
    )
    model, x = ScLong(config).eval(), torch.rand(1, genes)
    with torch.inference_mode(), _Largest() as largest:
        model(x)
    assert largest.bytes < C_LIBRARY_KEEPS / 2


def test_genes_are_represented_alike_in_any_blocks(mini, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, mini.config.genes, generator=generator)
    hidden = torch.rand(x.shape, generator=generator) < 0.1
    found = []
    for block in (1 << 40, 9 << 20):
        monkeypatch.setattr(network, "_CPU_BLOCK_BYTES", block)
        mini.zero_grad()
        output = mini(x * (x > 0.9), hidden)
        (output.gene_representations.square().mean() + output.reconstruction.mean()).backward()
        weights = mini.full.layers[0].attention.key_value.weight
        found.append((*output, weights.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_loading_a_model_does_not_load_the_compiler(tmp_path):
    config = ScLongConfig(genes=30, high_genes=8, graph="none", student=StudentConfig())
    student = Student(config, GeneVocabulary.from_ids(synthetic_gene_ids(30)))
    student.save_pretrained(tmp_path / "student")
    make_tiny_model().save_pretrained(tmp_path / "tiny")
    folders = [packaged_checkpoint(), tmp_path / "student", tmp_path / "tiny"]
    code = (
        "import sys; from sclong_core.model import load_checkpoint; "
        "print([folder for folder in sys.argv[1:] if load_checkpoint(folder, device='cpu') "
        "and {'torch._dynamo', 'sympy'} & set(sys.modules)])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, folders)], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(("words", "expected"), [((), 32), (("--pool", "mean"), 8)])
def test_a_pass_has_more_cells_where_their_vectors_are_asked_for(mini, tmp_path, words, expected):
    make_counts_anndata(3, 400, names=mini.vocabulary.ids[:400]).write_h5ad(tmp_path / "cells.h5ad")
    output = tmp_path / "out.npy"
    assert main(["embed", str(tmp_path / "cells.h5ad"), "-o", str(output), *words]) == 0
    assert read_table_record(output)["batch_size"] == expected
