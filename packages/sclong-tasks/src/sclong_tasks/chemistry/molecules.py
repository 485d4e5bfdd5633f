"""Molecules by name, checked: what cannot be read, salts, single atoms, and one compound twice."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import inchi

from sclong_core.errors import InputError
from sclong_tasks.cache import digest_of

_LOG = logging.getLogger("sclong")
_SHOWN = 5


@dataclass(frozen=True)
class Molecule:
    """One drug."""

    name: str
    smiles: str
    """As given."""
    canonical: str
    """RDKit's canonical SMILES of all of it."""
    inchikey: str
    """Of all of it."""
    compound: str
    """InChIKey of its largest part: a salt and its free form are one compound."""
    parts: int
    """Molecules that it consists of; a salt has several."""
    atoms: int
    """Without hydrogens."""

    @property
    def connectivity(self) -> str:
        """First block of the compound's InChIKey: the same for stereoisomers."""
        return self.compound[:14]


@dataclass(frozen=True)
class Molecules:
    """Drugs that can be used, in the order given, and those that cannot, by name."""

    molecules: tuple[Molecule, ...]
    rejected: Mapping[str, str]
    """Name to SMILES of what RDKit cannot read."""

    def __len__(self) -> int:
        """Number of usable drugs."""
        return len(self.molecules)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the usable drugs."""
        return tuple(molecule.name for molecule in self.molecules)

    @cached_property
    def position(self) -> dict[str, int]:
        """Place of each usable drug by its name."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def salts(self) -> tuple[str, ...]:
        """Drugs of several parts."""
        return tuple(molecule.name for molecule in self.molecules if molecule.parts > 1)

    @cached_property
    def single_atoms(self) -> tuple[str, ...]:
        """Drugs of one heavy atom: their graph has no edge."""
        return tuple(molecule.name for molecule in self.molecules if molecule.atoms == 1)

    @cached_property
    def duplicates(self) -> tuple[tuple[str, ...], ...]:
        """Groups of names that stand for one compound."""
        groups: dict[str, list[str]] = {}
        for molecule in self.molecules:
            groups.setdefault(molecule.compound, []).append(molecule.name)
        return tuple(tuple(group) for group in groups.values() if len(group) > 1)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and canonical SMILES in order."""
        return digest_of([[molecule.name, molecule.canonical] for molecule in self.molecules])

    def describe(self) -> list[str]:
        """One line for each kind of molecule that needs a look, with count and names."""
        groups = [" = ".join(group) for group in self.duplicates]
        found = (
            ("that RDKit cannot read", [f"{n} ({s})" for n, s in self.rejected.items()]),
            ("of several parts (salts)", self.salts),
            ("of a single atom", self.single_atoms),
            ("under several names (one compound each)", groups),
        )
        return [f"{len(names)} drugs {what}: {shown(names)}" for what, names in found if names]


def read_molecules(smiles: Mapping[str, Any], *, reject: bool = False) -> Molecules:
    """Read drugs and say by name what is unusual about them.

    Args:
        smiles: SMILES by the name of the drug. What is no text, such as a missing value, counts
            as one that cannot be read.
        reject: leave out what RDKit cannot read, say so, and go on.

    Raises:
        InputError: a SMILES that RDKit cannot read, unless ``reject``; or no drug is left.
    """
    usable: list[Molecule] = []
    rejected: dict[str, str] = {}
    for name, text in smiles.items():
        molecule = _read(name, text)
        if molecule is None:
            rejected[name] = str(text)
        else:
            usable.append(molecule)
    if rejected and (not reject or not usable):
        named = [f"{name} ({text})" for name, text in rejected.items()]
        raise InputError(
            f"{len(rejected)} of {len(smiles)} drugs have a SMILES that RDKit cannot read: "
            f"{shown(named)}: correct or remove them"
        )
    if not usable:
        raise InputError("no drugs: the table of SMILES is empty")
    molecules = Molecules(tuple(usable), rejected)
    for line in molecules.describe():
        _LOG.info("%s", line)
    return molecules


def shown(names: Sequence[str], most: int = _SHOWN) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def parse_smiles(smiles: str) -> Chem.Mol:
    """RDKit's molecule.

    Raises:
        InputError: RDKit cannot read it, or it has no atoms.
    """
    with rdBase.BlockLogs():
        molecule = cast("Chem.Mol | None", Chem.MolFromSmiles(smiles))
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise InputError(f"RDKit cannot read the SMILES {smiles!r}")
    return molecule


def _read(name: str, smiles: Any) -> Molecule | None:
    if not isinstance(smiles, str):
        return None
    try:
        molecule = parse_smiles(smiles.strip())
    except InputError:
        return None
    parts = Chem.GetMolFrags(molecule, asMols=True)
    sizes = [part.GetNumHeavyAtoms() for part in parts]
    with rdBase.BlockLogs():
        key = _inchikey(molecule)
        compound = _inchikey(parts[int(np.argmax(sizes))]) if len(parts) > 1 else key
    if not key or not compound:
        return None
    return Molecule(
        name=name,
        smiles=smiles,
        canonical=Chem.MolToSmiles(molecule),
        inchikey=key,
        compound=compound,
        parts=len(parts),
        atoms=molecule.GetNumHeavyAtoms(),
    )


def _inchikey(molecule: Chem.Mol) -> str:
    key: str = inchi.MolToInchiKey(molecule)  # type: ignore[no-untyped-call]  # RDKit's wrapper
    return key
