import dataclasses
import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sclong_core import checkpoint, checkpoint_names, manifest
from sclong_core import model as model_module
from sclong_core.checkpoint import (
    read_checkpoint_info,
    resolve_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from sclong_core.checkpoint_names import CHECKPOINT_FILES
from sclong_core.config import PerformerConfig, ScLongConfig
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.files import sha256_file
from sclong_core.graph import GeneGraph
from sclong_core.manifest import canonical_json
from sclong_core.model import ScLong, load_checkpoint
from sclong_core.summary import summarise_checkpoint
from sclong_core.vocabulary import GeneVocabulary

GENES = 12
SIDE = PerformerConfig(dim=8, depth=1, heads=2, dim_head=4)
CONFIG = ScLongConfig(
    genes=GENES,
    dim=8,
    expression_hidden=5,
    high_genes=4,
    large=PerformerConfig(dim=16, depth=2, heads=2, dim_head=4),
    mini=SIDE,
    full=SIDE,
)
VOCABULARY = GeneVocabulary.from_ids(
    (f"ENSG{number:011d}" for number in range(GENES)), ["A", *[""] * (GENES - 1)]
)


def ring(weight: float = 0.5) -> GeneGraph:
    edges = np.stack([np.arange(GENES), np.roll(np.arange(GENES), 1)])
    return GeneGraph(GENES, edges, np.full(GENES, weight, dtype=np.float32))


def made(config: ScLongConfig = CONFIG, graph: GeneGraph | None = None) -> ScLong:
    return ScLong(config, VOCABULARY, ring() if graph is None and config.graph != "none" else graph)


@pytest.fixture
def folder(tmp_path) -> Path:
    save_checkpoint(made(), tmp_path / "model", origin={"kind": "test", "epoch": 2})
    return tmp_path / "model"


def load(folder: Path, **options: Any) -> ScLong:
    return load_checkpoint(folder, **{"device": "cpu", **options})


def resign(folder: Path, **changes: Any) -> None:
    """Change ``config.json`` as somebody would who knows how it is signed."""
    path = folder / "config.json"
    content = {**json.loads(path.read_text()), **changes}
    content.pop("config_digest")
    content = {name: value for name, value in content.items() if value is not ...}
    for name in content["files"] if isinstance(content["files"], dict) else ():
        file = folder / name
        if file.is_file():
            content["files"][name] = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
    content["config_digest"] = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    path.write_text(canonical_json(content))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("graph", ["edges", "none", "random", "shuffled"])
@pytest.mark.parametrize("low_expression", ["encoder", "none", "random"])
def test_a_model_comes_back_bit_for_bit(tmp_path, dtype, graph, low_expression):
    config = dataclasses.replace(CONFIG, graph=graph, low_expression=low_expression)
    model = made(config).set_dtype(dtype)
    save_checkpoint(model, tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.config == config
    assert loaded.vocabulary == VOCABULARY
    assert not loaded.training
    assert loaded.dtype == dtype
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    for (name, ours), (_, theirs) in zip(
        model.named_buffers(), loaded.named_buffers(), strict=True
    ):
        assert torch.equal(ours, theirs), name  # those that are not saved too: the graph


def test_one_model_always_gives_the_same_bytes(tmp_path):
    model = made()
    for name in ("first", "second"):
        save_checkpoint(model, tmp_path / name, origin={"b": 1, "a": [2, None]})
    for name in CHECKPOINT_FILES:
        assert sha256_file(tmp_path / "first" / name) == sha256_file(tmp_path / "second" / name)


def test_a_folder_explains_itself_and_its_readme_decides_nothing(folder):
    readme = (folder / "README.md").read_text()
    info = verify_checkpoint(folder)
    assert info.digest in readme
    assert "ScLong.from_pretrained" in readme
    (folder / "README.md").unlink()
    assert verify_checkpoint(folder).digest == info.digest


def test_a_readme_that_a_person_wrote_is_not_overwritten(folder):
    save_checkpoint(made(), folder, overwrite=True)
    (folder / "README.md").write_text("# Ours\n")
    with pytest.raises(InputError, match=r"README\.md, which is not part of a checkpoint"):
        save_checkpoint(made(), folder, overwrite=True)
    assert (folder / "README.md").read_text() == "# Ours\n"


def test_info_says_what_is_there(folder):
    info = read_checkpoint_info(folder)
    assert info.config == CONFIG
    assert info.vocabulary_digest == VOCABULARY.digest
    assert info.graph_digest == ring().digest
    assert info.origin == {"kind": "test", "epoch": 2}
    assert set(info.files) == set(CHECKPOINT_FILES) - {"config.json"}
    assert info.source == str(folder)


def test_the_digest_is_of_what_embeds_and_of_nothing_else(tmp_path, folder):
    model = load(folder)
    save_checkpoint(model, tmp_path / "same", origin={"kind": "another story"})
    digest = read_checkpoint_info(folder).digest
    assert read_checkpoint_info(tmp_path / "same").digest == digest
    model.config = dataclasses.replace(CONFIG, feature_seed=1)
    save_checkpoint(model, tmp_path / "config")
    assert read_checkpoint_info(tmp_path / "config").digest != digest
    save_checkpoint(made(), tmp_path / "weights")
    assert read_checkpoint_info(tmp_path / "weights").digest != digest


def test_the_summary_counts_without_the_weights(folder):
    summary = summarise_checkpoint(folder, verify=True)
    assert summary.parameters == sum(parameter.numel() for parameter in made().parameters())
    assert (summary.dtype, summary.edges, summary.symbols) == ("float32", GENES, 1)


def test_a_loaded_model_trains_and_the_file_stays_as_it_is(folder):
    before = sha256_file(folder / "model.safetensors")
    model = load(folder).train()
    assert all(parameter.requires_grad for parameter in model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.rand(2, GENES)).reconstruction.square().mean().backward()
    optimizer.step()
    model.redraw_features(1)
    assert not torch.equal(model.decoder.weight, load(folder).decoder.weight)
    assert sha256_file(folder / "model.safetensors") == before
    save_checkpoint(model, folder, overwrite=True)
    assert torch.equal(load(folder).decoder.weight, model.decoder.weight)
    assert load(folder).redraw_index == 1


def test_the_dtype_of_the_products_can_be_chosen(folder):
    assert load(folder, dtype="bfloat16").dtype == torch.bfloat16
    assert load(folder, dtype="float32").dtype == torch.float32


@pytest.mark.parametrize("low_expression", [None, "none", "random"])
@pytest.mark.parametrize("graph", [None, "none", "random", "shuffled"])
def test_a_loaded_model_can_be_ablated(folder, low_expression, graph):
    model = load(folder, dtype="bfloat16", low_expression=low_expression, graph=graph)
    assert model.config.low_expression == (low_expression or "encoder")
    assert model.config.graph == (graph or "edges")
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert torch.equal(model.decoder.weight, load(folder).decoder.weight)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dtype": "float16"}, "overflow"),
        ({"dtype": "int8"}, "auto, float32 or bfloat16"),
        ({"device": "abacus"}, "no device"),
    ],
)
def test_impossible_settings_are_refused(folder, options, reason):
    with pytest.raises(ConfigError, match=reason):
        load(folder, **options)


