"""GeneCompass: a BERT over ranked genes with values and prior knowledge, from its authors' files.

Source: Yang et al. 2024, "GeneCompass: deciphering universal gene regulatory mechanisms with a
knowledge-informed cross-species foundation model", Methods; the authors' preprocessing and
embedding call. They compute every cell padded to the most genes, and padding takes part in
attention; here there is none, as in their pretraining, unless ``padding=original`` asks for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sclong_core.errors import CheckpointError
from sclong_core.expression.rows import Csr
from sclong_core.vocabulary import without_version
from sclong_tasks.encoders.geneformer import (
    TIES,
    BertSizes,
    mean_of_genes,
    names_of_bert,
    ranked,
)
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
)
from sclong_tasks.encoders.published_model import (
    Arrangement,
    Batch,
    CellTokens,
    Ints,
    ModelCard,
    ModelOptions,
    PublishedModel,
    require_choices,
    rows_of,
)

PRIORS: Mapping[str, str] = {
    "promoter": "use_promoter",
    "co_exp": "use_co_exp",
    "gene_family": "use_gene_family",
    "peca_grn": "use_peca_grn",
}
"""Prior knowledge in the order of the network, and the setting that switches each on."""
_PREFIXES = {"human": "ENSG0", "mouse": "ENSMUSG0"}
_SPECIES = tuple(_PREFIXES)
_POOLS = ("cls", "mean")
_PADDINGS = ("none", "original")
_SPECIAL = ("<pad>", "<mask>")
_TOKENS = ("h&m_token1000W.pickle", "human_mouse_tokens.pickle")
_MEDIANS = "*_gene_median_after_filter.pickle"
_FUSION_EPS = 1e-5
_UNUSED = (r"cls\.", r"cls4value\.", r"emb_warmup\.", r"bert\.embeddings\.position_ids$")


@dataclass
class GeneCompassOptions(ModelOptions):
    """How GeneCompass reads cells."""

    species: str = "human"
    """Of the cells: "human" or "mouse"."""
    pool: str = "cls"
    """"cls": the state of the token of the species; or "mean" over genes."""
    padding: str = "none"
    """"none", or "original": cells are padded to the most genes, and padding takes part."""
    ties: str = "data"
    """Equal ranks in the order of the "data", or of the "token", whatever the order of the data."""

    def __post_init__(self) -> None:
        require_choices(self, species=_SPECIES, pool=_POOLS, padding=_PADDINGS, ties=TIES)


@dataclass(frozen=True)
class GeneNames:
    """What the authors' dictionaries tell of genes."""

    tokens: Mapping[str, int]
    """Number of each Ensembl id."""
    medians: Mapping[str, float]
    """Of counts, by Ensembl id; 1 where there is none."""
    ids: Mapping[str, str]
    """Ensembl id by symbol."""


