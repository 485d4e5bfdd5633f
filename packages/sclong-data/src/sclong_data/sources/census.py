"""Slices of the CELLxGENE Census, through the optional package ``cellxgene-census``."""

import importlib
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from sclong_core.errors import InputError
from sclong_core.files import atomic_file

_EXTRA = "cellxgene"


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
            f"{location!r} is no slice of the Census: census:VERSION/ORGANISM?obs=FILTER"
        )
    census = require_census()
    try:
        with census.open_soma(census_version=version) as opened:
            adata = census.get_anndata(
                opened, organism=organism, obs_value_filter=value_filter, X_name="raw"
            )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise InputError(
            f"{location}: the Census refused: {' '.join(str(error).split())}"
        ) from error
    if not adata.n_obs:
        raise InputError(f"{location}: no cell fits this filter")
    if "feature_id" in adata.var:
        adata.var_names = adata.var["feature_id"].astype(str)
        adata.var.index.name = None
    adata.obs_names = adata.obs_names.astype(str)
    with atomic_file(path) as temporary:
        adata.write_h5ad(temporary, compression="gzip")


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