def flip(position: float) -> Callable[[Path, Path], None]:
    def damage(path: Path, _: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(position * (len(content) - 1))] ^= 1
        path.write_bytes(content)

    return damage


def truncate(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def swap(path: Path, other: Path) -> None:
    shutil.copy(other / path.name, path)


def remove(path: Path, _: Path) -> None:
    path.unlink()


def empty(path: Path, _: Path) -> None:
    path.write_bytes(b"")


DAMAGE = {
    "first byte flipped": flip(0),
    "middle byte flipped": flip(0.5),
    "last byte flipped": flip(1),
    "truncated": truncate,
    "emptied": empty,
    "from another checkpoint": swap,
    "missing": remove,
}


@pytest.mark.fault
@pytest.mark.parametrize("name", CHECKPOINT_FILES)
@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_refused(folder, tmp_path, name, kind):
    other_vocabulary = GeneVocabulary(VOCABULARY.ids[::-1], VOCABULARY.symbols)
    save_checkpoint(ScLong(CONFIG, other_vocabulary, ring(0.25)), tmp_path / "other")
    DAMAGE[kind](folder / name, tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"model/"):
        load(folder)
    with pytest.raises(CheckpointError):
        verify_checkpoint(folder)


@pytest.mark.fault
def test_every_single_byte_of_the_config_counts(folder):
    path = folder / "config.json"
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 4]) + content[position + 1 :]
        )
        with pytest.raises(CheckpointError):
            read_checkpoint_info(folder)


