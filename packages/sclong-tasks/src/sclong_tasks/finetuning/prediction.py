"""Labels of new cells by a trained classifier."""

import logging
from collections.abc import Mapping
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.checkpoint import resolve_checkpoint
from sclong_core.devices import find_device
from sclong_core.embedding.inference import refuse_alike
from sclong_core.errors import InputError
from sclong_core.expression import ReadingOptions
from sclong_core.manifest import read_checkpoint_info
from sclong_core.model import ScLong
from sclong_tasks.annotation.reference import has_label
from sclong_tasks.annotation.vectors import CellVectors, Embedder, cells_for, keep_vectors
from sclong_tasks.cells import obs_column
from sclong_tasks.finetuning.classifier import (
    COLUMNS,
    COVERAGE,
    FALSE_UNKNOWN,
    Classifier,
    Prediction,
)
from sclong_tasks.finetuning.network import CellEncoder, run_encoder
from sclong_tasks.finetuning.scores import Scores, score

PREFIX = "predicted_"
PROBABILITIES = "predicted_probabilities"
RECORD = "sclong_prediction"
_LOG = logging.getLogger("sclong")
Floats = npt.NDArray[np.float32]


def predict(  # noqa: PLR0913  # settings of a user, each by its name
    adata: anndata.AnnData,
    classifier: Classifier | str | PathLike[str],
    *,
    checkpoint: str | None = None,
    coverage: float = COVERAGE,
    false_unknown: float = FALSE_UNKNOWN,
    batch_size: int = 32,
    device: str = "auto",
    progress: bool = False,
    copy: bool = False,
    source: str = "adata",
    **reading: Unpack[ReadingOptions],
) -> anndata.AnnData | None:
    """Predict the labels of cells.

    Adds ``predicted_label``, ``predicted_probability``, ``predicted_label_set``,
    ``predicted_unknown`` and ``predicted_remoteness`` to ``obs``, the probability of each label to
    ``obsm["predicted_probabilities"]``, and says in ``uns["sclong_prediction"]`` where they come
    from; earlier ones are replaced. A cell's answer depends on that cell and the classifier alone.

    Args:
        adata: cells with raw counts or log1p values, or vectors of the classifier's checkpoint.
        classifier: by :func:`~sclong_tasks.finetuning.training.finetune`, or its folder.
        checkpoint: the base checkpoint, if the classifier names none that is found by itself.
        coverage: share of cells like those trained on whose set of labels holds the true one.
        false_unknown: share of such cells that may be called unknown.
        batch_size: cells at a time; it changes nothing else.
        device: to compute on.
        progress: draw progress on standard error.
        copy: return a copy and leave ``adata`` as it is.
        source: where the cells are from, for messages.
        **reading: how cells are read, see :class:`sclong_core.expression.ReadingOptions`.

    Returns:
        The copy, or None.

    Raises:
        InputError: the cells cannot be read by this model, or the classifier is damaged or rests
            on another checkpoint.
        ConfigError: a setting is impossible.
    """
    known = classifier if isinstance(classifier, Classifier) else Classifier.load(classifier)
    written = adata.copy() if copy else adata
    reader = Reader(known, checkpoint, batch_size=batch_size, device=device, progress=progress)
    found = reader.vectors_of(written, source, reading)
    told = known.predict_vectors(found.vectors, coverage=coverage, false_unknown=false_unknown)
    write_prediction(written, told, known)
    if known.method == "head":
        keep_vectors(written, found)
    return written if copy else None


class Reader:
    """Makes the vectors that a classifier reads.

    Args:
        classifier: whose vectors.
        checkpoint: its base; found by the classifier's own record if None.
        batch_size: cells at a time.
        device: to compute on.
        progress: draw a progress bar.

    Raises:
        InputError: the checkpoint is not the one that the classifier was trained on.
    """

    def __init__(
        self,
        classifier: Classifier,
        checkpoint: str | None = None,
        *,
        batch_size: int = 32,
        device: str = "auto",
        progress: bool = False,
    ) -> None:
        base = classifier.base
        if checkpoint is None and not base.name:
            raise InputError(
                f"the classifier was trained on a checkpoint in a folder (digest "
                f"{base.digest[:12]}): name that folder with --checkpoint"
            )
        self._folder = resolve_checkpoint(checkpoint or base.name)
        digest = read_checkpoint_info(self._folder).digest
        if digest != base.digest:
            raise InputError(
                f"the classifier was trained on the checkpoint {base.digest[:12]}, "
                f"{checkpoint or base.name} is {digest[:12]}: name the right one with --checkpoint"
            )
        self._classifier = classifier
        self._device = find_device(device)
        self._batch_size, self._progress = batch_size, progress

    def vectors_of(
        self, adata: anndata.AnnData, source: str, reading: ReadingOptions
    ) -> CellVectors:
        """Vectors of all cells; those in ``obsm`` if the same model made them.

        Raises:
            InputError: the cells cannot be used.
        """
        base = self._classifier.base
        if self._classifier.method != "head":
            tuned = self._tuned(adata, Path(source), reading)
            return CellVectors(tuned, f"{base.digest} {base.pool}")
        embedder = Embedder(
            str(self._folder),
            pool=base.pool,  # type: ignore[arg-type]  # of its names
            batch_size=self._batch_size,
            device=str(self._device),
            progress=self._progress,
            **reading,
        )
        return embedder.vectors_of(adata, Path(source))

    def _tuned(self, adata: anndata.AnnData, path: Path, reading: ReadingOptions) -> Floats:
        _LOG.info("%s: embedding %s cells with the tuned model", path.name, f"{adata.n_obs:,}")
        encoder = tuned_encoder(self._classifier, self._folder)
        with cells_for(encoder.model, adata, path, reading) as cells:
            expression = encoder.read(cells)
        vectors = run_encoder(
            encoder, expression, self._batch_size, self._device, progress=self._progress
        )
        if not reading.get("allow_poor_match", False):
            refuse_alike(path.name, [vectors])
        return vectors


