"""Of which species the cells of a data set are."""

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from sclong_core.expression.store import open_hdf5, open_zarr_store, refuse_unreadable

_NAMES = {
    "NCBITaxon:9606": frozenset({"homo sapiens", "human", "9606", "ncbitaxon:9606"}),
    "NCBITaxon:10090": frozenset({"mus musculus", "mouse", "house mouse", "10090"}),
}
_COLUMNS = ("organism_ontology_term_id", "organism")
_SILENT = frozenset({"", "nan", "na", "unknown", "none"})
_PLAIN = {"NCBITaxon:9606": "human", "NCBITaxon:10090": "mouse"}


def is_organism(value: str, taxon: str) -> bool:
    """Whether a name or an id of a species is that of an NCBI taxon.

    Args:
        value: for example "Homo sapiens", "human" or "NCBITaxon:9606".
        taxon: for example "NCBITaxon:9606".
    """
    plain = value.strip().lower()
    return plain == taxon.lower() or plain in _NAMES.get(taxon, ())


def plain_species(taxon: str) -> str:
    """A taxon as :mod:`sclong_core.expression.species` names it; "" for others than these."""
    return _PLAIN.get(taxon, "")


def declared_organisms(text: str) -> tuple[str, ...]:
    """The species that a manifest or a file names, separated by ``;`` or ``||``."""
    parts = (part.strip() for part in re.split(r";|\|\|", text))
    return tuple(part for part in parts if part.lower() not in _SILENT)


def cells_of_organism(obs: pd.DataFrame, taxon: str) -> npt.NDArray[np.bool_] | None:
    """Which cells are of a species, as their annotation says; None where it does not say.

    Cells for which nothing is noted count as being of it.
    """
    for column in _COLUMNS:
        if column not in obs:
            continue
        codes, values = pd.factorize(obs[column])
        named = [declared_organisms(str(value)) for value in values]
        right = np.array(
            [all(is_organism(name, taxon) for name in names) for names in named] + [True]
        )
        if any(named):
            return np.asarray(right[codes], dtype=bool)
    return None


def organism_of_file(path: Path) -> str | None:
    """What ``uns`` of an AnnData file says, as newer CELLxGENE files do; None where it does not."""
    if path.suffix == ".h5ad":
        with open_hdf5(path) as file, refuse_unreadable(str(path), "uns"):
            return _note(file)
    if path.suffix == ".zarr":
        store = open_zarr_store(path)
        with refuse_unreadable(str(path), "uns"):
            return _note(store)
    return None


def _note(store: Any) -> str | None:
    for column in _COLUMNS:
        if f"uns/{column}" in store:
            element = store[f"uns/{column}"]
            if isinstance(element, h5py.Dataset | zarr.Array) and element.shape == ():
                value = np.asarray(element[()]).item()
                return value.decode() if isinstance(value, bytes) else str(value)
    return None
