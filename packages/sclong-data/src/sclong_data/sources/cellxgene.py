"""CELLxGENE Discover: every public data set as one ``.h5ad`` file, from its curation API."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sclong_core.errors import InputError
from sclong_data.dataset_entry import DatasetEntry, inert_text
from sclong_data.fetching.addresses import shown
from sclong_data.fetching.http import PATIENT, Patience, get_json
from sclong_data.sources.filters import Filters, joined

API = "https://api.cellxgene.cziscience.com/curation/v1"
_RAW_PLACES = {"raw.X": "raw", "X": None}


@dataclass(frozen=True)
class CellxGene:
    """The catalogue of CELLxGENE Discover.

    Files are named by their version, so that a manifest goes on naming the same file. The API
    gives no checksums: they are noted when a file is first fetched.
    """

    api: str = API
    """Address of the API."""
    patience: Patience = PATIENT
    """With it."""
    name: str = "CELLxGENE"
    """What people call it."""

    def list(self, filters: Filters) -> list[DatasetEntry]:
        """The data sets that fit; see :class:`~sclong_data.sources.source.Source`."""
        url = f"{self.api}/datasets"
        answer = get_json(url, self.patience)
        if not isinstance(answer, list):
            raise InputError(f"{shown(url)} did not answer with a list of data sets")
        try:
            entries = list(_entries(answer, primary_only=filters.primary_only))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"{shown(url)} answered in an unknown shape ({type(error).__name__}: {error})"
            ) from error
        return filters.chosen(entries, self.name)


def _entries(answer: Iterable[dict[str, Any]], *, primary_only: bool) -> Iterator[DatasetEntry]:
    """One data set for each that has a file."""
    for described in answer:
        asset = next(
            (item for item in described.get("assets", ()) if item["filetype"] == "H5AD"), None
        )
        if asset is None or described.get("tombstone"):
            continue
        if primary_only and not _has_primary(described):
            continue
        yield DatasetEntry(
            dataset=described["dataset_id"],
            source="cellxgene",
            location=asset["url"],
            bytes=int(asset["filesize"]) or None,
            organism=_labels(described, "organism"),
            assay=_labels(described, "assay"),
            tissue=_labels(described, "tissue"),
            disease=_labels(described, "disease"),
            cells=described.get("cell_count"),
            matrix=_RAW_PLACES.get(described.get("raw_data_location", "X")),
            normalisation="raw" if "raw_data_location" in described else "auto",
            title=inert_text(
                f"{described.get('title', '')} ({described.get('collection_name', '')})"
            ),
        )


def _has_primary(described: dict[str, Any]) -> bool:
    """Whether any of its cells is not a copy from another data set."""
    count = described.get("primary_cell_count")
    if count is not None:
        return bool(count)
    marks = described.get("is_primary_data", True)
    marks = marks if isinstance(marks, list) else [marks]
    return not marks or any(mark not in (False, "SECONDARY") for mark in marks)


def _labels(described: dict[str, Any], key: str) -> str | None:
    return joined(inert_text(term["label"]) for term in described.get(key) or ())
