"""What is asked of a source, and which data sets fit."""

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sclong_data.dataset_entry import DatasetEntry

_LOG = logging.getLogger("sclong")
SEPARATOR = "; "


@dataclass(frozen=True)
class Filters:
    """Which data sets to list. Capitals make no difference; each field may name several values.

    A data set that does not say what is asked for is left out, and that is reported.
    """

    organism: tuple[str, ...] = ()
    """Species by their full name: "Homo sapiens"."""
    tissue: tuple[str, ...] = ()
    """Parts of names: "lung" is also in "lung parenchyma"."""
    assay: tuple[str, ...] = ()
    """Parts of names: "10x" is also in "10x 3' v3"."""
    disease: tuple[str, ...] = ()
    """Parts of names; "normal" for none."""
    text: str = ""
    """A part of the title."""
    primary_only: bool = True
    """Leave out data sets of which every cell is a copy from another one (CELLxGENE)."""
    min_cells: int = 0
    """Cells that it must have."""
    max_bytes: int | None = None
    """Size that a file may have, where it is known."""
    limit: int | None = None
    """As many at most, in the order of the source."""

    def misfit(self, entry: DatasetEntry) -> str | None:
        """The first reason why a data set does not fit; None if it fits."""
        for name in ("organism", "tissue", "assay", "disease"):
            wanted = getattr(self, name)
            if wanted and not _named(wanted, getattr(entry, name), whole=name == "organism"):
                known = getattr(entry, name) is not None
                return f"another {name}" if known else f"no {name} given"
        if self.text and self.text.lower() not in entry.title.lower():
            return "another title"
        if self.min_cells and (entry.cells is None or entry.cells < self.min_cells):
            return f"fewer than {self.min_cells:,} cells"
        if self.max_bytes is not None and (entry.bytes or 0) > self.max_bytes:
            return "too large"
        return None

    def chosen(self, entries: Iterable[DatasetEntry], source: str) -> list[DatasetEntry]:
        """The data sets that fit; how many did not is reported, by reason."""
        kept, reasons = [], Counter[str]()
        for entry in entries:
            reason = self.misfit(entry)
            if reason is None:
                kept.append(entry)
            else:
                reasons[reason] += 1
        if self.limit is not None and len(kept) > self.limit:
            reasons["beyond the limit"] += len(kept) - self.limit
            kept = kept[: self.limit]
        if reasons:
            listed = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
            _LOG.info("%s: left out: %s", source, listed)
        return kept

    def without_organism(self) -> "Filters":
        """The same for any species."""
        return dataclasses.replace(self, organism=())


def joined(names: Iterable[str]) -> str | None:
    """Several names in one cell, sorted; None for none."""
    return SEPARATOR.join(sorted({name for name in names if name})) or None


def _named(wanted: Sequence[str], given: str | None, *, whole: bool) -> bool:
    names = [name.lower() for name in (given or "").split(SEPARATOR) if name]
    asked = [name.lower() for name in wanted]
    if whole:
        return any(name in asked for name in names)
    return any(part in name for name in names for part in asked)
