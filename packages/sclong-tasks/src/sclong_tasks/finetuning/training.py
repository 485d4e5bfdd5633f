"""Training a classifier on the labelled cells of an AnnData object."""

import logging
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

import anndata
import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from sclong_core.checkpoint import resolve_checkpoint
from sclong_core.checkpoint_names import checkpoint_word
from sclong_core.devices import find_device
from sclong_core.errors import ConfigError
from sclong_core.expression import ReadingOptions
from sclong_core.model import ScLong
from sclong_tasks.annotation.calibration import Calibration
from sclong_tasks.annotation.space import checked_vectors, fit_space
from sclong_tasks.annotation.vectors import Embedder, keep_vectors
from sclong_tasks.batches import batches_of, row_batches
from sclong_tasks.finetuning.classifier import (
    COVERAGE,
    METHODS,
    Base,
    Classifier,
    distances,
)
from sclong_tasks.finetuning.labels import LabelledCells, labelled_cells
from sclong_tasks.finetuning.network import (
    CellEncoder,
    Head,
    LabelModule,
    SparseCells,
    run_encoder,
)
from sclong_tasks.finetuning.scores import macro_f1, score
from sclong_tasks.task import RunContext
from sclong_tasks.training import Fit, TrainingOptions, fit_module, seeded, trained_state

_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float32]
CLASS_WEIGHTS = ("balanced", "none")
_RATES = {"head": 1e-2, "lora": 1e-3, "full": 1e-4}
_BATCH = 64


