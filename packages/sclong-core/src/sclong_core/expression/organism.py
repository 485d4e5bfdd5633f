"""Of which species cells are, as their annotation (``obs``, ``uns``) says."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr

from sclong_core.expression.species import TAXA, species_of_genome, species_of_taxon
from sclong_core.expression.store import require_stored

_SHORT = {
    "hs": "human", "hsap": "human", "hsapiens": "human", "h. sapiens": "human", "homo": "human",
    "h sapiens": "human", "h_sapiens": "human", "mm": "mouse", "mmus": "mouse", "mice": "mouse",
    "mmusculus": "mouse", "m. musculus": "mouse", "m musculus": "mouse", "m_musculus": "mouse",
    "mus": "mouse", "murine": "mouse",
}  # fmt: skip
_BINOMIAL = re.compile(r"[A-Z][a-z]+[ _][a-z]{3,}([ _][a-z]+)?")
_TERM = "organism_ontology_term_id"
_COLUMNS = (_TERM, "organism", "species_ontology_term_id", "species")
"""In this order: the first that tells is believed."""
_GROUPS = re.compile(r"(schema|metadata|dataset|study)\w*", re.I)
_SILENT = frozenset({"", "nan", "na", "n/a", "<na>", "unknown", "none", "null"})
_PLAIN = {"NCBITaxon:9606": "human", "NCBITaxon:10090": "mouse"}


def named_species(value: str) -> str:
    """The species that a name or an id of an NCBI taxon stands for; "" where it is not known.

    Args:
        value: for example "Homo sapiens", "human", "NCBITaxon:9606" or "9606".
    """
    plain = value.strip().lower()
    if plain in TAXA.values():
        return plain
    return species_of_taxon(plain) or _SHORT.get(plain) or species_of_genome(plain)


def is_organism(value: str, taxon: str) -> bool:
    """Whether a name or an id of a species is that of an NCBI taxon.

    Args:
        value: for example "Homo sapiens", "human" or "NCBITaxon:9606".
        taxon: for example "NCBITaxon:9606", or a species as :func:`named_species` gives it.
    """
    wanted = named_species(taxon)
    if wanted:
        return named_species(value) == wanted
    return value.strip().lower() == taxon.strip().lower()


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
    found = _telling_column(obs)
    if found is None:
        return None
    _, codes, named = found
    right = [all(is_organism(name, taxon) for name in names) for names in named]
    return np.array([*right, True])[codes]


def other_organisms(obs: pd.DataFrame, uns: str, species: str) -> str | None:
    """Why the annotation says that cells are not of a species; None where it does not.

    Args:
        obs: annotation of the cells.
        uns: what :func:`note_in_store` or :func:`note_in_memory` found.
        species: as :func:`named_species` gives it.
    """
    found = _telling_column(obs)
    if found is not None:
        column, codes, named = found
        right = [all(is_organism(name, species) for name in names) for names in named]
        wrong = ~np.array([*right, True])[codes]
        if not wrong.any():
            return None
        first = int(np.argmax(wrong))
        return (
            f"{column} in obs is {'; '.join(named[codes[first]])!r} for {int(wrong.sum()):,} of "
            f"{len(obs):,} cells (the first is {str(obs.index[first])!r})"
        )
    names = declared_organisms(uns)
    if names and not any(is_organism(name, species) for name in names):
        return f"uns says that its cells are of {'; '.join(names)!r}"
    return None


def _telling_column(
    obs: pd.DataFrame,
) -> tuple[str, npt.NDArray[np.int64], list[tuple[str, ...]]] | None:
    """The first column that names species: its name, a code of each cell, and what codes name."""
    for number, column in _candidates(obs):
        codes, values = pd.factorize(obs.iloc[:, number])
        named = [declared_organisms(str(value)) for value in values]
        if column.lower() == "species" and not all(map(_are_species, named)):
            continue  # of microbes, trees, samples: another thing than the organism of the cells
        if any(named):
            return column, np.asarray(codes, dtype=np.int64), named
    return None


def _are_species(names: tuple[str, ...]) -> bool:
    return all(named_species(name) or _BINOMIAL.fullmatch(name) for name in names)


def _candidates(obs: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Columns that may name species, the most exact first, whatever their capitals."""
    held = [str(column) for column in obs.columns]
    for wanted in _COLUMNS:
        yield from (
            (number, name) for number, name in enumerate(held) if name.strip().lower() == wanted
        )


def note_in_store(store: Any) -> str:
    """What ``uns`` of an open AnnData file or zarr store says of the species, "" for nothing."""
    if "uns" not in store:
        return ""
    for place in _places(store["uns"], h5py.Group | zarr.Group):
        if isinstance(place, h5py.Dataset | zarr.Array) and place.shape in ((), (1,)):
            require_stored(place)
            found = np.asarray(place[()]).reshape(-1)[0]
            text = found.decode(errors="replace") if isinstance(found, bytes) else str(found)
            if declared_organisms(text):
                return text
    return ""


def note_in_memory(uns: Mapping[str, Any]) -> str:
    """The same of ``uns`` of an AnnData object."""
    for found in _places(uns, Mapping):
        if isinstance(found, str | int | np.generic) and declared_organisms(str(found)):
            return str(found)
        if isinstance(found, np.ndarray) and found.size == 1:
            return str(found.reshape(-1)[0])
    return ""


def _places(uns: Any, group: Any) -> Iterator[Any]:
    """What stands under the names of ``uns`` that note a species, groups of notes last."""
    groups = [uns, *(uns[key] for key in uns if _GROUPS.fullmatch(str(key)))]
    for held in groups:
        if isinstance(held, group):
            yield from (held[column] for column in _COLUMNS if column in held)
