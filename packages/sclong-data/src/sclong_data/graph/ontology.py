"""The Gene Ontology itself: which terms there are, and which are more general than which."""

import io
from os import PathLike
from typing import Any, Self

from sclong_core.errors import InputError
from sclong_data.graph.annotations import Verdict
from sclong_data.text_files import read_lines

HEADER = "format-version:"
"""How an OBO file begins."""
_RELATIONS = ("is_a", "part_of")
"""Along these, what holds for a term holds for its parents: go-basic has them without cycles."""


def read_obo(path: str | PathLike[str], usual: str) -> Any:
    """The terms of an OBO file, plain or gzip, as obonet's graph; obsolete ones too.

    Args:
        path: of the file.
        usual: name of such a file, for the message.

    Raises:
        InputError: the file is damaged, not OBO, or holds no term.
    """
    import obonet  # noqa: PLC0415  # takes a second to import

    text = "\n".join(line for _, line in read_lines(path))
    if not text.startswith(HEADER):
        raise InputError(f"{path} is not an ontology in OBO format: give {usual}")
    try:
        graph = obonet.read_obo(io.StringIO(text), ignore_obsolete=False)
    except (ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is damaged ({reason}): fetch it again") from error
    if not len(graph):
        raise InputError(f"{path} holds no term: fetch it again")
    return graph


class GeneOntology:
    """Terms of an OBO file such as ``go-basic.obo``.

    Args:
        graph: as obonet reads it, obsolete terms included; edges go from a term to its parents.
    """

    def __init__(self, graph: Any) -> None:
        self._obsolete: set[str] = set()
        self._alternative: dict[str, str] = {}
        self._parents: dict[str, list[str]] = {}
        for term, about in graph.nodes(data=True):
            if about.get("is_obsolete") == "true":
                self._obsolete.add(term)
                continue
            self._parents[term] = [
                parent for _, parent, kind in graph.out_edges(term, keys=True) if kind in _RELATIONS
            ]
            for other in about.get("alt_id", ()):
                self._alternative[other] = term
        self._ancestors: dict[str, frozenset[str]] = {}

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Read an OBO file, plain or gzip.

        Raises:
            InputError: the file is damaged, not OBO, or holds no term.
        """
        return cls(read_obo(path, "go-basic.obo"))

    def __len__(self) -> int:
        """Number of terms that are not obsolete."""
        return len(self._parents)

    def current(self, term: str) -> tuple[str | None, Verdict | None]:
        """The term's own id; None for obsolete and unknown terms, which are never replaced."""
        if term in self._parents:
            return term, None
        if term in self._alternative:
            return self._alternative[term], "alternative"
        return None, "obsolete" if term in self._obsolete else "unknown term"

    def ancestors(self, term: str) -> frozenset[str]:
        """All terms that the term is a kind or a part of, not the term itself."""
        if term not in self._ancestors:
            found: set[str] = set()
            left = list(self._parents.get(term, ()))
            while left:
                parent = left.pop()
                if parent in self._parents and parent not in found:
                    found.add(parent)
                    left.extend(self._parents[parent])
            self._ancestors[term] = frozenset(found)
        return self._ancestors[term]
