"""Cell BLAST's Animal Cell Atlas (ACA): its table of data sets, and one file for each.

The publisher gives a table in its repository and files by the name of the data set, without
checksums: they are noted when a file is first fetched.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from sclong_core.errors import InputError
from sclong_data.dataset_entry import DatasetEntry, inert_text
from sclong_data.fetching.addresses import shown
from sclong_data.fetching.http import PATIENT, Patience, get_text
from sclong_data.sources.filters import Filters, joined

TABLE = "https://raw.githubusercontent.com/gao-lab/Cell_BLAST/master/Datasets/ACA_datasets.csv"
FILES = "https://cblast.gao-lab.org"


@dataclass(frozen=True)
class CellBlast:
    """The reference data sets of Cell BLAST."""

    table: str = TABLE
    """Address of the table of data sets."""
    files: str = FILES
    """Address below which the files are: ``NAME/NAME.h5ad``."""
    ending: str = ".h5ad"
    """Of the files; ``.h5`` for those of Cell BLAST's own format."""
    patience: Patience = PATIENT
    """With the server."""
    name: str = "Cell BLAST"
    """What people call it."""

    def list(self, filters: Filters) -> list[DatasetEntry]:
        """The data sets that fit; see :class:`~sclong_data.sources.source.Source`."""
        rows = csv.DictReader(io.StringIO(get_text(self.table, self.patience)))
        lacking = {"dataset_name", "organism", "organ", "platform"} - set(rows.fieldnames or ())
        if lacking:
            raise InputError(
                f"{shown(self.table)} is not the table of data sets: it has no column "
                f"{', '.join(sorted(lacking))}"
            )
        return filters.chosen(self._entries(rows), self.name)

    def _entries(self, rows: "csv.DictReader[str]") -> Iterator[DatasetEntry]:
        for row in rows:
            name = (row["dataset_name"] or "").strip()
            if not name:
                continue
            place = quote(name, safe="")
            number = (row.get("cell number") or "").replace(",", "").strip()
            yield DatasetEntry(
                dataset=re.sub(r"[^A-Za-z0-9._-]+", "-", name),
                source="cellblast",
                location=f"{self.files}/{place}/{place}{self.ending}",
                organism=joined([inert_text(row["organism"] or "")]),
                assay=joined([inert_text(row["platform"] or "")]),
                tissue=joined([inert_text(row["organ"] or "")]),
                cells=int(number) if number.isdigit() else None,
                title=inert_text(row.get("publication") or name),
            )
