"""Former place of :mod:`sclong_tasks.drug_combination.example`; it goes with the next release."""

import warnings

from sclong_tasks.drug_combination.example import SyntheticSizes, write_synthetic_files

__all__ = ["SyntheticSizes", "write_synthetic_files"]
warnings.warn(
    "sclong_tasks.drug_combination.synthetic is now sclong_tasks.drug_combination.example",
    DeprecationWarning,
    stacklevel=2,
)
