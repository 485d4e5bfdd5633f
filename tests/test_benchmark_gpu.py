"""``python -m benchmarks.gpu``: its plumbing, by Triton's interpreter on a tiny model."""

import os
from importlib.util import find_spec

import pytest
import torch

from benchmarks import gpu
from sclong_core import PerformerConfig, ScLongConfig
from sclong_core.nn import attention

SIDE = PerformerConfig(dim=16, depth=1, heads=1, dim_head=8)
SIZES = {"genes": 40, "dim": 16, "expression_hidden": 8, "high_genes": 10}
CONFIG = ScLongConfig(**SIZES, large=SIDE, mini=SIDE, full=SIDE)
needs_triton = pytest.mark.skipif(
    find_spec("triton") is None or os.environ.get("TRITON_INTERPRET") != "1",
    reason="needs Triton (sclong-core[gpu]) and TRITON_INTERPRET=1",
)


def tiny_table():
    cpu = torch.device("cpu")
    return gpu.table({"tiny": CONFIG}, cpu, cells=1, repeats=1, compiled=False)


@needs_triton
def test_each_choice_has_a_row_and_the_page_names_the_card(tmp_path):
    rows = tiny_table()
    assert [row.split(" | ")[1] for row in rows] == ["blocks", "fused"]
    assert all(float(speed) > 0 for row in rows for speed in row.split(" | ")[3:5])
    gpu.write(tmp_path / "gpu.md", "A card", 1, rows)
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("A card, PyTorch")
    assert text.endswith("\n".join([*rows, ""]))


@pytest.mark.parametrize("wrong", [(0.1, 0.0), (0.0, 0.1), (float("inf"), 0.0)])
def test_kernels_that_differ_are_not_measured(monkeypatch, wrong):
    monkeypatch.setattr(gpu, "differences", lambda *_: wrong)
    blocks, fused = tiny_table()
    assert float(blocks.split(" | ")[3]) > 0
    assert fused.split(" | ")[3:5] == ["differs", "differs"]


@needs_triton
def test_a_wrong_kernel_is_noticed(monkeypatch):
    right = attention._attend_fused
    monkeypatch.setattr(attention, "_attend_fused", lambda *words: 1.01 * right(*words))
    assert tiny_table()[1].split(" | ")[3:5] == ["differs", "differs"]


def test_what_does_not_fit_or_has_no_time_left_is_a_row_and_each_size_is_saved(monkeypatch):
    def full(*_words):
        raise torch.OutOfMemoryError

    saved = []
    cpu = torch.device("cpu")
    configs = {"tiny": CONFIG, "again": CONFIG}
    monkeypatch.setattr(gpu, "differences", full)
    gpu.table(
        configs, cpu, cells=1, repeats=1, compiled=False, save=lambda rows: saved.append(len(rows))
    )
    assert saved == [1, 2]
    monkeypatch.setattr(gpu, "SECONDS", -1)
    rows = gpu.table(configs, cpu, cells=1, repeats=1, compiled=False)
    assert all("time was up" in row for row in rows)


def test_not_a_number_differs():
    assert gpu._share(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


def test_without_a_gpu_it_refuses(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        gpu.main(["--output", str(tmp_path / "gpu.md")])
    assert not (tmp_path / "gpu.md").exists()
