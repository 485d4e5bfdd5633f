"""Dictionaries with numpy's numbers and arrays, read without executing anything."""

import os
import pickle
import pickletools

import numpy as np
import pytest

from sclong_core.errors import CheckpointError
from sclong_core.pickles import read_pickled_dictionary

CONTENT = {
    "<pad>": 0,
    "gene": np.int16(7),
    "median": np.float64(2.5),
    "vector": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.array([1, 2], dtype=">i4"),
    3: "text",
}


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numbers_and_arrays_arrive_as_they_were(tmp_path, protocol):
    found = read_pickled_dictionary(write(tmp_path / "a.pkl", CONTENT, protocol))
    assert found.keys() == CONTENT.keys()
    assert type(found["gene"]) is int
    assert type(found["median"]) is float
    for key, value in CONTENT.items():
        assert np.array_equal(found[key], value), key
    assert found["big"].dtype == np.int32


def test_the_name_that_older_numpy_used_is_known(tmp_path):
    content = pickle.dumps({"a": np.float64(2.5)}, protocol=2)
    older = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert older != content
    (tmp_path / "a.pkl").write_bytes(older)
    assert read_pickled_dictionary(tmp_path / "a.pkl") == {"a": 2.5}


class Call:
    def __init__(self, function, *given):
        self.what = (function, given)

    def __reduce__(self):
        return self.what


class State:
    def __reduce__(self):
        return (dict, (), {"a": 1})


@pytest.mark.parametrize(
    "value",
    [
        print,
        Call(os.getcwd),
        Call(np.dtype, "O"),
        Call(np.dtype, "U5"),
        np.array(["text"]),
        np.array([{}], dtype=object),
        np.float64,
        State(),
    ],
    ids=["function", "call", "objects", "text-type", "text", "mappings", "type", "state"],
)
def test_anything_else_is_refused(tmp_path, value):
    with pytest.raises(CheckpointError):
        read_pickled_dictionary(write(tmp_path / "a.pkl", {"a": value}))


@pytest.mark.parametrize("content", [[1, 2], {1.5: 2}, {(1,): 2}, None])
def test_only_dictionaries_by_text_or_number_are_read(tmp_path, content):
    with pytest.raises(CheckpointError, match="must hold a dictionary"):
        read_pickled_dictionary(write(tmp_path / "a.pkl", content))


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word


def test_the_state_of_nothing_else_can_be_set(tmp_path):
    """Set on a function of ours, it would change the function for every file after this one."""
    state = b"}" + text(b"b") + b"K\x01s"
    for target in (b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"}", b"]", b"K\x01"):
        attack = b"\x80\x02}" + text(b"a") + target + state + b"bs."
        assert "BUILD" in {opcode.name for opcode, _, _ in pickletools.genops(attack)}
        (tmp_path / "a.pkl").write_bytes(attack)
        with pytest.raises(CheckpointError):
            read_pickled_dictionary(tmp_path / "a.pkl")


def test_arrays_that_say_more_than_they_hold_are_refused(tmp_path):
    content = pickle.dumps({"a": np.zeros(4)}, protocol=2)
    assert content.count(b"K\x04\x85") == 1
    (tmp_path / "a.pkl").write_bytes(content.replace(b"K\x04\x85", b"K\x40\x85"))
    with pytest.raises(CheckpointError, match="do not fit each other"):
        read_pickled_dictionary(tmp_path / "a.pkl")


def test_damaged_and_missing_files_are_named(tmp_path):
    whole = pickle.dumps(CONTENT, protocol=4)
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"cut\.pkl"):
            read_pickled_dictionary(tmp_path / "cut.pkl")
    with pytest.raises(CheckpointError, match=r"none\.pkl"):
        read_pickled_dictionary(tmp_path / "none.pkl")
