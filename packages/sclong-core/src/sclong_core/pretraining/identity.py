"""What a training checkpoint belongs to, and the refusal to go on with anything else."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sclong_core.errors import CheckpointError
from sclong_core.model import ScLong
from sclong_core.pretraining.masking import MaskingConfig
from sclong_core.pretraining.objective import ObjectiveConfig

FORMAT_VERSION = 1
KEY = "sclong"
"""Where this stands among the entries of a Lightning checkpoint."""


def identity(
    model: ScLong, masking: MaskingConfig | None, objective: ObjectiveConfig | None = None
) -> dict[str, Any]:
    """Plain values that a resumed run must share with the one it goes on from."""
    return {
        "format_version": FORMAT_VERSION,
        "vocabulary": None if model.vocabulary is None else model.vocabulary.digest,
        "graph": None if model.graph is None else model.graph.digest,
        "network": model.config.to_dict(),
        "masking": None if masking is None else dict(vars(masking)),
        **({} if objective is None else {"objective": asdict(objective)}),
    }


def check_identity(checkpoint: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare what a checkpoint belongs to with what this run is.

    Raises:
        CheckpointError: they differ; both digests or values are named.
    """
    stored = checkpoint.get(KEY)
    if not isinstance(stored, Mapping):
        raise CheckpointError("the file is not a checkpoint of scLong pretraining")
    if stored.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"the checkpoint has format version {stored.get('format_version')}, but "
            f"this version of sclong-core reads {FORMAT_VERSION}"
        )
    for what in ("vocabulary", "graph"):
        if stored.get(what) != expected[what]:
            raise CheckpointError(
                f"the checkpoint was trained with the {what} of digest {stored.get(what)}, this "
                f"run has {expected[what]}: use the same one, or start in another folder"
            )
    for what in ("network", "masking", "objective"):
        if different := _difference(stored.get(what), expected.get(what)):
            raise CheckpointError(
                f"the checkpoint was trained with other {what} settings ({different}): use the "
                "same ones, or start in another folder"
            )


def _difference(stored: Any, expected: Any) -> str:
    """The settings that differ, as ``name: stored, now expected``."""
    if not isinstance(stored, Mapping) or not isinstance(expected, Mapping):
        return "" if stored == expected else f"{stored}, now {expected}"
    found = []
    for name in sorted({*stored, *expected}):
        if part := _difference(stored.get(name), expected.get(name)):
            inner = isinstance(stored.get(name), Mapping)
            found.append(f"{name}.{part}" if inner else f"{name}: {part}")
    return "; ".join(found)
