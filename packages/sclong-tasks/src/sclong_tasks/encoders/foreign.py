"""Foundation models of others.

Geneformer is a BERT in the format of ``transformers`` (Apache-2.0) and is loaded from its own
folder. The others have no package that is kept up, installs easily and has a compatible licence:
they take part by tables that their own tools wrote.

Source of the rank value encoding: Theodoris et al. 2023, "Transfer learning enables predictions in
network biology", Methods.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sclong_core.errors import ConfigError, InputError
from sclong_core.files import sha256_file
from sclong_core.plain_pickle import read_plain_pickle
from sclong_core.vocabulary import without_version
from sclong_data.genes.table import GeneTable
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders.protocol import Coverage, ExpressionTable, Representation

_TARGET_SUM = 10_000.0
_VERSION = 1
_MARKS = ("<cls>", "<eos>")
"""Around each cell, in the models that have them."""
PRECOMPUTED_ONLY: Mapping[str, str] = {
    "scgpt": "embed with the authors' scgpt.tasks.embed_data, which fills obsm['X_scGPT']",
    "scfoundation": "run the authors' get_embedding.py with --output_type cell",
    "uce": "run the authors' eval_single_anndata.py, which fills obsm['X_uce']",
    "genecompass": "extract cell embeddings with the authors' scripts",
}
"""Models without a loader here, and how their representations are made."""


def refuse_foreign(name: str) -> None:
    """Say how a model without a loader takes part.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"{name} is not loaded here: {PRECOMPUTED_ONLY[name]}; then give the file as a "
        "precomputed representation (encoder.name=precomputed encoder.path=FILE)"
    )