@pytest.mark.fault
def test_nothing_is_used_before_all_is_verified(folder, monkeypatch):
    flip(0.9)(folder / "model.safetensors", folder)

    def used(*_: Any, **__: Any) -> None:
        raise AssertionError("a file was used before it was verified")

    monkeypatch.setattr(checkpoint, "read_weights", used)
    monkeypatch.setattr(model_module, "ScLong", used)
    monkeypatch.setattr(checkpoint.GeneGraph, "read", used)
    with pytest.raises(CheckpointError, match="damaged or was swapped"):
        load(folder)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.fault
@pytest.mark.parametrize("name", CHECKPOINT_FILES)
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_a_pickle_in_place_of_a_file_is_refused_and_not_run(folder, tmp_path, name, kind):
    evil = Evil(tmp_path / "ran")
    if kind == "pickle":
        (folder / name).write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, folder / name)
    if name != "config.json":
        resign(folder)
    with pytest.raises(CheckpointError):
        load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": "other"}, "does not describe"),
        ({"format_version": 2}, "pip install --upgrade sclong-core"),
        ({"format_version": 0}, "does not name a known checkpoint format"),
        ({"format_version": True}, "does not name a known checkpoint format"),
        ({"surplus": 1}, "unknown surplus"),
        ({"origin": ...}, "no origin"),
        ({"origin": []}, "origin must be"),
        ({"model": {**CONFIG.to_dict(), "surplus": 1}}, "unknown setting in model: surplus"),
        ({"model": {**CONFIG.to_dict(), "dim": -1}}, "dim must be"),
        ({"model": 3}, "model must be a mapping"),
        ({"vocabulary_digest": ring().digest}, "vocabulary .digest"),
        ({"graph_digest": VOCABULARY.digest}, "gene graph .digest"),
        ({"graph_digest": None}, "lists the files"),
        ({"graph_digest": 7}, "must be text"),
        ({"files": {}}, "lists the files"),
        ({"files": 3}, "files must be a mapping"),
        ({"files": {"../model.safetensors": {"bytes": 1, "sha256": ""}}}, "lists the files"),
        ({"files": {"/etc/passwd": {"bytes": 1, "sha256": ""}}}, "lists the files"),
        ({"model": {**CONFIG.to_dict(), "high_genes": 5, "genes": 13}}, "has 12 genes, the model"),
        ({"model": {**CONFIG.to_dict(), "expression_hidden": 6}}, r"expression\.hidden\.weight is"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_even_if_signed(folder, changes, reason):
    resign(folder, **changes)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)


LARGE = CONFIG.to_dict()["large"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"large": {**LARGE, "depth": 10**7}}, r"fewer than the large encoder has layers"),
        ({"large": {**LARGE, "dim": 10**30}}, r"a layer of the large encoder alone needs 8e\+30"),
        ({"large": {**LARGE, "heads": 10**12}}, "a layer of the large encoder alone needs"),
        ({"large": {**LARGE, "dim_head": 10**6}}, "a layer of the large encoder alone needs"),
        ({"large": {**LARGE, "random_features": 10**400}}, "alone needs far more"),
        ({"expression_hidden": 10**20}, "the expression embedding alone needs"),
        ({"genes": 10**9}, "the table of genes alone needs"),
        ({"feature_seed": 10**30}, "at most 63 bits"),
        ({"input": {"target_sum": 10**400, "maximum": None}}, "must be a positive number"),
    ],
)
def test_sizes_beyond_the_weights_are_refused_before_anything_is_built(
    folder, monkeypatch, changes, reason
):
    def built(*_: Any, **__: Any) -> None:
        raise AssertionError("something was built")

    monkeypatch.setattr(model_module, "ScLong", built)
    monkeypatch.setattr(checkpoint, "read_weights", built)
    resign(folder, model={**CONFIG.to_dict(), **changes})
    for reader in (load, summarise_checkpoint):
        with pytest.raises(CheckpointError, match=reason):
            reader(folder)


