"""An encoder by name, from the settings of a model."""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sclong_core.config import ScLongConfig
from sclong_core.errors import ConfigError
from sclong_core.model import ScLong
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.table import GeneTable
from sclong_tasks.cache import ContentCache
from sclong_tasks.encoders.functions import EncoderFunction, FunctionEncoder, installed_function
from sclong_tasks.encoders.genes import gene_table, renamed_by
from sclong_tasks.encoders.layers import LORA_TARGETS as PUBLISHED_TARGETS
from sclong_tasks.encoders.names import installed_functions
from sclong_tasks.encoders.precomputed import Precomputed
from sclong_tasks.encoders.protocol import Encoder, ExpressionTable
from sclong_tasks.encoders.published import PublishedEncoder
from sclong_tasks.encoders.raw import RawExpression
from sclong_tasks.encoders.registry import get_encoder, model_class, published_models
from sclong_tasks.encoders.sclong import ScLongEncoder, model_digest, random_sclong
from sclong_tasks.encoders.slots import CellSlot, PublishedSlot, ScLongSlot, TableSlot, add_lora
from sclong_tasks.encoders.tables import vectors_of_model
from sclong_tasks.task import RunContext

_LOG = logging.getLogger("sclong")
ENCODERS = ("sclong", "random", "raw", "gene2vec", "graph", "precomputed", "function")
"""Beside those of :mod:`sclong_tasks.encoders.names`; "function" is one of the user's own."""
TUNINGS = ("frozen", "full", "lora")
WEIGHTS = ("own", "normal")
_NEEDS_CHECKPOINT = ("sclong", "gene2vec", "graph")


@dataclass
class EncoderOptions:
    """Which encoder represents cells, and how; part of the options of neural models."""

    name: str = "sclong"
    """One of ``ENCODERS``, or a published model."""
    pool: str = "channel_mean"
    """From gene representations to a vector a cell: "channel_mean" (the paper's for drugs: one
    number a gene), "gene_mean" or "expressed_mean"."""
    tuning: str = "frozen"
    """Weights: "frozen", all trained ("full"), or low-rank adapters ("lora")."""
    lora_rank: int = 8
    """Rank of the adapters."""
    low_expression: str = ""
    """Ablation of the checkpoint: "none" or "random"; as it is where empty."""
    graph: str = ""
    """Ablation of the checkpoint: "none" or "random"; as it is where empty."""
    gene_vectors: str = ""
    """Ablation of the checkpoint: "none" leaves its Gene2vec table out, and with it the graph
    convolution of that table."""
    high_genes: int = 0
    """Genes of the large encoder; the checkpoint's where 0, all of them where -1."""
    weights: str = "own"
    """Of a random scLong: drawn as the model draws them ("own"), or all from N(0, 1) ("normal")."""
    preset: str = "tiny"
    """Shape of a random scLong where no checkpoint is given."""
    log: bool = True
    """Whether raw expression is log1p."""
    path: str = ""
    """File of precomputed representations, or the folder of a published model."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of a published model, by name."""
    key: str = ""
    """Matrix in that file."""
    need: float = 1.0
    """Least share of the cells that precomputed representations must hold."""
    gene_tables: list[str] = field(default_factory=list)
    """Files of gene names (HGNC, GENCODE), for data with symbols of earlier days."""
    batch_size: int = 8
    """Cells at a time."""

    def __post_init__(self) -> None:
        names = (*ENCODERS, *published_models(), *installed_functions())
        if self.name not in names:
            raise ConfigError(f"encoder.name must be one of {', '.join(names)}, not {self.name!r}")
        if self.published:
            chosen = model_class(self.name)
            chosen.Options.parse(self.options, self.name)
        elif self.options and self.name != "function":
            raise ConfigError(
                f"encoder.options are of published models, and {self.name} is not one"
            )
        if self.tuning not in TUNINGS:
            raise ConfigError(f"encoder.tuning must be one of {', '.join(TUNINGS)}")
        if self.weights not in WEIGHTS or self.gene_vectors not in ("", "none"):
            raise ConfigError('encoder.weights is "own" or "normal", gene_vectors "" or "none"')
        if self.weights == "normal" and self.name != "random":
            raise ConfigError("encoder.weights=normal goes with a random scLong")
        if self.tuning != "frozen" and not (self.published or self.name in ("sclong", "random")):
            raise ConfigError(
                f"encoder.tuning={self.tuning}: scLong and published models are trained, not "
                f"{self.name}"
            )

    @property
    def one_vector_a_gene(self) -> bool:
        """Its vectors of genes are the same in every cell."""
        fixed = ("gene2vec", "graph", "precomputed")
        return self.published or self.is_function or self.name in fixed

    @property
    def is_function(self) -> bool:
        """It is a function of the user, or of an installed package."""
        return self.name == "function" or self.name in installed_functions()

    @property
    def uses_checkpoint(self) -> bool:
        """It is a part of a scLong checkpoint; a random scLong has the shape of one."""
        return self.name in (*_NEEDS_CHECKPOINT, "random")

    @property
    def published(self) -> bool:
        """It is a published model, read from its authors' files."""
        return self.name in published_models()

    def variant(self, usual: "EncoderOptions") -> str:
        """What tables add to the name of a model whose encoder this is.

        Args:
            usual: of that model, which its name stands for.
        """
        if self.name in ("raw", "precomputed") or self.is_function:
            return ""
        if not self.published:
            return f"{self.tuning}, {self.pool}"
        changed = [self.tuning] if self.tuning != usual.tuning else []
        changed += [
            f"{name}={value}"
            for name, value in sorted(self.options.items())
            if usual.options.get(name) != value
        ]
        return ", ".join(changed)


