"""Geneformer, V1 and V2: a BERT over genes in the order of their rank, from its authors' folder.

Source: Theodoris et al. 2023, "Transfer learning enables predictions in network biology", Methods;
the authors' tokenizer and embedding extractor. Equal ranks keep the order of the data, where the
original leaves them to an unstable sort.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.errors import CheckpointError
from sclong_core.expression.rows import Csr
from sclong_core.vocabulary import without_version
from sclong_tasks.encoders.layers import Activation, Layer, bert_names
from sclong_tasks.encoders.published_files import (
    file_digests,
    fill,
    find_file,
    find_files,
    read_dictionary,
    read_ids,
    read_settings,
    read_state,
    shape_of,
    size_of,
)
from sclong_tasks.encoders.published_model import (
    Arrangement,
    Batch,
    CellTokens,
    Ints,
    ModelCard,
    ModelOptions,
    PublishedModel,
    require,
    require_choices,
    rows_of,
)

_TARGET_SUM = 10_000.0
_CLS, _EOS = "<cls>", "<eos>"
_SPECIAL = ("<pad>", "<mask>", _CLS, _EOS)
_POOLS = ("mean", "cls")
TIES = ("data", "token")
_UNUSED = (r"cls\.", r"bert\.pooler\.", r"bert\.embeddings\.position_ids$")
ACTIVATIONS: Mapping[str, Activation] = {"relu": functional.relu, "gelu": functional.gelu}


@dataclass
class GeneformerOptions(ModelOptions):
    """How Geneformer reads cells."""

    layer: int = -1
    """Layer whose states are taken: -1 the last but one (the authors' default), 0 the last."""
    pool: str = "mean"
    """"mean" over genes, or "cls" where the model has that token (V2)."""
    max_length: int = 0
    """Tokens of a cell; as many as the model has positions for where 0."""
    ties: str = "data"
    """Equal ranks in the order of the "data", or of the "token", whatever the order of the data."""

    def __post_init__(self) -> None:
        require(self.layer <= 0, f"layer counts from the last, 0, downwards: not {self.layer}")
        require_choices(self, pool=_POOLS, ties=TIES)
        require(self.max_length >= 0, f"max_length must not be negative, not {self.max_length}")


@dataclass(frozen=True)
class BertSizes:
    """Sizes of a BERT."""

    vocabulary: int
    width: int
    heads: int
    hidden: int
    layers: int
    positions: int
    types: int = 2
    activation: str = "relu"
    eps: float = 1e-12

    @classmethod
    def read(cls, path: Path) -> Self:
        """From ``config.json``.

        Raises:
            CheckpointError: it is of another model, or lacks a size.
        """
        found = read_settings(path)
        if found.get("model_type") != "bert":
            raise CheckpointError(f"{path} is of a {found.get('model_type')} model, not of a bert")
        activation, eps = found.get("hidden_act"), found.get("layer_norm_eps", 1e-12)
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise CheckpointError(f"{path}: hidden_act must be relu or gelu, not {activation!r}")
        if not isinstance(eps, float) or not eps > 0:
            raise CheckpointError(f"{path}: layer_norm_eps must be a positive number, not {eps!r}")
        if found.get("position_embedding_type", "absolute") != "absolute":
            raise CheckpointError(f"{path}: only absolute positions are known")
        sizes = cls(
            vocabulary=size_of(found, "vocab_size", path),
            width=size_of(found, "hidden_size", path),
            heads=size_of(found, "num_attention_heads", path),
            hidden=size_of(found, "intermediate_size", path),
            layers=size_of(found, "num_hidden_layers", path),
            positions=size_of(found, "max_position_embeddings", path),
            types=size_of({"type_vocab_size": 2} | found, "type_vocab_size", path),
            activation=activation,
            eps=eps,
        )
        if sizes.width % sizes.heads:
            raise CheckpointError(
                f"{path}: {sizes.width} columns do not go into {sizes.heads} heads"
            )
        return sizes

    def make_layers(self) -> nn.ModuleList:
        """The layers."""
        activation = ACTIVATIONS[self.activation]
        return nn.ModuleList(
            Layer(self.width, self.heads, self.hidden, activation=activation, eps=self.eps)
            for _ in range(self.layers)
        )


class Geneformer(PublishedModel):
    """Geneformer with its weights and dictionaries."""

    card: ClassVar = ModelCard(
        name="geneformer",
        title="Geneformer",
        genes_by="Ensembl id",
        columns=("ensembl_id", "gene_id", "gene_ids"),
        vector="mean state of genes, of the layer before the last",
        licence="Apache-2.0, code and weights",
    )
    Options: ClassVar = GeneformerOptions
    by_ratios: ClassVar = True

    def __init__(  # settings of a user, each by its name
        self,
        sizes: BertSizes,
        vocabulary: dict[str, int],
        medians: dict[str, float],
        *,
        mapping: dict[str, str] | None = None,
        options: GeneformerOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or GeneformerOptions()
        self.vocabulary, self.medians, self.mapping = vocabulary, medians, mapping
        self.width, self.limit = sizes.width, self.options.max_length or sizes.positions
        self.pad_id = vocabulary.get("<pad>", 0)
        self.files = {}
        self.words = nn.Embedding(sizes.vocabulary, sizes.width)
        self.positions = nn.Embedding(sizes.positions, sizes.width)
        self.types = nn.Embedding(sizes.types, sizes.width)
        self.norm = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.layers = sizes.make_layers()
        require(
            self.options.pool == "mean" or _CLS in vocabulary,
            "pool=cls: this Geneformer has no <cls>, as V1; take pool=mean",
        )
        marks = sum(mark in vocabulary for mark in (_CLS, _EOS))
        require(
            self.limit > marks,
            f"max_length={self.limit} leaves no place for a gene beside {marks} special tokens",
        )
        require(
            self.limit <= sizes.positions,
            f"max_length={self.limit}: the model has positions for {sizes.positions} tokens",
        )
        require(
            -self.options.layer <= sizes.layers,
            f"layer={self.options.layer}: the model has {sizes.layers} layers",
        )

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        """By ``config.json`` beside a token dictionary or median dictionary of its own name."""
        return bool(
            find_files(folder, "config.json")
            and find_files(folder, "token_dictionary*", "gene_median_dictionary*")
        )

    @classmethod
    def read(cls, folder: Path, options: GeneformerOptions) -> Self:
        """From ``config.json``, weights, and the dictionaries of tokens, medians and other ids."""
        title = cls.card.title
        config = find_file(folder, "config.json", model=title, what="settings")
        sizes = BertSizes.read(config)
        weights = find_file(
            folder, "model.safetensors", "pytorch_model.bin", model=title, what="weights"
        )
        tokens_file = _dictionary_file(folder, "token_dictionary", "tokens")
        medians_file = _dictionary_file(folder, "gene_median_dictionary", "medians of genes")
        vocabulary = read_ids(tokens_file, model=title)
        if len(vocabulary) != sizes.vocabulary:
            raise CheckpointError(
                f"{tokens_file} has {len(vocabulary):,} tokens, and the weights beside it vectors "
                f"for {sizes.vocabulary:,}: take the dictionary of the same version (V1 has "
                "25,426 tokens, V2 20,275)"
            )
        files = [config, weights, tokens_file, medians_file]
        mapping = None
        if find_files(folder, *_patterns("ensembl_mapping_dict")):
            files.append(_dictionary_file(folder, "ensembl_mapping_dict", "other ids of genes"))
            mapping = _read_mapping(files[-1])
        _require_special(vocabulary, config, tokens_file)
        medians = _read_medians(medians_file, vocabulary)
        model = cls(sizes, vocabulary, medians, mapping=mapping, options=options)
        state = read_state(weights, model=title)
        shape_of(state, "bert.embeddings.word_embeddings.weight", 2, weights)
        fill(model, state, names_of_bert, path=weights, unused=_UNUSED)
        model.files = file_digests(files)
        return model.eval()

    @property
    def known_genes(self) -> int:
        """Genes that it knows."""
        return sum(name not in _SPECIAL for name in self.vocabulary)

    def token_of(self, names: Sequence[str]) -> Ints:
        """By Ensembl id, through the authors' dictionary of other ids where it is there."""
        known = (self.known_id(name) for name in names)
        return np.array([self.vocabulary.get(name, -1) for name in known], dtype=np.int64)

    def known_id(self, name: str) -> str:
        """The id in the token dictionary that a name stands for, empty if there is none."""
        found = name.upper()
        if self.mapping is not None:
            found = self.mapping.get(found) or self.mapping.get(without_version(found), "")
        else:
            found = found if found in self.vocabulary else without_version(found)
        return found if found in self.vocabulary and found not in _SPECIAL else ""

    def arrange(self, names: Sequence[str]) -> Arrangement:
        """The genes in the order of the data; several ids of one gene are added and come last.

        As in the original, one id in several columns makes one token for each of them, unless
        different ids lead to one gene.
        """
        ids = [self.known_id(name) for name in names]
        columns = [place for place, gene in enumerate(ids) if gene]
        given = len({names[place] for place in columns})
        if given == len({ids[place] for place in columns}):
            places = np.array(columns, dtype=np.int64)
            return Arrangement.of_columns(names, places, self.token_of([ids[p] for p in columns]))
        groups: dict[str, list[int]] = {}
        for place in columns:
            groups.setdefault(ids[place], []).append(place)
        ordered = sorted(groups.values(), key=lambda group: len(group) > 1)
        rows = np.array([place for group in ordered for place in group], dtype=np.int64)
        numbers = np.repeat(np.arange(len(ordered)), [len(group) for group in ordered])
        select = sparse.csr_array(
            (np.ones(len(rows)), (rows, numbers)), shape=(len(names), len(ordered))
        )
        first = [group[0] for group in ordered]
        unknown = tuple(name for name, gene in zip(names, ids, strict=True) if not gene)
        tokens = self.token_of([ids[place] for place in first])
        return Arrangement(tokens, select, tuple(names[place] for place in first), unknown)

    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """Expressed genes by count over the gene's median, largest first."""
        names = {token: gene for gene, token in self.vocabulary.items()}
        medians = np.array([self.medians[names[token]] for token in arrangement.tokens.tolist()])
        first, last = (
            [self.vocabulary[mark]] if mark in self.vocabulary else [] for mark in (_CLS, _EOS)
        )
        most = self.limit - len(first) - len(last)
        cells = []
        for columns, values in rows_of(counts):
            if not len(columns):
                cells.append(CellTokens(columns, columns))
                continue
            ties = arrangement.tokens[columns] if self.options.ties == "token" else None
            order = ranked(values / medians[columns], ties)[:most]
            genes = columns[order]
            cells.append(
                CellTokens(
                    np.concatenate([first, arrangement.tokens[genes], last]).astype(np.int64),
                    np.concatenate([[-1] * len(first), genes, [-1] * len(last)]).astype(np.int64),
                    left_out=len(columns) - len(genes),
                )
            )
        return cells

    def hidden_states(self, batch: Batch) -> list[Tensor]:
        """The input of the first layer and the output of each, up to the one that is asked for."""
        places = torch.arange(batch.ids.shape[1], device=batch.ids.device)
        x = self.words(batch.ids) + self.types.weight[0] + self.positions(places)
        found = [self.norm(x)]
        for layer in self.layers[: len(self.layers) + self.options.layer]:
            found.append(layer(found[-1], batch.mask))
        return found

    def states(self, batch: Batch) -> Tensor:
        """Of the layer that is asked for."""
        return self.hidden_states(batch)[-1]

    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """Mean over genes, or the state of ``<cls>``."""
        if self.options.pool == "cls":
            return states[:, 0]
        return mean_of_genes(states, batch)

    def gene_table(self) -> Tensor:
        """Embeddings of tokens."""
        return self.words.weight


def ranked(values: npt.NDArray[np.float64], ties: Ints | None) -> Ints:
    """Places of values, the largest first; equal ones by ``ties``, or as they stand."""
    if ties is None:
        return np.argsort(-values, kind="stable")
    return np.lexsort((ties, -values))


def mean_of_genes(states: Tensor, batch: Batch) -> Tensor:
    """``(cells, dim)``: mean over tokens that are genes."""
    weights = (batch.genes >= 0).to(states.dtype)
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("bn,bnd->bd", weights, states)


def names_of_bert(own: str) -> tuple[str, ...]:
    """Names in the file of a tensor of the network."""
    if own.startswith("layers."):
        found = bert_names(own.replace("layers.", "layer.", 1))
        return tuple(f"bert.encoder.{name}" for name in found)
    for ours, theirs in (
        ("words.", "word_embeddings."),
        ("positions.", "position_embeddings."),
        ("types.", "token_type_embeddings."),
        ("norm.", "LayerNorm."),
    ):
        if own.startswith(ours):
            return (f"bert.embeddings.{theirs}{own.removeprefix(ours)}",)
    return (own,)


def _require_special(vocabulary: dict[str, int], config: Path, path: Path) -> None:
    """Refuse special tokens at other numbers than the published ones: genes would be others too."""
    pad = read_settings(config).get("pad_token_id", 0)
    there = [name for name in _SPECIAL if name in vocabulary]
    for number, name in enumerate(there):
        if vocabulary[name] != number or (name == "<pad>" and pad != number):
            raise CheckpointError(
                f"{path}: {name} has the number {vocabulary[name]}, and {config.name} pads with "
                f"{pad}: a dictionary of Geneformer begins with {', '.join(there)}, and this one "
                "does not belong to these weights"
            )


def _patterns(stem: str) -> tuple[str, ...]:
    return (f"{stem}*.pkl", f"{stem}*.pickle", f"{stem}*.json")


def _dictionary_file(folder: Path, stem: str, what: str) -> Path:
    return find_file(folder, *_patterns(stem), model="Geneformer", what=f"dictionaries of {what}")


def _read_medians(path: Path, vocabulary: dict[str, int]) -> dict[str, float]:
    found: dict[Any, Any] = read_dictionary(path)
    wrong = [name for name, value in found.items() if not _positive(value)]
    if wrong:
        raise CheckpointError(f"{path}: the median of {wrong[0]} is {found[wrong[0]]!r}")
    lacking = [name for name in vocabulary if name not in found and name not in _SPECIAL]
    if lacking:
        raise CheckpointError(
            f"{path} has no median for {len(lacking):,} genes of the token dictionary (the first "
            f"is {lacking[0]}): they are of different versions"
        )
    return {str(name): float(value) for name, value in found.items()}


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")


def _read_mapping(path: Path) -> dict[str, str]:
    found = read_dictionary(path)
    if not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise CheckpointError(f"{path} must hold other ids of genes and their Ensembl ids")
    return found
