"""Which matrix of a data set to take: raw counts, where it holds any."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from sclong_core.errors import InputError
from sclong_core.expression import CellSource, recognise
from sclong_core.expression.surveys import taste

_LOG = logging.getLogger("sclong")
_COUNTS = ("counts", "raw_counts", "count", "raw", "umi_counts", "umis")


@contextmanager
def chosen_matrix(source: CellSource, reopen: Callable[[str], CellSource]) -> Iterator[CellSource]:
    """The matrix of counts, judged by a few cells; the file's first one where there is none.

    ``X``, ``raw`` and layers with a name for counts are looked at; other layers, such as spliced
    counts, are parts of a whole. Of several that hold counts the one with most genes is taken,
    ``X`` first among equals: a cell's total is that over all of its genes.

    Args:
        source: the file's first matrix, with the names of the others.
        reopen: opens another one by its name; closed at the end.

    Raises:
        InputError: the first matrix cannot be read.
    """
    best = source if _counts(source) else None
    with ExitStack() as opened:
        for name in sorted(source.others, key=_order):
            if name != "raw" and name.removeprefix("layers/").lower() not in _COUNTS:
                continue
            try:
                other = opened.enter_context(reopen(name))
                usable = other.n_cells == source.n_cells and _counts(other)
            except InputError as error:  # the first one may still be whole
                _LOG.warning("%s", error)
                continue
            if usable and (best is None or other.n_genes > best.n_genes):
                best = other
        if best is not None and best is not source:
            _LOG.info(
                "%s: counts are taken from %s, not %s", source.name, best.matrix, source.matrix
            )
        yield best or source


def _order(name: str) -> tuple[bool, int, str]:
    """``raw`` first, then layers by how usual their name is."""
    plain = name.removeprefix("layers/").lower()
    return name != "raw", _COUNTS.index(plain) if plain in _COUNTS else len(_COUNTS), name


def _counts(source: CellSource) -> bool:
    return recognise(taste(source), logged=source.logged).normalisation == "raw"
