import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sclong_core import checkpoint
from sclong_core.checkpoint import read_checkpoint_info
from sclong_core.config import InputConfig, PerformerConfig
from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.files import sha256_file
from sclong_core.model import load_checkpoint
from sclong_core.release import convert_release
from sclong_core.testing import SYNTHETIC_GENES
from tests.support.places import shared_folder
from tests.support.release import (
    synthetic_hyper_params,
    synthetic_release_state,
    write_synthetic_release,
)

QUERY = "large_encoder.net.layers.1.0.fn.to_q.weight"


@pytest.fixture
def release(tmp_path) -> dict[str, Path]:
    return write_synthetic_release(tmp_path)


@pytest.fixture
def golden() -> Path:
    folder = shared_folder("golden")
    if folder is None:
        pytest.skip("the golden fixture is not beside this checkout")
    return folder


def converted(files: dict[str, Path], **options: Any) -> Path:
    return convert_release(**files, output=files["genes"].parent / "model", **options)


def with_state(files: dict[str, Path], state: dict[str, Tensor]) -> dict[str, Path]:
    torch.save({"model_state_dict": state}, files["weights"])
    return files


def with_settings(files: dict[str, Path], **changes: Any) -> dict[str, Path]:
    settings = {**synthetic_hyper_params(), **changes}
    kept = {name: value for name, value in settings.items() if value is not ...}
    files["hyper_params"].write_bytes(pickle.dumps(kept))
    return files


def usual_state() -> dict[str, Tensor]:
    return synthetic_release_state(synthetic_hyper_params())


def test_every_tensor_of_the_release_arrives(release):
    state, model = usual_state(), load_checkpoint(converted(release), device="cpu")
    ours = model.state_dict()
    assert torch.equal(ours["expression.mask"], state["mask_emb.weight"])
    assert torch.equal(ours["genes.vectors"], state["pos_emb.emb.weight"])
    assert torch.equal(ours["genes.graph_vectors"], state["go_conv.emb.weight"])
    assert torch.equal(ours["decoder.weight"], state["exp_to_out.weight"])
    prefix = "large_encoder.net.layers.1"
    fused = torch.cat([state[f"{prefix}.0.fn.to_{part}.weight"] for part in "kv"])
    assert torch.equal(ours["large.layers.1.attention.key_value.weight"], fused)
    query = state[f"{prefix}.0.fn.to_q.weight"]
    assert torch.equal(ours["large.layers.1.attention.query.weight"], query)
    features = state[f"{prefix}.0.fn.fast_attention.projection_matrix"]
    assert torch.equal(ours["large.layers.1.attention.features"], features)
    assert torch.equal(
        ours["full.layers.0.feed_forward.output.bias"],
        state["decoder.net.layers.0.1.fn.fn.w2.bias"],
    )
    numbers = sum(tensor.numel() for tensor in state.values()) - 3  # the three counters
    assert sum(tensor.numel() for tensor in ours.values()) - 1 == numbers  # redraw_index is ours
    assert ours["redraw_index"] == 0


def test_the_configuration_follows_the_hyper_parameters(release):
    config = read_checkpoint_info(converted(release)).config
    assert (config.genes, config.dim, config.high_genes) == (SYNTHETIC_GENES, 8, 6)
    assert config.expression_hidden == 50
    assert config.large == PerformerConfig(dim=16, depth=2, heads=2, dim_head=8)
    assert config.mini == config.full == PerformerConfig(dim=8, depth=1, heads=2, dim_head=4)
    assert config.input == InputConfig(maximum=None)
    assert (config.low_expression, config.graph) == ("encoder", "edges")


