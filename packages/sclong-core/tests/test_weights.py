import pytest
import torch
from safetensors.torch import load_file, save_file

from sclong_core import CheckpointError
from sclong_core.weights import ALIGNMENT, read_weights, write_weights

TENSORS = {
    "a": torch.arange(3, dtype=torch.float32),
    "b": torch.randn(16, 4),
    "count": torch.tensor(7),
    "half": torch.randn(8, 8).bfloat16(),
    "nothing": torch.empty(0, 4),
    "odd": torch.randn(5).bfloat16(),
    "yes": torch.tensor([True, False]),
}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_every_library_reads_what_is_written(tmp_path):
    write_weights(TENSORS, tmp_path / "x.safetensors")
    same(load_file(tmp_path / "x.safetensors"), TENSORS)
    same(read_weights(tmp_path / "x.safetensors"), TENSORS)


@pytest.mark.parametrize("name", ["", "x", "a longer name", "ä"])
def test_tensors_of_whole_lines_start_on_one_without_being_copied(tmp_path, name):
    """Whatever the length of the header."""
    tensors = {**TENSORS, f"b{name}": torch.randn(32, 2)}
    write_weights(tensors, tmp_path / "x.safetensors")
    mapped = load_file(tmp_path / "x.safetensors")
    for key, tensor in tensors.items():
        if tensor.nbytes % ALIGNMENT == 0:
            assert mapped[key].data_ptr() % ALIGNMENT == 0


def test_files_of_other_programs_are_aligned_in_memory(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    read = read_weights(tmp_path / "x.safetensors")
    same(read, TENSORS)
    assert {tensor.data_ptr() % ALIGNMENT for tensor in read.values()} == {0}


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, kept):
    path = tmp_path / "x.safetensors"
    write_weights(TENSORS, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        read_weights(path)
