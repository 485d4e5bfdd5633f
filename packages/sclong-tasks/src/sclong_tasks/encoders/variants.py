"""The options of a model with another encoder: an ablation, random weights, other vectors."""

from collections.abc import Callable
from dataclasses import field, make_dataclass
from typing import Any

from sclong_tasks.encoders.choose import EncoderOptions


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
