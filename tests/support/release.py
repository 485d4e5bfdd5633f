"""Made-up weights in the formats of the authors' release."""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sclong_core.testing import SYNTHETIC_GENES, synthetic_gene_ids


def write_synthetic_release(
    folder: Path, *, genes: int = SYNTHETIC_GENES, seed: int = 0, prefix: str = ""
) -> dict[str, Path]:
    """Write random weights in the four file formats of the authors' release.

    Args:
        folder: where to; it must exist.
        genes: size of the vocabulary.
        seed: of the weights and the graph.
        prefix: put in front of every tensor's name, as DDP and ``torch.compile`` do.

    Returns:
        The files by the names of :func:`sclong_core.convert_release`'s arguments.
    """
    settings = synthetic_hyper_params(genes=genes, seed=seed)
    state = synthetic_release_state(settings, seed=seed)
    names = ("checkpoint.pth", "hyper_params.pkl", "genes.txt", "gene2vec.npy")
    weights, hyper_params, gene_list, gene2vec = (folder / name for name in names)
    torch.save(
        {
            "epoch": 3,
            "model_state_dict": OrderedDict((prefix + name, state[name]) for name in state),
            "optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 1e-5}]},
            "losses": 0.25,
        },
        weights,
    )
    hyper_params.write_bytes(pickle.dumps(settings))
    gene_list.write_text("".join(f"{name}\n" for name in synthetic_gene_ids(genes)))
    np.save(gene2vec, state["pos_emb.emb.weight"][:-1].numpy())
    return {
        "weights": weights,
        "hyper_params": hyper_params,
        "genes": gene_list,
        "gene2vec": gene2vec,
    }


def synthetic_hyper_params(*, genes: int = SYNTHETIC_GENES, seed: int = 0) -> dict[str, Any]:
    """Hyper-parameters of a tiny release, whose random gene graph joins each gene to itself too."""
    chosen = torch.rand(genes, genes, generator=torch.Generator().manual_seed(seed)) < 0.2
    sources, targets = torch.nonzero(chosen | torch.eye(genes, dtype=torch.bool), as_tuple=True)
    weights = torch.rand(sources.shape, generator=torch.Generator().manual_seed(seed)) * 0.9 + 0.1
    return {
        "max_seq_len": genes + 1,
        "top_seq_len": genes // 4,
        "base_dim": 8,
        "mini_enc_depth": 1,
        "mini_enc_heads": 2,
        "mini_enc_dim_head": 4,
        "large_dim": 16,
        "large_enc_depth": 2,
        "large_enc_heads": 2,
        "large_enc_dim_head": 8,
        "dec_depth": 1,
        "dec_heads": 2,
        "dec_dim_head": 4,
        "mask_token_thres": -1,
        "g2v_position_emb": True,
        "G_go": torch.stack([sources, targets]),
        "G_go_weight": weights,
        "go_num_layers": 1,
        "device": "cuda",
        "go_use_gene2vec": True,
        "gene2vec_file": "selected_gene2vec_27k.npy",
    }


def synthetic_release_state(settings: dict[str, Any], *, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors under the names and with the shapes that the release gives them."""
    dim, large, rows = settings["base_dim"], settings["large_dim"], settings["max_seq_len"]
    shapes: dict[str, tuple[int, ...]] = {
        **_linear("token_emb.fc1", 50, 1),
        **_linear("token_emb.fc2", dim, 50),
        **_norm("token_norm", dim),
        "mask_emb.weight": (1, dim),
        "pos_emb.emb.weight": (rows, dim),
        "go_conv.emb.weight": (rows, dim),
        **_linear("go_conv.sim_layers.0.lin", dim, dim),
        **_encoder("mini_encoder", settings, "mini_enc", dim),
        **_linear("base_to_large", large, dim),
        **_norm("large_in_norm", large),
        **_encoder("large_encoder", settings, "large_enc", large),
        **_linear("large_to_base", dim, large),
        **_norm("large_to_base_out_norm", dim),
        **_encoder("decoder", settings, "dec", dim),
        **_norm("decode_norm", dim),
        **_linear("exp_to_out", 1, dim),
    }
    generator = torch.Generator().manual_seed(seed)
    state = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}
    counters = (f"{name}.calls_since_last_redraw" for name in _ENCODER_NAMES)
    return {**state, **{name: torch.tensor(7) for name in counters}}


_ENCODER_NAMES = ("mini_encoder", "large_encoder", "decoder")


def _linear(name: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _encoder(
    name: str, settings: dict[str, Any], prefix: str, dim: int
) -> dict[str, tuple[int, ...]]:
    heads, dim_head = settings[f"{prefix}_heads"], settings[f"{prefix}_dim_head"]
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(settings[f"{prefix}_depth"]):
        attention, feed_forward = (f"{name}.net.layers.{layer}.{half}" for half in (0, 1))
        features = int(dim_head * np.log(dim_head))
        shapes |= {
            **_norm(f"{attention}.norm", dim),
            f"{attention}.fn.fast_attention.projection_matrix": (features, dim_head),
            **{f"{attention}.fn.to_{part}.weight": (heads * dim_head, dim) for part in "qkv"},
            **_linear(f"{attention}.fn.to_out", dim, heads * dim_head),
            **_norm(f"{feed_forward}.norm", dim),
            **_linear(f"{feed_forward}.fn.fn.w1", 4 * dim, dim),
            **_linear(f"{feed_forward}.fn.fn.w2", dim, 4 * dim),
        }
    return shapes
