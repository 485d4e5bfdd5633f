"""scFoundation: a transformer over the expressed genes of a cell, read from its authors' files.

Source: Hao et al. 2024, "Large-scale foundation model on single-cell transcriptomics", Methods;
the authors' embedding script. Vectors of genes in cells come from the decoder, a Performer over all
genes: :mod:`sclong_tasks.encoders.scfoundation_decoder`.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.errors import CheckpointError, InputError
from sclong_core.expression.rows import Csr
from sclong_tasks.encoders.layers import Layer, torch_names
from sclong_tasks.encoders.published_files import (
    count_layers,
    file_digests,
    fill,
    find_file,
    find_files,
    read_tensors,
    require_stated,
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
from sclong_tasks.encoders.scfoundation_decoder import Performer

_TARGET_SUM = 10_000.0
_VERSIONS: Mapping[str, str] = {"ce": "cell", "rde": "rde", "gene": "gene"}
"""Part of the checkpoint by the authors' name of the version."""
_POOLS = ("all", "max")
_INPUTS = ("cell", "bulk")
_STABILISERS = ("cell", "batch")
_UNUSED = (r"to_final\.", r"decoder\.performer\.calls_since_last_redraw$")
_PUBLISHED_ORDER = "6037e1bc9b3b48a5112ffdc29261383f747a3c3f8b568a8899b0c69d13565df8"
"""SHA-256 of the 19,264 symbols of ``OS_scRNA_gene_index.19264.tsv``, a line each."""
_PUBLISHED_GENES = "e5322ead657fa5ac90d431e2d04e94edb56a1ecde3f4f94988404631ab436df1"
"""The same of these symbols sorted."""
_DEPTH = re.compile(r"[tfa]\d+(?:\.\d+)?")


@dataclass
class ScFoundationOptions(ModelOptions):
    """How scFoundation reads cells."""

    version: str = "ce"
    """Weights for vectors of cells: "ce", or "rde" (for read-depth enhancement), or "gene"."""
    pool: str = "all"
    """"all": states of the two depth tokens, largest and mean state of genes; or "max"."""
    depth: str = "t4"
    """Depth that is asked for: its log10 ("t4"), a factor ("f1") or a summand of the log10 ("a1");
    the authors' ``tgthighres``."""
    normalised: bool = False
    """The values are log1p of scaled counts as they are, the authors' ``pre_normalized T``; read
    them with ``normalisation="raw"``."""
    total: str = ""
    """With ``normalised``: name of the column of the data, among the genes, that holds the total
    count of each cell; the authors' ``pre_normalized A``, whose last column it is."""
    input: str = "cell"
    """"cell" or "bulk"."""
    target_sum: float = _TARGET_SUM
    """Of counts; the authors take the median of the data for bulk."""
    stabiliser: str = "cell"
    """Of the decoder: "cell", or "batch": over all cells of a batch, as in the original."""

    def __post_init__(self) -> None:
        require_choices(
            self,
            version=tuple(_VERSIONS),
            pool=_POOLS,
            input=_INPUTS,
            stabiliser=_STABILISERS,
        )
        require(
            _DEPTH.fullmatch(self.depth) is not None,
            f"depth must be t, f or a and a number, such as t4, not {self.depth!r}",
        )
        require(0 < self.target_sum < np.inf, f"target_sum must be positive, not {self.target_sum}")
        require(
            not self.total or (self.normalised and self.input == "cell"),
            f"total={self.total} goes with normalised=true and input=cell",
        )


@dataclass(frozen=True)
class ScFoundationSizes:
    """Sizes of the network."""

    genes: int
    width: int
    heads: int
    layers: int
    hidden: int
    bins: int
    bin_alpha: float
    pad_value: float
    mask_value: float
    decoder_width: int
    decoder_heads: int
    decoder_layers: int
    decoder_head_width: int
    features: int


class ValueEmbedding(nn.Module):
    """A value as a mixture of learnt vectors, one a bin."""

    def __init__(self, sizes: ScFoundationSizes) -> None:
        super().__init__()
        self.alpha, self.pad, self.mask = sizes.bin_alpha, sizes.pad_value, sizes.mask_value
        self.mlp, self.mlp2 = nn.Linear(1, sizes.bins), nn.Linear(sizes.bins, sizes.bins)
        self.emb = nn.Embedding(sizes.bins, sizes.width)
        self.emb_mask, self.emb_pad = nn.Embedding(1, sizes.width), nn.Embedding(1, sizes.width)

    def forward(self, values: Tensor) -> Tensor:
        """Vectors ``(..., width)`` of values ``(...)``."""
        x = functional.leaky_relu(self.mlp(values.unsqueeze(-1)), 0.1)
        weights: Tensor = (self.alpha * x + self.mlp2(x)).softmax(-1)
        found: Tensor = weights @ self.emb.weight
        for special, row in ((self.mask, self.emb_mask), (self.pad, self.emb_pad)):
            found = torch.where((values == special).unsqueeze(-1), row.weight[0].to(found), found)
        return found