def test_the_origin_records_every_file(release):
    info = read_checkpoint_info(converted(release))
    assert info.origin["kind"] == "release"
    assert info.origin["epoch"] == 3
    assert info.origin["hyper_parameters"]["gene2vec_file"] == "selected_gene2vec_27k.npy"
    assert info.origin["dropped"] == {
        f"{name}.calls_since_last_redraw": 7
        for name in ("large_encoder", "mini_encoder", "decoder")
    }
    assert info.origin["files"] == {
        name: {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for name, path in release.items()
    }


def test_graph_and_vocabulary_are_kept(release):
    model = load_checkpoint(converted(release), device="cpu")
    settings = synthetic_hyper_params()
    given = {
        (int(source), int(target)): float(weight)
        for source, target, weight in zip(*settings["G_go"], settings["G_go_weight"], strict=True)
    }
    graph = model.graph
    kept = zip(*graph.edge_index.tolist(), graph.edge_weight.tolist(), strict=True)
    assert {(source, target): weight for source, target, weight in kept} == given
    assert model.vocabulary.ids[0] == "ENSG00000000001"


@pytest.mark.parametrize("kind", ["list", "other order", "int32", "float64 weights"])
def test_edges_may_be_kept_in_other_ways(release, kind):
    usual = read_checkpoint_info(converted(release)).graph_digest
    settings = synthetic_hyper_params()
    edges, weights = settings["G_go"], settings["G_go_weight"]
    edges, weights = {
        "list": (edges.tolist(), weights.tolist()),
        "other order": (edges.flip(1), weights.flip(0)),
        "int32": (edges.int(), weights),
        "float64 weights": (edges, weights.double()),
    }[kind]
    changed = with_settings(release, G_go=edges, G_go_weight=weights)
    assert read_checkpoint_info(converted(changed, overwrite=True)).graph_digest == usual


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.module."])
def test_wrappers_are_removed_from_names(tmp_path, prefix):
    (tmp_path / "plain").mkdir()
    plain = converted(write_synthetic_release(tmp_path / "plain"))
    wrapped = converted(write_synthetic_release(tmp_path, prefix=prefix))
    assert sha256_file(wrapped / "model.safetensors") == sha256_file(plain / "model.safetensors")


def test_two_tensors_of_one_name_are_refused(release):
    state = usual_state()
    twice = {**state, "module.token_norm.bias": state["token_norm.bias"]}
    with pytest.raises(CheckpointError, match=r"token_norm\.bias twice"):
        converted(with_state(release, twice))


@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_dictionary_may_be_the_file_itself(release, zipped):
    usual = sha256_file(converted(release) / "model.safetensors")
    torch.save(usual_state(), release["weights"], _use_new_zipfile_serialization=zipped)
    folder = converted(release, overwrite=True)
    assert sha256_file(folder / "model.safetensors") == usual
    assert read_checkpoint_info(folder).origin["epoch"] is None


def test_counters_need_not_be_there(release):
    state = {name: value for name, value in usual_state().items() if "calls_since" not in name}
    assert read_checkpoint_info(converted(with_state(release, state))).origin["dropped"] == {}


def test_all_wrong_tensors_are_named_at_once(release):
    state = usual_state()
    del state["decode_norm.bias"], state["mask_emb.weight"]
    state["surplus.weight"] = torch.zeros(1)
    state[QUERY] = torch.zeros(3, 3)
    state["exp_to_out.weight"] = torch.zeros(8)
    with pytest.raises(CheckpointError) as error:
        converted(with_state(release, state))
    message = str(error.value)
    assert "missing: decode_norm.bias, mask_emb.weight" in message
    assert "unknown: surplus.weight" in message
    assert f"{QUERY} (3, 3) instead of (16, 16)" in message
    assert "exp_to_out.weight (8,) instead of (1, 8)" in message


def test_another_number_of_random_features_is_kept(release):
    state = usual_state()
    for name in state:
        if name.startswith("large_encoder") and name.endswith("projection_matrix"):
            state[name] = torch.randn(21, 8)
    config = read_checkpoint_info(converted(with_state(release, state))).config
    assert config.large.random_features == 21
    assert config.mini.random_features is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(release, value):
    state = usual_state()
    state[QUERY][3, 4] = value
    with pytest.raises(CheckpointError, match=f"{QUERY} holds values that are not finite"):
        converted(with_state(release, state))


def test_whole_numbers_are_no_weights(release):
    state = {**usual_state(), "token_norm.bias": torch.ones(8, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match=r"token_norm\.bias is torch\.int64"):
        converted(with_state(release, state))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "not list"),
        ({"model_state_dict": {}}, "no tensors"),
        ({"model_state_dict": 3}, "no tensors"),
        ({"epoch": 3, "weights": {}}, "epoch, weights is not a tensor"),
    ],
)
def test_a_file_without_state_dictionary_is_refused(release, content, reason):
    torch.save(content, release["weights"])
    with pytest.raises(CheckpointError, match=reason):
        converted(release)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"top_seq_len": ...}, "has no top_seq_len"),
        ({"ff_glu": True}, r"cannot follow: ff_glu=True"),
        ({"g2v_position_emb": False}, "g2v_position_emb=False: only True"),
        ({"go_use_gene2vec": False}, "go_use_gene2vec=False: only True"),
        ({"go_num_layers": 2}, "go_num_layers=2: only 1"),
        ({"mask_token_thres": 0}, "mask_token_thres=0"),
        ({"mask_token_thres": -11}, "mask_token_thres=-11"),
        ({"base_dim": "8"}, "base_dim='8': a positive integer"),
        ({"large_enc_depth": 0}, "large_enc_depth=0: a positive integer"),
        ({"base_dim": True}, "base_dim=True: a positive integer"),
        ({"top_seq_len": 99}, "high_genes"),
        ({"max_seq_len": 24}, "lists 24 genes, but the hyper-parameters give 23"),
        ({"large_enc_depth": 3}, r"missing: large_encoder\.net\.layers\.2"),
        ({"dec_heads": 3}, r"decoder\.net\.layers\.0\.0\.fn\.to_k\.weight"),
        ({"G_go": torch.zeros(2, 3)}, "whole numbers"),
        ({"G_go": torch.zeros(3, 2, dtype=torch.int64)}, r"\(2, edges\)"),
        ({"G_go": "edges"}, "arrays of numbers"),
        (
            {"G_go": torch.tensor([[0, 0], [1, 1]]), "G_go_weight": torch.ones(2)},
            "same edge twice",
        ),
        ({"G_go": torch.tensor([[0], [24]]), "G_go_weight": torch.ones(1)}, "outside its 24"),
        ({"G_go": torch.tensor([[0], [2]]), "G_go_weight": torch.zeros(1)}, "not positive"),
    ],
)
def test_hyper_parameters_that_cannot_be_followed_are_refused(release, changes, reason):
    with pytest.raises(CheckpointError, match=reason):
        converted(with_settings(release, **changes))
    assert not (release["genes"].parent / "model").exists()


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("file", ["weights", "hyper_params", "gene2vec"])
def test_code_in_a_file_is_refused_and_not_run(release, tmp_path, file):
    evil = {
        **synthetic_hyper_params(),
        "model_state_dict": usual_state(),
        "x": Evil(tmp_path / "ran"),
    }
    if file == "weights":
        torch.save(evil, release[file])
    elif file == "gene2vec":
        np.save(release[file], np.array([evil], dtype=object), allow_pickle=True)
    else:
        release[file].write_bytes(pickle.dumps(evil))
    with pytest.raises(CheckpointError):
        converted(release)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("file", ["weights", "hyper_params", "gene2vec"])
