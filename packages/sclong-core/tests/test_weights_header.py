"""Sizes of a configuration against the header of the weights, before anything is built."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.errors import CheckpointError
from sclong_core.weights_header import Stored, check_sizes, read_header

SIDE = PerformerConfig(dim=8, depth=1, heads=2, dim_head=4)
CONFIG = ScLongConfig(
    genes=12, dim=8, expression_hidden=5, high_genes=4, large=SIDE, mini=SIDE, full=SIDE
)


def test_the_header_holds_names_types_and_shapes(tmp_path):
    tensors = {"a": np.zeros((2, 3), np.float32), "b": np.zeros((), np.int64)}
    save_file(tensors, tmp_path / "w.safetensors")
    found = read_header(tmp_path / "w.safetensors")
    assert found == {"a": Stored("F32", (2, 3)), "b": Stored("I64", ())}
    assert [stored.size for stored in found.values()] == [6, 1]


@pytest.mark.parametrize("content", [b"", b"text", (10**12).to_bytes(8, "little") + b"{}"])
def test_what_is_no_such_file_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_header(tmp_path / "w.safetensors")


def test_a_model_that_its_weights_can_hold_passes(tmp_path):
    check_sizes(CONFIG, {str(number): Stored("F32", (1000,)) for number in range(9)}, tmp_path)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (replace(CONFIG, large=replace(SIDE, depth=10**7)), "fewer than the large encoder"),
        (replace(CONFIG, large=replace(SIDE, dim=10**30)), "a layer of the large encoder"),
        (replace(CONFIG, genes=10**9), "the table of genes"),
        (replace(CONFIG, expression_hidden=10**400), "far more"),
    ],
)
def test_a_model_larger_than_its_weights_is_refused(tmp_path, config, said):
    header = {str(number): Stored("F32", (1000,)) for number in range(9)}
    with pytest.raises(CheckpointError, match=said):
        check_sizes(config, header, tmp_path / "model.safetensors")
