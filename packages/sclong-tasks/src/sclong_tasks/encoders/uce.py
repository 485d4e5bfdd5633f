"""UCE: a transformer over proteins of drawn genes by chromosome, from its authors' files.

Source: Rosen et al. 2023, "Universal Cell Embeddings: a foundation model for cell biology",
Methods; the authors' evaluation script.

The original draws genes by their counts and the order of chromosomes; without draws, genes are
taken at even steps of the cumulative weights and chromosomes by their number. It also lets padding
take part in attention, so that a cell's vector depends on the longest cell of its batch; here
there is none, unless ``padding=original`` asks for it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sclong_core.errors import CheckpointError
from sclong_core.expression.rows import Csr
from sclong_tasks.encoders.layers import Layer, torch_names
from sclong_tasks.encoders.published_files import (
    count_layers,
    file_digests,
    fill,
    find_file,
    find_files,
    read_settings,
    read_state,
    read_tensors,
    require_stated,
    shape_of,
    size_of,
)
from sclong_tasks.encoders.published_model import (
    Arrangement,
    Batch,
    CellTokens,
    DrawOptions,
    Ints,
    ModelCard,
    PublishedModel,
    cell_generator,
    require,
    require_choices,
    rows_of,
)
from sclong_tasks.encoders.uce_genes import CHROMOSOMES, SAMPLE, ProteinGenes, read_genes

_CLS, _CLOSE = 3, 2
_HEADS = 20
"""As published: no file holds it, nor how many genes are drawn and rows are chromosomes, but
``sizes.json`` beside the weights may say otherwise."""
_UNUSED = (r"binary_decoder\.", r"gene_embedding_layer\.", r"pe_embedding\.weight$")
_PADDINGS = ("none", "original")
_LAYERS = (4, 33)
"""Of the published models."""
_SPECIES = re.compile(r"[a-z][a-z0-9_]*")


@dataclass
class UceOptions(DrawOptions):
    """How UCE reads cells."""

    species: str = "human"
    """Of the cells."""
    padding: str = "none"
    """"none", or "original": padding takes part, as in batches of the authors' script."""
    sample_size: int = 0
    """Genes drawn for a cell; those of ``sizes.json``, or the published 1,024, where 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choices(self, padding=_PADDINGS)
        require(
            _SPECIES.fullmatch(self.species) is not None,
            f"species must be a name in small letters, such as human, not {self.species!r}",
        )
        require(self.sample_size >= 0, f"sample_size must not be negative: {self.sample_size}")


@dataclass(frozen=True)
class UceSizes:
    """Sizes of the network."""

    rows: int
    token_width: int
    width: int
    heads: int
    hidden: int
    layers: int
    decoder: int
    output: int
    positions: int


class Uce(PublishedModel):
    """UCE with its weights."""

    card: ClassVar = ModelCard(
        name="uce",
        title="UCE",
        genes_by="symbol",
        columns=("feature_name", "gene_name", "gene_symbol"),
        vector="decoded first state, scaled to length 1",
        licence="code MIT; none stated for the weights",
    )
    Options: ClassVar = UceOptions

    def __init__(  # settings of a user, each by its name
        self,
        sizes: UceSizes,
        genes: ProteinGenes,
        *,
        options: UceOptions | None = None,
        sample_size: int = SAMPLE,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.options = options or UceOptions()
        self.proteins = genes
        self.width, self.files = sizes.output, {}
        self.in_order = self.options.padding == "original"
        self.sample = self.options.sample_size or sample_size
        self.limit = limit or sizes.positions
        most = self.limit - 1 - 2 * genes.chromosomes
        require(
            self.options.sample_size <= max(most, sample_size),
            f"sample_size={self.options.sample_size}: at most {most:,} genes fit into "
            f"{self.limit:,} tokens beside those of {genes.chromosomes:,} chromosomes",
        )
        self.matrix = nn.Embedding(sizes.rows, sizes.token_width)
        self.encoder = nn.Sequential(
            nn.Linear(sizes.token_width, sizes.width), nn.GELU(), nn.LayerNorm(sizes.width)
        )
        self.register_buffer("places", torch.zeros(sizes.positions, 1, sizes.width))
        self.layers = nn.ModuleList(
            Layer(sizes.width, sizes.heads, sizes.hidden) for _ in range(sizes.layers)
        )
        widths = (sizes.width, sizes.decoder, sizes.output, sizes.output)
        blocks = [
            nn.Sequential(nn.Linear(before, after), nn.LayerNorm(after), nn.GELU())
            for before, after in pairwise(widths)
        ]
        self.decoder = nn.Sequential(*blocks, nn.Linear(sizes.output, sizes.output))
        self._stream = np.random.RandomState(self.options.seed)

    places: Tensor

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        """By ``all_tokens.torch`` and ``species_offsets.pkl``."""
        return bool(
            find_files(folder, "all_tokens.torch") and find_files(folder, "species_offsets.pkl")
        )

    @classmethod
    def read(cls, folder: Path, options: UceOptions) -> Self:
        """From the weights (``.torch``) and the four files of genes that belong to them."""
        title = cls.card.title
        tokens_file = find_file(folder, "all_tokens.torch", model=title, what="protein tokens")
        found = [path for path in find_files(folder, "*.torch") if path != tokens_file]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise CheckpointError(
                f"{folder} must hold one file of weights of {title} (.torch) beside "
                f"all_tokens.torch: it has {names}"
            )
        weights = found[0]
        state = read_state(weights, model=title)
        files = [weights, tokens_file]
        settings: dict[str, Any] = {}
        if sizes_files := find_files(folder, "sizes.json"):
            settings = read_settings(sizes_files[0])
            files += sizes_files[:1]
        rows, _ = shape_of(state, "pe_embedding.weight", 2, weights)
        places, _, _ = shape_of(state, "pos_encoder.pe", 3, weights)
        published = {"nhead": _HEADS, "sample_size": SAMPLE, "pad_length": places}
        settings = {**published, "n_token_rows": rows - CHROMOSOMES, **settings}
        where = sizes_files[0] if sizes_files else weights
        if not sizes_files and rows <= CHROMOSOMES:
            raise CheckpointError(
                f"{weights} has {rows:,} rows of tokens, and the published models have more than "
                f"their {CHROMOSOMES:,} chromosomes: a model of another size needs sizes.json"
            )
        first = size_of(settings, "n_token_rows", where)
        stored = state["pe_embedding.weight"]
        matrix = _token_matrix(read_tensors(tokens_file), tokens_file, stored, first)
        prefix = "transformer_encoder.layers."
        width, token_width = shape_of(state, "encoder.0.weight", 2, weights)
        layers = count_layers(state, prefix, weights, stated=settings.get("nlayers"))
        if not sizes_files and layers not in _LAYERS:
            raise CheckpointError(
                f"{weights} has {layers} layers, where the published "
                f"models have {' or '.join(map(str, _LAYERS))}: a part of it is missing; a model "
                "of another size needs sizes.json"
            )
        sizes = UceSizes(
            rows=len(matrix),
            token_width=token_width,
            width=width,
            heads=size_of(settings, "nhead", where),
            hidden=shape_of(state, f"{prefix}0.linear1.weight", 2, weights)[0],
            layers=layers,
            decoder=shape_of(state, "decoder.0.0.weight", 2, weights)[0],
            output=shape_of(state, "decoder.3.weight", 2, weights)[0],
            positions=places,
        )
        require_stated(
            settings,
            where,
            d_model=width,
            d_hid=sizes.hidden,
            token_dim=token_width,
            output_dim=sizes.output,
            decoder_hidden=sizes.decoder,
        )
        if width % sizes.heads or matrix.shape[1] != token_width:
            raise CheckpointError(
                f"{weights}: width {width} and tokens of width {token_width} do not fit "
                f"{sizes.heads} heads and {tokens_file.name}, whose tokens have {matrix.shape[1]}"
            )
        genes, more = read_genes(folder, options.species, matrix, first, published=not sizes_files)
        last = first + max((code for code, _ in genes.places.values()), default=0)
        if last >= len(matrix):
            raise CheckpointError(
                f"{tokens_file} has {len(matrix):,} rows, and the last chromosome of "
                f"{options.species} has row {last:,}: species_chrom.csv is not the one of it"
            )
        model = cls(
            sizes,
            genes,
            options=options,
            sample_size=size_of(settings, "sample_size", where),
            limit=min(places, size_of(settings, "pad_length", where)),
        )
        fill(model, {**state, _MATRIX: matrix}, names_of_uce, path=weights, unused=_UNUSED)
        model.files = file_digests([*files, *more])
        return model.eval()

    @property
    def known_genes(self) -> int:
        """Genes that it knows."""
        return len(self.proteins.rows)

    def token_of(self, names: Sequence[str]) -> Ints:
        """By symbol in any case: genes with a protein embedding."""
        found = [self.proteins.rows.get(name.upper(), -1) for name in names]
        return np.array(found, dtype=np.int64)

    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """Class token; for each chromosome its own token, drawn genes by start, closing token."""
        places = self.proteins.places_of(arrangement.tokens)
        return [
            self._cell(columns, values, arrangement.tokens, places)
            for columns, values in rows_of(counts)
        ]

    def _cell(
        self, columns: Ints, values: npt.NDArray[np.float64], tokens: Ints, places: Ints
    ) -> CellTokens:
        whole, options = np.floor(values), self.options
        if not whole.any():
            return CellTokens(np.array([], np.int64), np.array([], np.int64))
        draw: np.random.Generator | np.random.RandomState | None = None
        if options.draws == "stream":
            draw = self._stream
        elif options.draws == "cell":
            order = np.lexsort((whole, tokens[columns]))
            columns, whole = columns[order], whole[order]
            draw = cell_generator(options.seed, tokens[columns], whole)
        chosen = columns[draw_genes(whole, self.sample, draw)]
        chromosomes = np.unique(places[chosen, 0])
        if draw is not None:
            draw.shuffle(chromosomes)
        ids, genes = [np.array([_CLS])], [np.array([-1])]
        for code in chromosomes.tolist():
            here = chosen[places[chosen, 0] == code]
            here = here[np.argsort(places[here, 1], kind="stable")]
            ids += [np.array([code + self.proteins.chromosome_rows]), tokens[here]]
            ids.append(np.array([_CLOSE]))
            genes += [np.array([-1]), here, np.array([-1])]
        sentence, numbers = np.concatenate(ids), np.concatenate(genes)
        left_out = int((numbers[self.limit :] >= 0).sum())
        return CellTokens(sentence[: self.limit], numbers[: self.limit], left_out=left_out)

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Vectors of tokens, before their positions."""
        return self.encoder(functional.normalize(self.matrix(ids), dim=-1))  # type: ignore[no-any-return]

    def encode(self, batch: Batch) -> Tensor:
        """States of the last layer, before the decoder."""
        x: Tensor = self.embed_tokens(batch.ids)
        x = x * x.shape[-1] ** 0.5 + self.places[: x.shape[1], 0]
        mask = batch.mask
        if self.options.padding == "original" and mask is not None:
            mask = (~batch.real).to(x.dtype)[:, None, None, :]  # added to the scores
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def states(self, batch: Batch) -> Tensor:
        """Decoded states."""
        return self.decoder(self.encode(batch))  # type: ignore[no-any-return]

    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """The first state, scaled to length 1."""
        del batch
        return functional.normalize(states[:, 0].float(), dim=1)

    def gene_table(self) -> Tensor:
        """Vectors of proteins as they enter the first layer."""
        return self.embed_tokens(torch.arange(len(self.matrix.weight), device=self.places.device))