@dataclass(eq=False)
class Geneformer:
    """Geneformer, its weights as they are: mean of the gene tokens of the layer before the last.

    Args:
        folder: ``config.json`` and ``model.safetensors`` as transformers writes them, and the
            dictionaries of tokens and medians (``token_dictionary*`` and
            ``gene_median_dictionary*``, ``.json`` or ``.pkl``; a pickle is read as plain values,
            never executed).
        cache: where representations are kept.
        table: of names of genes, for data with symbols.
        batch_size: cells at a time.
    """

    folder: Path
    cache: ContentCache | None = None
    table: GeneTable | None = None
    batch_size: int = 8
    name: str = "geneformer"

    def __post_init__(self) -> None:
        """Read the dictionaries and the model."""
        self.tokens = _dictionary(self.folder, "token_dictionary")
        self.medians = _dictionary(self.folder, "gene_median_dictionary")
        self.model = _load_bert(self.folder)
        self.digest = sha256_file(self.folder / "model.safetensors")

    def cells(self, expression: ExpressionTable) -> Representation:
        """``(cells, hidden size)``."""
        ids, coverage = self._ids(expression.genes)
        facts = {"encoder": self.name, "model": self.digest}
        key = {"what": "Geneformer", "version": _VERSION, **facts, "cells": expression.digest}
        cache = self.cache or ContentCache(None)
        found = cache.arrays(key, lambda: {"cells": self._compute(expression, ids)})
        return Representation(found["cells"], expression.cells, coverage, facts)

    def genes(self, names: Sequence[str]) -> Representation:
        """``(genes, hidden size)``: the embeddings of their tokens; unknown ones get the mean."""
        ids, coverage = self._ids(names)
        weights = self.model.get_input_embeddings().weight.detach().float().cpu().numpy()
        table = np.concatenate([weights, weights.mean(0, keepdims=True)])
        places = [-1 if gene is None else int(self.tokens[gene]) for gene in ids]
        facts = {"encoder": self.name, "model": self.digest}
        return Representation(table[places], tuple(names), coverage, facts)

    def encode(self, values: npt.NDArray[np.float64], ids: Sequence[str | None]) -> list[list[int]]:
        """Tokens of cells: expressed genes by their value over the gene's median, largest first.

        Args:
            values: ``(cells, genes)`` counts or TPM.
            ids: Ensembl id of each gene, None where the model has no token for it.
        """
        known = [place for place, gene in enumerate(ids) if gene is not None]
        genes = [str(ids[place]) for place in known]
        medians = np.array([float(self.medians[gene]) for gene in genes])
        tokens = np.array([int(self.tokens[gene]) for gene in genes])
        first, last = ([int(self.tokens[mark])] if mark in self.tokens else [] for mark in _MARKS)
        longest = int(self.model.config.max_position_embeddings) - len(first) - len(last)
        total = values.sum(1, keepdims=True)
        scaled = values[:, known] / np.where(total > 0, total, 1) * _TARGET_SUM / medians
        cells = []
        for row in scaled:
            order = np.argsort(-row, kind="stable")
            ranked = tokens[order[row[order] > 0]][:longest].tolist()
            cells.append([*first, *ranked, *last])
        return cells

    def _ids(self, names: Sequence[str]) -> tuple[list[str | None], Coverage]:
        plain = [without_version(name) for name in names]
        if self.table is not None:
            resolved = self.table.resolve(names).ids
            plain = [found or name for found, name in zip(resolved, plain, strict=True)]
        ids = [gene if gene in self.tokens and gene in self.medians else None for gene in plain]
        unknown = tuple(name for name, gene in zip(names, ids, strict=True) if gene is None)
        if len(unknown) == len(names):
            raise InputError(
                "Geneformer knows none of the genes: it takes Ensembl ids; for symbols give a "
                "gene table (encoder.gene_tables)"
            )
        return ids, Coverage("genes", len(names) - len(unknown), unknown)

    @torch.inference_mode()
    def _compute(
        self, expression: ExpressionTable, ids: Sequence[str | None]
    ) -> npt.NDArray[np.float32]:
        cells = self.encode(np.expm1(expression.log1p.astype(np.float64)), ids)
        special = {self.tokens.get(name) for name in ("<pad>", *_MARKS)}
        pad = int(self.tokens.get("<pad>", 0))
        rows = []
        for start in range(0, len(cells), self.batch_size):
            batch = cells[start : start + self.batch_size]
            width = max(1, *(len(cell) for cell in batch))
            ids_bn = torch.tensor([cell + [pad] * (width - len(cell)) for cell in batch])
            seen_bn = torch.tensor([[i < len(cell) for i in range(width)] for cell in batch])
            output = self.model(ids_bn, attention_mask=seen_bn.long(), output_hidden_states=True)
            genes_bn = seen_bn & torch.tensor(
                [[token not in special for token in row] for row in ids_bn.tolist()]
            )
            weights = genes_bn.float() / genes_bn.sum(1, keepdim=True).clamp(min=1)
            rows.append(torch.einsum("bn,bnc->bc", weights, output.hidden_states[-2]))
        return torch.cat(rows).numpy()


def _dictionary(folder: Path, stem: str) -> dict[str, Any]:
    paths = sorted([*folder.glob(f"{stem}*.json"), *folder.glob(f"{stem}*.pkl")])
    if not paths:
        raise InputError(f"{folder} has no {stem}*.json or .pkl: copy Geneformer's own there")
    if paths[0].suffix == ".pkl":
        return read_plain_pickle(paths[0])
    try:
        content = json.loads(paths[0].read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{paths[0]} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{paths[0]} must hold a dictionary from gene to number")
    return content


def _load_bert(folder: Path) -> Any:
    try:
        from transformers import AutoConfig, BertModel  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError(
            "Geneformer needs the package transformers: pip install 'sclong-tasks[geneformer]'"
        ) from error
    if not (folder / "model.safetensors").is_file():
        raise InputError(
            f"{folder} has no model.safetensors: give the folder of Geneformer's weights"
        )
    config = AutoConfig.from_pretrained(folder)
    if config.model_type != "bert":
        raise InputError(f"{folder} holds a {config.model_type} model, Geneformer is a bert")
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, use_safetensors=True)
    model.train(False)
    return model
