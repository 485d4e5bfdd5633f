"""Data of chemical perturbation: one row is a compound at a dose in a cell line, and its profile.

Shapes: r rows, g landmark genes, d dimensions of a gene vector, n replicates.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.lib.format import open_memmap

from sclong_core.errors import InputError
from sclong_core.files import write_json
from sclong_tasks.cache import digest_arrays, digest_of, open_array
from sclong_tasks.chemical_perturbation.config import ChemicalSettings
from sclong_tasks.chemical_perturbation.l1000 import Beside, read_l1000
from sclong_tasks.chemical_perturbation.profiles import MISSING, VEHICLE, Profiles
from sclong_tasks.chemical_perturbation.reading import (
    read_fields,
    read_gene_vectors,
    read_signatures,
    read_smiles,
)
from sclong_tasks.chemistry.molecules import Molecules, read_molecules, shown
from sclong_tasks.task import Rows

_LOG = logging.getLogger("sclong")
Values = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
LABELS = ("profile", "pert_id", "drug", "cell_id", "dose", "hours", "replicates", "part")
_USUAL_HOURS = 24.0
_KEY = ["pert_id", "cell_id", "dose", "hours", "part"]
"""What replicates share."""


@dataclass(frozen=True, eq=False)
class ChemicalData:
    """Validated profiles with what describes their compounds and genes."""

    table: pd.DataFrame
    """``r`` lines: the columns of ``LABELS``; doses in micromolar."""
    values: Values
    """``(r, g)`` the profiles; NaN where hidden."""
    genes: tuple[str, ...]
    """Symbols of the landmark genes."""
    molecules: Molecules
    """The compounds, named by pert_id."""
    gene_vectors: tuple[tuple[str, ...], Values] | None = None
    """Genes and ``(genes, d)`` vectors of DeepCE, where its file was given."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 over rows, profiles, genes and compounds."""
        digest = hashlib.sha256(self.table.to_csv(index=False).encode())
        digest.update(digest_arrays(self.values).encode())
        digest.update(self.parts_digest.encode())
        return digest.hexdigest()

    @cached_property
    def parts_digest(self) -> str:
        """SHA-256 over compounds, genes and gene vectors: what a network is bound to."""
        vectors = self.gene_vectors
        known = "" if vectors is None else digest_of([vectors[0], digest_arrays(vectors[1])])
        return digest_of([self.molecules.digest, self.genes, known])

    @property
    def labels(self) -> pd.DataFrame:
        """Names of each row."""
        return self.table

    @property
    def truth(self) -> pd.DataFrame:
        """The measured profiles, one column a gene."""
        return pd.DataFrame(
            self.values.astype(np.float64), index=self.table.index, columns=list(self.genes)
        )

    def hide(self, rows: Rows) -> Self:
        """The same data without the profiles of these rows."""
        values = self.values.copy()
        values[rows] = np.nan
        return replace(self, values=values)

    @cached_property
    def drug(self) -> npt.NDArray[np.int64]:
        """``(r,)`` place of each row's compound among the molecules."""
        place = self.molecules.position
        return np.array([place[name] for name in self.table["pert_id"]], dtype=np.int64)

    @cached_property
    def compound(self) -> npt.NDArray[np.object_]:
        """``(r,)`` InChIKey block that stereoisomers and salts of one compound share."""
        names = np.array([one.compound for one in self.molecules.molecules], dtype=object)
        found: npt.NDArray[np.object_] = names[self.drug]
        return found

    @cached_property
    def log_dose(self) -> Floats:
        """``(r,)`` log10 of the dose in micromolar."""
        found: Floats = np.log10(self.table["dose"].to_numpy(dtype=np.float64))
        return found

    def mean_profile(self, rows: Rows) -> Floats:
        """``(g,)`` mean of the profiles of these rows."""
        found: Floats = self.values[rows].astype(np.float64).mean(axis=0)
        return found