class Prior(nn.Module):
    """Prior knowledge of a kind, a row a token, and its projection."""

    knowledge: Tensor

    def __init__(self, rows: int, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("knowledge", torch.zeros(rows, size))
        self.linear1 = nn.Linear(size, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Projected knowledge of tokens."""
        return self.linear1(self.knowledge[ids])  # type: ignore[no-any-return]


class GeneCompass(PublishedModel):
    """GeneCompass with its weights, prior knowledge and dictionaries."""

    card: ClassVar = ModelCard(
        name="genecompass",
        title="GeneCompass",
        genes_by="symbol or Ensembl id",
        columns=("feature_name", "gene_name", "gene_symbol"),
        notice="no licence is stated for its code or weights: ask its authors before you use them",
        vector="state of the token of the species",
    )
    Options: ClassVar = GeneCompassOptions
    homologous: Tensor

    def __init__(  # settings of a user, each by its name
        self,
        sizes: BertSizes,
        priors: Mapping[str, int],
        genes: GeneNames,
        *,
        values: bool = True,
        options: GeneCompassOptions | None = None,
    ) -> None:
        super().__init__()
        self.options = options or GeneCompassOptions()
        self.names, self.with_values = genes, values
        self.width, self.limit, self.files = sizes.width, sizes.positions, {}
        width = sizes.width
        self.words = nn.Embedding(sizes.vocabulary, width)
        self.positions = nn.Embedding(sizes.positions, width)
        self.types, self.species = nn.Embedding(sizes.types, width), nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=sizes.eps)
        self.priors = nn.ModuleDict(
            {name: Prior(sizes.vocabulary, size, width) for name, size in priors.items()}
        )
        self.register_buffer("homologous", torch.zeros(sizes.vocabulary, dtype=torch.int64))
        self.cat_fc = nn.Linear(width * (1 + len(priors)) + values, width)
        self.cat_ln = nn.LayerNorm(width, eps=_FUSION_EPS)
        self.cat_proj = nn.Linear(width, width)
        self.layers = sizes.make_layers()

    @classmethod
    def recognise(cls, folder: Path) -> bool:
        """By a ``config.json`` that tells of prior knowledge."""
        for path in find_files(folder, "config.json"):
            try:
                settings = read_settings(path)
            except CheckpointError:  # reading says what is wrong with it
                if find_files(folder, *_TOKENS):
                    return True
                continue
            if set(PRIORS.values()) & settings.keys():
                return True
        return False

    @classmethod
    def read(cls, folder: Path, options: GeneCompassOptions) -> Self:
        """From ``config.json``, ``pytorch_model.bin`` and the dictionaries of prior knowledge."""
        title = cls.card.title
        config = find_file(folder, "config.json", model=title, what="settings")
        sizes, settings = BertSizes.read(config), read_settings(config)
        weights = find_file(
            folder, "pytorch_model.bin", "model.safetensors", model=title, what="weights"
        )
        state = read_state(weights, model=title)
        priors = {
            name: shape_of(state, f"bert.embeddings.{name}_knowledge", 2, weights)[1]
            for name, switch in PRIORS.items()
            if settings.get(switch, False)
        }
        genes, files = _read_names(folder, options.species, sizes.vocabulary)
        values = bool(settings.get("use_values", True))
        model = cls(sizes, priors, genes, values=values, options=options)
        other = [name for name in PRIORS if name not in priors]
        unused = [
            *_UNUSED,
            *(rf"bert\.embeddings\.{name}_(knowledge|embeddings\.)" for name in other),
        ]
        fill(model, state, names_of_genecompass, path=weights, unused=unused)
        if model.homologous.min() < 0 or model.homologous.max() >= sizes.vocabulary:
            raise CheckpointError(f"{weights}: homologous_index names tokens that are not there")
        _require_homologous(model.homologous, genes.tokens, weights, files[0])
        model.files = file_digests([config, weights, *files])
        return model.eval()

    @property
    def known_genes(self) -> int:
        """Genes that it knows."""
        return sum(name not in _SPECIAL for name in self.names.tokens)

    def token_of(self, names: Sequence[str]) -> Ints:
        """By symbol, through the authors' dictionary, or by Ensembl id."""
        found = []
        for name in names:
            gene = self.names.ids.get(name) or without_version(name)
            found.append(-1 if gene in _SPECIAL else self.names.tokens.get(gene, -1))
        return np.array(found, dtype=np.int64)

    def tokens(self, counts: Csr, arrangement: Arrangement) -> list[CellTokens]:
        """Expressed genes by count over the gene's median, largest first, with log2 of it."""
        ids = {number: gene for gene, number in self.names.tokens.items()}
        medians = np.array(
            [self.names.medians.get(ids[token], 1.0) for token in arrangement.tokens.tolist()]
        )
        return [
            self._cell(columns, np.log2(1 + values / medians[columns]), arrangement.tokens)
            for columns, values in rows_of(counts)
        ]

    def _cell(self, columns: Ints, values: npt.NDArray[np.float64], tokens: Ints) -> CellTokens:
        if not len(columns):
            return CellTokens(columns, columns, values.astype(np.float32))
        ties = tokens[columns] if self.options.ties == "token" else None
        order = ranked(values, ties)[: self.limit]
        genes, ids, chosen = columns[order], tokens[columns[order]], values[order]
        more = self.limit - len(order) if self.options.padding == "original" else 0
        return CellTokens(
            np.concatenate([ids, np.zeros(more, np.int64)]),
            np.concatenate([genes, np.full(more, -1)]),
            np.concatenate([chosen, np.zeros(more)]).astype(np.float32),
            len(columns) - len(order),
        )

    def embed(self, batch: Batch, *, alpha: float = 1.0) -> Tensor:
        """``(cells, genes, width)``: what enters the first layer, without the species.

        Args:
            batch: tokens and values of genes.
            alpha: weight of prior knowledge, which pretraining raises from 0 to 1.
        """
        assert batch.values is not None
        known = batch.ids if self.options.species == "human" else self.homologous[batch.ids]
        parts = [self.words(batch.ids)]
        if self.with_values:
            parts.append(batch.values.unsqueeze(-1))
        parts += [alpha * prior(known) for prior in self.priors.values()]
        x = self.cat_ln(self.cat_fc(torch.cat(parts, dim=-1)))
        x = self.cat_proj(x * torch.sigmoid(1.702 * x))
        places = torch.arange(batch.ids.shape[1], device=batch.ids.device)
        return self.norm(x + self.types.weight[0] + self.positions(places))  # type: ignore[no-any-return]

    def states(self, batch: Batch) -> Tensor:
        """``(cells, 1 + genes, width)``: the species, then genes."""
        species = self.species.weight[_SPECIES.index(self.options.species)]
        x = self.embed(batch)
        x = torch.cat([species.to(x).expand(len(x), 1, -1), x], dim=1)
        mask = None
        if not batch.even:
            mask = torch.nn.functional.pad(batch.real, (1, 0), value=True)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def gene_states(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """States of genes."""
        return self.states(batch)[:, 1:], batch.genes

    def pool(self, states: Tensor, batch: Batch) -> Tensor:
        """State of the species, or mean over genes."""
        return states[:, 0] if self.options.pool == "cls" else mean_of_genes(states[:, 1:], batch)

    def gene_table(self) -> Tensor:
        """Embeddings of tokens."""
        return self.words.weight


def names_of_genecompass(own: str) -> tuple[str, ...]:
    """Names in the file of a tensor of the network."""
    begin = "bert.embeddings."
    if own.startswith("priors."):
        _, name, rest = own.split(".", 2)
        return (
            begin + (f"{name}_knowledge" if rest == "knowledge" else f"{name}_embeddings.{rest}"),
        )
    if own.startswith("cat_"):
        return (f"{begin}concat_embeddings.{own}",)
    if own == "homologous":
        return (f"{begin}homologous_index",)
    if own.startswith("species."):
        return (own.replace("species.", "bert.cls_embedding."),)
    return names_of_bert(own)


def _require_homologous(
    homologous: Tensor, tokens: Mapping[str, int], weights: Path, path: Path
) -> None:
    """Refuse a dictionary by which homologous genes of the weights are of one species.

    The weights know which token of one species is which of the other; a dictionary in another order
    makes other genes of these.
    """
    names = {number: name for name, number in tokens.items()}
    moved = torch.nonzero(homologous != torch.arange(len(homologous))).flatten().tolist()
    for one in moved:
        other = int(homologous[one])
        pair = {names[one][: len("ENSM")], names[other][: len("ENSM")]}
        if pair != {"ENSG", "ENSM"}:
            raise CheckpointError(
                f"{path}: its tokens {one} ({names[one]}) and {other} ({names[other]}) are "
                f"homologous genes of human and mouse in {weights.name}: it does not belong to "
                "these weights"
            )


def _read_names(folder: Path, species: str, vocabulary: int) -> tuple[GeneNames, list[Path]]:
    """The authors' dictionaries of genes, and the files that they are in."""
    title = GeneCompass.card.title
    find_file(folder, *_TOKENS, model=title, what="tokens")
    tokens_file, *copies = find_files(folder, *_TOKENS)
    tokens = read_ids(tokens_file, model=title)
    for copy in copies:  # the authors publish one for their preprocessing, one for the network
        if read_ids(copy, model=title) != tokens:
            raise CheckpointError(
                f"{tokens_file} and {copy.name} beside it give other numbers to genes, and nothing "
                "tells which belongs to these weights: leave that one there"
            )
    if [tokens.get(name) for name in _SPECIAL] != list(range(len(_SPECIAL))):
        raise CheckpointError(
            f"{tokens_file} does not begin with {' and '.join(_SPECIAL)}: it does not belong to "
            "these weights"
        )
    if len(tokens) != vocabulary:
        raise CheckpointError(
            f"{tokens_file} has {len(tokens):,} tokens, and the weights beside it vectors for "
            f"{vocabulary:,}: they do not belong to each other"
        )
    medians, median_files = _read_medians(folder)
    name_files = find_files(
        folder, "Gene_id_name_dict1.pickle", "Gene_id_name_dict_human_mouse.pickle"
    )
    ids: dict[str, str] = {}
    for path in name_files:
        for one, other in read_dictionary(path).items():
            gene, symbol = (one, other) if str(one).startswith("ENS") else (other, one)
            own = str(gene).startswith(_PREFIXES[species])
            if own and not ids.get(str(symbol), "").startswith(_PREFIXES[species]):
                ids[str(symbol)] = str(gene)
            ids.setdefault(str(symbol), str(gene))
    files = [tokens_file, *median_files, *name_files]
    return GeneNames(tokens, medians, ids), files


def _read_medians(folder: Path) -> tuple[dict[str, float], list[Path]]:
    """Medians of genes of all species, and the files that they are in."""
    paths = find_files(folder, _MEDIANS)
    if not paths:
        raise CheckpointError(f"{folder} has no {_MEDIANS}: the medians of genes of GeneCompass")
    medians: dict[str, float] = {}
    for path in paths:
        found = read_dictionary(path)
        wrong = [name for name, value in found.items() if not _positive(value)]
        if wrong:
            raise CheckpointError(f"{path}: the median of {wrong[0]} is {found[wrong[0]]!r}")
        other = [name for name in found if medians.get(name, found[name]) != found[name]]
        if other:
            raise CheckpointError(
                f"{path} and {paths[0].name} give other medians to {len(other):,} genes (the "
                f"first is {other[0]}): leave the one that belongs to these weights there"
            )
        medians |= found
    return medians, paths


def _positive(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < float("inf")