@dataclass(frozen=True)
class FinetuneOptions:
    """What is trained, and how long.

    Raises:
        ConfigError: a value is impossible.
    """

    method: str = "head"
    """"head" on frozen vectors, "lora" with low-rank adapters in the model, "full": all weights."""
    class_weights: str = "balanced"
    """"balanced": each label counts the same in the loss; "none": each cell."""
    epochs: int = 100
    """At most."""
    patience: int = 5
    """Epochs without a lower loss of the cells that select before training stops."""
    learning_rate: float | None = None
    """Of what is tuned; by default 0.01 (head), 0.001 (lora), 0.0001 (full)."""
    batch_size: int | None = None
    """Cells a step; by default a sixteenth of those trained on, and at most 64."""
    hidden: int = 0
    """Width of a layer in the head; none where 0."""
    lora_rank: int = 8

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, value, known in (
            ("method", self.method, METHODS),
            ("class_weights", self.class_weights, CLASS_WEIGHTS),
        ):
            if value not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, not {value!r}")
        if min(self.epochs, self.patience, self.lora_rank) < 1 or self.hidden < 0:
            raise ConfigError("epochs, patience and lora_rank start at 1, hidden at 0")
        if self.batch_size is not None and self.batch_size < 1:
            raise ConfigError(f"batch_size must be a positive integer, not {self.batch_size}")
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise ConfigError(f"learning_rate must be between 0 and 1, not {self.learning_rate}")

    def training(self, method: str, cells: int) -> TrainingOptions:
        """For the trainer; the head below a tuned model is trained by its own defaults."""
        own = method == self.method
        return TrainingOptions(
            epochs=self.epochs,
            batch_size=(self.batch_size if own else None) or max(4, min(_BATCH, cells // 16)),
            learning_rate=(self.learning_rate if own else None) or _RATES[method],
            patience=self.patience,
            gradient_norm=1.0,
        )


def finetune(  # noqa: PLR0913  # settings of a user, each by its name
    adata: anndata.AnnData,
    label: str,
    *,
    group: str | None = None,
    checkpoint: str | None = None,
    options: FinetuneOptions | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
    source: str = "adata",
    **reading: Unpack[ReadingOptions],
) -> Classifier:
    """Train a classifier of cells on labelled ones, and score it on cells that were held out.

    Vectors that the same checkpoint made are taken from ``obsm["X_sclong"]``; new ones are kept
    there if all cells have a label.

    Args:
        adata: cells with raw counts or log1p values, or vectors of this checkpoint.
        label: column of ``obs``.
        group: column of ``obs`` whose values are never on both sides of the split: donors, studies.
        checkpoint: folder or hub id; the model that comes with the package by default.
        options: what is trained, and how long.
        seed: draws the split, the first weights and the order of cells.
        device: to compute on.
        progress: draw progress on standard error.
        source: where the cells are from, for people.
        **reading: how cells are read, see :class:`sclong_core.expression.ReadingOptions`.

    Returns:
        The classifier; ``facts["scores"]`` says how well it does, and what chance would.

    Raises:
        InputError: the cells cannot be used, or their labels cannot be learned.
        ConfigError: a setting is impossible.
    """
    chosen = options or FinetuneOptions()
    path = Path(source)
    cells = labelled_cells(adata, label, group, seed=seed, path=path)
    folder = resolve_checkpoint(checkpoint)
    whole = len(cells.rows) == adata.n_obs
    used = adata if whole else adata[cells.rows].copy()
    embedder = Embedder(str(folder), device=device, progress=progress, **reading)
    run = _Run(cells, chosen, seed, device, progress=progress)
    with ExitStack() as opened:
        scratch = opened.enter_context(tempfile.TemporaryDirectory(prefix="sclong-finetune-"))
        prepared = None
        if chosen.method != "head":
            prepared = opened.enter_context(embedder.prepare(used, path))
        found = embedder.vectors_of(used, path, prepared)
        if whole:
            keep_vectors(adata, found)
        frozen = checked_vectors(found.vectors, path.name)
        head, fit = run.fit_head(frozen, Path(scratch))
        vectors, tuned = frozen, {}
        if prepared is not None:
            model = ScLong.from_pretrained(folder, device="cpu", dtype="float32")
            encoder = CellEncoder(model, found.encoder.split(" ")[1])  # type: ignore[arg-type]  # a pool
            expression = encoder.read(prepared)
            fit = run.tune(head, encoder, expression, Path(scratch))
            vectors = run_encoder(encoder, expression, 64, find_device(device))
            tuned = _changed(encoder.cpu().model, folder)
    digest, _, pool = found.encoder.partition(" ")
    made = _calibrated(run, head, vectors, tuned, Base(digest, pool, _name(folder, checkpoint)))
    return _with_facts(made, run, vectors, fit, {"label": label, "group": group, "source": source})


@dataclass(frozen=True)
class _Run:
    """One training: its cells and settings."""

    cells: LabelledCells
    options: FinetuneOptions
    seed: int
    device: str
    progress: bool

    def fit_head(self, vectors: Floats, scratch: Path) -> tuple[Head, Fit]:
        """A head on frozen vectors."""
        split, options = (
            self.cells.split,
            self.options.training("head", len(self.cells.split.train)),
        )
        with seeded(self.seed):
            space = fit_space(vectors[split.train], self.cells.codes[split.train])
            head = Head.in_space(space, len(self.cells.labels), self.options.hidden)
        module = LabelModule(head, None, self._weights(), options.learning_rate)
        columns = {"x": torch.from_numpy(np.float32(vectors)), "code": self._codes()}
        train, select = (
            row_batches(
                {name: column[rows] for name, column in columns.items()},
                options.batch_size,
                shuffle_seed=seed,
            )
            for rows, seed in ((split.train, self.seed), (split.validation, None))
        )
        fit = fit_module(module, train, select, options, self._context(scratch))
        return head.eval(), fit

    def tune(
        self, head: Head, encoder: CellEncoder, expression: sparse.csr_array, scratch: Path
    ) -> Fit:
        """Train the encoder, or adapters in it, with its head."""
        split = self.cells.split
        options = self.options.training(self.options.method, len(split.train))
        with seeded(self.seed):
            encoder.tune(self.options.method, self.options.lora_rank)
        module = LabelModule(head, encoder, self._weights(), options.learning_rate)
        train, select = (
            batches_of(
                SparseCells(expression[rows], self.cells.codes[rows]),
                options.batch_size,
                shuffle_seed=seed,
            )
            for rows, seed in ((split.train, self.seed), (split.validation, None))
        )
        fit = fit_module(module, train, select, options, self._context(scratch))
        head.eval()
        return fit

    def _codes(self) -> Tensor:
        return torch.from_numpy(self.cells.codes)

    def _weights(self) -> Tensor:
        labels = len(self.cells.labels)
        if self.options.class_weights == "none":
            return torch.ones(labels)
        counts = np.bincount(self.cells.codes[self.cells.split.train], minlength=labels)
        return torch.from_numpy(np.float32(counts.sum() / (labels * counts)))

    def _context(self, scratch: Path) -> RunContext:
        return RunContext(
            seed=self.seed,
            protocol="honest",
            scratch=scratch,
            device=self.device,
            progress=self.progress,
        )


def _changed(model: ScLong, folder: Path) -> dict[str, Tensor]:
    """What training changed: adapters, or the tensors that differ from those of the checkpoint."""
    trained = trained_state(model)
    adapters = {name: tensor for name, tensor in trained.items() if "lora_" in name}
    if adapters:
        return adapters
    before = ScLong.from_pretrained(folder, device="cpu", dtype="float32").state_dict()
    return {name: one for name, one in trained.items() if not torch.equal(one, before[name])}


def _name(folder: Path, given: str | None) -> str:
    """What finds the checkpoint again on any machine; nothing for a folder of this one."""
    if (packaged := checkpoint_word(folder)) != str(folder):
        return packaged
    return "" if given is None or Path(given).exists() else str(given)


def _calibrated(
    run: _Run, head: Head, vectors: Floats, tuned: dict[str, Tensor], base: Base
) -> Classifier:
    """The classifier, with what the cells that stopped the training say of its doubt."""
    cells, split = run.cells, run.cells.split
    labels = len(cells.labels)
    seen, truth = head.place(vectors[split.train]), cells.codes[split.train]
    centres = np.stack([seen[truth == code].mean(0) for code in range(labels)])
    covariance = ledoit_wolf(seen - centres[truth])[0]
    size = max(float(np.trace(covariance)) / len(covariance), 1e-12)
    values, axes = np.linalg.eigh(covariance + 1e-6 * size * np.eye(len(covariance)))
    whitening = axes / np.sqrt(values)
    asked, true = head.place(vectors[split.validation]), cells.codes[split.validation]
    far = distances(asked, centres @ whitening, whitening)
    whitening = whitening / max(float(np.median(far)), 1e-12)
    with torch.inference_mode():
        logits = head.layers(torch.from_numpy(np.float32(asked))).double().numpy()
    temperature = _temperature(logits, true)
    probabilities = softmax(logits / temperature, axis=1)
    told = probabilities.argmax(1)
    calibration = Calibration(
        np.ones(labels),
        np.sort(1 - probabilities[np.arange(len(true)), true]),
        np.sort(distances(asked, centres @ whitening, whitening)),
        accuracy=float((told == true).mean()),
        macro_f1=macro_f1(true, told),
        chance=float(np.bincount(true).max() / len(true)),
    )
    rank = run.options.lora_rank if run.options.method == "lora" else 0
    return Classifier(
        run.options.method, cells.labels, base, head, run.options.hidden, rank, tuned, temperature,
        centres @ whitening, whitening, calibration, {},
    )  # fmt: skip


def _temperature(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float:
    """The divisor of logits at which these cells are most likely (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits / np.exp(log_temperature), axis=1)[np.arange(len(truth)), truth]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    found = minimize_scalar(loss, bounds=(-2.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _with_facts(
    made: Classifier, run: _Run, vectors: Floats, fit: Fit, names: dict[str, Any]
) -> Classifier:
    """The classifier with its scores and how it came to be."""
    cells, split = run.cells, run.cells.split
    held, truth = split.test, cells.codes[split.test]
    found = made.predict_vectors(vectors[held])
    commonest = int(np.bincount(cells.codes[split.train]).argmax())
    groups = None if cells.groups is None else cells.groups[held]
    scores = score(
        truth, found.codes, commonest, groups, unit=names["group"] or "cell", seed=run.seed
    )
    by_label = [
        {
            "label": name,
            "cells": int((truth == code).sum()),
            "recall": _share(found.codes[truth == code] == code),
            "precision": _share(truth[found.codes == code] == code),
        }
        for code, name in enumerate(cells.labels)
    ]
    facts = {
        **names,
        "seed": run.seed,
        "options": asdict(run.options),
        "split": {"unit": split.unit, "cells": split.sizes(), "digest": split.digest},
        "held_out_groups": None if groups is None else sorted(map(str, set(groups))),
        "training": fit.describe(),
        "scores": scores.record(),
        "by_label": by_label,
        "covered": float(found.contained[np.arange(len(truth)), truth].mean()),
        "coverage": COVERAGE,
        "falsely_unknown": float(found.unknown.mean()),
        "versions": {name: version(name) for name in ("sclong-tasks", "torch", "lightning")},
    }
    fields = partial(Classifier, made.method, made.labels, made.base, made.head, made.hidden)
    rest = (made.tuned, made.temperature, made.centres, made.whitening, made.calibration)
    return fields(made.lora_rank, *rest, facts)


def _share(right: npt.NDArray[np.bool_]) -> float | None:
    return float(right.mean()) if len(right) else None