def prepare(sources: Mapping[str, Path], folder: Path, names: Mapping[str, str]) -> None:
    """Convert the original files.

    Profiles that are given as one file win over DeepCE's signatures.

    Args:
        sources: original files by name.
        folder: where to write.
        names: of the files by what they hold.

    Raises:
        InputError: there are no profiles, or nothing is known of their compounds.
    """
    given = {what: sources[name] for what, name in names.items() if name in sources}
    vectors = read_gene_vectors(given["gene_vectors"]) if "gene_vectors" in given else None
    profiles = _profiles(given, () if vectors is None else vectors[0])
    smiles = {**profiles.smiles, **(read_smiles(given["smiles"]) if "smiles" in given else {})}
    table = profiles.table
    vehicle = (table["pert_type"] == VEHICLE).to_numpy()
    known = table["pert_id"].isin(set(smiles)).to_numpy()
    dosed = (table["dose"] > 0).to_numpy()
    timed = table["hours"].notna().to_numpy()
    treated = ~vehicle
    say("profiles of compounds without a SMILES", table["pert_id"], treated & ~known)
    say("profiles without a dose", table["profile"], treated & known & ~dosed)
    say("profiles without a time", table["profile"], treated & known & dosed & ~timed)
    kept = np.flatnonzero(vehicle | (known & dosed & timed)).astype(np.int64)
    rows = table.iloc[kept].reset_index(drop=True)
    drugs = sorted(set(rows["pert_id"][rows["pert_type"] != VEHICLE]))
    if not drugs:
        raise InputError(
            "no profile is left: SMILES are needed for their compounds (drugs_smiles.csv beside "
            "the file, or a field canonical_smiles in it), and a dose and a time"
        )
    molecules = read_molecules({name: smiles[name] for name in drugs}, reject=True)
    _write_values(folder / "values.npy", profiles, kept)
    rows.to_parquet(folder / "profiles.parquet", index=False)
    used = pd.DataFrame([(one.name, one.smiles) for one in molecules.molecules])
    used.set_axis(["pert_id", "smiles"], axis=1).to_parquet(folder / "drugs.parquet", index=False)
    write_json(folder / "genes.json", list(profiles.genes))
    if vectors is not None:
        write_json(folder / "gene_vectors.json", list(vectors[0]))
        np.save(folder / "gene_vectors.npy", vectors[1], allow_pickle=False)


def _profiles(given: Mapping[str, Path], wanted: tuple[str, ...]) -> Profiles:
    parts = {part: given[part] for part in ("train", "validation", "test") if part in given}
    if "profiles" in given:
        if parts:
            _LOG.info("the signature files are skipped: %s is given", given["profiles"].name)
        beside = Beside(
            read_fields(given["about_profiles"]) if "about_profiles" in given else None,
            read_fields(given["about_genes"]) if "about_genes" in given else None,
            wanted,
        )
        return read_l1000(given["profiles"], beside)
    if not parts:
        raise InputError(
            "chemical_perturbation needs profiles: give the folder of DeepCE's signature_train.csv,"
            " signature_dev.csv and signature_test.csv, or one GCT, GCTX or h5ad file, "
            "with --source"
        )
    return read_signatures(parts)


def _write_values(path: Path, profiles: Profiles, kept: Rows) -> None:
    shape = (len(kept), len(profiles.genes))
    values = open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for block in profiles.read(kept):
        values[start : start + len(block)] = block
        start += len(block)
    values.flush()


def load(folder: Path, settings: ChemicalSettings) -> ChemicalData:
    """Read what :func:`prepare` wrote: rows of the settings, one for each set of replicates.

    Raises:
        InputError: no row is left; the step that left none is named.
    """
    every = pd.read_parquet(folder / "profiles.parquet")
    drugs = pd.read_parquet(folder / "drugs.parquet")
    genes = tuple(json.loads((folder / "genes.json").read_text(encoding="utf-8")))
    stored = open_array(folder / "values.npy")
    vehicle = every["pert_type"] == VEHICLE
    table = _filtered(every[~vehicle], settings, set(drugs["pert_id"]))
    values, table = _responses(stored, table, every[vehicle], settings)
    rows, values = _without_replicates(table, values, settings.replicates)
    used = drugs[drugs["pert_id"].isin(set(rows["pert_id"]))]
    molecules = read_molecules(dict(zip(used["pert_id"], used["smiles"], strict=True)))
    vectors = None
    if (folder / "gene_vectors.json").exists():
        names = json.loads((folder / "gene_vectors.json").read_text(encoding="utf-8"))
        vectors = (tuple(names), np.array(open_array(folder / "gene_vectors.npy")))
    data = ChemicalData(rows[list(LABELS)], values, genes, molecules, vectors)
    _LOG.info(
        "%d rows: %d compounds in %d cell lines at %d doses, %d genes",
        len(rows), len(molecules), rows["cell_id"].nunique(), rows["dose"].nunique(), len(genes),
    )  # fmt: skip
    return data