class ScFoundation(PublishedModel):
    """scFoundation with its weights."""

    card: ClassVar = ModelCard(
        name="scfoundation",
        title="scFoundation",
        genes_by="symbol",
        columns=("gene_name", "feature_name", "gene_symbol"),
        notice="the licence of its weights allows non-commercial research only",
        vector="states of both depth tokens, largest and mean state of genes: four times the width",
        licence="code Apache-2.0",
    )
    Options: ClassVar = ScFoundationOptions

    def __init__(  # settings of a user, each by its name
        self,
        sizes: ScFoundationSizes,
        genes: Sequence[str],
        *,
        options: ScFoundationOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or ScFoundationOptions()
        self.positions = {name: number for number, name in enumerate(genes)}
        self.genes, self.limit, self.files = sizes.genes, 0, {}
        self.width = sizes.width * (4 if self.options.pool == "all" else 1)
        self.pad_id, self.pad_value = sizes.genes + 2, sizes.pad_value
        self.in_order = self.options.stabiliser == "batch"
        self.token_emb = ValueEmbedding(sizes)
        self.pos_emb = nn.Embedding(sizes.genes + 3, sizes.width)
        self.layers = nn.ModuleList(
            Layer(sizes.width, sizes.heads, sizes.hidden) for _ in range(sizes.layers)
        )
        self.encoder_norm = nn.LayerNorm(sizes.width)
        self.decoder_embed = nn.Linear(sizes.width, sizes.decoder_width)
        self.decoder = Performer(
            sizes.decoder_width,
            sizes.decoder_heads,
            sizes.decoder_head_width,
            sizes.decoder_layers,
            sizes.features,
        )
        self.norm = nn.LayerNorm(sizes.decoder_width)
        self._folder: Path | None = None
        self._of_genes: list[ScFoundation] = []

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        """By a checkpoint beside a list of genes."""
        return bool(find_files(folder, "*.ckpt") and find_files(folder, "*gene_index*.tsv"))

    @classmethod
    def read(cls, folder: Path, options: ScFoundationOptions) -> Self:
        """From ``models.ckpt`` and the list of genes, ``*gene_index*.tsv``."""
        title = cls.card.title
        path = find_file(folder, "models.ckpt", "*.ckpt", model=title, what="weights")
        list_file = find_file(folder, "*gene_index*.tsv", model=title, what="lists of genes")
        genes = _read_genes(list_file)
        settings, state = _part(read_tensors(path), _VERSIONS[options.version], path)
        sizes = _sizes(settings, state, path)
        if sizes.genes != len(genes):
            raise CheckpointError(
                f"{list_file} has {len(genes):,} genes, and {path.name} takes {sizes.genes:,}: "
                "they do not belong to each other"
            )
        model = cls(sizes, genes, options=options)
        fill(model, state, names_of_scfoundation, path=path, unused=_UNUSED)
        model.files = file_digests([path, list_file])
        model._folder = folder
        return model.eval()

    @property
    def known_genes(self) -> int:
        """Genes that it knows."""
        return self.genes

    def token_of(self, names: Sequence[str]) -> Ints:
        """Position in the list of genes, by symbol as it is written."""
        return np.array([self.positions.get(name, -1) for name in names], dtype=np.int64)

    def arrange(self, names: Sequence[str]) -> Arrangement:
        """Genes in the order of the list, then the column of totals; those of one symbol are added.

        Raises:
            InputError: there is not the one column of totals that is asked for.
        """
        found = self.token_of(names)
        if self.options.total:
            places = [place for place, name in enumerate(names) if name == self.options.total]
            if len(places) != 1 or found[places[0]] >= 0:
                raise InputError(
                    f"total={self.options.total}: {len(places)} columns of the data have this "
                    "name beside the genes; name the one that holds the total count of each cell"
                )
            found[places[0]] = self.genes + 1
        columns = np.flatnonzero(found >= 0)
        tokens, first, numbers = np.unique(found[columns], return_index=True, return_inverse=True)
        ones = np.ones(len(columns))
        select = sparse.csr_array((ones, (columns, numbers)), shape=(len(names), len(tokens)))
        unknown = tuple(names[int(place)] for place in np.flatnonzero(found < 0))
        return Arrangement(
            tokens, select, tuple(names[int(place)] for place in columns[first]), unknown
        )

    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """Positive entries of genes and both depth tokens, in the order of the list."""
        return [
            self._cell(columns, values, arrangement.tokens) for columns, values in rows_of(counts)
        ]

    def _cell(self, columns: Ints, values: npt.NDArray[np.float64], positions: Ints) -> CellTokens:
        if not len(columns):
            return CellTokens(columns, columns, values.astype(np.float32))
        options, total = self.options, values.sum()
        ids = positions[columns]
        if options.total:
            given = ids == self.genes + 1
            total, columns, values, ids = (
                float(values[given].sum()), columns[~given], values[~given], ids[~given]
            )  # fmt: skip
            if not len(columns):
                return CellTokens(columns, columns, values.astype(np.float32))
            if not total > 0:
                raise InputError(
                    f"total={options.total}: a cell has no total count there, but expresses "
                    f"{len(columns):,} genes"
                )
        x = values if options.normalised else np.log1p(values / total * options.target_sum)
        asked, size = np.log10(total), float(options.depth[1:])
        if options.input == "bulk":
            asked = target = x.sum() if options.normalised else np.log10(x.sum())
        else:
            target = {"t": size, "f": asked + np.log10(max(size, 1e-300)), "a": asked + size}[
                options.depth[0]
            ]
        whole = np.concatenate([x, [target, asked]]).astype(np.float32)
        ids = np.concatenate([ids, [self.genes, self.genes + 1]])
        genes = np.concatenate([columns, [-1, -1]])
        kept = whole > 0
        return CellTokens(ids[kept], genes[kept], whole[kept])

    def embed(self, batch: Batch) -> Tensor:
        """Vectors of tokens at their positions."""
        assert batch.values is not None
        return self.token_emb(batch.values) + self.pos_emb(batch.ids)  # type: ignore[no-any-return]

    def states(self, batch: Batch) -> Tensor:
        """Of the encoder."""
        x = self.embed(batch)
        for layer in self.layers:
            x = layer(x, batch.mask)
        return self.encoder_norm(x)  # type: ignore[no-any-return]

    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """The last two states, and the largest and mean one of those before; or the largest."""
        states, places = states.float(), torch.arange(states.shape[1], device=states.device)
        lowest = torch.finfo(states.dtype).min
        if self.options.pool == "max":
            return states.masked_fill(~batch.real[:, :, None], lowest).amax(1)
        rows, last = torch.arange(len(states), device=states.device), batch.lengths - 1
        before = (last - 1).clamp(min=0)
        chosen = places[None] < before[:, None]
        # A cell of one count has a single gene and one depth token: its gene is all there is.
        chosen = torch.where(chosen.any(1, keepdim=True), chosen, batch.genes >= 0)
        largest = states.masked_fill(~chosen[:, :, None], lowest).amax(1)
        weights = chosen / chosen.sum(1, keepdim=True)
        mean = torch.einsum("bn,bnd->bd", weights, states)
        return torch.cat([states[rows, last], states[rows, before], largest, mean], dim=1)

    def decode(self, batch: Batch) -> Tensor:
        """``(cells, genes of the list, width of the decoder)``: states of all genes."""
        assert batch.values is not None
        shape = (len(batch.ids), self.genes + 3)
        full = batch.values.new_zeros(shape).scatter(1, batch.ids, batch.values)[
            :, : self.genes + 2
        ]
        x = self.token_emb(full)
        spread = x.new_zeros(*shape, x.shape[2])
        index = batch.ids[:, :, None].expand(-1, -1, x.shape[2])
        spread = spread.scatter(1, index, self.states(batch).to(x.dtype))[:, : self.genes + 2]
        x = torch.where(full[:, :, None] > 0, spread, x) + self.pos_emb.weight[: self.genes + 2]
        found = self.decoder(self.decoder_embed(x), shared=self.options.stabiliser == "batch")
        return self.norm(found)[:, : self.genes]  # type: ignore[no-any-return]

    def gene_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of expressed genes from the decoder of the authors' weights for genes."""
        states = self._for_genes().decode(batch)
        index = batch.ids.clamp(max=self.genes - 1)[:, :, None].expand(-1, -1, states.shape[2])
        return states.gather(1, index), batch.genes

    def gene_table(self) -> Tensor:
        """Vectors of positions, of which each gene has one."""
        return self.pos_emb.weight[: self.genes]

    def _for_genes(self) -> "ScFoundation":
        if self.options.version == "gene" or self._folder is None:
            return self
        if not self._of_genes:
            self._of_genes.append(self.read(self._folder, replace(self.options, version="gene")))
        return self._of_genes[0].to(self.pos_emb.weight.device)


def names_of_scfoundation(own: str) -> tuple[str, ...]:
    """Names in the file of a tensor of the network, after the prefix that is passed over."""
    if own.startswith("layers."):
        return tuple(
            f"encoder.transformer_encoder.{own.removeprefix('layers.')}" for own in torch_names(own)
        )
    if own.startswith("encoder_norm."):
        return (own.replace("encoder_norm.", "encoder.norm."),)
    if own.startswith("decoder.norm."):
        return (own,)
    if own.startswith("decoder."):
        return (f"decoder.performer.net.{own.removeprefix('decoder.')}",)
    return (own,)


def _part(found: Any, key: str, path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors of one of the models in the file."""
    try:
        part = found[key]
        config, state = part["config"], part["state_dict"]
        settings = {**config["model_config"][config["model"]], **config["dataset_config"]["rnaseq"]}
        tensors = {_plain(name): tensor for name, tensor in state.items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} has no part {key!r} with config and state_dict: it is not scFoundation's"
        ) from error
    if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"{path} must hold tensors in the state_dict of {key!r}")
    return settings, tensors


def _plain(name: str) -> str:
    before, found, after = name.partition("model.")
    return after if found else before


def _sizes(
    settings: Mapping[str, Any], state: Mapping[str, Tensor], path: Path
) -> ScFoundationSizes:
    encoder, decoder = settings.get("encoder"), settings.get("decoder")
    if not isinstance(encoder, Mapping) or not isinstance(decoder, Mapping):
        raise CheckpointError(f"{path}: its settings tell nothing of encoder and decoder")
    numbers = {name: settings.get(name) for name in ("bin_alpha", "pad_token_id", "mask_token_id")}
    if not all(type(value) in (int, float) for value in numbers.values()):
        raise CheckpointError(f"{path}: {', '.join(numbers)} must be numbers")
    rows, width = shape_of(state, "pos_emb.weight", 2, path)
    prefix, performer = "encoder.transformer_encoder.", "decoder.performer.net.layers."
    features, head_width = shape_of(
        state, f"{performer}0.0.fn.fast_attention.projection_matrix", 2, path
    )
    sizes = ScFoundationSizes(
        genes=rows - 3,
        width=width,
        heads=size_of(encoder, "heads", path),
        layers=count_layers(state, prefix, path, stated=encoder.get("depth")),
        hidden=shape_of(state, f"{prefix}0.linear1.weight", 2, path)[0],
        bins=shape_of(state, "token_emb.emb.weight", 2, path)[0],
        bin_alpha=float(numbers["bin_alpha"]),  # type: ignore[arg-type]  # checked above
        pad_value=float(numbers["pad_token_id"]),  # type: ignore[arg-type]  # checked above
        mask_value=float(numbers["mask_token_id"]),  # type: ignore[arg-type]  # checked above
        decoder_width=shape_of(state, "decoder_embed.weight", 2, path)[0],
        decoder_heads=size_of(decoder, "heads", path),
        decoder_layers=count_layers(state, performer, path, stated=decoder.get("depth")),
        decoder_head_width=head_width,
        features=features,
    )
    if sizes.width % sizes.heads or settings.get("seq_len") != sizes.genes + 2:
        raise CheckpointError(f"{path}: its settings do not fit its tensors (heads, seq_len)")
    head = sizes.width // sizes.heads
    require_stated(encoder, path, hidden_dim=sizes.width, dim_head=head)
    require_stated(decoder, path, hidden_dim=sizes.decoder_width, dim_head=head_width)
    require_stated(settings, path, bin_num=sizes.bins)
    return sizes


def _read_genes(path: Path) -> list[str]:
    try:
        found = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        order = found["index"].astype(np.int64).to_numpy()
        names: list[str] = found["gene_name"].tolist()
    except (OSError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path} must be a table with the columns gene_name and index ({reason})"
        ) from error
    if sorted(order.tolist()) != list(range(len(names))) or len(set(names)) != len(names):
        raise CheckpointError(f"{path}: its genes must be numbered from 0 on, each once")
    genes = [names[row] for row in np.argsort(order)]
    same = _sha256(sorted(genes)) == _PUBLISHED_GENES
    if same and _sha256(genes) != _PUBLISHED_ORDER:
        raise CheckpointError(
            f"{path} holds the genes of the published list in another order: each would get the "
            "vectors of another; take the published file"
        )
    return genes


def _sha256(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()