def test_an_encoder_that_is_left_out_has_no_size(folder):
    model = {**CONFIG.to_dict(), "low_expression": "none"}
    model["mini"] = {**model["mini"], "depth": 10**7}
    resign(folder, model=model)
    with pytest.raises(CheckpointError, match=r"unknown mini\."):
        load(folder)


def test_files_that_came_meanwhile_are_not_replaced_with_a_checkpoint(folder, monkeypatch):
    real = checkpoint.write_manifest

    def wrote(*words: Any, **more: Any) -> None:
        (folder / "notes.txt").write_text("mine")
        real(*words, **more)

    monkeypatch.setattr(checkpoint, "write_manifest", wrote)
    with pytest.raises(InputError, match=r"notes\.txt, which is not part of a checkpoint"):
        save_checkpoint(load(folder), folder, overwrite=True)
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_checkpoint_that_was_set_aside_is_named(folder):
    folder.rename(folder.with_name(f".{folder.name}.old-1"))
    with pytest.raises(CheckpointError, match=r"is \.model\.old-1 next to it"):
        read_checkpoint_info(folder)


def test_swapped_genes_are_refused_even_if_signed(folder):
    GeneVocabulary(VOCABULARY.ids[::-1], VOCABULARY.symbols).write(folder / "vocabulary.tsv")
    resign(folder)
    with pytest.raises(CheckpointError, match="is not the one that the model was trained with"):
        load(folder)


def test_another_edge_weight_is_refused_even_if_signed(folder):
    ring(0.75).write(folder / "graph.npz")
    resign(folder)
    with pytest.raises(CheckpointError, match=r"gene graph .* is not the one"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda tensors: tensors.pop("decoder.weight"), r"no decoder\.weight"),
        (lambda tensors: tensors.update(surplus=torch.ones(1)), "unknown surplus"),
        (
            lambda tensors: tensors.update({"decoder.bias": torch.ones(2)}),
            r"decoder\.bias is float32 \(2,\) instead of float32 \(1,\)",
        ),
        (
            lambda tensors: tensors.update({"decoder.bias": torch.ones(1).double()}),
            r"decoder\.bias is float64",
        ),
        (
            lambda tensors: tensors.update({"large_input.weight": torch.ones(16, 8).half()}),
            r"large_input\.weight is float16",
        ),
        (lambda tensors: tensors.clear(), "it has 0 tensors, fewer than"),
    ],
)
def test_tensors_that_do_not_fit_are_named_even_if_signed(folder, change, reason):
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    resign(folder)
    with pytest.raises(CheckpointError, match=reason):
        load(folder)


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
def test_a_link_out_of_the_folder_is_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(CheckpointError, match="link out of the checkpoint"):
        load(folder)


def test_a_pipe_is_refused_and_not_waited_for(folder):
    (folder / "vocabulary.tsv").unlink()
    os.mkfifo(folder / "vocabulary.tsv")
    with pytest.raises(CheckpointError, match="not a plain file"):
        load(folder)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="not a folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(CheckpointError, match="does not describe an scLong checkpoint"):
        load(tmp_path)


def test_a_huge_config_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(manifest, "_MAXIMUM_CONFIG_BYTES", 10)
    with pytest.raises(CheckpointError, match="too large"):
        read_checkpoint_info(folder)


def test_loading_writes_nothing(folder):
    def state() -> dict[str, tuple[int, int]]:
        paths = [folder, *folder.iterdir()]
        return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}

    before = state()
    load(folder)
    assert state() == before


def test_a_model_without_vocabulary_is_not_saved(tmp_path):
    with pytest.raises(CheckpointError, match="without a vocabulary"):
        save_checkpoint(ScLong(CONFIG, None, ring()), tmp_path / "model")


