"""Tiny checkpoints with random weights in the layouts of published models.

They show what a folder of each model holds, and let everything that takes an encoder be tried
without downloads. Nothing published is in them, and their vectors mean nothing.
"""

import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.genecompass import (
    PRIORS,
    GeneCompass,
    GeneNames,
    names_of_genecompass,
)
from sclong_tasks.encoders.geneformer import BertSizes, Geneformer, names_of_bert
from sclong_tasks.encoders.scfoundation import (
    ScFoundation,
    ScFoundationSizes,
    names_of_scfoundation,
)
from sclong_tasks.encoders.scgpt import ScGpt, ScGptSizes, names_of_scgpt
from sclong_tasks.encoders.uce import Uce, UceSizes, names_of_uce
from sclong_tasks.encoders.uce_genes import ProteinGenes

Genes = Mapping[str, str]
"""Symbol of each gene by its Ensembl id."""
_WIDTH, _HEADS, _HIDDEN, _LAYERS = 16, 2, 24, 2


def write_tiny(name: str, folder: Path, genes: Genes, *, seed: int = 0) -> None:
    """Write a tiny checkpoint of a model.

    Args:
        name: of the model, as in :mod:`sclong_tasks.encoders.names`.
        folder: to write into; made if need be.
        genes: that it knows: symbol by Ensembl id.
        seed: of the weights.

    Raises:
        ConfigError: there is no such model.
    """
    if name not in WRITERS:
        raise ConfigError(f"there is no tiny {name!r}: choose one of {', '.join(WRITERS)}")
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        WRITERS[name](folder, genes)


def state_in_file(network: nn.Module, names: Callable[[str], Sequence[str]]) -> dict[str, Tensor]:
    """Weights of a network under the names of its authors' files, drawn large enough to matter."""
    found = {}
    for own, tensor in network.state_dict().items():
        value = tensor
        if tensor.is_floating_point():
            value = tensor + 0.3 * torch.randn(tensor.shape)
        parts = names(own)
        for part, piece in zip(
            parts, value.chunk(len(parts)) if value.dim() else [value], strict=True
        ):
            found[part] = piece.clone()
    return found


def write_json(path: Path, content: Any) -> None:
    """Write JSON."""
    path.write_text(json.dumps(content), encoding="utf-8")


def write_pickle(path: Path, content: Any) -> None:
    """Write a pickle, as authors publish dictionaries."""
    path.write_bytes(pickle.dumps(content, protocol=4))


def _scgpt(folder: Path, genes: Genes) -> None:
    vocabulary = {symbol: number for number, symbol in enumerate(dict.fromkeys(genes.values()))}
    for token in ("<pad>", "<cls>", "<eoc>"):
        vocabulary[token] = len(vocabulary)
    sizes = ScGptSizes(len(vocabulary), _WIDTH, _HEADS, _HIDDEN, _LAYERS)
    torch.save(state_in_file(ScGpt(sizes, vocabulary), names_of_scgpt), folder / "best_model.pt")
    write_json(folder / "vocab.json", vocabulary)
    settings = {"embsize": _WIDTH, "nheads": _HEADS, "d_hid": _HIDDEN, "nlayers": _LAYERS}
    more = {"n_layers_cls": 3, "dropout": 0.2, "pad_token": "<pad>", "pad_value": -2}
    write_json(folder / "args.json", {**settings, **more, "max_seq_len": 32})


def _geneformer(folder: Path, genes: Genes) -> None:
    names = ("<pad>", "<mask>", "<cls>", "<eos>", *genes)
    vocabulary = {name: number for number, name in enumerate(names)}
    medians = {gene: np.float64(1 + number % 5) for number, gene in enumerate(genes)}
    sizes = BertSizes(len(vocabulary), _WIDTH, _HEADS, _HIDDEN, _LAYERS, positions=32)
    network = Geneformer(sizes, vocabulary, {gene: float(one) for gene, one in medians.items()})
    save_file(state_in_file(network, names_of_bert), folder / "model.safetensors")
    write_json(folder / "config.json", bert_settings(sizes))
    write_pickle(folder / "token_dictionary.pkl", vocabulary)
    write_pickle(folder / "gene_median_dictionary.pkl", medians)
    other = {symbol.upper(): gene for gene, symbol in genes.items()}
    write_pickle(folder / "ensembl_mapping_dict.pkl", {**{gene: gene for gene in genes}, **other})


