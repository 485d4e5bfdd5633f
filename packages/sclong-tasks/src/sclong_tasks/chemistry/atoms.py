"""Numbers that describe an atom, as DeepCDR, DeepDDS and DeepCE choose them.

Sources: DeepDDS (Wang et al. 2022), whose vectors are divided by their sum; DeepCDR (Liu et al.
2020), which takes the 75 numbers of DeepChem's graph convolution; DeepCE (Pham et al. 2021), which
takes the 62 numbers of the neural fingerprint of Duvenaud et al. (2015), and 6 of each bond. The
fingerprint only ever sums bonds around an atom, so that these sums stand behind an atom's own
numbers here.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from rdkit import Chem

AtomFeatures = Literal["deepcdr", "deepdds", "deepce"]

# fmt: off
SYMBOLS = (
    "C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na",
    "Ca", "Fe", "As", "Al", "I", "B", "V", "K", "Tl", "Yb", "Sb",
    "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge", "Cu",
    "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr", "Pt", "Hg", "Pb",
)
# fmt: on
"""Elements with a feature of their own; any other one is "unknown"."""
BONDS = ("single", "double", "triple", "aromatic", "conjugated", "in a ring")
"""What DeepCE tells of a bond."""
HYBRIDISATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name} {number}" for number in range(count))


_ELEMENTS = (*(f"element {symbol}" for symbol in SYMBOLS), "element unknown")
ATOM_FEATURE_NAMES: dict[AtomFeatures, tuple[str, ...]] = {
    "deepdds": (
        *_ELEMENTS,
        *_numbered("degree", 11),
        *_numbered("hydrogens", 11),
        *_numbered("implicit valence", 11),
        "aromatic",
    ),
    "deepcdr": (
        *_ELEMENTS,
        *_numbered("degree", 11),
        *_numbered("implicit valence", 7),
        "formal charge",
        "radical electrons",
        *(f"hybridisation {name}" for name in HYBRIDISATIONS),
        "aromatic",
        *_numbered("hydrogens", 5),
    ),
    "deepce": (
        *_ELEMENTS,
        *_numbered("degree", 6),
        *_numbered("hydrogens", 5),
        *_numbered("implicit valence", 6),
        "aromatic",
        *(f"bonds {name}" for name in BONDS),
    ),
}
"""What each number of an atom is."""


def atom_features(molecule: Chem.Mol, kind: AtomFeatures) -> npt.NDArray[np.float32]:
    """``(atoms, 78)`` of DeepDDS, ``(atoms, 75)`` of DeepCDR, or ``(atoms, 68)`` of DeepCE."""
    describe = {"deepdds": _deepdds, "deepcdr": _deepcdr, "deepce": _deepce}[kind]
    return np.array([describe(atom) for atom in molecule.GetAtoms()], dtype=np.float32)


def _deepdds(atom: Chem.Atom) -> npt.NDArray[np.float64]:
    values = np.concatenate(
        [
            _element(atom),
            _one_hot(atom.GetDegree(), 11),
            _one_hot(atom.GetTotalNumHs(), 11),
            _one_hot(_implicit_valence(atom), 11),
            [atom.GetIsAromatic()],
        ]
    )
    scaled: npt.NDArray[np.float64] = values / values.sum()
    return scaled


def _deepcdr(atom: Chem.Atom) -> npt.NDArray[np.float64]:
    return np.concatenate(
        [
            _element(atom),
            _one_hot(atom.GetDegree(), 11),
            _one_hot(_implicit_valence(atom), 7),
            [atom.GetFormalCharge(), atom.GetNumRadicalElectrons()],
            _member(str(atom.GetHybridization()), HYBRIDISATIONS),
            [atom.GetIsAromatic()],
            _one_hot(atom.GetTotalNumHs(), 5),
        ]
    )


def _deepce(atom: Chem.Atom) -> npt.NDArray[np.float64]:
    bonds = [_bond(bond) for bond in atom.GetBonds()]
    return np.concatenate(
        [
            _element(atom),
            _one_hot(atom.GetDegree(), 6),
            _one_hot(atom.GetTotalNumHs(), 5),
            _one_hot(_implicit_valence(atom), 6),
            [atom.GetIsAromatic()],
            np.sum(bonds, axis=0) if bonds else np.zeros(len(BONDS)),
        ]
    )


def _bond(bond: Chem.Bond) -> npt.NDArray[np.float64]:
    kind = str(bond.GetBondType()).lower()
    kinds = [kind == name for name in BONDS[:4]]
    return np.array([*kinds, bond.GetIsConjugated(), bond.IsInRing()], dtype=np.float64)


def _element(atom: Chem.Atom) -> npt.NDArray[np.float64]:
    symbol = atom.GetSymbol()
    return _member(symbol if symbol in SYMBOLS else "unknown", (*SYMBOLS, "unknown"))


def _member(value: str, allowed: Sequence[str]) -> npt.NDArray[np.float64]:
    """One-hot; what is not among ``allowed`` counts as the last of them."""
    place = allowed.index(value) if value in allowed else len(allowed) - 1
    return _one_hot(place, len(allowed))


def _one_hot(value: int, size: int) -> npt.NDArray[np.float64]:
    """One-hot; too large a value counts as the largest."""
    vector = np.zeros(size)
    vector[min(value, size - 1)] = 1
    return vector


def _implicit_valence(atom: Chem.Atom) -> int:
    return int(atom.GetValence(Chem.ValenceType.IMPLICIT))
