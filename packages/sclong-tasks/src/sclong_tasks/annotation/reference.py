"""Labelled cells as vectors of one model: what tells the labels of other cells.

A fifth of the cells of each label does not vote. They calibrate: what they get, by the vote of the
others, says how sure a vote must be, and how far from the reference a cell may lie.
"""

import logging
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sclong_core.array_files import read_arrays
from sclong_core.errors import InputError
from sclong_core.files import atomic_folder, read_json, sha256_file, write_json

Floats = npt.NDArray[np.float32]
CELLS_FILE, FACTS_FILE = "cells.npz", "reference.json"
FORMAT = 1
CALIBRATING = 0.2
"""Share of the cells of a label that does not vote."""
LEAST_CELLS = 5
"""Of a label; those of a rarer one all vote."""
LEAST_CALIBRATING = 20
_ARRAYS = ("vectors", "centre", "codes", "calibrates")
_LOG = logging.getLogger("sclong")


@dataclass(frozen=True, eq=False)
class Reference:
    """Labelled cells.

    Args:
        vectors: ``(cells, width)`` float32 around ``centre``, each of length 1.
        centre: ``(width,)`` float32 mean of the cells' vectors. Around it cells of other studies
            are told better than around 0.
        codes: ``(cells,)`` places in ``labels``.
        labels: sorted names.
        calibrates: ``(cells,)`` cells that do not vote.
        encoder: digest of what made the vectors, or words for it: only its vectors are compared.
        source: where the cells are from, for people.
    """

    vectors: Floats
    centre: Floats
    codes: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    calibrates: npt.NDArray[np.bool_]
    encoder: str
    source: str = ""

    @classmethod
    def fit(
        cls,
        vectors: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        encoder: str,
        source: str = "",
        seed: int = 0,
    ) -> "Reference":
        """A reference of labelled vectors.

        Args:
            vectors: ``(cells, width)``.
            labels: of the cells; those with an empty one are left out.
            encoder: digest of what made the vectors.
            source: where the cells are from, for people.
            seed: draws the cells that calibrate.

        Raises:
            InputError: there are too few cells or labels, or a vector is no direction.
        """
        given = checked_vectors(vectors, "the reference")
        names = np.asarray(labels).astype(str)
        if names.shape != (len(given),):
            raise InputError(f"{len(given)} vectors and {names.size} labels do not belong together")
        known = names != ""
        if not known.all():
            _LOG.info("reference: %s cells without a label are left out", f"{(~known).sum():,}")
        given, names = given[known], names[known]
        found, codes = np.unique(names, return_inverse=True)
        if len(found) < 2:
            raise InputError(
                f"the reference has {len(found)} labels: there must be two to tell cells by"
            )
        calibrates = _calibrating(codes, seed)
        if calibrates.sum() < LEAST_CALIBRATING:
            raise InputError(
                f"the reference has {len(given):,} labelled cells, of which {calibrates.sum()} "
                f"could calibrate, {CALIBRATING:.0%} of those of each label with {LEAST_CELLS} or "
                f"more: {LEAST_CALIBRATING} are needed"
            )
        centre = given.mean(0, dtype=np.float64).astype(np.float32)
        values, codes = _directions(given - centre, "the reference"), codes.astype(np.int64)
        return cls(values, centre, codes, tuple(map(str, found)), calibrates, encoder, source)

    def placed(self, vectors: npt.ArrayLike) -> Floats:
        """Other cells as vectors of length 1 around the same centre.

        Raises:
            InputError: they are not as wide, or are no table of finite numbers.
        """
        values = checked_vectors(vectors, "the query")
        if values.shape[1] != len(self.centre):
            raise InputError(
                f"vectors of the query have {values.shape[1]} numbers, those of the reference "
                f"{len(self.centre)}: both must be made by one model in one way"
            )
        return _directions(values - self.centre, "the query")

    def save(self, folder: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write a folder that :meth:`load` reads, whole or not at all.

        Raises:
            InputError: it is there and ``overwrite`` is false.
        """
        with atomic_folder(folder, overwrite=overwrite) as made:
            np.savez(
                made / CELLS_FILE,
                allow_pickle=False,
                vectors=self.vectors,
                centre=self.centre,
                codes=self.codes,
                calibrates=self.calibrates,
            )
            facts = {
                "format": FORMAT,
                "encoder": self.encoder,
                "labels": list(self.labels),
                "source": self.source,
                "sha256": sha256_file(made / CELLS_FILE),
            }
            write_json(made / FACTS_FILE, facts)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> "Reference":
        """Read what :meth:`save` wrote.

        Raises:
            InputError: the folder is no reference, or damaged.
        """
        folder = Path(folder)
        if not is_reference(folder):
            raise InputError(f"{folder} is no reference: `sclong annotate` makes one")
        facts = read_json(folder / FACTS_FILE)
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise InputError(f"{folder} is a reference of another version: make it again")
        try:
            labels = tuple(map(str, facts["labels"]))
            encoder, source, digest = (str(facts[n]) for n in ("encoder", "source", "sha256"))
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder / FACTS_FILE} is damaged: it lacks {error}") from error
        if sha256_file(folder / CELLS_FILE) != digest:
            raise InputError(f"{folder / CELLS_FILE} is damaged: its checksum is another")
        found = read_arrays(folder / CELLS_FILE, _ARRAYS, "a reference")
        vectors, centre, codes, calibrates = (found[name] for name in _ARRAYS)
        if not (
            vectors.ndim == 2
            and len(vectors) == len(codes) == len(calibrates)
            and centre.shape == vectors.shape[1:]
            and vectors.dtype == centre.dtype == np.float32
            and codes.dtype == np.int64
            and calibrates.dtype == bool
            and codes.size
            and 0 <= codes.min() <= codes.max() < len(labels)
        ):
            raise InputError(f"{folder / CELLS_FILE} is damaged: its arrays do not belong together")
        return cls(vectors, centre, codes, labels, calibrates, encoder, source)


def is_reference(folder: Path) -> bool:
    """Whether a folder looks like a reference."""
    return (folder / FACTS_FILE).is_file() and (folder / CELLS_FILE).is_file()


def checked_vectors(vectors: npt.ArrayLike, what: str) -> Floats:
    """Vectors as a table.

    Raises:
        InputError: they are no table of finite numbers.
    """
    values = np.asarray(vectors, dtype=np.float32)
    if values.ndim != 2 or not values.size:
        raise InputError(f"the vectors of {what} are no table of cells by numbers")
    if not np.isfinite(values).all():
        raise InputError(f"the vectors of {what} hold numbers that are not finite")
    return values


def _directions(values: Floats, what: str) -> Floats:
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    if (lengths == 0).all():
        raise InputError(f"the vectors of {what} are all alike: nothing can be told from them")
    return np.asarray(values / np.maximum(lengths, 1e-12), dtype=np.float32)


def _calibrating(codes: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
    """Cells that calibrate: the same share of each label that is not rare."""
    chosen = np.zeros(len(codes), dtype=bool)
    generator = np.random.default_rng(seed)
    for code in range(int(codes.max()) + 1):
        cells = np.flatnonzero(codes == code)
        if len(cells) >= LEAST_CELLS:
            count = max(1, round(CALIBRATING * len(cells)))
            chosen[generator.choice(cells, count, replace=False)] = True
    return chosen
