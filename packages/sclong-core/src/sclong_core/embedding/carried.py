"""Tables of annotation in a form that every AnnData file can hold, whatever they were read from."""

import logging
from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

_LOG = logging.getLogger("sclong")
_RESERVED = {"_index": "index"}
"""Names that AnnData keeps for itself, and what stands for them."""
_OF_ZARR = frozenset({".zattrs", ".zgroup", ".zarray", ".zmetadata", "zarr.json", ".", ".."})
"""Names that stand for something else within a zarr store."""
_NUMBERS = ("integer", "floating", "mixed-integer-float")


def carried_table(table: pd.DataFrame, where: str, *, in_zarr: bool = False) -> pd.DataFrame:
    """The table with names and columns that can be written; what had to change is logged.

    Columns keep their values. Those of several types, of times and of intervals become text, as
    AnnData holds columns of one type only; text with gaps becomes categorical.

    Args:
        table: ``obs`` or ``var``.
        where: which of them, and of which file, for the message.
        in_zarr: it is written into a zarr store, where more names cannot be.
    """
    names = _names(table.columns, in_zarr=in_zarr)
    columns: dict[str, Any] = {}
    texts = []
    for at, name in enumerate(names):
        column = table.iloc[:, at]
        columns[name] = _column(column)
        if _becomes_text(column, columns[name]):
            texts.append(name)
    pairs = zip(table.columns, names, strict=True)
    renamed = [f"{old} as {new}" for old, new in pairs if old != new]
    if renamed:
        holder = "a zarr store" if in_zarr else "AnnData"
        _LOG.info("%s: %s cannot hold these names of columns: %s", where, holder, _some(renamed))
    if texts:
        _LOG.info("%s: columns written as text: %s", where, _some(texts))
    index = pd.Index([str(value) for value in table.index], dtype=object)
    if isinstance(table.index.name, str) and table.index.name not in {*names, *_RESERVED, ""}:
        index.name = _holdable(table.index.name, in_zarr=in_zarr)
    return pd.DataFrame(columns, index=index) if columns else pd.DataFrame(index=index)


def _holdable(name: str, *, in_zarr: bool) -> str:
    """A name without slashes, which are folders to AnnData, that stands for itself alone."""
    text = name.replace("/", "_")
    if in_zarr:
        text = text.replace("\\", "_")
    return text.replace(".", "_") if text in (_OF_ZARR if in_zarr else (".",)) else text


def _names(columns: Iterable[Hashable], *, in_zarr: bool) -> list[str]:
    """Different names that can be written."""
    found: list[str] = []
    for column in columns:
        text = _holdable(_RESERVED.get(str(column), str(column)), in_zarr=in_zarr) or "unnamed"
        name, number = text, 1
        while name in found:
            name, number = f"{text}_{number}", number + 1
        found.append(name)
    return found


def _column(column: "pd.Series[Any]") -> Any:
    """The values of a column in a type that AnnData holds."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _categorical(column)
    kind = types.infer_dtype(column, skipna=True)
    numeric = types.is_numeric_dtype(column.dtype) or types.is_bool_dtype(column.dtype)
    if numeric or kind in _NUMBERS or kind == "boolean":
        return _numbers(column, kind)
    return np.full(len(column), np.nan) if kind == "empty" else _text(column)


def _numbers(column: "pd.Series[Any]", kind: str) -> Any:
    """Numbers or truth values, those that may be missing in AnnData's own types for it."""
    if isinstance(column.dtype, pd.SparseDtype):
        return np.asarray(column)
    if types.is_object_dtype(column.dtype):
        if kind == "boolean":
            return column.astype("boolean" if column.isna().any() else bool).array
        return pd.to_numeric(column).array
    if types.is_float_dtype(column.dtype):
        return column.to_numpy(column.dtype.type, na_value=np.nan)
    return column.array


def _categorical(column: "pd.Series[Any]") -> Any:
    """Categories of one type: numbers, truth values, or else text."""
    categories = column.cat.categories
    plain = types.is_numeric_dtype(categories) or types.is_bool_dtype(categories)
    if plain and not types.is_extension_array_dtype(categories):
        return column.array
    texts = pd.Index([str(value) for value in categories], dtype=object)
    if not texts.is_unique:  # 1 and "1"
        return _text(column)
    return column.cat.rename_categories(texts).array


def _text(column: "pd.Series[Any]") -> Any:
    """Text; categorical where values are missing, which plain text cannot say."""
    missing = column.isna().to_numpy()
    values = np.array([str(value) for value in column.astype(object)], dtype=object)
    if not missing.any():
        return values
    values[missing] = None
    return pd.Categorical(values)


def _becomes_text(column: "pd.Series[Any]", found: Any) -> bool:
    """Whether values that are something else than text are written as text."""
    before, after = (_kind(values) for values in (column, found))
    return after == "string" and before not in ("string", "empty")


def _kind(values: Any) -> str:
    categories = getattr(getattr(values, "dtype", None), "categories", None)
    return str(types.infer_dtype(values if categories is None else categories, skipna=True))


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