def tuned_encoder(classifier: Classifier, folder: Path) -> CellEncoder:
    """The base model as tuning left it.

    Raises:
        InputError: the tensors of the classifier are not those of this model.
        ConfigError: peft is not installed, which adapters need.
    """
    model = ScLong.from_pretrained(folder, device="cpu", dtype="float32")
    encoder = CellEncoder(model, classifier.base.pool)  # type: ignore[arg-type]  # of its names
    if classifier.method == "lora":
        encoder.tune("lora", classifier.lora_rank)
    own = model.state_dict()
    adapters = {name for name in own if "lora_" in name}
    given = classifier.tuned
    fits = adapters <= given.keys() <= own.keys()
    if not fits or any(given[name].shape != own[name].shape for name in given):
        raise InputError("the classifier's tensors do not fit its checkpoint: train again")
    model.load_state_dict(dict(given), strict=False)
    return encoder


def write_prediction(
    adata: anndata.AnnData,
    told: Prediction,
    classifier: Classifier,
    agreement: Scores | None = None,
) -> None:
    """Add a prediction to ``obs`` and ``obsm``, and its record to ``uns``."""
    table = told.table()
    table.index = adata.obs_names
    for name in COLUMNS:
        adata.obs[f"{PREFIX}{name}"] = table[name]
    adata.obsm[PROBABILITIES] = pd.DataFrame(
        told.probabilities, index=adata.obs_names, columns=column_names(told.labels)
    )
    base, facts = classifier.base, classifier.facts
    record: dict[str, Any] = {
        "sclong_version": version("sclong-tasks"),
        "classifier": classifier.digest,
        "method": classifier.method,
        "checkpoint": {"digest": base.digest, "pool": base.pool, "name": base.name},
        "labels": list(told.labels),
        "coverage": told.coverage,
        "false_unknown": told.false_unknown,
        "seed": facts["seed"],
        "trained_on": str(facts["source"]),
        "label_column": str(facts["label"]),
        "held_out_macro_f1": facts["scores"]["macro_f1"]["value"],
    }
    if agreement is not None:
        plain = agreement.record()
        record["agreement"] = {
            name: plain[name]["value"] for name in ("macro_f1", "accuracy", "commonest_macro_f1")
        } | {"cells": agreement.cells}
    adata.uns[RECORD] = record


def prediction_table(told: Prediction, names: pd.Index) -> pd.DataFrame:
    """One row a cell, with a column of probabilities for each label."""
    table = told.table()
    table.insert(0, "cell", names.astype(str))
    each = {
        f"probability_{label}": told.probabilities[:, place]
        for place, label in enumerate(told.labels)
    }
    return pd.concat([table, pd.DataFrame(each)], axis=1)


def column_names(labels: tuple[str, ...]) -> list[str]:
    """Labels as names of columns: no name in an h5ad file may hold a slash."""
    names: list[str] = []
    for label in labels:
        name = label.replace("/", "_")
        while name in names or (name != label and name in labels):
            name += "_"
        names.append(name)
    return names


def require_free_columns(adata: anndata.AnnData, path: Path) -> None:
    """Refuse cells that hold a prediction.

    Raises:
        InputError: ``obs`` or ``obsm`` has one of its names.
    """
    held: Mapping[str, Any] = {**dict.fromkeys(adata.obs), **dict.fromkeys(adata.obsm)}
    names = [*(f"{PREFIX}{name}" for name in COLUMNS), PROBABILITIES]
    taken = [name for name in names if name in held]
    if taken:
        raise InputError(
            f"{path} already holds {taken[0]}: replace it with --overwrite, or write a table"
        )


def agreement_with(
    adata: anndata.AnnData, told: Prediction, column: str, path: Path
) -> Scores | None:
    """Scores of a prediction against true labels of the file; None where none is known.

    Raises:
        InputError: there is no such column.
    """
    truth = obs_column(adata.obs, [column], "--truth", path)
    place = {name: code for code, name in enumerate(told.labels)}
    codes = np.array([place.get(name, -1) for name in truth], dtype=np.int64)
    known = (codes >= 0) & has_label(truth)
    foreign = int((has_label(truth) & ~known).sum())
    if foreign:
        _LOG.warning("%s cells have a true label that was not learned: not scored", f"{foreign:,}")
    if not known.any():
        return None
    commonest = int(np.bincount(codes[known]).argmax())
    return score(codes[known], told.codes[known], commonest)
