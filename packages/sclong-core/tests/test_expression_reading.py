"""Reading runs of rows from HDF5, and failing in one line."""

import h5py
import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_core.expression.reading import CompressedRows, DenseRows, require_numbers, texts
from sclong_core.expression.store import refuse_unreadable
from sclong_core.testing import make_counts_anndata


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        yield file


def test_runs_of_a_compressed_matrix_are_its_rows(file):
    counts = make_counts_anndata(11, 5).X
    for key in ("data", "indices", "indptr"):
        file[key] = getattr(counts, key)
    read = CompressedRows(file, 11, 5)
    for start, stop in ((0, 11), (3, 4), (7, 7), (10, 11)):
        np.testing.assert_array_equal(read(start, stop).toarray(), counts[start:stop].toarray())


@pytest.mark.parametrize("transposed", [False, True])
def test_runs_of_a_dense_matrix_are_its_rows(file, transposed):
    values = np.arange(12).reshape(4, 3)
    file["values"] = values.T if transposed else values
    read = DenseRows(file["values"], transposed=transposed)
    assert read.shape == (4, 3)
    np.testing.assert_array_equal(read(1, 3), values[1:3])


@pytest.mark.parametrize(
    "values", [["a", "ü"], np.array(["a", "ü".encode()], dtype="S2"), np.array([b"a", b"b"])]
)
def test_every_kind_of_text_is_read(file, values):
    file["names"] = values
    assert texts(file["names"]) == [v.decode() if isinstance(v, bytes) else v for v in values]


def test_a_failure_becomes_one_line():
    with (
        pytest.raises(InputError, match=r"^cells: obs cannot be read \(two lines\): the file is"),
        refuse_unreadable("cells", "obs"),
    ):
        raise OSError("two\n  lines")


def test_a_message_for_the_user_and_other_errors_pass():
    for error in (InputError("said already"), ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised, refuse_unreadable("cells", "obs"):
            raise error
        assert raised.value is error


@pytest.mark.parametrize("dtype", [complex, "U3", object, [("a", int)], "M8[s]"])
def test_only_real_numbers_are_expression(dtype):
    with pytest.raises(InputError, match="must be integers or real numbers"):
        require_numbers(np.dtype(dtype), "cells", "X")


@pytest.mark.fault
@pytest.mark.parametrize("size", [2**31, 2**60])
def test_an_array_that_is_said_to_be_enormous_is_refused(file, size):
    """Chunks that were never written read as zeros, and take all memory."""
    file.create_dataset("names", shape=(size,), dtype="S8", chunks=(1024,))
    file.create_dataset("indptr", shape=(size,), dtype="i8", chunks=(1024,))
    with pytest.raises(ValueError, match="should have"):
        texts(file["names"])
    with pytest.raises(ValueError, match="for 3 rows"):
        CompressedRows({**file, "data": None, "indices": None}, 3, 4)


@pytest.mark.fault
def test_too_little_memory_is_said_as_such():
    with (
        pytest.raises(InputError, match="more memory than this machine has"),
        refuse_unreadable("cells.h5ad", "X"),
    ):
        raise MemoryError("Unable to allocate 8 TiB")
