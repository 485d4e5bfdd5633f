"""Annotation of cells in one form for all shards: numbers, and texts as categories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals


def tidy_obs(obs: pd.DataFrame) -> pd.DataFrame:
    """Annotation as it is stored: texts as categories in the order of the alphabet."""
    columns = {str(name): obs[name] for name in obs}
    tidy = {
        name: column if _is_number(column) else pd.Series(_texts(column), index=column.index)
        for name, column in columns.items()
    }
    return pd.DataFrame(tidy, index=obs.index).set_axis(
        pd.Index(obs.index.astype(str), dtype=object), axis=0
    )


def joined_column(frames: Sequence[pd.DataFrame], name: str) -> Any:
    """One column of several frames, one after the other; missing where a frame lacks it.

    Texts become categories of all frames together, in the order of the alphabet.
    """
    parts = [frame.get(name) for frame in frames]
    if all(part is None or _is_number(part) for part in parts):
        arrays = [
            np.full(len(frame), np.nan) if part is None else part.to_numpy()
            for frame, part in zip(frames, parts, strict=True)
        ]
        return np.concatenate(arrays) if arrays else np.empty(0)
    texts = [
        pd.Categorical([None] * len(frame), categories=pd.Index([], dtype=object))
        if part is None
        else _texts(part)
        for frame, part in zip(frames, parts, strict=True)
    ]
    return union_categoricals(texts, sort_categories=True)


def _is_number(column: pd.Series) -> bool:
    return isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"


def _texts(column: pd.Series) -> pd.Categorical:
    """A column as categories; those that do not occur are left out."""
    found = column.astype("category").array
    named = found.rename_categories([str(text) for text in found.categories])
    used = named.remove_unused_categories()
    categories = pd.Index(sorted(used.categories), dtype=object)
    return pd.Categorical(used.astype(object), categories=categories)