def _uce(folder: Path, genes: Genes) -> None:
    symbols = list(dict.fromkeys(symbol.upper() for symbol in genes.values()))
    special, chromosomes, token_width = 4, 3, 12
    first = special + len(symbols)
    rows = first + chromosomes
    sizes = UceSizes(
        rows=rows,
        token_width=token_width,
        width=_WIDTH,
        heads=_HEADS,
        hidden=_HIDDEN,
        layers=_LAYERS,
        decoder=20,
        output=_WIDTH,
        positions=64,
    )
    network = Uce(sizes, ProteinGenes({}, {}, frozenset(), first))
    state = state_in_file(network, names_of_uce)
    state["pe_embedding.weight"] = state.pop("tokens")
    torch.save(state, folder / "tiny_model.torch")
    torch.save(state["pe_embedding.weight"][:first].clone(), folder / "all_tokens.torch")
    (folder / "protein_embeddings").mkdir(exist_ok=True)
    rows_of_genes = state["pe_embedding.weight"][special:first]
    proteins = {symbol: row.clone() for symbol, row in zip(symbols, rows_of_genes, strict=True)}
    name = "Homo_sapiens.GRCh38.gene_symbol_to_embedding_ESM2.pt"
    torch.save(proteins, folder / "protein_embeddings" / name)
    write_pickle(folder / "species_offsets.pkl", {"human": special})
    lines = [
        f"{symbol},{number % chromosomes + 1},{1000 * (number * 7 % len(symbols))},human"
        for number, symbol in enumerate(symbols)
    ]
    table = "\n".join(["gene_symbol,chromosome,start,species", *lines])
    (folder / "species_chrom.csv").write_text(table + "\n", encoding="utf-8")
    more = {"nhead": _HEADS, "nlayers": _LAYERS, "sample_size": 24, "pad_length": 64}
    more["n_token_rows"] = first
    write_json(folder / "sizes.json", more)


def _scfoundation(folder: Path, genes: Genes) -> None:
    symbols = sorted(set(genes.values()))
    sizes = ScFoundationSizes(
        genes=len(symbols),
        width=_WIDTH,
        heads=_HEADS,
        layers=_LAYERS,
        hidden=4 * _WIDTH,
        bins=6,
        bin_alpha=1.0,
        pad_value=103.0,
        mask_value=102.0,
        decoder_width=12,
        decoder_heads=2,
        decoder_layers=1,
        decoder_head_width=6,
        features=10,
    )
    settings = {
        "encoder": {"hidden_dim": _WIDTH, "depth": _LAYERS, "heads": _HEADS},
        "decoder": {"hidden_dim": 12, "depth": 1, "heads": 2, "dim_head": 6},
        "bin_num": 6,
        "bin_alpha": 1.0,
        "pad_token_id": 103,
        "mask_token_id": 102,
    }
    config = {
        "model": "mae_autobin",
        "model_config": {"mae_autobin": settings},
        "dataset_config": {"rnaseq": {"seq_len": len(symbols) + 2}},
    }
    parts = {}
    for key in ("cell", "rde", "gene"):
        state = state_in_file(ScFoundation(sizes, symbols), names_of_scfoundation)
        named = {f"model.{name}": tensor for name, tensor in state.items()}
        parts[key] = {"config": config, "state_dict": named}
    torch.save(parts, folder / "models.ckpt")
    lines = [f"{symbol}\t{number}" for number, symbol in enumerate(symbols)]
    table = "\n".join(["gene_name\tindex", *lines])
    name = f"OS_scRNA_gene_index.{len(symbols)}.tsv"
    (folder / name).write_text(table + "\n", encoding="utf-8")


def _genecompass(folder: Path, genes: Genes) -> None:
    names = ("<pad>", "<mask>", *genes)
    tokens = {name: number for number, name in enumerate(names)}
    sizes = BertSizes(
        len(tokens), _WIDTH, _HEADS, _HIDDEN, _LAYERS, positions=32, activation="gelu"
    )
    priors = {name: 5 + number for number, name in enumerate(PRIORS)}
    network = GeneCompass(sizes, priors, GeneNames(tokens, {}, {}))
    network.homologous.copy_(torch.arange(len(tokens)))
    torch.save(state_in_file(network, names_of_genecompass), folder / "pytorch_model.bin")
    switches = dict.fromkeys(PRIORS.values(), True)
    settings = bert_settings(sizes, use_values=True, use_cls_token=True, **switches)
    write_json(folder / "config.json", settings)
    place = folder / "prior_knowledge"
    place.mkdir(exist_ok=True)
    medians = {gene: 1.0 + number % 3 for number, gene in enumerate(genes)}
    write_pickle(place / "h&m_token1000W.pickle", tokens)
    write_pickle(place / "human_gene_median_after_filter.pickle", medians)
    write_pickle(
        place / "Gene_id_name_dict1.pickle", {symbol: gene for gene, symbol in genes.items()}
    )


def bert_settings(sizes: BertSizes, **more: Any) -> dict[str, Any]:
    """What ``config.json`` of a BERT holds."""
    return {
        "model_type": "bert",
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.types,
        "hidden_act": sizes.activation,
        "layer_norm_eps": sizes.eps,
        "pad_token_id": 0,
        **more,
    }


WRITERS: Mapping[str, Callable[[Path, Genes], None]] = {
    "scgpt": _scgpt,
    "geneformer": _geneformer,
    "uce": _uce,
    "scfoundation": _scfoundation,
    "genecompass": _genecompass,
}
"""What writes the files of each model."""
