"""Estimators of scikit-learn in files: written by skops, and read only if all types are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import skops.io

from sclong_core.errors import InputError

TRUSTED: tuple[str, ...] = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
    "numpy.dtype",
)
"""Types inside estimators that skops does not trust by itself; none runs code when it is read."""


def save_estimator(path: Path, estimator: Any) -> None:
    """Write an estimator."""
    skops.io.dump(estimator, path)


def load_estimator(path: Path, trusted: Sequence[str] = TRUSTED) -> Any:
    """Read an estimator.

    Raises:
        InputError: the file is missing or damaged, or holds a type that is not trusted; its name
            is given, and nothing of it was made.
    """
    try:
        unknown = set(skops.io.get_untrusted_types(file=path)) - set(trusted)
        if unknown:
            raise InputError(
                f"{path} holds types that are not trusted: {', '.join(sorted(unknown))}"
            )
        return skops.io.load(path, trusted=list(trusted))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path} is not an estimator: {error}") from error