def test_a_truncated_file_is_refused(release, file):
    release[file].write_bytes(release[file].read_bytes()[:-200])
    with pytest.raises(CheckpointError):
        converted(release)


@pytest.mark.parametrize("file", ["weights", "hyper_params", "genes", "gene2vec"])
def test_a_missing_file_is_named(release, file):
    release[file].unlink()
    with pytest.raises(CheckpointError, match=f"{release[file].name} does not exist"):
        converted(release)


def test_gene2vec_is_optional_but_must_fit(release):
    np.save(release["gene2vec"], np.zeros((SYNTHETIC_GENES, 7), dtype=np.float32))
    with pytest.raises(CheckpointError, match=r"shape \(24, 7\), the model needs \(24, 8\)"):
        converted(release)
    del release["gene2vec"]
    assert "gene2vec" not in read_checkpoint_info(converted(release)).origin["files"]


@pytest.mark.parametrize("separator", ["\t", ",", "  "])
def test_symbols_name_the_genes(release, tmp_path, separator):
    rows = ["gene_id symbol", "ENSG00000000002.7 TP53", "ENSG00000000004 NKX2-1", "ENSG09 OTHER"]
    table = tmp_path / "symbols.txt"
    table.write_text("\n".join(separator.join(row.split()) for row in rows))
    vocabulary = load_checkpoint(converted(release, symbols=table), device="cpu").vocabulary
    assert vocabulary.symbols[:4] == ("", "TP53", "TSPAN6", "NKX2-1")
    assert list(vocabulary.lookup(["TP53"])) == [1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("TP53 ENSG00000000002", "no gene of"),
        ("ENSG00000000001 A\nENSG00000000001 B", "two symbols"),
        ("ENSG00000000001 A B", "more than two columns"),
    ],
)
def test_a_table_that_names_no_genes_is_refused(release, tmp_path, text, reason):
    (tmp_path / "symbols.txt").write_text(text)
    with pytest.raises(InputError, match=reason):
        converted(release, symbols=tmp_path / "symbols.txt")


