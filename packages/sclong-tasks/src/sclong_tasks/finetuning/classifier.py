"""A trained classifier of cells: what it predicts, and the folder it is kept in.

The folder holds ``config.json`` (sealed with a digest) and ``weights.safetensors``, no pickle. It
names its base checkpoint by digest, and holds of a tuned model what differs from that.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import softmax
from torch import Tensor

from sclong_core.errors import CheckpointError, ConfigError, InputError
from sclong_core.files import (
    atomic_folder,
    read_sealed,
    require_own_folder,
    sha256_file,
    write_sealed,
)
from sclong_core.weights import read_weights, write_weights
from sclong_tasks.annotation.calibration import Calibration
from sclong_tasks.annotation.space import checked_vectors
from sclong_tasks.annotation.transfer import written_sets
from sclong_tasks.finetuning.network import Head

CONFIG_FILE, WEIGHTS_FILE = "config.json", "weights.safetensors"
FORMAT, KIND = 1, "classifier of cells"
METHODS = ("head", "lora", "full")
COVERAGE, FALSE_UNKNOWN = 0.95, 0.05
COLUMNS = ("label", "probability", "label_set", "unknown", "remoteness")
"""Of a table of predictions, before one column of probabilities for each label."""
_ENCODER, _HEAD = "encoder.", "head."
_PLACES = ("centres", "whitening", "doubt", "remoteness")


@dataclass(frozen=True)
class Base:
    """The checkpoint that vectors come from."""

    digest: str
    pool: str
    """Rule from genes to cells."""
    name: str = ""
    """To find it again: "mini" or a hub id; empty for a folder."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Labels of cells."""

    labels: tuple[str, ...]
    probabilities: npt.NDArray[np.float64]
    """``(cells, labels)`` calibrated on the cells that stopped the training."""
    contained: npt.NDArray[np.bool_]
    """``(cells, labels)`` labels that cannot be ruled out."""
    remoteness: npt.NDArray[np.float64]
    """``(cells,)`` distance from the nearest label's middle, in that of the median such cell."""
    unknown: npt.NDArray[np.bool_]
    """``(cells,)`` it lies too far from all labels."""
    coverage: float
    false_unknown: float

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """``(cells,)`` places of the most probable labels."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    def table(self) -> pd.DataFrame:
        """One row a cell: label, its probability, set of labels, unknown, remoteness."""
        names = np.asarray(self.labels)
        return pd.DataFrame(
            {
                "label": pd.Categorical(names[self.codes], categories=list(self.labels)),
                "probability": self.probabilities.max(1),
                "label_set": written_sets(self.labels, self.contained),
                "unknown": self.unknown,
                "remoteness": self.remoteness,
            }
        )


@dataclass(frozen=True, eq=False)
class Classifier:
    """A head on vectors of a base checkpoint, and what tuning changed of that.

    Args:
        method: "head", "lora" or "full".
        labels: names, in the order of the logits.
        base: whose vectors it reads.
        head: the trained head, in evaluation mode.
        hidden: width of the layer between.
        lora_rank: of the adapters; 0 without.
        tuned: tensors of the base model that differ, by name, or its adapters.
        temperature: that logits are divided by.
        centres: ``(labels, features)`` middles of labels, whitened.
        whitening: ``(features, features)``, after which labels spread alike in all directions.
        calibration: what cells got that stopped the training.
        facts: how it came to be, and its scores: JSON values.
    """

    method: str
    labels: tuple[str, ...]
    base: Base
    head: Head
    hidden: int
    lora_rank: int
    tuned: Mapping[str, Tensor]
    temperature: float
    centres: npt.NDArray[np.float64]
    whitening: npt.NDArray[np.float64]
    calibration: Calibration
    facts: Mapping[str, Any]

    @property
    def width(self) -> int:
        """Of the vectors it reads."""
        return len(self.head.centre)

    def predict_vectors(
        self,
        vectors: npt.ArrayLike,
        *,
        coverage: float = COVERAGE,
        false_unknown: float = FALSE_UNKNOWN,
    ) -> Prediction:
        """Labels of vectors, each by itself.

        Args:
            vectors: ``(cells, width)``, made by the base checkpoint, tuned where it was tuned.
            coverage: share of cells like those trained on whose set of labels holds the true one.
            false_unknown: share of such cells that may be called unknown.

        Raises:
            ConfigError: a share is not between 0 and 1.
            InputError: the vectors are of another width, or not finite.
        """
        for name, share in (("coverage", coverage), ("false_unknown", false_unknown)):
            if not 0 < share < 1:
                raise ConfigError(f"{name} must be above 0 and below 1, not {share!r}")
        values = checked_vectors(vectors, "the cells")
        if values.shape[1] != self.width:
            raise InputError(
                f"the vectors have {values.shape[1]} numbers, this classifier reads {self.width}: "
                "embed the cells with its checkpoint"
            )
        probabilities = softmax(self.logits(values) / self.temperature, axis=1)
        contained = 1 - probabilities <= self.calibration.largest_doubt(coverage)
        contained[np.arange(len(values)), probabilities.argmax(1)] = True
        remoteness = distances(self.head.place(values), self.centres, self.whitening)
        return Prediction(
            self.labels,
            probabilities,
            contained,
            remoteness,
            remoteness > self.calibration.largest_remoteness(false_unknown),
            coverage,
            false_unknown,
        )

    def logits(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """``(cells, labels)``."""
        with torch.inference_mode():
            return np.asarray(self.head(torch.from_numpy(np.float32(vectors))).numpy(), np.float64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what it predicts."""
        found = hashlib.sha256(json.dumps(self._config(), sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    def save(self, folder: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a folder that :meth:`load` reads, whole or not at all.

        Args:
            folder: to make.
            overwrite: replace a classifier that is there.

        Raises:
            InputError: it is there and ``overwrite`` is false, or it is not a classifier.
        """
        require_replaceable(Path(folder), overwrite=overwrite)
        with atomic_folder(folder, overwrite=overwrite) as made:
            write_weights(self._tensors(), made / WEIGHTS_FILE)
            facts = {"facts": self.facts, "sha256": sha256_file(made / WEIGHTS_FILE)}
            write_sealed(made / CONFIG_FILE, {**self._config(), **facts})

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "Classifier":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the folder is not a classifier, or damaged.
        """
        folder = Path(folder)
        if not is_classifier(folder):
            raise InputError(f"{folder} is not a classifier: `sclong finetune` makes one")
        config = read_sealed(folder / CONFIG_FILE)
        damaged = f"{folder} is damaged: copy it again, or train again"
        if config is None or config.get("kind") != KIND:
            raise InputError(damaged)
        if config.get("format") != FORMAT:
            raise InputError(f"{folder} was made by another version of sclong-tasks: train again")
        if sha256_file(folder / WEIGHTS_FILE) != config.get("sha256"):
            raise InputError(f"{damaged} ({WEIGHTS_FILE} has another checksum)")
        try:
            return cls._from(config, read_weights(folder / WEIGHTS_FILE))
        except (CheckpointError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"{damaged} ({' '.join(str(error).split())[:200]})") from error

    @classmethod
    def _from(cls, config: dict[str, Any], tensors: dict[str, Tensor]) -> "Classifier":
        labels = tuple(map(str, config["labels"]))
        method, hidden, rank = config["method"], int(config["hidden"]), int(config["lora_rank"])
        places = {name: tensors[name].numpy().copy() for name in _PLACES}
        axes = tensors[_HEAD + "axes"]
        size = sum(axes.shape)
        expected = {"centres": (len(labels), size), "whitening": (size, size)}
        wrong = any(places[name].shape != shape for name, shape in expected.items())
        if wrong or method not in METHODS or len(labels) < 2 or not len(places["doubt"]):
            raise ValueError("its parts do not belong together")
        if any(not torch.isfinite(one).all() for one in tensors.values()):
            raise ValueError("a weight is not finite")
        head = Head(len(axes), axes.shape[1], len(labels), hidden)
        head.load_state_dict(_under(_HEAD, tensors))
        measures = {name: float(config[name]) for name in ("accuracy", "macro_f1", "chance")}
        return cls(
            method,
            labels,
            Base(**config["base"]),
            head.eval(),
            hidden,
            rank,
            _under(_ENCODER, tensors),
            float(config["temperature"]),
            places["centres"],
            places["whitening"],
            Calibration(np.ones(len(labels)), places["doubt"], places["remoteness"], **measures),
            dict(config["facts"]),
        )

    def _config(self) -> dict[str, Any]:
        return {
            "kind": KIND,
            "format": FORMAT,
            "method": self.method,
            "labels": list(self.labels),
            "base": asdict(self.base),
            "hidden": self.hidden,
            "lora_rank": self.lora_rank,
            "temperature": self.temperature,
            "accuracy": self.calibration.accuracy,
            "macro_f1": self.calibration.macro_f1,
            "chance": self.calibration.chance,
        }

    def _tensors(self) -> dict[str, Tensor]:
        places = (
            self.centres, self.whitening, self.calibration.doubt, self.calibration.remoteness
        )  # fmt: skip
        return {
            **{_HEAD + name: one.detach() for name, one in self.head.state_dict().items()},
            **{_ENCODER + name: one for name, one in self.tuned.items()},
            **{
                name: torch.from_numpy(np.ascontiguousarray(values))
                for name, values in zip(_PLACES, places, strict=True)
            },
        }


def is_classifier(folder: Path) -> bool:
    """Whether a folder looks like a classifier."""
    return (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()


def require_replaceable(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write a classifier where something is that is not to be replaced.

    Raises:
        InputError: something is there, and is not a classifier or is not to be replaced.
    """
    require_own_folder(folder, _is_only_classifier, "a classifier", overwrite=overwrite)


def _is_only_classifier(folder: Path) -> bool:
    return is_classifier(folder) and len(list(folder.iterdir())) <= 2  # its two files


def distances(
    vectors: npt.ArrayLike, centres: npt.NDArray[np.float64], whitening: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """``(cells,)`` distance from the nearest of the centres, after whitening."""
    placed = np.asarray(vectors, dtype=np.float64) @ whitening
    each = [np.linalg.norm(placed - centre, axis=1) for centre in centres]
    return np.asarray(np.min(each, axis=0))


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)
    }
