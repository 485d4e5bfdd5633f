"""Encoders of somebody else's: from a file, or an installed package; bad ones are one line."""

import logging

import numpy as np
import pytest
import torch
from scipy import sparse

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders import names
from sclong_tasks.encoders.choose import EncoderOptions, make_encoder
from sclong_tasks.encoders.functions import (
    FunctionEncoder,
    installed_function,
    names_function,
    read_function,
)
from sclong_tasks.encoders.protocol import ExpressionTable
from sclong_tasks.task import RunContext

TABLE = ExpressionTable(
    np.arange(12, dtype=np.float32).reshape(4, 3), tuple("abcd"), ("G1", "G2", "G3"), "counts"
)
FILE = """
import numpy as np
from dataclasses import dataclass
import beside

CALLS = []

def embed(adata):
    CALLS.append(adata)
    return np.asarray(adata.X)[:, :2] * beside.SCALE

def counts(adata):
    assert adata.uns["scale"] == "counts"
    return adata.layers["values"]

@dataclass
class Both:
    width: int = 4

    def cells(self, adata):
        return np.ones((adata.n_obs, self.width)) * np.arange(adata.n_obs)[:, None]

    def genes(self, names):
        return np.array([[len(name), 1.0] for name in names])

class OfGenes:
    genes = staticmethod(lambda names: np.eye(len(names)))
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("SCALE = 2\n")
    return tmp_path / "mine.py"


def encoder(file, name, cache=None):
    return FunctionEncoder(read_function(f"{file}:{name}"), "mine", ContentCache(cache))


def test_a_word_names_a_function_in_a_file_or_not():
    assert names_function("a/b c.py:embed")
    assert names_function("C:\\x.py:embed")
    for word in ("sclong", "mine.py", "mine.py:", "mine.py:a.b", "mine.py:1", ":embed", ".py:x"):
        assert not names_function(word)
    with pytest.raises(ConfigError, match=r"write FILE\.py:FUNCTION"):
        read_function("sclong")


def test_functions_objects_and_classes_are_encoders(file):
    found = encoder(file, "embed").cells(TABLE)
    np.testing.assert_allclose(found.values, 2 * TABLE.log1p[:, :2], rtol=1e-6)
    assert found.provenance["source"] == "mine.py:embed"
    assert len(found.provenance["sha256"]) == 64
    np.testing.assert_array_equal(encoder(file, "counts").cells(TABLE).values, TABLE.values)
    both = encoder(file, "Both")
    assert both.cells(TABLE).values.shape == (4, 4)
    np.testing.assert_array_equal(both.genes(["G1", "GENE"]).values, [[2, 1], [4, 1]])
    assert encoder(file, "OfGenes").genes(["a", "b"]).values.shape == (2, 2)
    with pytest.raises(InputError, match=r"gives no vectors of cells"):
        encoder(file, "OfGenes").cells(TABLE)
    with pytest.raises(InputError, match=r"needs vectors of genes: name an object with"):
        encoder(file, "embed").genes(["a"])


def test_what_it_returned_is_kept_by_content_of_file_and_cells(file, tmp_path):
    calls = []

    def cached(table=TABLE):
        found = encoder(file, "embed", tmp_path / "cache")
        values = found.cells(table).values
        calls.append(len(found.function.cells.__globals__["CALLS"]))
        return np.array(values)

    first = cached()
    np.testing.assert_array_equal(cached(), first)
    assert calls == [1, 0]
    cached(TABLE.take("ba"))
    assert calls[-1] == 1
    file.write_text(FILE.replace(":2]", ":3]"))
    assert cached().shape == (4, 3)


BAD = {
    "import nothing_like_this": "ModuleNotFoundError: No module named",
    "def embed(adata:": "SyntaxError",
    "raise SystemExit(3)": "SystemExit: 3",
    "other = len": "does not define embed",
    "embed = 3": "is not an encoder",
    "class embed:\n    def __init__(self, x): pass": "cannot be made: TypeError",
}


@pytest.mark.parametrize("text", BAD, ids=list(BAD.values()))
def test_a_file_that_holds_no_encoder_is_one_line(tmp_path, text):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=BAD[text]) as raised:
        read_function(f"{tmp_path / 'bad.py'}:embed")
    assert "\n" not in str(raised.value)
    assert "bad.py" in str(raised.value)


def test_no_file_is_one_line_and_functions_that_are_there_are_named(file, tmp_path):
    with pytest.raises(ConfigError, match=r"none\.py is not a file"):
        read_function(f"{tmp_path / 'none.py'}:embed")
    with pytest.raises(ConfigError, match="does not define embedd: it has embed, counts, Both"):
        read_function(f"{file}:embedd")


RETURNS = {
    "[1.0, 2.0, 3.0, 4.0]": r"shape \(4,\); expected one row a cell: \(4, width\)",
    "np.zeros((3, 2))": r"shape \(3, 2\); expected one row a cell",
    "np.zeros((4, 0))": r"shape \(4, 0\)",
    "np.zeros((4, 2, 1))": r"shape \(4, 2, 1\)",
    "np.array([[1.0], [np.nan], [2.0], [np.inf]])": "NaN or infinite values for 2 of 4 cells, the "
    "first in row 1",
    "np.full((4, 1), 1e300)": "NaN or infinite values for 4 of 4",
    "np.array([['a']] * 4)": "returned ndarray, not an array of numbers",
    "None": "returned",
    "{}": "returned",
    "[[1.0], [1.0, 2.0], [1.0], [1.0]]": "returned list, not an array of numbers",
    "1 / 0": "raised ZeroDivisionError: division by zero",
    "exit()": "raised SystemExit",
}


@pytest.mark.parametrize("returned", RETURNS)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_a_function_must_not_return_is_one_line(tmp_path, returned):
    (tmp_path / "bad.py").write_text(
        f"import numpy as np\ndef embed(adata):\n    return {returned}"
    )
    with pytest.raises(InputError, match=RETURNS[returned]) as raised:
        encoder(tmp_path / "bad.py", "embed").cells(TABLE)
    assert "\n" not in str(raised.value)
    assert "bad.py:embed" in str(raised.value)


def test_tensors_sparse_matrices_and_frames_are_arrays(tmp_path):
    (tmp_path / "kinds.py").write_text(
        "import pandas, torch\n"
        "from scipy import sparse\n"
        "def tensor(a): return torch.tensor(a.X, requires_grad=True)\n"
        "def matrix(a): return sparse.csr_matrix(a.X)\n"
        "def frame(a): return pandas.DataFrame(a.X, index=a.obs_names)\n"
    )
    for name in ("tensor", "matrix", "frame"):
        found = encoder(tmp_path / "kinds.py", name).cells(TABLE).values
        np.testing.assert_array_equal(found, TABLE.log1p)
    assert torch.is_tensor(torch.zeros(1))
    assert sparse.issparse(sparse.eye(2))


def test_options_alone_run_no_code(file, tmp_path):
    function = read_function(f"{file}:embed")
    options = EncoderOptions(name="function", path="mine.py:embed", options=function.identity)
    context = RunContext(seed=0, protocol="honest", scratch=tmp_path)
    with pytest.raises(ConfigError, match=r"runs only when you name it: give --function mine\.py"):
        make_encoder(options, context, TABLE.genes)
    given = RunContext(seed=0, protocol="honest", scratch=tmp_path, function=function)
    assert make_encoder(options, given, TABLE.genes).cells(TABLE).values.shape == (4, 2)
    file.write_text(FILE + "\n# changed\n")
    changed = RunContext(
        seed=0, protocol="honest", scratch=tmp_path, function=read_function(f"{file}:embed")
    )
    with pytest.raises(ConfigError, match="the file has changed; run the task again"):
        make_encoder(options, changed, TABLE.genes)
    other = RunContext(
        seed=0, protocol="honest", scratch=tmp_path, function=read_function(f"{file}:counts")
    )
    with pytest.raises(ConfigError, match="is not the function that the run was made with"):
        make_encoder(options, other, TABLE.genes)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that installs encoders; this process sees it until the end of the test."""
    (tmp_path / "their_models.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("SCALE = 2\n")
    info = tmp_path / "their_models-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-models\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[sclong.models]\ntheirs = their_models:Both\nbroken = their_models:nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names.installed_functions.cache_clear()
    yield
    names.installed_functions.cache_clear()


def test_an_installed_encoder_is_named_like_any_other(package, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    context = RunContext(seed=0, protocol="honest", scratch=tmp_path)
    found = make_encoder(EncoderOptions(name="theirs"), context, TABLE.genes)
    assert found.cells(TABLE).provenance["version"] == "1.2"
    assert found.genes(["a"]).provenance["package"] == "their-models"
    with pytest.raises(ConfigError, match=r"broken \(their_models:nothing\) cannot be imported"):
        installed_function("broken")
    with pytest.raises(ConfigError, match="theirs"):
        EncoderOptions(name="their")
