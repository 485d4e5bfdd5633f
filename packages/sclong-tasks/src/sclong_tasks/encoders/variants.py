"""The options of a model with another encoder: an ablation, random weights, other vectors.

A task names the class that takes an encoder, and gets a model for every published one.
"""

from collections.abc import Callable
from dataclasses import field, make_dataclass
from functools import cache
from typing import Any

from sclong_tasks.encoders.choose import EncoderOptions
from sclong_tasks.encoders.names import VARIANT
from sclong_tasks.encoders.registry import model_class


def encoder_of(name: str, **encoder: Any) -> Callable[[], EncoderOptions]:
    """Makes the options of an encoder."""
    return lambda: EncoderOptions(name=name, **encoder)


def with_defaults(
    base: type, make: Callable[[], EncoderOptions] | None = None, **other: Any
) -> type:
    """The options of ``base`` with another encoder, where one is given, and other defaults."""
    fields: list[Any] = [(key, type(value), field(default=value)) for key, value in other.items()]
    if make is not None:
        fields.append(("encoder", EncoderOptions, field(default_factory=make)))
    return make_dataclass(f"{base.__name__}With", fields, bases=(base,))


@cache
def variant_of(base: type, variant: str) -> type:
    """The class of a model with another encoder.

    Args:
        base: whose options hold ``encoder``.
        variant: the encoder and its tuning, as :func:`.names.published_variants` writes them.
    """
    name, _, tuning = variant.partition(VARIANT)
    options = with_defaults(base.Options, encoder_of(name, tuning=tuning))  # type: ignore[attr-defined]  # of a model
    title = f"{model_class(name).card.title}, {tuning}, from its folder: ``model.encoder.path``."
    return type(f"{base.__name__}Of{name}", (base,), {"Options": options, "__doc__": title})