def test_bfloat16_is_kept_for_the_large_products_alone(release):
    folder = converted(release, dtype="bfloat16")
    tensors = load_checkpoint(folder, device="cpu").state_dict()
    short = {name for name, tensor in tensors.items() if tensor.dtype == torch.bfloat16}
    assert "large.layers.0.attention.query.weight" in short
    assert "large_input.weight" in short
    assert not any(name.startswith(("genes", "expression", "decoder")) for name in short)
    assert not any("norm" in name or "features" in name for name in short)
    with pytest.raises(ConfigError, match="float16"):
        converted(release, dtype="float16", overwrite=True)


def test_what_is_there_is_kept_unless_asked_to_overwrite(release):
    folder = converted(release)
    before = sha256_file(folder / "config.json")
    with pytest.raises(InputError, match="already exists"):
        converted(release)
    assert sha256_file(folder / "config.json") == before
    converted(release, dtype="bfloat16", overwrite=True)
    assert load_checkpoint(folder, device="cpu").dtype == torch.bfloat16


def test_a_folder_with_other_things_is_never_overwritten(release, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        converted(release, overwrite=True)
    assert (folder / "thesis.tex").read_text() == "years of work"


@pytest.mark.fault
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_full_disk_leaves_nothing_half_written(release, tmp_path, monkeypatch, overwrite):
    if overwrite:
        before = sha256_file(converted(release) / "config.json")
    calls = []

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        calls.append(path)
        path.write_bytes(b"half")
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(checkpoint, "write_weights", full)
    with pytest.raises(OSError, match="No space left"):
        converted(release, overwrite=overwrite)
    assert calls
    left = {path.name for path in tmp_path.iterdir()} - {path.name for path in release.values()}
    assert left == ({"model"} if overwrite else set())
    if overwrite:
        assert sha256_file(tmp_path / "model" / "config.json") == before
        assert load_checkpoint(tmp_path / "model", device="cpu").config.genes == SYNTHETIC_GENES


@pytest.mark.real_data
@pytest.mark.parametrize("cell", range(4))
def test_the_golden_release_computes_what_the_authors_code_did(golden, tmp_path, cell):
    names = {"weights": "checkpoint.pth", "hyper_params": "hyper_params.pkl", "genes": "genes.txt"}
    files = {name: golden / file for name, file in names.items()}
    folder = convert_release(**files, gene2vec=golden / "gene2vec.npy", output=tmp_path / "model")
    model = load_checkpoint(folder, device="cpu")
    expected = np.load(golden / "expected.npz")
    with torch.inference_mode():
        output = model(torch.from_numpy(expected["expression"][cell : cell + 1]))
    representations = torch.from_numpy(expected["merged_decodings"][cell, :-1])
    reconstruction = torch.from_numpy(expected["reconstruction"][cell, :-1])
    torch.testing.assert_close(output.gene_representations[0], representations, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.reconstruction[0], reconstruction, atol=1e-5, rtol=0)
