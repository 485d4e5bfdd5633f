"""Sets of labels rolled up to the Cell Ontology's narrowest term that holds them all."""

import re
from collections.abc import Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from sclong_core.errors import InputError
from sclong_data.graph.ontology import read_obo

_EXACT = re.compile(r'^"(?P<name>[^"]*)" EXACT\b')
_TERM = re.compile(r"CL[:_]\d{7}")


class CellOntology:
    """Types of cells, and which are kinds of which (``is_a``).

    Args:
        graph: as obonet reads ``cl-basic.obo`` or ``cl.obo``; obsolete terms are left out.
    """

    def __init__(self, graph: Any) -> None:
        self._names: dict[str, str] = {}
        self._parents: dict[str, list[str]] = {}
        found: dict[str, set[str]] = {}
        for term, about in graph.nodes(data=True):
            if about.get("is_obsolete") == "true" or not _TERM.fullmatch(term):
                continue
            self._names[term] = about.get("name", term)
            self._parents[term] = [
                parent for _, parent, kind in graph.out_edges(term, keys=True) if kind == "is_a"
            ]
            synonyms = map(_EXACT.match, about.get("synonym", ()))
            others = [match["name"] for match in synonyms if match]
            for name in (self._names[term], *others, *about.get("alt_id", ())):
                found.setdefault(_plain(name), set()).add(term)
        for term, name in self._names.items():  # a name comes before the synonyms of others
            found[_plain(name)] = {term}
        self._terms = {name: terms.pop() for name, terms in found.items() if len(terms) == 1}
        self._lines: dict[str, frozenset[str]] = {}

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read an OBO file, plain or gzip.

        Raises:
            InputError: the file is damaged, not OBO, or holds no type of cells.
        """
        found = cls(read_obo(path, "cl-basic.obo"))
        if not found._names:
            raise InputError(f"{path} holds no type of cells (CL:...): give cl-basic.obo")
        return found

    def term(self, label: str) -> str | None:
        """The term that a label means: its id, its name or an exact synonym, in any case."""
        plain = label.strip().replace("CL_", "CL:")
        return plain if plain in self._names else self._terms.get(_plain(plain))

    def name(self, term: str) -> str:
        """The name of a term."""
        return self._names[term]

    def common(self, terms: Sequence[str]) -> str | None:
        """The narrowest term that all of these are kinds of; None where there is none.

        Of several that are no kinds of each other, the one with most terms above it is taken, then
        the first by id.
        """
        shared = frozenset.intersection(*(self._line(term) for term in terms))
        wider = {above for term in shared for above in self._line(term) if above != term}
        left = shared - wider
        return min(left, key=lambda term: (-len(self._line(term)), term)) if left else None

    def _line(self, term: str) -> frozenset[str]:
        """A term and all that it is a kind of."""
        if term not in self._lines:
            found, left = {term}, [term]
            while left:
                for parent in self._parents.get(left.pop(), ()):
                    if parent in self._names and parent not in found:
                        found.add(parent)
                        left.append(parent)
            self._lines[term] = frozenset(found)
        return self._lines[term]


def rolled_up(
    labels: Sequence[str], contained: npt.NDArray[np.bool_], ontology: CellOntology
) -> pd.DataFrame:
    """``broad_label`` and ``broad_term`` of cells: the narrowest type that holds their whole set.

    Both are empty where a label of the set is not in the ontology.

    Args:
        labels: all of them.
        contained: ``(cells, labels)`` the sets.
        ontology: of types of cells.

    Raises:
        InputError: it has none of the labels.
    """
    terms = [ontology.term(label) for label in labels]
    if not any(terms):
        raise InputError(
            f"the ontology has none of the labels ({', '.join(labels[:3])}, ...): labels must be "
            "its ids, names or exact synonyms"
        )
    sets, places = np.unique(contained, axis=0, return_inverse=True)
    broad: list[str | None] = []
    for row in sets:
        held = [terms[place] for place in np.flatnonzero(row)]
        known = [term for term in held if term is not None]
        broad.append(ontology.common(known) if held and len(known) == len(held) else None)
    names = np.array([ontology.name(term) if term else "" for term in broad])
    ids = np.array([term or "" for term in broad])
    cells = places.reshape(-1)
    return pd.DataFrame(
        {
            "broad_label": pd.Categorical(names[cells]),
            "broad_term": pd.Categorical(ids[cells]),
        }
    )


def unknown_labels(labels: Sequence[str], ontology: CellOntology) -> list[str]:
    """Labels that the ontology does not have."""
    return [label for label in labels if ontology.term(label) is None]


def _plain(name: str) -> str:
    return " ".join(name.lower().split())
