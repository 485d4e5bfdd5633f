"""Which compound a molecule is: one key for a drug, its salts, hydrates and charges.

RDKit's standardisation normalises groups, disconnects sodium, potassium, magnesium and calcium, and
takes charges away where hydrogen can. What is left when known counter-ions are set aside is the
compound, and the first block of its InChIKey the key. Stereoisomers and isotopes share it, so do
tautomers that InChI takes for one (a hydrogen that moves between N, O and S; not keto and enol).

A molecule that would lose its identity on the way is kept whole: one with another metal, with an
element such as arsenic outside what is left, of counter-ions alone, or of two compounds either of
which may be the drug: the larger is not twice the size of the other.
"""

from dataclasses import dataclass
from functools import cache

from rdkit import Chem, rdBase
from rdkit.Chem import inchi
from rdkit.Chem.MolStandardize import rdMolStandardize

from sclong_tasks.chemistry.counterions import INORGANIC, ORGANIC

_SODIUM, _MAGNESIUM = {11, 19}, {12, 20}
_PLAIN_METALS = _SODIUM | _MAGNESIUM
"""Na, K, Mg, Ca: with a drug they are counter-ions."""
# fmt: off
_NON_METALS = {
    0, 1, 2, 5, 6, 7, 8, 9, 10, 14, 15, 16, 17, 18, 32, 33, 34, 35, 36, 51, 52, 53, 54, 83, 84, 85,
    86,
}
# fmt: on
"""What is not a metal, or, as arsenic and bismuth, sits in a drug by ordinary bonds."""
_USUAL = {1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53} | _PLAIN_METALS
"""Elements that a compound can lose with a counter-ion."""
_IONIC = Chem.MolFromSmarts("[Na,K,Mg,Ca]~[O,F,Cl,Br,I]")
_NITROGEN_OR_SULFUR = Chem.MolFromSmarts("[Na,K]~[N,S]")
_BLOCK = 14
_ALIKE = 2
"""The largest of several compounds is the drug if it has this many times the atoms of the next."""


@dataclass(frozen=True)
class Compound:
    """What a molecule is compared by."""

    key: str
    """First block of the InChIKey; canonical SMILES where InChI has none."""
    whole: bool
    """Kept as it is, though it has several parts or a metal: it would be something else."""
    others: int
    """Compounds beside it that are not known counter-ions; it is the largest of them, or whole if
    none is much the largest."""


def compound_of(molecule: Chem.Mol) -> Compound:
    """The compound without counter-ions, solvents and charges."""
    with rdBase.BlockLogs():
        try:
            parent, others = _parent(molecule)
        except (ValueError, RuntimeError):  # RDKit cannot sanitise a part
            parent, others = None, 0
        return Compound(_key(molecule if parent is None else parent), parent is None, others)


def inchikey(molecule: Chem.Mol) -> str:
    """Of all of it; empty where InChI cannot describe it, as with more than 1,024 atoms.

    InChI separates metals from what they bind. Bonds whose electrons come from one side, which it
    does not know, are taken off before.
    """
    with rdBase.BlockLogs():
        key: str = inchi.MolToInchiKey(molecule)  # type: ignore[no-untyped-call]  # RDKit's wrapper
        if not key:
            key = inchi.MolToInchiKey(_without_dative(molecule))  # type: ignore[no-untyped-call]
        return key


def _parent(molecule: Chem.Mol) -> tuple[Chem.Mol | None, int]:
    """The compound, None where that is all of it, and how many others there are."""
    elements = {atom.GetAtomicNum() for atom in molecule.GetAtoms()}
    if elements - _NON_METALS - _PLAIN_METALS:
        return None, 0
    every = Chem.GetMolFrags(_disconnected(molecule), asMols=True)
    parts = {_key(part): part for part in map(_neutral, every) if not _is_ion(part)}
    if any(_elements(part) & _PLAIN_METALS for part in parts.values()):
        return None, 0
    left = [part for key, part in parts.items() if key not in _keys_of_all()]
    if not left and not elements & _MAGNESIUM:
        # Sodium benzoate is benzoic acid, but calcium gluconate is taken for its calcium.
        left = [part for key, part in parts.items() if key in _keys_of_organic()]
        left = left if len(left) == 1 else []
    if not left:
        single = len(every) == 1 and len(parts) == 1
        return (next(iter(parts.values())) if single else None), 0
    organic = [part for part in left if 6 in _elements(part)]
    chosen = max(organic or left, key=lambda one: (one.GetNumHeavyAtoms(), Chem.MolToSmiles(one)))
    second = max((one.GetNumHeavyAtoms() for one in left if one is not chosen), default=0)
    if _ALIKE * second > chosen.GetNumHeavyAtoms():
        return None, len(left) - 1  # either may be the drug: its size does not tell
    kept = _elements(chosen) if organic else set()
    if len(every) > 1 and elements - kept - _USUAL:
        return None, 0
    return chosen, len(left) - 1


def _disconnected(molecule: Chem.Mol) -> Chem.Mol:
    """Sodium and its like as ions, where they are written as bound."""
    if not _elements(molecule) & _PLAIN_METALS:
        return molecule
    disconnector = rdMolStandardize.MetalDisconnector()
    disconnector.SetMetalNof(_IONIC)
    disconnector.SetMetalNon(_NITROGEN_OR_SULFUR)
    return disconnector.Disconnect(molecule)


def _neutral(part: Chem.Mol) -> Chem.Mol:
    return rdMolStandardize.Uncharger().uncharge(rdMolStandardize.Normalize(part))


def _key(part: Chem.Mol) -> str:
    return inchikey(part)[:_BLOCK] or Chem.MolToSmiles(part, isomericSmiles=False)


@cache
def _keys_of_organic() -> frozenset[str]:
    parts = [Chem.MolFromSmiles(smiles) for smiles in ORGANIC.values()]
    return frozenset(_key(_neutral(part)) for part in parts)


@cache
def _keys_of_all() -> frozenset[str]:
    parts = [Chem.MolFromSmiles(smiles) for smiles in INORGANIC.values()]
    return frozenset(_key(_neutral(part)) for part in parts) | _keys_of_organic()


def _without_dative(molecule: Chem.Mol) -> Chem.Mol:
    plain = Chem.RWMol(molecule)
    kinds = (Chem.BondType.DATIVE, Chem.BondType.ZERO)
    for bond in [bond for bond in molecule.GetBonds() if bond.GetBondType() in kinds]:
        plain.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return plain.GetMol()


def _is_ion(part: Chem.Mol) -> bool:
    """A proton, or an atom of sodium and its like."""
    return part.GetNumAtoms() == 1 and bool(_elements(part) & (_PLAIN_METALS | {1}))


def _elements(part: Chem.Mol) -> set[int]:
    return {atom.GetAtomicNum() for atom in part.GetAtoms()}
