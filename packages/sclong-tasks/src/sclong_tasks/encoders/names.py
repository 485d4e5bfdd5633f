"""Published models by name: the one place that lists them, which imports none of them.

Another package adds its own by an entry point of the group ``sclong.published_models`` that gives a
mapping like ``PUBLISHED``.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from sclong_core.errors import ConfigError

GROUP = "sclong.published_models"
PUBLISHED: Mapping[str, str] = {
    "scgpt": "sclong_tasks.encoders.scgpt:ScGpt",
    "geneformer": "sclong_tasks.encoders.geneformer:Geneformer",
    "uce": "sclong_tasks.encoders.uce:Uce",
    "scfoundation": "sclong_tasks.encoders.scfoundation:ScFoundation",
    "genecompass": "sclong_tasks.encoders.genecompass:GeneCompass",
}
"""Class of each model, imported when it is asked for."""
VARIANT = "#"
"""Between the class of a task's model and the encoder that it is made with."""
_TUNINGS = {"frozen": "", "full": "_finetuned", "lora": "_lora"}


@cache
def published_models() -> dict[str, str]:
    """Classes of all models by name, those of other packages too.

    Raises:
        ConfigError: two packages offer one name.
    """
    found = dict(PUBLISHED)
    for entry in entry_points(group=GROUP):
        for name, target in entry.load().items():
            if found.setdefault(name, target) != target:
                raise ConfigError(f"two installed packages offer an encoder {name!r}")
    return found


def published_variants(base: str, *, trained: bool = False, suffix: str = "") -> dict[str, str]:
    """Models of a task over one class, one for each published encoder, by name.

    Args:
        base: "module:class" of the class, whose options hold ``encoder``.
        trained: also those whose encoder is trained whole ("_finetuned") and by LoRA ("_lora").
        suffix: of their names.
    """
    tunings = tuple(_TUNINGS) if trained else ("frozen",)
    return {
        f"{name}{_TUNINGS[tuning]}{suffix}": f"{base}{VARIANT}{name}{VARIANT}{tuning}"
        for name in published_models()
        for tuning in tunings
    }