@pytest.mark.parametrize("origin", [{"x": float("nan")}, {"x": Path("y")}])
def test_an_origin_must_be_json(tmp_path, origin):
    with pytest.raises(CheckpointError, match="must be JSON"):
        save_checkpoint(made(), tmp_path / "model", origin=origin)
    assert not list(tmp_path.iterdir())


def test_overwriting_must_be_asked_for(folder):
    before = sha256_file(folder / "model.safetensors")
    with pytest.raises(InputError, match="already exists"):
        save_checkpoint(made(), folder)
    assert sha256_file(folder / "model.safetensors") == before
    save_checkpoint(made(), folder, overwrite=True)
    assert sha256_file(folder / "model.safetensors") != before


def test_only_a_checkpoint_is_overwritten(folder, tmp_path):
    (folder / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.md"):
        save_checkpoint(made(), folder, overwrite=True)
    with pytest.raises(InputError, match="not a folder"):
        save_checkpoint(made(), folder / "notes.md", overwrite=True)
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(InputError, match="not a folder"):
        save_checkpoint(made(), tmp_path / "link", overwrite=True)
    assert (folder / "notes.md").read_text() == "mine"


@pytest.mark.fault
@pytest.mark.parametrize("part", ["write_weights", "write_manifest"])
def test_a_full_disk_leaves_the_old_checkpoint(folder, tmp_path, monkeypatch, part):
    before = {name: sha256_file(folder / name) for name in CHECKPOINT_FILES}
    calls = []

    def full(*arguments: Any, **_: Any) -> None:
        calls.append(arguments)
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(checkpoint, part, full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(made(), folder, overwrite=True)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(made(), tmp_path / "new")
    assert len(calls) == 2
    assert {name: sha256_file(folder / name) for name in CHECKPOINT_FILES} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_is_its_own_name(folder):
    assert resolve_checkpoint(folder) == folder
    with pytest.raises(CheckpointError, match="no revision 'v1'"):
        resolve_checkpoint(folder, revision="v1")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "nowhere",
            "/a/b",
            "../a/b",
            "a/../b",
            "a/..",
            "a/b/c",
            "https://x/y",
            "a/b c",
            "",
            "a/b\n",
        ),
        *("a/" + "b" * 5000, "a/b\0"),
    ],
)
def test_a_strange_name_is_never_asked_for(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint_names, "_download", lambda *_: pytest.fail("asked the hub"))
    if not name:
        name = str(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="neither a checkpoint folder nor a hub id"):
        resolve_checkpoint(name)


def in_cache(cache: Path, folder: Path, commit: str) -> Path:
    """Lay a checkpoint out as the hub's cache does."""
    snapshot = cache / "models--lab--model" / "snapshots" / commit
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for path in folder.iterdir():
        blob = blobs / sha256_file(path)
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def test_a_checkpoint_from_the_hub_is_loaded_with_its_commit(folder, tmp_path, monkeypatch):
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked = []

    def snapshot_download(hub_id: str, **options: Any) -> str:
        asked.append((hub_id, options))
        return str(in_cache(tmp_path / "cache", folder, commit))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = resolve_checkpoint("lab/model", revision="v1")
    assert asked == [("lab/model", {"revision": "v1", "allow_patterns": list(CHECKPOINT_FILES)})]
    assert load(found).config == CONFIG
    assert read_checkpoint_info(found).source == f"lab/model@{commit}"


def test_a_link_out_of_the_hubs_cache_is_refused(folder, tmp_path):
    snapshot = in_cache(tmp_path / "cache", folder, "0123")
    (snapshot / "vocabulary.tsv").unlink()
    (snapshot / "vocabulary.tsv").symlink_to(folder / "vocabulary.tsv")
    with pytest.raises(CheckpointError, match="link out of the checkpoint"):
        load(snapshot)


def test_the_hub_out_of_reach_is_an_error_of_one_line(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match=r"lab/model .*hub") as error:
        resolve_checkpoint("lab/model")
    assert "\n" not in str(error.value)
