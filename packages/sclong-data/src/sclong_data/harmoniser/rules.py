"""What the harmoniser keeps and how it normalises: the paper's rules, each of them a setting."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, Self, get_args

from sclong_core.errors import ConfigError

HUMAN = "NCBITaxon:9606"
Log1pForm = Literal["cp10k", "printed"]
OtherSums = Literal["keep", "rescale"]
OtherSpecies = Literal["refuse", "keep"]
PRINTED_DIVISOR = 10_000.0
_RESERVED = frozenset(
    {".", "..", "_index", "__categories", "zarr.json", "dataset_id", "cell", "row"}
)
"""Names with a meaning of their own in a shard."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class HarmoniseRules:
    """Rules for data sets, cells and values (paper, "Collection and preprocessing").

    The defaults are the paper's, but for the form of the logarithm; see ``log1p``.

    Raises:
        ConfigError: a setting that is impossible.
    """

    organism: str = HUMAN
    """NCBI taxon that cells must be of; others are left out."""
    min_genes_per_dataset: int = 1_000
    """Data sets with fewer genes are left out."""
    min_genes_per_cell: int = 300
    """Cells with fewer genes of the vocabulary above zero are left out."""
    primary_only: bool = False
    """Leave out cells whose ``is_primary_data`` says that they are copies of another data set's."""
    log1p: Log1pForm = "cp10k"
    """What becomes of raw counts x: "cp10k" is log1p(x / total of the cell * 10,000), what the
    field and the authors' own preprocessing call log1p; "printed" is log(x / 10,000 + 1), as the
    paper prints it."""
    target_sum: float = 10_000.0
    """Counts a cell is scaled to before the logarithm, where ``log1p`` is "cp10k"."""
    other_sums: OtherSums = "keep"
    """log1p data whose cells had all been scaled to another common sum: taken as they are ("keep",
    the paper), or brought to ``target_sum`` ("rescale")."""
    maximum: float | None = 10.0
    """Cells are rescaled so that their largest value is this, larger values being clipped to it;
    None leaves them as the logarithm gives them."""
    other_species: OtherSpecies = "refuse"
    """Data sets whose genes or counts are those of another species than ``organism``: left out
    ("refuse"), or kept with a warning ("keep"), for data that was mapped to it."""
    cells_per_shard: int = 8_192
    """Cells read for one shard: the unit of work, and what bounds the memory."""
    obs_columns: tuple[str, ...] = ()
    """Columns of ``obs`` to keep beside those of the CELLxGENE schema."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot be."""
        for name in ("min_genes_per_dataset", "min_genes_per_cell", "cells_per_shard"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be a positive integer, not {value!r}")
        for name in ("target_sum", "maximum"):
            value = getattr(self, name)
            optional = name == "maximum" and value is None
            if not optional and not _positive(value):
                raise ConfigError(f"{name} must be a positive number, not {value!r}")
        for name, choices in (
            ("log1p", Log1pForm),
            ("other_sums", OtherSums),
            ("other_species", OtherSpecies),
        ):
            if getattr(self, name) not in get_args(choices):
                listed = ", ".join(get_args(choices))
                raise ConfigError(f"{name} must be one of {listed}, not {getattr(self, name)!r}")
        if not isinstance(self.primary_only, bool):
            raise ConfigError(f"primary_only must be true or false, not {self.primary_only!r}")
        if not re.fullmatch(r"NCBITaxon:[0-9]+", str(self.organism)):
            raise ConfigError(f"organism must be an NCBI taxon like {HUMAN}, not {self.organism!r}")
        object.__setattr__(self, "obs_columns", _names(self.obs_columns))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rules of a mapping; what it does not name is as by default.

        Raises:
            ConfigError: a setting is unknown or impossible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(str(key) for key in set(values) - known)
        if unknown:
            raise ConfigError(
                f"unknown rule: {', '.join(unknown)} (known: {', '.join(sorted(known))})"
            )
        return cls(**values)

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Self:
        """Rules of a YAML file.

        Raises:
            ConfigError: the file is not YAML with settings, or one of them is impossible.
            InputError: the file cannot be read.
        """
        from sclong_core.settings import read_settings  # noqa: PLC0415  # only where a file is read

        read = read_settings(path)
        if not isinstance(read, dict):
            raise ConfigError(f"{path} is not a YAML file of rules: give one `name: value` a line")
        return cls.from_dict({str(key): value for key, value in read.items()})

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {**dataclasses.asdict(self), "obs_columns": list(self.obs_columns)}
        if self.other_species == "refuse":
            del values["other_species"]  # corpora made before it was a rule stay the same
        return values


def _positive(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < float(value) < math.inf  # type: ignore[arg-type]  # a number


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, list | tuple):
        raise ConfigError(f"obs_columns must be a list of names, not {value!r}")
    names = tuple(str(name) for name in value)
    if len(set(names)) < len(names) or not all(name.isprintable() and name for name in names):
        raise ConfigError(f"obs_columns must be different, printable names, not {value!r}")
    for name in names:
        if "/" in name or name in _RESERVED or len(name.encode()) > _LONGEST_NAME:
            raise ConfigError(
                f"obs_columns: {name[:80]!r} cannot be the name of a column of a corpus (it holds "
                f"a slash, is longer than {_LONGEST_NAME} bytes or has another meaning there): "
                "rename it in the data, or leave it out"
            )
    return names
