"""Molecules by name, checked: what cannot be read, salts, single atoms, and one compound twice."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from rdkit import Chem, rdBase

from sclong_core.errors import InputError
from sclong_tasks.cache import digest_of
from sclong_tasks.chemistry.compounds import compound_of, inchikey

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
    """Of all of it; empty where InChI cannot describe it."""
    compound: str
    """What drugs are compared by: a salt, a stereoisomer and the free form are one compound. See
    :mod:`sclong_tasks.chemistry.compounds`."""
    parts: int
    """Molecules that it consists of; a salt has several."""
    atoms: int
    """Without hydrogens."""
    whole: bool = False
    """Compared as it is, because it would be another compound without its metal or counter-ions."""
    others: int = 0
    """Compounds in it beside the one that it is compared by, which are not known counter-ions."""


@dataclass(frozen=True)
class Molecules:
    """Drugs that can be used, in the order given, and those that cannot, by name."""

    molecules: tuple[Molecule, ...]
    rejected: Mapping[str, str]
    """Name to SMILES of what is not a molecule."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Name to why it is not."""

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
        whole = [
            one.name
            for one in self.molecules
            if one.whole and not one.others and (one.parts > 1 or one.atoms > 1)
        ]
        found = (
            *self.left_out,
            ("of several parts (salts)", self.salts),
            ("compared with their metals or counter-ions", whole),
            (
                "of several compounds, compared by the largest",
                [one.name for one in self.molecules if one.others and not one.whole],
            ),
            (
                "of several compounds of which none is twice as large, compared as a whole",
                [one.name for one in self.molecules if one.others and one.whole],
            ),
            ("of a single atom", self.single_atoms),
            ("under several names (one compound each)", groups),
        )
        return [f"{len(names)} drugs {what}: {shown(names)}" for what, names in found if names]

    @property
    def left_out(self) -> list[tuple[str, list[str]]]:
        """Rejected drugs with their SMILES, by reason."""
        return [
            (reason, [f"{n} ({s})" for n, s in self.rejected.items() if self.reasons[n] == reason])
            for reason in dict.fromkeys(self.reasons.values())
        ]


def read_molecules(smiles: Mapping[str, Any], *, reject: bool = False) -> Molecules:
    """Read drugs and say by name what is unusual about them.

    Args:
        smiles: SMILES by the name of the drug. What is not text, such as a missing value, counts
            as one that cannot be read.
        reject: leave out what is not a molecule, say so, and go on.

    Raises:
        InputError: a SMILES that RDKit cannot read or that is not of one molecule, unless
            ``reject``; or no drug is left.
    """
    usable: list[Molecule] = []
    rejected: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for name, text in smiles.items():
        molecule = _parsed(text)
        if isinstance(molecule, str):
            rejected[name], reasons[name] = str(text), molecule
        else:
            usable.append(_described(name, text, molecule))
    molecules = Molecules(tuple(usable), rejected, reasons)
    if rejected and (not reject or not usable):
        found = [f"{len(names)} {what}: {shown(names)}" for what, names in molecules.left_out]
        raise InputError(
            f"{len(rejected)} of {len(smiles)} drugs cannot be used, {'; '.join(found)}: correct "
            "or remove them"
        )
    if not usable:
        raise InputError("no drugs: the table of SMILES is empty")
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
        InputError: RDKit cannot read it, or it is not of one molecule.
    """
    found = _parsed(smiles)
    if isinstance(found, str):
        raise InputError(f"a drug {found}: {smiles!r}")
    return found


_UNREADABLE = "that RDKit cannot read"


def _parsed(smiles: Any) -> Chem.Mol | str:
    """The molecule, or what is wrong with the text."""
    text = smiles.strip() if isinstance(smiles, str) else ""
    if not text:
        return "without a SMILES"
    if text.startswith("InChI="):
        return "given as InChI, not as SMILES"
    with rdBase.BlockLogs():
        try:
            molecule = cast("Chem.Mol | None", Chem.MolFromSmiles(text))
        except (ValueError, RuntimeError):  # the text after it is not an extension RDKit knows
            molecule = None
        if molecule is None or molecule.GetNumAtoms() == 0:
            return _UNREADABLE
        if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
            return "with an atom that can be any (*)"
        after = text.split(None, 1)[1:]
        if after and after[0][0] != "|" and Chem.MolFromSmiles(after[0]) is not None:
            return "with two SMILES in one field"
    return molecule


def _described(name: str, smiles: str, molecule: Chem.Mol) -> Molecule:
    compound = compound_of(molecule)
    return Molecule(
        name=name,
        smiles=smiles,
        canonical=Chem.MolToSmiles(molecule),
        inchikey=inchikey(molecule),
        compound=compound.key,
        parts=len(Chem.GetMolFrags(molecule)),
        atoms=molecule.GetNumHeavyAtoms(),
        whole=compound.whole,
        others=compound.others,
    )
