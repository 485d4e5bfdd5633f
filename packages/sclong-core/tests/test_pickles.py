import io
import os
import pickle
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sclong_core import pickles
from sclong_core.errors import CheckpointError
from sclong_core.pickles import load_tensors, read_plain_pickle
from tests.support.places import shared_folder
from tests.support.release import synthetic_hyper_params

PLAIN = {
    "none": None,
    "yes": True,
    "small": 7,
    "large": 1 << 80,
    "fraction": -2.5,
    "text": "Gène",
    "bytes": b"\x00\xff",
    "list": [1, [2, (3, "4", 5, 6)]],
    "ordered": OrderedDict([("b", 1), ("a", {})]),
}


class Calls:
    """Pickles as a call of ``function`` when it is loaded."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def saved(content: object, *, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def attacks(marker: Path) -> dict[str, Any]:
    touch = f"touch {marker}"
    python = f"open({str(marker)!r}, 'w')"
    evil = Calls(os.system, touch)
    return {
        "os.system": evil,
        "builtins.eval": Calls(eval, python),
        "builtins.exec": Calls(exec, python),
        "builtins.open": Calls(open, str(marker), "w"),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", str(marker)]),
        "builtins.getattr": Calls(getattr, "text", "upper"),
        "torch.load": Calls(torch.load, str(marker)),
        "torch.hub": Calls(torch.hub.load_state_dict_from_url, f"file://{marker}"),
        "numpy": np.arange(3),
        "nested zip": Calls(torch.storage._load_from_bytes, saved({"x": evil})),
        "nested legacy": Calls(torch.storage._load_from_bytes, saved({"x": evil}, zipped=False)),
        "nested pickle": Calls(torch.storage._load_from_bytes, pickle.dumps(evil)),
        "an instance": Path("plain"),
    }


ATTACKS = sorted(attacks(Path("unused")))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_plain_values(tmp_path, protocol):
    path = written(tmp_path / "plain.pkl", pickle.dumps(PLAIN, protocol))
    assert read_plain_pickle(path) == PLAIN


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_tensors_inside_a_plain_pickle(tmp_path, protocol):
    tensors = {
        "edges": torch.arange(8).reshape(2, 4),
        "part": torch.arange(8.0).reshape(2, 4)[:, 1::2],
        "half": torch.ones(3, dtype=torch.bfloat16),
        "empty": torch.empty(0, 3),
        "single": torch.tensor(5),
    }
    read = read_plain_pickle(written(tmp_path / "t.pkl", pickle.dumps(tensors, protocol)))
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert all(read[name].dtype == tensor.dtype for name, tensor in tensors.items())


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_what_torch_saved(tmp_path, zipped):
    content = {**PLAIN, "bytes": "", "tensor": torch.arange(3.0)}
    path = written(tmp_path / "saved.pkl", saved(content, zipped=zipped))
    if not zipped:
        with pytest.raises(CheckpointError, match="dictionary"):
            read_plain_pickle(path)
        return
    read = read_plain_pickle(path)
    assert torch.equal(read.pop("tensor"), content.pop("tensor"))
    assert read == content


@pytest.mark.parametrize("zipped", [True, False])
def test_load_tensors_reads_both_formats_of_torch(tmp_path, zipped):
    content = {"epoch": 1, "model_state_dict": {"x": torch.arange(6.0).reshape(2, 3)}}
    read = load_tensors(written(tmp_path / "weights.pth", saved(content, zipped=zipped)))
    assert read["epoch"] == 1
    assert torch.equal(read["model_state_dict"]["x"], content["model_state_dict"]["x"])


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, attack, protocol):
    marker = tmp_path / "ran"
    content = {"max_seq_len": 3, "G_go": attacks(marker)[attack]}
    path = written(tmp_path / "evil.pkl", pickle.dumps(content, protocol))
    with pytest.raises(CheckpointError, match="refused"):
        read_plain_pickle(path)
    assert not marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_with_code_are_refused_and_not_run(tmp_path, attack, zipped):
    marker = tmp_path / "ran"
    content = {"x": torch.ones(2), "y": attacks(marker)[attack]}
    path = written(tmp_path / "evil.pth", saved(content, zipped=zipped))
    for read in (load_tensors, read_plain_pickle) if zipped else (load_tensors,):
        with pytest.raises(CheckpointError, match="refused"):
            read(path)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["plain", "zip", "legacy"])
@pytest.mark.parametrize("function", [os.system, eval, np.sum])
def test_the_refusal_names_what_was_asked_for(tmp_path, kind, function):
    evil = {"x": Calls(function, "1")}
    content = pickle.dumps(evil) if kind == "plain" else saved(evil, zipped=kind == "zip")
    path = written(tmp_path / "evil.pkl", content)
    with pytest.raises(CheckpointError, match=r"evil\.pkl is refused: it asks for") as error:
        (load_tensors if kind == "legacy" else read_plain_pickle)(path)
    assert f"{function.__name__}'" in str(error.value)
    assert "weights_only" not in str(error.value)  # PyTorch's advice to load it all the same


@pytest.mark.parametrize(
    ("instructions", "reason"),
    [
        (b"\x80\x04cposix\nsystem\n.", r"posix\.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"os\.system"),
        (b"\x80\x04\x8c\x0dtorch.storage\x8c\x09os.system\x93.", r"os\.system"),
        (b"\x80\x04(iposix\nsystem\n.", "INST"),
        (b"\x80\x04)\x81.", "NEWOBJ"),
        (b"\x80\x04}}b.", "BUILD"),
        (b"\x80\x04Pelsewhere\n.", "PERSID"),
        (b"\x80\x04K\x01Q.", "BINPERSID"),
        (b"\x80\x04\x82\x01.", "EXT1"),
        (b"\x80\x04}r\xff\xff\xff\x7f.", "in no order"),
    ],
)
def test_an_instruction_that_makes_more_than_values_is_refused(tmp_path, instructions, reason):
    with pytest.raises(CheckpointError, match=f"refused.*{reason}"):
        read_plain_pickle(written(tmp_path / "evil.pkl", instructions))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\x80\x04.",
        b"\x80\x04}",
        b"\x80\x04K\x01.",
        b"\x80\x04]}s.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\xff}.",
        b"PK\x03\x04",
    ],
)
def test_what_is_no_pickled_dictionary_is_refused(tmp_path, content):
    with pytest.raises(CheckpointError):
        read_plain_pickle(written(tmp_path / "broken.pkl", content))


def test_keys_must_be_text(tmp_path):
    with pytest.raises(CheckpointError, match="text keys"):
        read_plain_pickle(written(tmp_path / "keys.pkl", pickle.dumps({1: 2})))


def test_a_missing_file_is_an_error_of_its_own(tmp_path):
    for read in (read_plain_pickle, load_tensors):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(tmp_path / "nowhere")


def test_a_file_above_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAXIMUM_BYTES", 10)
    with pytest.raises(CheckpointError, match="more than the 10"):
        read_plain_pickle(written(tmp_path / "large.pkl", pickle.dumps(PLAIN)))


def tensor_pickle(values: torch.Tensor, *, size: Any, stride: Any, offset: Any = 0) -> bytes:
    """A pickled tensor that claims these sizes over the storage of ``values``."""
    storage = torch.storage.TypedStorage(
        wrap_storage=values.untyped_storage(), dtype=values.dtype, _internal=True
    )
    inner = Calls(torch.storage._load_from_bytes, saved(storage, zipped=False))
    arguments = (inner, offset, size, stride, False, OrderedDict())
    return pickle.dumps({"x": Calls(torch._utils._rebuild_tensor_v2, *arguments)})


def test_a_tensor_from_a_gpu_arrives_on_the_cpu(tmp_path):
    on_cpu = tensor_pickle(torch.arange(6.0), size=(2, 3), stride=(3, 1))
    place = b"X\x03\x00\x00\x00cpu"
    length = on_cpu.index(b"B", 1)
    assert on_cpu.count(place) == 1
    on_gpu = on_cpu.replace(place, b"X\x06\x00\x00\x00cuda:0")
    lengthened = int.from_bytes(on_cpu[length + 1 : length + 5], "little") + 3
    on_gpu = on_gpu[: length + 1] + lengthened.to_bytes(4, "little") + on_gpu[length + 5 :]
    tensor = read_plain_pickle(written(tmp_path / "gpu.pkl", on_gpu))["x"]
    assert tensor.device.type == "cpu"
    assert torch.equal(tensor, torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((3, 3), (3, 1), 0),
        ((2, 3), (3, 1), 1),
        ((2, 3), (-3, 1), 0),
        ((2, 3), (3, 1), -1),
        ((1 << 40,), (0,), 0),
        ((-1,), (1,), 0),
        ("23", (3, 1), 0),
        ((2, 3), None, 0),
    ],
)
def test_a_tensor_beyond_its_values_is_refused(tmp_path, size, stride, offset):
    content = tensor_pickle(torch.arange(6.0), size=size, stride=stride, offset=offset)
    with pytest.raises(CheckpointError):
        read_plain_pickle(written(tmp_path / "beyond.pkl", content))


def test_a_tensor_made_of_no_storage_is_refused(tmp_path):
    call = Calls(torch._utils._rebuild_tensor_v2, [1, 2], 0, (2,), (1,), False, OrderedDict())
    with pytest.raises(CheckpointError, match="storage, not list"):
        read_plain_pickle(written(tmp_path / "no.pkl", pickle.dumps({"x": call})))
    inner = Calls(torch.storage._load_from_bytes, saved({"x": 1}))
    with pytest.raises(CheckpointError, match="storage, not dict"):
        read_plain_pickle(written(tmp_path / "no.pkl", pickle.dumps({"x": inner})))


SAMPLE = pickle.dumps(synthetic_hyper_params(genes=4))


@pytest.mark.parametrize("length", range(0, len(SAMPLE), 131))
def test_a_truncated_file_is_refused(tmp_path, length):
    with pytest.raises(CheckpointError):
        read_plain_pickle(written(tmp_path / "short.pkl", SAMPLE[:length]))


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(position=st.integers(0, len(SAMPLE) - 1), value=st.integers(0, 255))
def test_any_changed_byte_is_refused_or_gives_plain_values(tmp_path, position, value):
    content = SAMPLE[:position] + bytes([value]) + SAMPLE[position + 1 :]
    try:
        read = read_plain_pickle(written(tmp_path / "changed.pkl", content))
    except CheckpointError:
        return
    kinds = (bool, int, float, str, bytes, list, tuple, dict, type(None), torch.Tensor)
    assert all(isinstance(value, kinds) for value in read.values())


@pytest.mark.real_data
def test_reads_the_hyper_parameters_of_the_release():
    golden = shared_folder("golden")
    if golden is None:
        pytest.skip("the golden fixture is not beside this checkout")
    read = read_plain_pickle(golden / "hyper_params.pkl")
    assert read["max_seq_len"] == 201
    assert read["G_go"].shape == (2, 3773)
    assert read["G_go"].dtype == torch.int64
    assert read["G_go_weight"].dtype == torch.float32
