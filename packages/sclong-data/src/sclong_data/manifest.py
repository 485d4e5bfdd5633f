"""Former place of :mod:`sclong_data.dataset_manifest`; it goes with the next release."""

import warnings

from sclong_data.dataset_manifest import DatasetEntry, Manifest

__all__ = ["DatasetEntry", "Manifest"]
warnings.warn(
    "sclong_data.manifest is now sclong_data.dataset_manifest", DeprecationWarning, stacklevel=2
)
