import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_tasks.cache import ContentCache, digest_arrays, digest_of


class Computation:
    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"a": np.arange(6.0).reshape(2, 3), "empty": np.empty((0, 4), np.float32)}


def test_computes_once_for_a_key_and_maps_what_it_kept(tmp_path):
    cache, compute = ContentCache(tmp_path), Computation()
    cache.arrays({"x": 1, "y": 2}, compute)
    found = cache.arrays({"y": 2, "x": 1}, compute)
    assert compute.times == 1
    assert isinstance(found["a"], np.memmap)
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["empty"].shape == (0, 4)
    cache.arrays({"x": 1, "y": 3}, compute)
    assert compute.times == 2


def test_computes_anew_what_is_damaged(tmp_path, caplog):
    cache, compute = ContentCache(tmp_path), Computation()
    cache.arrays({"x": 1}, compute)
    (file,) = tmp_path.glob("*/a.npy")
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    assert cache.arrays({"x": 1}, compute)["a"][1, 2] == 5
    assert compute.times == 2
    assert "damaged" in caplog.text


@pytest.mark.parametrize("index", ["[" * 100_000, "{}", '{"sha256": ["a.npy"]}', "\xff"])
def test_computes_anew_what_has_a_damaged_index(tmp_path, index):
    cache, compute = ContentCache(tmp_path), Computation()
    cache.arrays({"x": 1}, compute)
    (file,) = tmp_path.glob("*/cache.json")
    file.write_text(index, encoding="latin-1")
    assert cache.arrays({"x": 1}, compute)["a"][1, 2] == 5
    assert compute.times == 2


def test_keeps_nothing_without_a_folder():
    compute = Computation()
    cache = ContentCache(None)
    cache.arrays({"x": 1}, compute)
    cache.arrays({"x": 1}, compute)
    assert compute.times == 2
    with pytest.raises(InputError, match="no cache folder"):
        cache.folder({"x": 1}, lambda folder: None)


def test_digests_depend_on_content_type_and_shape():
    ones = np.ones(4, np.float32)
    others = [ones.astype(np.float64), ones.reshape(2, 2), np.zeros(4, np.float32)]
    assert len({digest_arrays(ones), *map(digest_arrays, others)}) == 4
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