def make_encoder(options: EncoderOptions, context: RunContext, genes: tuple[str, ...]) -> Encoder:
    """The encoder of these options.

    Args:
        options: which one.
        context: checkpoint, cache, seed and progress of the run.
        genes: of the data, which a random scLong without checkpoint is made for.

    Raises:
        ConfigError: a checkpoint or path is missing.
    """
    # Weights that are drawn by the seed leave nothing that another seed could take.
    own = context.cache_is_temporary and options.name == "random"
    cache, table = ContentCache(None if own else context.cache), _table(options)
    if options.name == "raw":
        return RawExpression(log=options.log)
    if options.published:
        return make_published(options, context)
    if options.is_function:
        return FunctionEncoder(_function(options, context), options.name, cache)
    if options.name == "precomputed":
        path = Path(_path(options))
        return Precomputed.read(path, key=options.key or None, need=options.need)
    model = make_model(options, context, genes)
    if options.name in ("gene2vec", "graph"):
        return vectors_of_model(model, options.name, table=table)  # type: ignore[arg-type]  # one of the two
    return ScLongEncoder(
        model,
        name=options.name,
        pool=options.pool,  # type: ignore[arg-type]  # checked there
        batch_size=options.batch_size,
        cache=cache,
        table=table,
        progress=context.progress,
    )


def make_slot(
    options: EncoderOptions, context: RunContext, expression: ExpressionTable
) -> tuple[CellSlot, dict[str, object]]:
    """The encoder's place in a network, and facts for the record.

    Args:
        options: which encoder, and whether it is trained.
        context: of the run.
        expression: of all cells of the task.
    """
    if options.tuning == "frozen":
        found = make_encoder(options, context, expression.genes).cells(expression)
        _LOG.info("encoder %s: %s", options.name, found.coverage.describe())
        facts = {**found.provenance, "coverage": found.coverage.describe()}
        return TableSlot(found.values), facts
    if options.published:
        published = PublishedSlot(
            make_published(options, replace(context, device="cpu")), expression
        )
        if options.tuning == "lora":
            add_lora(
                published.model,
                rank=options.lora_rank,
                alpha=2 * options.lora_rank,
                targets=PUBLISHED_TARGETS,
            )
        facts = {**published.facts, "tuning": options.tuning}
        return published, facts
    # On the CPU, where the rest of the network is until it is trained.
    model = make_model(options, replace(context, device="cpu"), expression.genes).train()
    digest = model_digest(model)
    if options.tuning == "lora":
        add_lora(model, rank=options.lora_rank, alpha=2 * options.lora_rank)
    slot = ScLongSlot(
        model,
        expression,
        pool=options.pool,  # type: ignore[arg-type]  # checked there
        table=_table(options),
    )
    _LOG.info("encoder %s: %s", options.name, slot.coverage.describe())
    facts = {"encoder": options.name, "model": digest, "tuning": options.tuning}
    return slot, {**facts, "pool": options.pool, "coverage": slot.coverage.describe()}