def draw_genes(
    counts: npt.NDArray[np.float64],
    size: int,
    draw: np.random.Generator | np.random.RandomState | None,
) -> Ints:
    """Numbers of genes, with repeats, by log1p of their counts.

    Args:
        counts: whole and positive.
        size: how many.
        draw: what draws; without it they are taken at even steps of the cumulative weights.
    """
    weights = np.log1p(counts).astype(np.float32)
    weights = weights / weights.sum()
    weights = weights / weights.sum()
    cumulative = weights.astype(np.float64).cumsum()
    cumulative /= cumulative[-1]
    steps = (np.arange(size) + 0.5) / size if draw is None else draw.random(size)
    found: Ints = np.searchsorted(cumulative, steps, side="right")
    return found


_MATRIX = "tokens"


def names_of_uce(own: str) -> tuple[str, ...]:
    """Names in the file of a tensor of the network."""
    if own.startswith("layers."):
        return tuple(f"transformer_encoder.{name}" for name in torch_names(own))
    return ({"matrix.weight": _MATRIX, "places": "pos_encoder.pe"}.get(own, own),)


def _token_matrix(tokens: Any, path: Path, stored: Tensor, original: int) -> Tensor:
    """The matrix of tokens that counts: that of the weights, unless another species was added."""
    if not isinstance(tokens, Tensor) or tokens.dim() != 2:
        raise CheckpointError(f"{path} must hold a matrix of tokens")
    return stored if len(tokens) in (original, len(stored)) else tokens
