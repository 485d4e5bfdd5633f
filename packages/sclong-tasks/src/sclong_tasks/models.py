"""The models that every task has: scLong, its ablations, and what it is compared to, in one list.

A task says where it takes an encoder (:class:`.task.EncoderPlace`), takes away what cannot be, and
adds its own. An encoder that is added here, or that another package installs, is thereby in all.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sclong_core.errors import ConfigError
from sclong_tasks.encoders.names import PUBLISHED, installed_functions, published_models
from sclong_tasks.task import EncoderPlace, ModelSpec, Role, Task


@dataclass(frozen=True)
class _Encoded:
    """A model that is an encoder in a task's own class."""

    name: str
    role: Role
    summary: str
    encoder: Mapping[str, Any] = field(default_factory=dict)
    """Of its :class:`.encoders.choose.EncoderOptions`."""
    kind: str = ""
    """"published" by other authors, or a "function" of a user or another package."""


OF_CELLS = (
    "sclong_no_low_expression",
    "sclong_random_low_expression",
    "sclong_single_encoder",
)
"""Without meaning where a gene's vector is the same in every cell."""
_SCLONG: tuple[_Encoded, ...] = (
    _Encoded("sclong", "model", "scLong, weights as they are", {"name": "sclong"}),
    _Encoded(
        "sclong_finetuned",
        "model",
        "scLong, trained with the task",
        {"name": "sclong", "tuning": "full"},
    ),
    _Encoded(
        "sclong_lora",
        "model",
        "scLong with low-rank adapters",
        {"name": "sclong", "tuning": "lora"},
    ),
    _Encoded("random_sclong", "floor", "scLong of the same shape, untrained", {"name": "random"}),
    _Encoded(
        "random_sclong_normal",
        "floor",
        "scLong of the same shape, all weights from N(0, 1)",
        {"name": "random", "weights": "normal"},
    ),
    _Encoded(
        "sclong_no_low_expression",
        "ablation",
        "without genes of low expression",
        {"name": "sclong", "low_expression": "none"},
    ),
    _Encoded(
        "sclong_random_low_expression",
        "ablation",
        "random encoder of genes of low expression",
        {"name": "sclong", "low_expression": "random"},
    ),
    _Encoded(
        "sclong_no_graph",
        "ablation",
        "without the gene graph",
        {"name": "sclong", "graph": "none"},
    ),
    _Encoded(
        "sclong_random_graph",
        "ablation",
        "random weights of the gene graph",
        {"name": "sclong", "graph": "random"},
    ),
    _Encoded(
        "sclong_shuffled_graph",
        "ablation",
        "edges of the gene graph shuffled, degrees kept",
        {"name": "sclong", "graph": "shuffled"},
    ),
    _Encoded(
        "sclong_no_gene_vectors",
        "ablation",
        "without Gene2vec, and without the graph convolution of it",
        {"name": "sclong", "gene_vectors": "none"},
    ),
    _Encoded(
        "sclong_single_encoder",
        "ablation",
        "all genes through the large encoder",
        {"name": "sclong", "low_expression": "none", "high_genes": -1},
    ),
    _Encoded("gene2vec", "simple", "Gene2vec vectors of the checkpoint", {"name": "gene2vec"}),
    _Encoded("graph", "simple", "graph embeddings of the checkpoint", {"name": "graph"}),
    _Encoded(
        "precomputed",
        "model",
        "representations by another program, from a file",
        {"name": "precomputed"},
    ),
)
_TUNINGS = {"frozen": "", "full": "_finetuned", "lora": "_lora"}
FUNCTION = "function"
"""Name of an encoder that is a user's own function, and of the classes that are made for one."""


def encoder_models(place: EncoderPlace) -> dict[str, ModelSpec]:
    """The models with an encoder of a task, by name.

    Args:
        place: where the task takes an encoder, and what cannot be there.
    """
    return _specs(place, (*_SCLONG, *_published(PUBLISHED)))


def models_of(task: Task[Any]) -> dict[str, ModelSpec]:
    """All models of a task by name, those with encoders of other packages too."""
    found = {
        name: ModelSpec(model) if isinstance(model, str) else model
        for name, model in task.models.items()
    }
    others = [name for name in published_models() if name not in PUBLISHED]
    for place in task.encoders:
        for name, spec in _specs(place, (*_published(others), *_functions())).items():
            found.setdefault(name, spec)
    return found


def function_model(task: Task[Any]) -> ModelSpec:
    """The model of a task whose encoder is a user's own function.

    Raises:
        ConfigError: the task takes no encoder.
    """
    if not task.encoders:
        raise ConfigError(
            f"{task.name} does not take an encoder: choose one of {', '.join(task.models)}"
        )
    own = _Encoded("own", "model", "your own function", {"name": FUNCTION}, FUNCTION)
    (spec,) = _specs(task.encoders[0], [own]).values()
    return spec


def _published(names: Iterable[str]) -> list[_Encoded]:
    return [
        _Encoded(
            f"{name}{suffix}",
            "model",
            f"{name}, {tuning}, from the folder of its files",
            {"name": name, "tuning": tuning},
            "published",
        )
        for name in names
        for tuning, suffix in _TUNINGS.items()
    ]


def _functions() -> list[_Encoded]:
    return [
        _Encoded(name, "model", f"{name}, of an installed package", {"name": name}, FUNCTION)
        for name in installed_functions()
    ]


def _specs(place: EncoderPlace, models: Iterable[_Encoded]) -> dict[str, ModelSpec]:
    found = {}
    for one in models:
        trained = one.encoder.get("tuning", "frozen") != "frozen"
        if one.name in place.without or (trained and not place.trained):
            continue
        target = place.classes.get(one.name, place.classes.get(one.kind, place.target))
        own = {name: value for name, value in one.encoder.items() if name in place.own}
        encoder = {name: value for name, value in one.encoder.items() if name not in place.own}
        options = {**own, "encoder": encoder}
        found[f"{one.name}{place.suffix}"] = ModelSpec(target, one.role, options, one.summary)
    return found
