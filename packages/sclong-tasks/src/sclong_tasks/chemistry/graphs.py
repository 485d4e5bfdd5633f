"""Molecules as graphs: atoms are nodes, bonds edges in both directions.

All graphs of a table lie end to end in a few arrays, which are computed once and kept. On a device
the same arrays are a :class:`GraphTable`, from which a batch takes each distinct drug once.

Shapes: a atoms and e directed edges of all drugs together, f features an atom.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sclong_tasks.cache import ContentCache, digest_arrays
from sclong_tasks.chemistry.atoms import ATOM_FEATURE_NAMES, AtomFeatures, atom_features
from sclong_tasks.chemistry.molecules import Molecules, parse_smiles

_VERSION = 1


@dataclass(frozen=True)
class DrugGraphs:
    """The graphs of drugs, end to end."""

    names: tuple[str, ...]
    x: npt.NDArray[np.float32]
    """``(a, f)`` features of the atoms."""
    edge_index: npt.NDArray[np.int64]
    """``(2, e)`` places of atoms within their own drug; each bond in both directions."""
    atom_starts: npt.NDArray[np.int64]
    """``(drugs + 1,)`` place of each drug's first atom; the last is the number of atoms."""
    edge_starts: npt.NDArray[np.int64]
    """``(drugs + 1,)`` the same for edges."""

    def __len__(self) -> int:
        """Number of drugs."""
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all arrays."""
        return digest_arrays(self.x, self.edge_index, self.atom_starts, self.edge_starts)

    def data(self, place: int) -> Data:
        """One drug as a PyG graph. A single atom has an edge list of shape ``(2, 0)``."""
        atoms = slice(self.atom_starts[place], self.atom_starts[place + 1])
        edges = slice(self.edge_starts[place], self.edge_starts[place + 1])
        return Data(
            x=torch.from_numpy(np.array(self.x[atoms])),
            edge_index=torch.from_numpy(np.array(self.edge_index[:, edges])),
            name=self.names[place],
        )


def drug_graphs(
    molecules: Molecules, kind: AtomFeatures, *, cache: ContentCache | None = None
) -> DrugGraphs:
    """The graphs of drugs with DeepCDR's or DeepDDS's atom features.

    Args:
        molecules: checked drugs.
        kind: whose atom features.
        cache: where graphs are kept between runs.
    """
    smiles = [molecule.canonical for molecule in molecules.molecules]
    key = {"what": "drug graphs", "version": _VERSION, "features": kind, "smiles": smiles}
    arrays = (cache or ContentCache(None)).arrays(key, lambda: _build(smiles, kind))
    return DrugGraphs(molecules.names, **arrays)


def molecule_graph(smiles: str, kind: AtomFeatures) -> Data:
    """The PyG graph of one SMILES.

    Raises:
        InputError: RDKit cannot read it.
    """
    x, edge_index = _graph(smiles, kind)
    return Data(x=torch.from_numpy(x), edge_index=torch.from_numpy(edge_index))


def _graph(
    smiles: str, kind: AtomFeatures
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    molecule = parse_smiles(smiles)
    bonds = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
    pairs = sorted(bonds + [(end, begin) for begin, end in bonds])
    edge_index = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return atom_features(molecule, kind), np.ascontiguousarray(edge_index)


def _build(smiles: list[str], kind: AtomFeatures) -> dict[str, npt.NDArray[np.generic]]:
    graphs = [_graph(text, kind) for text in smiles]
    width = len(ATOM_FEATURE_NAMES[kind])
    return {
        "x": np.concatenate([np.empty((0, width), np.float32), *(x for x, _ in graphs)]),
        "edge_index": np.concatenate([np.empty((2, 0), np.int64), *(e for _, e in graphs)], 1),
        "atom_starts": np.cumsum([0, *(len(x) for x, _ in graphs)], dtype=np.int64),
        "edge_starts": np.cumsum([0, *(e.shape[1] for _, e in graphs)], dtype=np.int64),
    }


class GraphTable(nn.Module):
    """The graphs of all drugs on the module's device; no part of its weights.

    Args:
        graphs: of the drugs, whose place is their index.
    """

    x: Tensor
    edge_index: Tensor
    atom_starts: Tensor
    edge_starts: Tensor

    def __init__(self, graphs: DrugGraphs) -> None:
        super().__init__()
        for name in ("x", "edge_index", "atom_starts", "edge_starts"):
            tensor = torch.from_numpy(np.array(getattr(graphs, name)))
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, drugs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The graphs of ``drugs`` as one batch.

        Args:
            drugs: ``(d,)`` int64 places in the table, each once.

        Returns:
            Features ``(atoms, f)``, edges ``(2, edges)`` and the drug of each atom ``(atoms,)``.
        """
        atoms, of_atom = _spans(self.atom_starts, drugs)
        edges, of_edge = _spans(self.edge_starts, drugs)
        counts = self.atom_starts[drugs + 1] - self.atom_starts[drugs]
        shift = torch.cumsum(counts, 0) - counts
        return self.x[atoms], self.edge_index[:, edges] + shift[of_edge], of_atom


def _spans(starts: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """The elements of the chosen spans, and which span each belongs to."""
    counts = starts[chosen + 1] - starts[chosen]
    owner = torch.repeat_interleave(torch.arange(len(chosen), device=chosen.device), counts)
    first = torch.cumsum(counts, 0) - counts
    within = torch.arange(len(owner), device=chosen.device) - first[owner]
    return starts[chosen][owner] + within, owner


def distinct(drugs: Tensor) -> tuple[Tensor, Tensor]:
    """Each drug once, and where each of ``drugs`` is among them (same shape as ``drugs``)."""
    unique, inverse = torch.unique(drugs, return_inverse=True)
    return unique, inverse
