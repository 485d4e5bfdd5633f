"""Slices of the CELLxGENE Census, through the optional package ``cellxgene-census``."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from sclong_core.errors import InputError
from sclong_core.files import atomic_file
from sclong_data.dataset_entry import DatasetEntry, inert_text
from sclong_data.sources.filters import Filters

_EXTRA = "cellxgene"


@dataclass(frozen=True)
class Census:
    """Slices of the Census: the cells of each data set that fit a filter."""

    version: str
    """Of the Census, for example "2025-01-30"."""
    where: str = ""
    """Which cells, in SOMA's language: ``tissue_general == 'lung'``; all by default."""
    organism: str = "homo_sapiens"
    """In the Census's spelling."""
    name: str = "CELLxGENE Census"
    """What people call it."""

    def list(self, filters: Filters) -> list[DatasetEntry]:
        """A slice for each data set; see :class:`~sclong_data.sources.source.Source`.

        Of the filters, those of cells that the Census knows become part of the slice.
        """
        asked = " and ".join(part for part in (*_asked(filters), self._own()) if part)
        census = require_census()
        with _refused(self.name), census.open_soma(census_version=self.version) as opened:
            obs = census.get_obs(
                opened,
                self.organism,
                value_filter=asked or None,
                column_names=["dataset_id"],
            )
        counts = obs["dataset_id"].astype(str).value_counts()
        entries = (
            DatasetEntry(
                dataset=dataset,
                source="cellxgene",
                location=slice_location(
                    self.version,
                    self.organism,
                    " and ".join(part for part in (f"dataset_id == '{dataset}'", asked) if part),
                ),
                organism=self.organism.replace("_", " ").capitalize(),
                cells=int(counts[dataset]),
                normalisation="raw",
                title=inert_text(f"{dataset}, where {asked or 'all cells'}"),
            )
            for dataset in sorted(counts.index)
        )
        only_size = Filters(min_cells=filters.min_cells, limit=filters.limit)
        return only_size.chosen(entries, self.name)

    def _own(self) -> str:
        return f"({self.where})" if self.where else ""


def _asked(filters: Filters) -> Iterator[str]:
    """Filters in SOMA's language, which compares whole names."""
    if filters.primary_only:
        yield "is_primary_data == True"
    for column, names in (
        ("tissue_general", filters.tissue),
        ("assay", filters.assay),
        ("disease", filters.disease),
    ):
        if names:
            yield f"{column} in {list(names)!r}"


def slice_location(version: str, organism: str, value_filter: str) -> str:
    """What stands in a manifest for a slice: ``census:VERSION/ORGANISM?obs=FILTER``.

    Args:
        version: of the Census, for example "2025-01-30"; "stable" moves with time.
        organism: for example "homo_sapiens".
        value_filter: which cells, in SOMA's language: ``tissue_general == 'lung'``.
    """
    return f"census:{quote(version)}/{quote(organism)}?obs={quote(value_filter)}"


def write_slice(location: str, path: Path) -> None:
    """Write the raw counts and the annotation of a slice as ``.h5ad``.

    The Census gives it as one object in memory: cut what is large by ``dataset_id``.

    Raises:
        InputError: the package is missing, the location is not one, or the Census refuses.
    """
    parts = urlsplit(location)
    version, _, organism = map(unquote, parts.path.partition("/"))
    value_filter = parse_qs(parts.query).get("obs", [""])[0]
    if parts.scheme != "census" or not version or not organism or not value_filter:
        raise InputError(
            f"{location!r} is not a slice of the Census: census:VERSION/ORGANISM?obs=FILTER"
        )
    census = require_census()
    try:
        with census.open_soma(census_version=version) as opened:
            adata = census.get_anndata(
                opened, organism=organism, obs_value_filter=value_filter, X_name="raw"
            )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise InputError(
            f"{location}: the Census rejected this: {' '.join(str(error).split())}"
        ) from error
    if not adata.n_obs:
        raise InputError(f"{location}: no cells match this filter")
    if "feature_id" in adata.var:
        adata.var_names = adata.var["feature_id"].astype(str)
        adata.var.index.name = None
    adata.obs_names = adata.obs_names.astype(str)
    with atomic_file(path) as temporary:
        adata.write_h5ad(temporary, compression="gzip")


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """An error of the Census as one line."""
    try:
        yield
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: the Census rejected this: {reason}") from error


def require_census() -> Any:
    """The package.

    Raises:
        InputError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module("cellxgene_census")
    except ImportError as error:
        raise InputError(
            f"slices of the Census need an optional package: pip install 'sclong-data[{_EXTRA}]'"
        ) from error
