"""scGPT: a transformer over genes and binned counts, read from its authors' folder.

Source: Cui et al. 2024, "scGPT: toward building a foundation model for single-cell multi-omics
using generative AI", Methods; the layout of the files and the path of its cell embeddings.

The original draws the bins of tied counts and the genes of cells that are too long. Without draws
a tie takes the middle bin, and the first genes in the order of the data are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.errors import CheckpointError, ConfigError
from sclong_core.expression.rows import Csr
from sclong_tasks.encoders.layers import Layer, torch_names
from sclong_tasks.encoders.published_files import (
    count_layers,
    file_digests,
    fill,
    find_file,
    find_files,
    read_ids,
    read_settings,
    read_state,
    require_stated,
    shape_of,
    size_of,
)
from sclong_tasks.encoders.published_model import (
    LONGEST,
    Arrangement,
    Batch,
    CellTokens,
    DrawOptions,
    Ints,
    ModelCard,
    PublishedModel,
    cell_generator,
    require,
    rows_of,
)

_SPECIAL = ("<pad>", "<cls>", "<eoc>")
_EDGES = 50
"""Quantiles of a cell's counts; with zero that makes 51 bins, whatever the settings say."""
_LARGEST_VALUE = 512.0
_PUBLISHED_LENGTH = 1200
_HEADS = (r"mvc_decoder\.", r"cls_decoder\.", r"flag_encoder\.", r"sim\.", r"creterion_cce\.")
"""Of pretraining objectives; no part of the cell's vector."""
_OTHER_NETWORKS = ("bn.", "dsbn.", "batch_encoder.", "value_encoder.embedding.")


