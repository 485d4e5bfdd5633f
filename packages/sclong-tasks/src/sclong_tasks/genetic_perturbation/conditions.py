"""Names of conditions as GEARS writes them: "ctrl", "A+ctrl", "ctrl+A", "A+B"."""

import re
from collections.abc import Sequence
from pathlib import Path

from sclong_core.errors import InputError

CONTROL = "ctrl"
_CELLS = re.compile("[0-9]{1,12}")


def genes_of(condition: str) -> tuple[str, ...]:
    """The genes that a condition perturbs, in its own order; none for the control.

    Raises:
        InputError: it is not a name of a condition.
    """
    if condition == CONTROL:
        return ()
    words = condition.split("+")
    genes = tuple(word for word in words if word != CONTROL)
    if len(words) != 2 or "" in words or not genes or len(set(genes)) != len(genes):
        raise InputError(
            f"{condition!r} is not a condition: write ctrl, GENE+ctrl, ctrl+GENE or "
            "GENE+GENE with two different genes"
        )
    return genes


def perturbation_of(condition: str) -> str:
    """One name for every spelling of a condition: its genes, sorted."""
    return "+".join(sorted(genes_of(condition))) or CONTROL


def as_condition(perturbation: str) -> str:
    """A condition from how people write it: "A" stands for "A+ctrl"."""
    text = perturbation.strip()
    condition = text if "+" in text or text == CONTROL else f"{text}+{CONTROL}"
    genes_of(condition)
    return condition


def read_condition_list(path: Path) -> dict[str, int]:
    """Cells of each condition, from a line of "CONDITION CELLS" separated by semicolons.

    Raises:
        InputError: names the item that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: {error}") from error
    found: dict[str, int] = {}
    for item in text.strip().split(";"):
        name, _, cells = item.strip().rpartition(" ")
        if not name or not _CELLS.fullmatch(cells):
            raise InputError(f"{path}: {item!r} is not a condition and its cells")
        genes_of(name)
        if name in found:
            raise InputError(f"{path}: {name} occurs twice")
        found[name] = int(cells)
    return found


def without_genes(conditions: Sequence[str], lacking: Sequence[str]) -> list[str]:
    """Conditions that perturb none of these genes, such as those missing in a gene graph."""
    gone = set(lacking)
    return [name for name in conditions if not gone & set(genes_of(name))]
