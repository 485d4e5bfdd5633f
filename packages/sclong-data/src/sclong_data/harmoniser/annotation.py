"""What is known about the cells of a corpus, in the names of the CELLxGENE schema."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_data.dataset_manifest import DatasetEntry

UNKNOWN: Final = "unknown"
"""The schema's word for what is not known."""
DATASET: Final = "dataset_id"
CELL: Final = "cell"
ROW: Final = "row"
SCHEMA_COLUMNS: Final = (
    "assay",
    "assay_ontology_term_id",
    "cell_type",
    "cell_type_ontology_term_id",
    "development_stage",
    "development_stage_ontology_term_id",
    "disease",
    "disease_ontology_term_id",
    "donor_id",
    "is_primary_data",
    "organism",
    "organism_ontology_term_id",
    "self_reported_ethnicity",
    "self_reported_ethnicity_ontology_term_id",
    "sex",
    "sex_ontology_term_id",
    "suspension_type",
    "tissue",
    "tissue_ontology_term_id",
    "tissue_type",
)
_OF_ALL_CELLS = ("assay", "tissue", "disease", "organism")
_NONE = frozenset({"", "nan", "None", "<NA>"})


def describe_cells(
    obs: pd.DataFrame, first: int, entry: DatasetEntry, extra: tuple[str, ...] = ()
) -> pd.DataFrame:
    """What a corpus keeps about some cells: the same columns for every data set.

    Args:
        obs: annotation of cells that follow each other in the data set.
        first: number of the first one in the data set.
        entry: what the manifest says, which holds where ``obs`` is silent and names one thing.
        extra: further columns to keep.

    Returns:
        Categories of text, sorted; ``dataset_id``; the cell's name and row in its data set. The
        index is unique over the corpus: the data set and the row.
    """
    rows = np.arange(first, first + len(obs), dtype=np.int64)
    columns: dict[str, object] = {}
    for name in (*SCHEMA_COLUMNS, *(name for name in extra if name not in SCHEMA_COLUMNS)):
        columns[name] = _text(obs, name) if name in obs else _same(_declared(entry, name), len(obs))
    columns[DATASET] = _same(entry.dataset, len(obs))
    columns[CELL] = np.array([str(name) for name in obs.index], dtype=object)
    columns[ROW] = rows
    index = pd.Index([f"{entry.dataset}:{row}" for row in rows], dtype=object)
    return pd.DataFrame(columns, index=index)


def count_values(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, int]]]:
    """How many cells have each value of each schema column."""
    for name in SCHEMA_COLUMNS:
        counts = table[name].value_counts()
        yield name, {str(value): int(count) for value, count in counts.items() if count}


def _declared(entry: DatasetEntry, name: str) -> str:
    """What the manifest says of all cells of the data set."""
    said = getattr(entry, name) if name in _OF_ALL_CELLS else None
    return UNKNOWN if said is None or ";" in said else str(said)


def _text(obs: pd.DataFrame, name: str) -> pd.Categorical:
    """A column as sorted categories of text; numbers, truth values and gaps as text too."""
    column = obs[name]
    if isinstance(column, pd.DataFrame):  # two columns of one name
        column = column.iloc[:, 0]
    codes, values = pd.factorize(column)
    words = [_word(value) for value in values]
    categories = sorted({*words, *([UNKNOWN] if (codes < 0).any() else [])})
    place = {word: number for number, word in enumerate(categories)}
    new = np.array([place[word] for word in words] + [place.get(UNKNOWN, -1)], dtype=np.int64)
    return _categorical(new[codes], categories)


def _word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = " ".join(str(value).split())
    return UNKNOWN if text in _NONE else text


def _same(value: str, cells: int) -> pd.Categorical:
    return _categorical(np.zeros(cells, dtype=np.int64), [value])


def _categorical(codes: npt.NDArray[np.int64], categories: list[str]) -> pd.Categorical:
    dtype = pd.CategoricalDtype(pd.Index(categories, dtype=object))
    return pd.Categorical.from_codes(codes, dtype=dtype)