@dataclass
class ScGptOptions(DrawOptions):
    """How scGPT reads cells."""

    max_length: int = 0
    """Tokens of a cell with ``<cls>``; that of the settings (published: 1,200) where 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.max_length == 0 or 2 <= self.max_length <= LONGEST,
            f"max_length must be from 2 to {LONGEST:,}, not {self.max_length}",
        )


@dataclass(frozen=True)
class ScGptSizes:
    """Sizes of the network."""

    vocabulary: int
    width: int
    heads: int
    hidden: int
    layers: int


class ScGpt(PublishedModel):
    """scGPT with its weights."""

    card: ClassVar = ModelCard(
        name="scgpt",
        title="scGPT",
        genes_by="symbol",
        columns=("feature_name", "gene_name", "gene_symbol"),
        vector="last state of <cls>, scaled to length 1",
        licence="code MIT; none stated for the weights",
    )
    Options: ClassVar = ScGptOptions
    by_ratios: ClassVar = True

    def __init__(  # settings of a user, each by its name
        self,
        sizes: ScGptSizes,
        vocabulary: dict[str, int],
        *,
        options: ScGptOptions | None = None,
        pad: str = _SPECIAL[0],
        pad_value: float = -2.0,
        limit: int = _PUBLISHED_LENGTH,
    ) -> None:
        super().__init__()
        self.options = options or ScGptOptions()
        self.vocabulary = vocabulary
        self.width, self.limit = sizes.width, limit
        self.pad_value, self.pad_id = pad_value, vocabulary[pad]
        self._special = {pad, *_SPECIAL}
        self.files = {}
        self.genes = nn.Embedding(sizes.vocabulary, sizes.width)
        self.gene_norm = nn.LayerNorm(sizes.width)
        self.value1, self.value2 = nn.Linear(1, sizes.width), nn.Linear(sizes.width, sizes.width)
        self.value_norm = nn.LayerNorm(sizes.width)
        self.layers = nn.ModuleList(
            Layer(sizes.width, sizes.heads, sizes.hidden) for _ in range(sizes.layers)
        )
        self.expression = nn.Sequential(
            nn.Linear(sizes.width, sizes.width),
            nn.LeakyReLU(),
            nn.Linear(sizes.width, sizes.width),
            nn.LeakyReLU(),
            nn.Linear(sizes.width, 1),
        )
        self._stream = np.random.RandomState(self.options.seed)

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        """By ``args.json`` and ``vocab.json``."""
        return bool(find_files(folder, "args.json") and find_files(folder, "vocab.json"))

    @classmethod
    def read(cls, folder: Path, options: ScGptOptions) -> Self:
        """From ``args.json``, ``vocab.json`` and ``best_model.pt`` (or the only ``.pt``)."""
        title = cls.card.title
        settings_file = find_file(folder, "args.json", model=title, what="settings")
        vocabulary_file = find_file(folder, "vocab.json", model=title, what="genes")
        weights = find_file(folder, "best_model.pt", "*.pt", model=title, what="weights")
        settings = read_settings(settings_file)
        vocabulary = read_ids(vocabulary_file, model=title)
        pad = settings.get("pad_token", _SPECIAL[0])
        if not isinstance(pad, str):
            raise CheckpointError(f"{settings_file}: pad_token must be text, not {pad!r}")
        for token in (pad, *_SPECIAL[1:]):
            vocabulary.setdefault(token, len(vocabulary))
        state = _torch_spelling(read_state(weights, model=title))
        other = sorted(name for name in state if name.startswith(_OTHER_NETWORKS))
        if other:
            raise CheckpointError(
                f"{weights} holds {other[0]}: a network with batch labels or categories of values, "
                "which is not scGPT's published one"
            )
        rows, width = shape_of(state, "encoder.embedding.weight", 2, weights)
        if rows != len(vocabulary):
            raise CheckpointError(
                f"{vocabulary_file} has {len(vocabulary):,} tokens, and {weights.name} vectors for "
                f"{rows:,}: they are of different models"
            )
        heads = size_of(settings, "nheads", settings_file)
        if width % heads or size_of(settings, "embsize", settings_file) != width:
            raise CheckpointError(
                f"{settings_file}: embsize and nheads do not fit the width of the weights, {width}"
            )
        prefix = "transformer_encoder.layers."
        sizes = ScGptSizes(
            vocabulary=rows,
            width=width,
            heads=heads,
            hidden=shape_of(state, f"{prefix}0.linear1.weight", 2, weights)[0],
            layers=count_layers(state, prefix, weights, stated=settings.get("nlayers")),
        )
        require_stated(
            settings,
            settings_file,
            d_hid=sizes.hidden,
            input_emb_style="continuous",
            pre_norm=False,
        )
        pad_value = settings.get("pad_value", -2)
        if type(pad_value) not in (int, float) or not np.isfinite(pad_value):
            raise CheckpointError(f"{settings_file}: pad_value must be a number, not {pad_value!r}")
        limit = options.max_length or settings.get("max_seq_len", _PUBLISHED_LENGTH)
        if type(limit) is not int or limit < 2:
            raise ConfigError(f"{settings_file}: max_seq_len must be at least 2, not {limit!r}")
        model = cls(
            sizes, vocabulary, options=options, pad=pad, pad_value=float(pad_value), limit=limit
        )
        fill(model, state, names_of_scgpt, path=weights, unused=_HEADS)
        model.files = file_digests([settings_file, vocabulary_file, weights])
        return model.eval()

    @property
    def known_genes(self) -> int:
        """Genes that it knows."""
        return sum(name not in self._special for name in self.vocabulary)

    def token_of(self, names: Sequence[str]) -> Ints:
        """By symbol, as it is written."""
        found = [-1 if name in self._special else self.vocabulary.get(name, -1) for name in names]
        return np.array(found, dtype=np.int64)

    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """``<cls>``, then expressed genes with their bins, in the order of the data."""
        return [self._cell(columns, values, arrangement) for columns, values in rows_of(counts)]

    def _cell(
        self, columns: Ints, values: npt.NDArray[np.float64], arrangement: Arrangement
    ) -> CellTokens:
        if not len(columns):
            return CellTokens(columns, columns, values.astype(np.float32))
        ids, options = arrangement.tokens[columns], self.options
        draw: np.random.Generator | np.random.RandomState | None = None
        if options.draws == "stream":
            draw = self._stream
        elif options.draws == "cell":
            order = np.lexsort((values, ids))
            columns, values, ids = columns[order], values[order], ids[order]
            draw = cell_generator(options.seed, ids, values)
        bins = quantile_bins(values, None if draw is None else draw.random(len(values)))
        most, left_out = self.limit - 1, max(0, len(ids) - self.limit + 1)
        if left_out:
            kept = np.arange(most) if draw is None else draw.permutation(len(ids))[:most]
            ids, bins, columns = ids[kept], bins[kept], columns[kept]
        return CellTokens(
            np.concatenate([[self.vocabulary["<cls>"]], ids]),
            np.concatenate([[-1], columns]),
            np.concatenate([[self.pad_value], bins]).astype(np.float32),
            left_out,
        )

    def embed_genes(self, ids: Tensor) -> Tensor:
        """Vectors of genes."""
        return self.gene_norm(self.genes(ids))  # type: ignore[no-any-return]

    def embed_values(self, values: Tensor) -> Tensor:
        """Vectors of binned counts."""
        values = values.clamp(max=_LARGEST_VALUE).unsqueeze(-1)
        found = self.value2(functional.relu(self.value1(values)))
        return self.value_norm(found)  # type: ignore[no-any-return]

    def states(self, batch: Batch) -> Tensor:
        """Of the last layer."""
        assert batch.values is not None
        x = self.embed_genes(batch.ids) + self.embed_values(batch.values)
        for layer in self.layers:
            x = layer(x, batch.mask)
        return x

    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """State of ``<cls>``, scaled to length 1."""
        del batch
        cell = states[:, 0].float()
        return functional.normalize(cell, dim=1)

    def decode(self, states: Tensor) -> Tensor:
        """Expression of each token, ``(cells, tokens)``, by the pretrained head."""
        return self.expression(states).squeeze(-1)  # type: ignore[no-any-return]

    def gene_table(self) -> Tensor:
        """Normalised embeddings of genes."""
        return self.embed_genes(
            torch.arange(len(self.genes.weight), device=self.genes.weight.device)
        )


def quantile_bins(
    values: npt.NDArray[np.float64], draw: npt.NDArray[np.float64] | None = None
) -> npt.NDArray[np.float64]:
    """Bins 1 to 50 of a cell's counts, by its own quantiles.

    Args:
        values: positive.
        draw: of each value, in [0, 1): which of several bins that a tie falls into; the middle one
            by default.
    """
    edges = np.quantile(values, np.linspace(0, 1, _EDGES))
    through = np.searchsorted(edges, values, side="right")
    below = np.searchsorted(edges, values, side="left")
    share = 0.5 if draw is None else draw
    return np.asarray(np.ceil(through + share * (below - through)))


def _torch_spelling(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of flash-attn's layers as torch names them; the content is the same."""
    return {
        name.replace("._impl.", ".").replace("self_attn.Wqkv.", "self_attn.in_proj_"): tensor
        for name, tensor in state.items()
    }


def names_of_scgpt(own: str) -> tuple[str, ...]:
    """Names in the file of a tensor of the network."""
    if own.startswith("layers."):
        return tuple(f"transformer_encoder.{name}" for name in torch_names(own))
    for ours, theirs in (
        ("genes.", "encoder.embedding."),
        ("gene_norm.", "encoder.enc_norm."),
        ("value1.", "value_encoder.linear1."),
        ("value2.", "value_encoder.linear2."),
        ("value_norm.", "value_encoder.norm."),
        ("expression.", "decoder.fc."),
    ):
        if own.startswith(ours):
            return (theirs + own.removeprefix(ours),)
    return (own,)
