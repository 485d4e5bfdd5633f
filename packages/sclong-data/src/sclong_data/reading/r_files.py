"""Matrices of cells in R's files: sparse, dense, data frames, Seurat, SingleCellExperiment.

Seurat and SingleCellExperiment store genes in rows; a bare matrix may be either way round, which
its names tell, or the manifest's column ``matrix``.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_core.expression import CellSource
from sclong_core.expression.cell_source import checked
from sclong_data.reading.axes import GENES_AXIS, find_layout
from sclong_data.reading.r_parsing import (
    Object,
    attributes,
    classes,
    fields,
    kind,
    numbers,
    pairs,
    parse_r,
    strings,
)
from sclong_data.reading.sorting import VALUES_AT_ONCE, CsrWriter
from sclong_data.reading.stored import Names, turned

SUFFIXES = (".rds", ".rda", ".rdata")
_COUNTS = "counts"
_NAMES_TRIED = 3_000
_DEEPEST = 4
_EXPERIMENTS = {
    "SingleCellExperiment",
    "SummarizedExperiment",
    "RangedSummarizedExperiment",
    "SpatialExperiment",
}
Values = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class RMatrix:
    """A matrix in an object of R."""

    name: str
    shape: tuple[int, int]
    rows: list[str]
    columns: list[str]
    values: Callable[[], Iterator[Values]]
    """Gives rows, columns and values, some at a time."""
    genes_in_rows: bool | None = None
    """None where the object does not say."""
    cells: Mapping[str, list[str]] = field(default_factory=dict)
    """What is known of the cells, by column."""


def open_r(
    path: Path,
    matrix: str | None,
    scratch: Path,
    *,
    label: str,
    known_genes: Collection[str] = (),
) -> CellSource:
    """Open a matrix of cells in a file of R's ``saveRDS`` or ``save``.

    Args:
        path: the file.
        matrix: its name, such as ``RNA/counts`` or ``counts``; or, of a matrix that does not say
            so, which way round it is.
        scratch: folder for what is read by cells.
        label: the data set's id.
        known_genes: ids and symbols, which help to recognise the axis.

    Raises:
        InputError: the file cannot be read, holds no matrix of cells or several without a name, or
            it is not clear which axis holds the genes.
    """

    def convert(writer: CsrWriter) -> Names:
        found = _matrices(parse_r(path), path)
        chosen = _chosen(found, matrix, path)
        by_rows = _genes_in_rows(chosen, matrix, path, known_genes)
        for row, column, values in chosen.values():
            if not np.isfinite(values).all():
                raise InputError(f"{path}: {chosen.name} holds values that are not finite numbers")
            writer.add(*((column, row) if by_rows else (row, column)), values)
        cells, genes = (1, 0) if by_rows else (0, 1)
        writer.cells, writer.genes = chosen.shape[cells], chosen.shape[genes]
        names = (chosen.rows, chosen.columns)
        described = {f"obs {name}": values for name, values in chosen.cells.items() if by_rows}
        others = [other.name for other in found if other is not chosen]
        return {
            "cells": names[cells],
            "genes": names[genes],
            "matrix": [chosen.name],
            "others": others,
            **described,
        }

    def other(name: str) -> CellSource:
        return open_r(path, name, scratch, label=label, known_genes=known_genes)

    stored = turned(scratch, f"{label} ({matrix or ''})", [path], convert)
    names = stored.names
    obs = {name[4:]: list(names[name]) for name in names if name.startswith("obs ")}
    return checked(
        CellSource(
            name=str(path),
            matrix=names["matrix"][0],
            obs=pd.DataFrame(obs, index=pd.Index(names["cells"], dtype=object)),
            var=pd.DataFrame(index=pd.Index(names["genes"], dtype=object)),
            reader=stored.rows,
            others={name: partial(other, name) for name in names["others"]},
        )
    )


def _chosen(found: list[RMatrix], matrix: str | None, path: Path) -> RMatrix:
    listed = ", ".join(one.name for one in found[:10])
    if not found:
        raise InputError(
            f"{path} holds no matrix of cells that is known (dgCMatrix, matrix, data.frame, "
            "Seurat, SingleCellExperiment): write the matrix with Matrix::writeMM, or convert it "
            "to .h5ad"
        )
    if matrix is not None and matrix not in GENES_AXIS:
        for one in found:
            if matrix in (one.name, one.name.rpartition("/")[2]):
                return one
        raise InputError(f"{path} has no matrix {matrix!r}: it holds {listed}")
    counts = [one for one in found if one.name.rpartition("/")[2].startswith(_COUNTS)]
    if len(found) == 1 or len(counts) == 1 or (counts and counts[0].name == f"RNA/{_COUNTS}"):
        return (counts or found)[0]
    raise InputError(f"{path} holds {listed}: name one in the manifest's column matrix")


def _genes_in_rows(
    chosen: RMatrix, matrix: str | None, path: Path, known_genes: Collection[str]
) -> bool:
    if chosen.genes_in_rows is not None:
        return chosen.genes_in_rows
    if matrix in GENES_AXIS:
        return matrix == "genes-by-cells"
    layout = find_layout(
        chosen.columns[:_NAMES_TRIED], chosen.rows[:_NAMES_TRIED], str(path), known_genes
    )
    return layout == "genes-by-cells"


def _matrices(item: Object, path: Path) -> list[RMatrix]:
    """Every matrix in an object.

    Raises:
        InputError: one is damaged.
    """
    try:
        return list(_within(item, "", 0))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise InputError(f"{path} is damaged or of another kind: {error}") from error


def _within(item: Object, name: str, depth: int) -> Iterator[RMatrix]:
    known = set(classes(item))
    if "Seurat" in known:
        yield from _seurat(attributes(item))
    elif known & _EXPERIMENTS:
        yield from _experiment(attributes(item))
    elif (found := _matrix(item, name or "matrix")) is not None:
        yield found
    elif depth < _DEEPEST:
        parts = pairs(item) if kind(item) == "LIST" else iter(fields(item).items())
        for inner, part in parts:
            yield from _within(part, f"{name}/{inner}" if name else inner, depth + 1)


def _seurat(slots: dict[str, Object]) -> Iterator[RMatrix]:
    """Counts and values of every assay; those of integration and scaling are not over all genes."""
    described = _described(slots.get("meta.data"))
    for assay, item in fields(slots["assays"]).items():
        inside = attributes(item)
        layers = fields(inside["layers"]) if "layers" in inside else inside
        for layer, part in layers.items():
            if layer == "scale.data" or not _is_matrix(part):
                continue
            rows = columns = None
            if "layers" in inside:
                rows, columns = (_mapped(inside[axis], layer) for axis in ("features", "cells"))
            found = _matrix(part, f"{assay}/{layer}", rows, columns, genes_in_rows=True)
            if found is not None and found.shape != (0, 0):
                yield _with_cells(found, described)


def _experiment(slots: dict[str, Object]) -> Iterator[RMatrix]:
    data = attributes(attributes(slots["assays"])["data"])
    table = slots["colData"]
    columns = attributes(table).get("rownames")
    names = columns if columns is not None and kind(columns) == "STR" else None
    described = {
        name: values
        for name, part in fields(attributes(table)["listData"]).items()
        if (values := _column(part)) is not None
    }
    rows = _row_names(slots)
    for name, item in fields(data["listData"]).items():
        found = _matrix(
            item, name, rows, None if names is None else strings(names), genes_in_rows=True
        )
        if found is not None:
            cells = {key: part for key, part in described.items() if len(part) == found.shape[1]}
            yield _replace_cells(found, cells)


def _row_names(slots: dict[str, Object]) -> list[str] | None:
    """Names of the genes of an experiment, which stand in one of several places."""
    places = [slots.get("NAMES")]
    ranges = slots.get("rowRanges")
    if ranges is not None:
        for inner in ("partitioning", "ranges"):
            part = attributes(ranges).get(inner)
            if part is not None:
                places.append(attributes(part).get("NAMES"))
    found = next((one for one in places if one is not None and kind(one) == "STR"), None)
    return None if found is None else strings(found)


def _mapped(log: Object, layer: str) -> list[str] | None:
    """Names that a layer of a Seurat assay has, by the table of names and layers."""
    names = attributes(log).get("dimnames")
    if names is None:
        return None
    rows, layers = (strings(part) for part in names.value)
    if layer not in layers:
        return None
    held = numbers(log).reshape(len(layers), len(rows))[layers.index(layer)]
    return [name for name, there in zip(rows, held, strict=True) if there == 1]


def _described(table: Object | None) -> dict[str, dict[str, str]]:
    """What is known of each cell, by column and name of the cell."""
    if table is None or "row.names" not in attributes(table):
        return {}
    names = attributes(table)["row.names"]
    if kind(names) != "STR":
        return {}
    cells = strings(names)
    return {
        name: dict(zip(cells, values, strict=True))
        for name, part in fields(table).items()
        if (values := _column(part)) is not None and len(values) == len(cells)
    }


def _with_cells(found: RMatrix, described: dict[str, dict[str, str]]) -> RMatrix:
    cells = {
        name: [values.get(cell, "") for cell in found.columns] for name, values in described.items()
    }
    return _replace_cells(found, cells)


def _replace_cells(found: RMatrix, cells: Mapping[str, list[str]]) -> RMatrix:
    return RMatrix(
        found.name,
        found.shape,
        found.rows,
        found.columns,
        found.values,
        genes_in_rows=found.genes_in_rows,
        cells=cells,
    )


def _column(item: Object) -> list[str] | None:
    """A column of annotation as text; None for one that is something else."""
    if kind(item) == "STR":
        return strings(item)
    if kind(item) not in ("INT", "REAL", "LGL"):
        return None
    values = numbers(item)
    levels = attributes(item).get("levels")
    if levels is not None:
        words = strings(levels)
        return ["" if math.isnan(value) else words[int(value) - 1] for value in values]
    if kind(item) == "LGL":
        return ["" if math.isnan(value) else str(bool(value)) for value in values]
    return ["" if math.isnan(value) else f"{value:.10g}" for value in values]


def _is_numeric(table: Object) -> bool:
    """Whether all columns of a data frame are numbers, and the rows have names."""
    parts = fields(table).values()
    names = attributes(table).get("row.names")
    return (
        bool(parts)
        and names is not None
        and kind(names) == "STR"
        and all(
            kind(part) in ("INT", "REAL") and "levels" not in attributes(part) for part in parts
        )
    )


def _is_matrix(item: Object) -> bool:
    inside = attributes(item)
    return "Dim" in inside or "dim" in inside


def _matrix(
    item: Object,
    name: str,
    rows: list[str] | None = None,
    columns: list[str] | None = None,
    *,
    genes_in_rows: bool | None = None,
) -> RMatrix | None:
    """An object as a matrix; None if it is none."""
    inside, known = attributes(item), set(classes(item))
    if known & {"dgCMatrix", "dgTMatrix", "dgRMatrix"}:
        shape, values, names = _sparse(inside, known)
    elif "dim" in inside and kind(item) in ("INT", "REAL"):
        shape, values, names = _dense(item, inside)
    elif "data.frame" in known and genes_in_rows is None and _is_numeric(item):
        shape, values, names = _frame(item, inside)
    else:
        return None
    named = [
        given if given is not None else (strings(own) if own is not None else [])
        for given, own in zip((rows, columns), names, strict=True)
    ]
    for axis, size in enumerate(shape):
        if not named[axis] and size:
            raise ValueError(f"{name} has no names of its {('rows', 'columns')[axis]}")
        if len(named[axis]) != size:
            raise ValueError(f"{name} has {size:,} {('rows', 'columns')[axis]}, named differently")
    return RMatrix(name, shape, named[0], named[1], values, genes_in_rows)


_Parts = tuple[tuple[int, int], Callable[[], Iterator[Values]], list[Object | None]]


def _size(item: Object) -> tuple[int, int]:
    found = numbers(item)
    if found.size != 2 or not (found >= 0).all() or not (found % 1 == 0).all():
        raise ValueError("the size of a matrix is not two numbers")
    return int(found[0]), int(found[1])


def _names(item: Object | None) -> list[Object | None]:
    if item is None or kind(item) != "VEC" or len(item.value) != 2:
        return [None, None]
    return [part if kind(part) == "STR" else None for part in item.value]


def _sparse(inside: dict[str, Object], known: set[str]) -> _Parts:
    shape = _size(inside["Dim"])
    x = numbers(inside["x"])
    major = 1 if "dgCMatrix" in known else 0
    if "dgTMatrix" in known:
        places = [numbers(inside["i"]), numbers(inside["j"])]
    else:
        minor = numbers(inside["i" if major else "j"])
        pointers = numbers(inside["p"])
        rising = pointers.size == shape[major] + 1 and not (np.diff(pointers) < 0).any()
        if not rising or pointers[0] != 0 or pointers[-1] != x.size:
            raise ValueError("the places of a sparse matrix do not fit its size")
        ends = np.diff(pointers).astype(np.int64)
        along = np.repeat(np.arange(shape[major], dtype=np.float64), ends)
        places = [minor, along] if major else [along, minor]
    for place, size in zip(places, shape, strict=True):
        if place.size != x.size or (x.size and (place.min() < 0 or place.max() >= size)):
            raise ValueError("the places of a sparse matrix are outside of it")

    def values() -> Iterator[Values]:
        for start in range(0, x.size, VALUES_AT_ONCE):
            part = slice(start, start + VALUES_AT_ONCE)
            yield places[0][part], places[1][part], x[part]

    return shape, values, _names(inside.get("Dimnames"))


def _dense(item: Object, inside: dict[str, Object]) -> _Parts:
    shape = _size(inside["dim"])
    held = numbers(item)
    if held.size != shape[0] * shape[1]:
        raise ValueError("a matrix has another size than it says")
    return shape, lambda: _columns(held.reshape(shape[1], shape[0])), _names(inside.get("dimnames"))


def _frame(item: Object, inside: dict[str, Object]) -> _Parts:
    """A data frame whose columns are all numbers."""
    parts = fields(item)
    held = [numbers(part) for part in parts.values()]
    if len({part.size for part in held}) != 1:
        raise ValueError("the columns of a data frame have different lengths")
    names: list[Object | None] = [inside["row.names"], inside["names"]]
    return (held[0].size, len(held)), lambda: _columns(held), names


def _columns(held: Any) -> Iterator[Values]:
    for number, values in enumerate(held):
        rows = np.arange(values.size)
        yield rows, np.full(values.size, number), np.asarray(values, dtype=np.float64)
