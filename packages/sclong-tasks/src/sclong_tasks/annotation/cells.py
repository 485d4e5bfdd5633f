"""Labels for AnnData objects, in place or in a copy, as scanpy's functions have it."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

from sclong_core.errors import InputError
from sclong_tasks.annotation.agreement import Agreement
from sclong_tasks.annotation.neighbours import NEIGHBOURS
from sclong_tasks.annotation.reference import Reference
from sclong_tasks.annotation.transfer import (
    COLUMNS,
    COVERAGE,
    FALSE_UNKNOWN,
    Annotation,
    annotate_vectors,
)
from sclong_tasks.annotation.vectors import (
    OWN_KEY,
    CellVectors,
    require_same_encoder,
    stored_vectors,
)
from sclong_tasks.cells import obs_column

PREFIX = "sclong_"
RECORD = "sclong_annotation"
BROAD = ("broad_label", "broad_term")
"""Columns of sets that were rolled up by an ontology."""
_IN_MEMORY = Path("adata")


def reference_of_cells(
    adata: anndata.AnnData,
    label: str,
    *,
    key: str = OWN_KEY,
    batch: str | None = None,
    source: str = "",
    seed: int = 0,
) -> Reference:
    """A reference of the labelled cells of an AnnData object.

    Args:
        adata: with vectors in ``obsm``.
        label: column of ``obs``.
        key: of ``obsm``.
        batch: column of ``obs``, for :meth:`Reference.fit`.
        source: where the cells are from, for people.
        seed: draws the cells that calibrate.

    Raises:
        InputError: a column or the vectors are missing, or the cells make no reference.
    """
    return fitted_reference(
        adata,
        stored_vectors(adata, key, _IN_MEMORY),
        (label, batch),
        path=_IN_MEMORY,
        source=source,
        seed=seed,
    )


def fitted_reference(
    adata: anndata.AnnData,
    found: CellVectors,
    columns: tuple[str, str | None],
    *,
    path: Path,
    source: str,
    seed: int,
) -> Reference:
    """The same for vectors that are at hand; columns are those of labels and batches."""
    label, batch = columns
    return Reference.fit(
        found.vectors,
        obs_column(adata.obs, [label], "--label", path),
        encoder=found.encoder,
        batches=None if batch is None else obs_column(adata.obs, [batch], "--batch", path),
        source=source,
        seed=seed,
    )


def annotate(
    adata: anndata.AnnData,
    reference: Reference,
    *,
    key: str = OWN_KEY,
    coverage: float = COVERAGE,
    false_unknown: float = FALSE_UNKNOWN,
    align: bool = False,
    copy: bool = False,
) -> anndata.AnnData | None:
    """Give labels to the cells of an AnnData object that has been embedded.

    Adds ``sclong_label``, ``sclong_nearest_label``, ``sclong_probability``, ``sclong_label_set``,
    ``sclong_unknown`` and ``sclong_remoteness`` to ``obs``, replacing earlier ones, and says in
    ``uns["sclong_annotation"]`` what told them.

    Args:
        adata: with vectors in ``obsm``.
        reference: labelled cells, by :func:`reference_of_cells` or :meth:`Reference.load`.
        key: of ``obsm``.
        coverage: of the sets of labels; see
            :func:`~sclong_tasks.annotation.transfer.annotate_vectors`.
        false_unknown: share of cells like those of the reference that may be called unknown.
        align: take the query as a whole for alike the reference.
        copy: return an annotated copy and leave ``adata`` as it is.

    Returns:
        The copy, or None.

    Raises:
        InputError: there are no vectors of that name, or of another model.
        ConfigError: a setting is impossible.
    """
    found = stored_vectors(adata, key, _IN_MEMORY)
    require_same_encoder(found, reference.encoder)
    told = annotate_vectors(
        found.vectors,
        reference,
        coverage=coverage,
        false_unknown=false_unknown,
        align=align,
    )
    written = adata.copy() if copy else adata
    write_labels(written, told, reference)
    return written if copy else None


def write_labels(
    adata: anndata.AnnData,
    told: Annotation,
    reference: Reference,
    agreement: Agreement | None = None,
    broad: pd.DataFrame | None = None,
) -> None:
    """Add the columns of an annotation to ``obs``, and its record to ``uns``.

    Args:
        adata: the cells.
        told: their labels.
        reference: what told them.
        agreement: with true labels, for the record.
        broad: of :func:`~sclong_tasks.annotation.ontology.rolled_up`; earlier ones are removed
            where it is None.
    """
    for name in BROAD:
        adata.obs.drop(columns=f"{PREFIX}{name}", errors="ignore", inplace=True)
        if broad is not None:
            adata.obs[f"{PREFIX}{name}"] = broad[name].to_numpy()
    table = told.table()
    table.index = adata.obs_names
    for name in COLUMNS:
        adata.obs[f"{PREFIX}{name}"] = table[name]
    adata.uns[RECORD] = _record(told, reference, agreement)


def require_free_columns(adata: anndata.AnnData, path: Path) -> None:
    """Refuse cells that were annotated before.

    Raises:
        InputError: ``obs`` has one of the columns.
    """
    taken = [f"{PREFIX}{name}" for name in COLUMNS if f"{PREFIX}{name}" in adata.obs]
    if taken:
        raise InputError(
            f"{path} already has the column {taken[0]}: replace it with --overwrite, or write a "
            "table"
        )


def _record(told: Annotation, reference: Reference, agreement: Agreement | None) -> dict[str, Any]:
    """Where the labels come from."""
    record: dict[str, Any] = {
        "sclong_version": version("sclong-tasks"),
        "reference": reference.source,
        "reference_digest": reference.digest,
        "encoder": reference.encoder,
        "labels": list(reference.labels),
        "voting_cells": len(reference.codes),
        "calibrating_cells": len(reference.calibration.doubt),
        "neighbours": NEIGHBOURS,
        "coverage": told.coverage,
        "false_unknown": told.false_unknown,
        "aligned": told.aligned,
        "shift": told.shift,
    }
    if agreement is not None and agreement.cells:
        frame = agreement.confusion
        record["agreement"] = {
            "cells": agreement.cells,
            "accuracy": agreement.accuracy,
            "macro_f1": agreement.macro_f1,
            # A label may hold a slash, which no name of a column in a file may.
            "true_labels": list(map(str, frame.index)),
            "told_labels": list(map(str, frame.columns)),
            "confusion": frame.to_numpy(),
        }
    return record
