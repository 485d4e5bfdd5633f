"""Labelled cells as vectors of one model: what tells the labels of other cells.

A fifth of the cells of each label, and at most 5,000 in all, do not vote but calibrate.
"""

import hashlib
import logging
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sclong_core.array_files import read_arrays
from sclong_core.errors import ConfigError, InputError
from sclong_core.files import (
    atomic_folder,
    read_sealed,
    require_own_folder,
    sha256_file,
    write_sealed,
)
from sclong_tasks.annotation.calibration import Calibration, calibrate
from sclong_tasks.annotation.space import (
    LEAST_CELLS,
    Codes,
    Floats,
    Space,
    checked_vectors,
    fit_space,
)

CELLS_FILE, FACTS_FILE = "cells.npz", "reference.json"
FORMAT = 1
UNKNOWN = "unknown"
CALIBRATING = 0.2
"""Share of the cells of a label that does not vote."""
MOST_CALIBRATING = 5000
"""Cells that calibrate, or a few more: rates are known to a percent or so by then."""
LEAST_CALIBRATING = 20
_NO_LABEL = ("", "nan", "na", "<na>", "none", UNKNOWN)
_LOG = logging.getLogger("sclong")


@dataclass(frozen=True, eq=False)
class Reference:
    """Labelled cells.

    Args:
        space: that cells are compared in.
        directions: ``(voters, width)`` float32, placed in it.
        codes: ``(voters,)`` places in ``labels``.
        labels: sorted names.
        calibration: what cells that do not vote got.
        encoder: digest of what made the vectors, or words for it: only its vectors are compared.
        source: where the cells are from, for people.
    """

    space: Space
    directions: Floats
    codes: Codes
    labels: tuple[str, ...]
    calibration: Calibration
    encoder: str
    source: str = ""

    @classmethod
    def fit(
        cls,
        vectors: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        encoder: str = "",
        batches: npt.ArrayLike | None = None,
        source: str = "",
        seed: int = 0,
    ) -> "Reference":
        """A reference of labelled vectors.

        Args:
            vectors: ``(cells, width)``.
            labels: of the cells; those without one, or that are "unknown", are left out.
            encoder: digest of what made the vectors.
            batches: of the cells (donors, libraries, technologies). Cells that calibrate are then
                told by other batches than their own, as cells of a new batch will be.
            source: where the cells are from, for people.
            seed: draws the cells that calibrate.

        Raises:
            InputError: there are too few cells, labels or batches, or a vector is not a direction.
        """
        if seed < 0:
            raise ConfigError(f"the seed must not be negative, and is {seed}")
        given = checked_vectors(vectors, "the reference")
        names = _aligned(labels, len(given), "labels")
        known = has_label(names)
        if not known.all():
            _LOG.info("reference: %s cells without a label are left out", f"{(~known).sum():,}")
        found, codes = np.unique(names[known], return_inverse=True)
        codes = codes.astype(np.int64)
        _check_labels(found, codes)
        numbers = None
        if batches is not None:
            numbers = np.unique(
                _aligned(batches, len(given), "batches")[known], return_inverse=True
            )[1]
            if numbers.max() < 1:
                raise InputError("the reference has one batch: leave batches out, or give two")
        calibrates = _calibrating(codes, seed)
        voters = ~calibrates
        space = fit_space(given[known][voters], codes[voters])
        directions = space.place(given[known], "the reference")
        calibration = calibrate(directions, codes, calibrates, numbers)
        if len(calibration.doubt) < LEAST_CALIBRATING:
            raise InputError(
                f"the reference has {len(codes):,} labelled cells, of which "
                f"{len(calibration.doubt)} can calibrate ({CALIBRATING:.0%} of each label with "
                f"{LEAST_CELLS} or more cells): {LEAST_CALIBRATING} are needed"
            )
        return cls(
            space,
            directions[voters],
            codes[voters],
            tuple(map(str, found)),
            calibration,
            encoder,
            source,
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides what it tells."""
        found = hashlib.sha256("\0".join((self.encoder, *self.labels)).encode())
        for name, values in self._arrays().items():
            found.update(f"{name} {values.dtype} {values.shape}".encode())
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()

    def save(self, folder: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a folder that :meth:`load` reads, whole or not at all.

        Args:
            folder: to make.
            overwrite: replace a reference that is there.

        Raises:
            InputError: it is there and ``overwrite`` is false, or it is not a reference.
        """
        require_replaceable(Path(folder), overwrite=overwrite)
        with atomic_folder(folder, overwrite=overwrite) as made:
            np.savez(made / CELLS_FILE, **self._arrays())  # type: ignore[arg-type]  # of numbers
            known = asdict(self.calibration)
            facts = {
                "format": FORMAT,
                "encoder": self.encoder,
                "labels": list(self.labels),
                "source": self.source,
                **{name: known[name] for name in _MEASURES},
                "sha256": sha256_file(made / CELLS_FILE),
            }
            write_sealed(made / FACTS_FILE, facts)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "Reference":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the folder is not a reference, or damaged.
        """
        folder = Path(folder)
        if not is_reference(folder):
            raise InputError(f"{folder} is not a reference: `sclong annotate` makes one")
        facts = read_sealed(folder / FACTS_FILE)
        if facts is None:
            raise InputError(f"{folder / FACTS_FILE} is damaged: copy or make the reference again")
        if facts.get("format") != FORMAT:
            raise InputError(f"{folder} is a reference of another version: make it again")
        try:
            labels = tuple(map(str, facts["labels"]))
            encoder, source, digest = (str(facts[n]) for n in ("encoder", "source", "sha256"))
            measures = {name: float(facts[name]) for name in _MEASURES}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder / FACTS_FILE} is damaged: {error}") from error
        if sha256_file(folder / CELLS_FILE) != digest:
            raise InputError(f"{folder / CELLS_FILE} is damaged: its checksum is another")
        arrays = read_arrays(folder / CELLS_FILE, _SHAPES, "a reference")
        if not _belong_together(arrays, len(labels)):
            raise InputError(f"{folder / CELLS_FILE} is damaged: its arrays do not belong together")
        return cls(
            Space(arrays["centre"], arrays["axes"]),
            arrays["directions"],
            arrays["codes"],
            labels,
            Calibration(arrays["usual"], arrays["doubt"], arrays["remoteness"], **measures),
            encoder,
            source,
        )

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "directions": self.directions,
            "codes": self.codes,
            "centre": self.space.centre,
            "axes": self.space.axes,
            "usual": self.calibration.usual,
            "doubt": self.calibration.doubt,
            "remoteness": self.calibration.remoteness,
        }


_MEASURES = ("accuracy", "macro_f1", "chance")
_SHAPES = {
    "directions": (np.float32, 2),
    "codes": (np.int64, 1),
    "centre": (np.float32, 1),
    "axes": (np.float32, 2),
    "usual": (np.float64, 1),
    "doubt": (np.float64, 1),
    "remoteness": (np.float64, 1),
}


def is_reference(folder: Path) -> bool:
    """Whether a folder looks like a reference."""
    return (folder / FACTS_FILE).is_file() and (folder / CELLS_FILE).is_file()


def require_replaceable(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write a reference where something is that is not to be replaced.

    Raises:
        InputError: something is there, and is not a reference or is not to be replaced.
    """
    require_own_folder(folder, is_reference, "a reference", overwrite=overwrite)


def has_label(names: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Which cells have a label: neither empty, nor a word for none."""
    return ~np.isin(np.char.lower(np.char.strip(names)), _NO_LABEL)


def _aligned(values: npt.ArrayLike, cells: int, what: str) -> npt.NDArray[np.str_]:
    names = np.asarray(values).astype(str)
    if names.shape != (cells,):
        raise InputError(f"{cells} vectors and {names.size} {what} do not belong together")
    return names


def _check_labels(found: npt.NDArray[np.str_], codes: Codes) -> None:
    if len(found) < 2:
        raise InputError(
            f"the reference has {len(found)} labels: there must be two to tell cells by"
        )
    if len(found) > len(codes) / 2:
        raise InputError(
            f"{len(codes):,} cells of the reference have {len(found):,} different labels: choose "
            "a column of labels that cells share"
        )
    counts = np.bincount(codes)
    rare = [f"{found[code]} ({counts[code]})" for code in np.flatnonzero(counts < LEAST_CELLS)]
    if rare:
        _LOG.warning(
            "reference: labels of fewer than %d cells vote, but no rate is guaranteed for them: %s",
            LEAST_CELLS,
            "; ".join(rare[:10]) + ("; ..." if len(rare) > 10 else ""),
        )


def _calibrating(codes: Codes, seed: int) -> npt.NDArray[np.bool_]:
    """Cells that calibrate: the same share of each label that is not rare."""
    share = min(CALIBRATING, MOST_CALIBRATING / len(codes))
    chosen = np.zeros(len(codes), dtype=bool)
    generator = np.random.default_rng(seed)
    for code in range(int(codes.max()) + 1):
        cells = np.flatnonzero(codes == code)
        if len(cells) >= LEAST_CELLS:
            count = max(1, round(share * len(cells)))
            chosen[generator.choice(cells, count, replace=False)] = True
    return chosen


def _belong_together(arrays: dict[str, npt.NDArray[Any]], labels: int) -> bool:
    if any(
        arrays[name].dtype != dtype or arrays[name].ndim != count
        for name, (dtype, count) in _SHAPES.items()
    ):
        return False
    if any(not np.isfinite(values).all() for values in arrays.values()):
        return False
    cells, width = arrays["directions"].shape
    codes, axes = arrays["codes"], arrays["axes"]
    return bool(
        cells == len(codes) > 0
        and 0 <= codes.min() <= codes.max() < labels == len(arrays["usual"])
        and len(axes) == len(arrays["centre"])
        and width == sum(axes.shape)
        and len(arrays["doubt"]) == len(arrays["remoteness"]) > 0
    )