def make_published(options: EncoderOptions, context: RunContext) -> PublishedEncoder:
    """The published model of these options.

    Raises:
        ConfigError: its folder is not given.
        CheckpointError: the folder does not hold it.
    """
    card, table = model_class(options.name).card, _table(options)
    return get_encoder(
        options.name,
        _path(options),
        batch_size=options.batch_size,
        device=context.device,
        cache=ContentCache(context.cache),
        rename=None if table is None else renamed_by(table, symbols=card.genes_by == "symbol"),
        **options.options,
    )


def model_with(
    encoder: EncoderOptions,
    context: RunContext,
    genes: tuple[str, ...],
    *,
    high_genes: int,
    weights: str,
) -> ScLong:
    """:func:`make_model` with what a model's own options say of two settings of its encoder."""
    check_weights(weights, encoder)
    return make_model(replace(encoder, high_genes=high_genes, weights=weights), context, genes)


def check_weights(weights: str, encoder: EncoderOptions) -> None:
    """Refuse ``model.weights`` that this encoder cannot have.

    Raises:
        ConfigError: there are no such weights, or the encoder is not a random scLong.
    """
    if weights not in WEIGHTS:
        raise ConfigError(f"model.weights must be one of {', '.join(WEIGHTS)}")
    if weights == "normal" and encoder.name != "random":
        raise ConfigError("model.weights=normal goes with a random scLong")


def make_model(options: EncoderOptions, context: RunContext, genes: tuple[str, ...]) -> ScLong:
    """The scLong of these options: a checkpoint, an ablation of it, or a random one of its shape.

    Raises:
        ConfigError: a checkpoint is needed and not given.
    """
    model = _loaded_model(options, context, genes)
    if options.high_genes:
        high = model.config.genes if options.high_genes < 0 else options.high_genes
        config = replace(model.config, high_genes=high)
        changed = ScLong(config, model.vocabulary, model.graph).set_dtype(model.dtype)
        changed.load_state_dict(model.state_dict())
        model = changed.to(model.device)
    with torch.no_grad():
        if options.weights == "normal":
            generator = torch.Generator().manual_seed(context.seed)
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        if options.gene_vectors == "none":
            for name, parameter in model.genes.named_parameters():
                if name.endswith("vectors"):
                    parameter.zero_()
    return model.eval()


def _loaded_model(options: EncoderOptions, context: RunContext, genes: tuple[str, ...]) -> ScLong:
    if context.checkpoint is None:
        if options.name in _NEEDS_CHECKPOINT:
            raise ConfigError(
                f"the encoder {options.name!r} needs an scLong checkpoint: give --checkpoint "
                "FOLDER or --checkpoint mini, the model that comes with sclong-core"
            )
        config = ScLongConfig.preset(options.preset, genes=len(genes))
        return random_sclong(config, GeneVocabulary.from_ids(genes), seed=context.seed)
    model = ScLong.from_pretrained(
        context.checkpoint,
        device=context.device,
        low_expression=options.low_expression or None,  # type: ignore[arg-type]  # checked there
        graph=options.graph or None,  # type: ignore[arg-type]  # checked there
    )
    if options.name != "random":
        return model
    assert model.vocabulary is not None
    return random_sclong(model.config, model.vocabulary, seed=context.seed, like=model)


def _function(options: EncoderOptions, context: RunContext) -> EncoderFunction:
    """An installed function; or the user's, which must be the one that the options are about."""
    if options.name != "function":
        return installed_function(options.name)
    given, source = context.function, options.path or "FILE.py:FUNCTION"
    if given is None:
        raise ConfigError(
            f"the encoder is the function {source} of a user, which runs only when you name it: "
            f"give --function {source}"
        )
    if given.identity != options.options:
        raise ConfigError(
            f"{given.source} is not the function that the run was made with ({source}): the file "
            "has changed; run the task again"
        )
    return given


def _path(options: EncoderOptions) -> str:
    if not options.path:
        what = "the folder of its files" if options.published else "a file"
        raise ConfigError(
            f"encoder.name={options.name} needs encoder.path: {what} (--set model.encoder.path=...)"
        )
    return options.path


def _table(options: EncoderOptions) -> GeneTable | None:
    return gene_table(tuple(map(Path, options.gene_tables))) if options.gene_tables else None
