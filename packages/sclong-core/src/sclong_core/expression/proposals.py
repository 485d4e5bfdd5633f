"""Looking for a matrix of the same file that can be used instead of one that cannot."""

import shlex

from scipy import sparse

from sclong_core.errors import InputError
from sclong_core.expression.cell_source import CellSource
from sclong_core.expression.recognition import Normalisation, recognise
from sclong_core.expression.rows import Csr, canonical

_TASTE = 64


def advice(source: CellSource) -> str:
    """What to do about a matrix that is neither raw counts nor log1p.

    Names another matrix of the same cells that is, raw counts first, if a few cells from its
    beginning, middle and end are recognised.
    """
    found: dict[Normalisation, str] = {}
    for name, reopen in source.others.items():
        try:
            other = reopen()
            kind = recognise(taste(other), logged=other.logged).normalisation
        except InputError:
            continue
        if kind is not None:
            found.setdefault(kind, name.removeprefix("layers/"))
    if "raw" in found:
        return f"{found['raw']!r} of the same file holds raw counts, {_how(found['raw'])}"
    if "log1p" in found:
        return f"{found['log1p']!r} of the same file holds log1p values, {_how(found['log1p'])}"
    return "give raw counts or their log1p"


def _how(name: str) -> str:
    """How to ask for a matrix, in Python and at the command line."""
    return f'pass matrix="{name}" (--matrix {shlex.quote(name)})'


def taste(source: CellSource) -> Csr:
    """A few cells from the beginning, the middle and the end."""
    last = max(0, source.n_cells - _TASTE)
    runs = [
        canonical(source.read_rows(at, min(at + _TASTE, source.n_cells)))
        for at in sorted({0, last // 2, last})
    ]
    return sparse.vstack(runs, format="csr")