def _filtered(table: pd.DataFrame, settings: ChemicalSettings, known: set[str]) -> pd.DataFrame:
    """Rows that the settings ask for; each step is counted."""
    rules = (
        ("pert_type", settings.pert_types, "task.pert_types"),
        ("hours", _hours(table, settings), "task.hours"),
        ("cell_id", settings.cell_lines, "task.cell_lines"),
        ("dose", settings.doses, "task.doses"),
    )
    for column, wanted, setting in rules:
        if not wanted:
            continue
        kept = table[table[column].isin(wanted)]
        if kept.empty:
            counts = table[column].value_counts().to_dict()
            there = shown([f"{value} ({count})" for value, count in counts.items()])
            raise InputError(
                f"no profile has {column} {shown(list(map(str, wanted)))}: the data hold {there}; "
                f"set {setting}"
            )
        say(f"profiles of other {column}", table[column], ~table[column].isin(wanted).to_numpy())
        table = kept
    usable = table["pert_id"].isin(known) & ~table["pert_id"].isin(settings.leave_out)
    say("profiles of compounds that are left out", table["pert_id"], ~usable.to_numpy())
    if not usable.any():
        raise InputError("no profile is left: all compounds are left out (task.leave_out)")
    return table[usable]


def _hours(table: pd.DataFrame, settings: ChemicalSettings) -> list[float]:
    """The times that are asked for; none where all are."""
    if settings.hours is not None:
        return [settings.hours] if settings.hours else []
    counts = table["hours"].value_counts()
    return [_USUAL_HOURS if _USUAL_HOURS in counts.index else float(counts.index[0])]


def _responses(
    stored: npt.NDArray[np.float32],
    table: pd.DataFrame,
    vehicles: pd.DataFrame,
    settings: ChemicalSettings,
) -> tuple[Values, pd.DataFrame]:
    """Profiles as they are stored, or above the vehicle wells of their plate."""
    values = np.array(stored[table.index.to_numpy()])
    kind = settings.response
    if kind == "auto":
        kind = "difference" if len(vehicles) and (values >= 0).all() else "stored"
    if kind == "stored":
        return values, table
    if vehicles.empty:
        raise InputError("task.response=difference needs vehicle wells, and the data hold none")
    wells = stored[vehicles.index.to_numpy()].astype(np.float64)
    plates = vehicles["plate"].to_numpy()
    means = {plate: wells[plates == plate].mean(axis=0) for plate in sorted(set(plates))}
    covered = table["plate"].isin(set(means)).to_numpy()
    say("profiles of plates without vehicle wells", table["plate"], ~covered)
    if not covered.any():
        raise InputError("no profile is on a plate with vehicle wells")
    table, values = table[covered], values[covered]
    _LOG.info(
        "targets are differences to the mean of the vehicle wells of the same plate "
        "(%d wells on %d plates)",
        len(vehicles), len(means),
    )  # fmt: skip
    base = np.stack([means[plate] for plate in table["plate"]])
    return (values - base).astype(np.float32), table


def _without_replicates(
    table: pd.DataFrame, values: Values, rule: str
) -> tuple[pd.DataFrame, Values]:
    """One row for each compound, cell line, dose and time; replicates in the order of the file."""
    rows = table.reset_index(drop=True)
    order = rows.sort_values(_KEY, kind="stable").index.to_numpy()
    rows, values = rows.iloc[order].reset_index(drop=True), values[order]
    groups = rows.groupby(_KEY, sort=False).ngroup().to_numpy()
    sizes = np.bincount(groups)
    rows = rows.assign(replicates=sizes[groups])
    if rule == "all":
        return rows.assign(replicates=1), values
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    found, chosen = np.empty((len(sizes), values.shape[1]), np.float32), []
    for group, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        block = values[start : start + size]
        place = central(block) if size > 1 and rule == "central" else 0
        found[group] = block.mean(axis=0) if rule == "mean" else block[place]
        chosen.append(int(start) + place)
    if len(sizes) < len(rows):
        _LOG.info(
            "%d profiles are replicates of %d rows (%s)",
            int(sizes[sizes > 1].sum()), int((sizes > 1).sum()), rule,
        )  # fmt: skip
    return rows.iloc[chosen].reset_index(drop=True), found


def central(values_ng: Values) -> int:
    """The replicate whose mean rank over the genes is nearest the middle; the first of equals.

    Counted in whole numbers: of two replicates both are always equally near, and rounding would
    choose one of them.
    """
    ranks_ng = np.argsort(np.argsort(values_ng, axis=0, kind="stable"), axis=0, kind="stable")
    replicates, genes = values_ng.shape
    return int(np.argmin(np.abs(2 * ranks_ng.sum(axis=1) - genes * (replicates - 1))))


def say(what: str, names: pd.Series, left_out: npt.NDArray[np.bool_]) -> None:
    """Name and count what is left out."""
    if left_out.any():
        found = [str(name) for name in dict.fromkeys(names[left_out]) if str(name) not in MISSING]
        _LOG.info("%d %s are left out: %s", int(left_out.sum()), what, shown(found))
