"""The Human Cell Atlas: matrix files of its projects, from the index of its Azul service."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from sclong_core.errors import InputError
from sclong_data.dataset_entry import DatasetEntry, inert_text
from sclong_data.fetching.addresses import parts_of, shown
from sclong_data.fetching.http import PATIENT, Patience, get_json
from sclong_data.sources.filters import Filters, joined

API = "https://service.azul.data.humancellatlas.org"
FORMATS = ("h5ad", "h5", "loom")
_PAGE = 100
_MOST_PAGES = 2_000


@dataclass(frozen=True)
class HumanCellAtlas:
    """The file index of the Human Cell Atlas. It gives a checksum for each file."""

    api: str = API
    """Address of the service."""
    catalog: str | None = None
    """Name of a release, for example "dcp55"; the newest by default."""
    formats: tuple[str, ...] = FORMATS
    """Kinds of files to list."""
    patience: Patience = PATIENT
    """With the service."""
    name: str = "Human Cell Atlas"
    """What people call it."""

    def list(self, filters: Filters) -> list[DatasetEntry]:
        """The data sets that fit; see :class:`~sclong_data.sources.source.Source`."""
        found: dict[str, DatasetEntry] = {}
        for hit in self._hits(filters):
            for entry in _entries(hit):
                found.setdefault(entry.dataset, entry)
        return filters.chosen(found.values(), self.name)

    def _hits(self, filters: Filters) -> Iterator[dict[str, Any]]:
        """Every hit of every page."""
        wanted = {"fileFormat": {"is": list(self.formats)}, "isIntermediate": {"is": [False]}}
        if filters.organism:
            wanted["genusSpecies"] = {"is": list(filters.organism)}
        query = {"filters": json.dumps(wanted), "size": _PAGE, "sort": "fileName", "order": "asc"}
        if self.catalog is not None:
            query["catalog"] = self.catalog
        url: str | None = f"{self.api}/index/files?{urlencode(query)}"
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            if url is None:
                return
            if url in seen:
                raise InputError(f"{self.api} lists the same page repeatedly: giving up")
            seen.add(url)
            if parts_of(url).netloc != parts_of(self.api).netloc:
                raise InputError(f"{self.api} continues its list at {shown(url)}: not followed")
            answer = get_json(url, self.patience)
            try:
                hits, following = answer["hits"], answer["pagination"].get("next")
            except (KeyError, TypeError, AttributeError) as error:
                raise InputError(f"{shown(url)} answered in an unknown shape") from error
            if not isinstance(hits, list) or not isinstance(following, str | None):
                raise InputError(f"{shown(url)} answered in an unknown shape")
            yield from hits
            url = following
        raise InputError(f"{self.api} lists more than {_MOST_PAGES:,} pages: narrow the filters")


def _entries(hit: dict[str, Any]) -> Iterator[DatasetEntry]:
    """The open matrix files of a hit."""
    try:
        title = "; ".join(_values(hit, "projects", "projectTitle"))
        cells = sum(item.get("totalCells") or 0 for item in hit.get("cellSuspensions", ()))
        for file in hit["files"]:
            url = file.get("azul_url") or file.get("url")
            described = " ".join(file.get("contentDescription") or ["matrix"]).lower()
            if not url or "matrix" not in described or file.get("accessible") is False:
                continue
            yield DatasetEntry(
                dataset=file["uuid"],
                source="hca",
                # Addresses end in an id: the name says what format it is.
                location=f"{url}#{quote(file['name'].rpartition('/')[2])}",
                sha256=file.get("sha256"),
                bytes=file.get("size"),
                organism=joined(_values(hit, "donorOrganisms", "genusSpecies")),
                assay=joined(_values(hit, "protocols", "libraryConstructionApproach")),
                tissue=joined(_values(hit, "samples", "organ")),
                disease=joined(_values(hit, "samples", "disease")),
                cells=cells or None,
                title=inert_text(f"{title}: {file['name']}"),
            )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the Human Cell Atlas described a file in an unknown shape "
            f"({type(error).__name__}: {error})"
        ) from error


def _values(hit: dict[str, Any], group: str, key: str) -> Iterable[str]:
    """Every value of a key in a group; each is a list that may hold nulls, or a single value."""
    for item in hit.get(group) or ():
        values = item.get(key)
        for value in values if isinstance(values, list) else [values]:
            if value is not None:
                yield inert_text(value)
