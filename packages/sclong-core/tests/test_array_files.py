import io
import zipfile

import numpy as np
import pytest

from sclong_core import array_files
from sclong_core.array_files import read_array, read_arrays
from sclong_core.errors import InputError


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_what_numpy_wrote_is_read(tmp_path):
    arrays = {"a": np.arange(6).reshape(2, 3), "b": np.float32(1), "c": np.array(["x", "yz"])}
    found = read_arrays(write(tmp_path / "a.npz", **arrays), ("a", "b", "c"), "a test")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.fault
@pytest.mark.parametrize("size", ["99999999999999", "123456789012345678901", "1"])
def test_a_shape_that_lies_is_refused_before_memory_is_taken(tmp_path, size):
    plain = io.BytesIO()
    np.save(plain, np.ones(4))
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", plain.getvalue().replace(b"(4,)", f"({size},)".encode()))
    with pytest.raises(InputError, match="is not a test"):
        read_arrays(path, ["a"], "a test")


@pytest.mark.fault
def test_a_bomb_and_objects_and_what_is_absent_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(10**6))
    monkeypatch.setattr(array_files, "UNSUSPICIOUS_BYTES", 10**6)
    with pytest.raises(InputError, match=r"8,000,128 bytes in"):
        read_arrays(path, ["a"], "a test")
    with pytest.raises(InputError, match=r"no item named 'b\.npy'"):
        read_arrays(path, ["b"], "a test")
    write(path, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="never unpickles"):
        read_arrays(path, ["a"], "a test")
    with pytest.raises(InputError, match="No such file"):
        read_arrays(tmp_path / "none.npz", ["a"], "a test")


def test_one_array_is_read(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy", "a test"), [[0, 1, 2], [3, 4, 5]])


@pytest.mark.fault
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(4,)", b"(99999999999999,)"),
        (b"(4,)", b"(5,)"),
        (b"'descr'", b"descr("),
        (b"}", b" "),
        (b"'<f8'", b"'|O'"),
        (b"NUMPY", b"NUMBY"),
    ],
)
def test_one_array_that_lies_is_refused(tmp_path, old, new):
    path = tmp_path / "a.npy"
    np.save(path, np.ones(4))
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(InputError, match="is not a test"):
        read_array(path, "a test")
