"""Molecules, their graphs and fingerprints."""

import io
import zipfile

import h5py
import numpy as np
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem

from sclong_core.errors import ConfigError, InputError
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.atoms import ATOM_FEATURE_NAMES, atom_features
from sclong_tasks.chemistry.fingerprints import morgan_fingerprints
from sclong_tasks.chemistry.graphs import GraphTable, distinct, drug_graphs, molecule_graph
from sclong_tasks.chemistry.molecules import read_molecules
from tests.support.places import shared_folder

DRUGS = {"ethanol": "CCO", "water": "O", "aspirin": "CC(=O)Oc1ccccc1C(=O)O", "salt": "CCN.Cl"}


def test_names_and_counts_what_needs_a_look():
    molecules = read_molecules({**DRUGS, "spirit": "OCC", "free": "NCC"})
    assert molecules.salts == ("salt",)
    assert molecules.single_atoms == ("water",)
    assert molecules.duplicates == (("ethanol", "spirit"), ("salt", "free"))
    lines = "\n".join(molecules.describe())
    assert "1 drugs of a single atom: water" in lines
    assert "ethanol = spirit" in lines


@pytest.mark.parametrize("bad", ["CC(", "c1ccccc", "not smiles", "", "C(C)(C)(C)(C)C"])
def test_refuses_what_rdkit_rejects_by_name(bad):
    with pytest.raises(InputError, match=r"1 of 2 drugs .*wrong \("):
        read_molecules({"ethanol": "CCO", "wrong": bad})


def test_leaves_out_what_rdkit_rejects_only_when_asked(caplog):
    caplog.set_level("INFO", "sclong")
    molecules = read_molecules({"wrong": "CC(", "ethanol": "CCO"}, reject=True)
    assert molecules.names == ("ethanol",)
    assert molecules.rejected == {"wrong": "CC("}
    assert "cannot read: wrong (CC()" in caplog.text
    with pytest.raises(InputError, match="cannot read"):
        read_molecules({"wrong": "CC("}, reject=True)


def test_one_compound_has_one_key_however_it_is_written():
    keys = {read_molecules({"x": s}).molecules[0].inchikey for s in ("OCC", "C(C)O", "[CH3]CO")}
    assert keys == {"LFQSCWFLJHTTHZ-UHFFFAOYSA-N"}


@pytest.mark.parametrize(("kind", "width"), [("deepdds", 78), ("deepcdr", 75), ("deepce", 68)])
def test_features_have_their_published_width_and_names(kind, width):
    names = ATOM_FEATURE_NAMES[kind]
    assert len(names) == len(set(names)) == width
    (carbon, _, oxygen) = atom_features(Chem.MolFromSmiles("CCO"), kind)
    present = {names[place] for place in np.flatnonzero(oxygen)}
    assert {"element O", "degree 1", "hydrogens 1", "implicit valence 1"} <= present
    assert carbon[names.index("hydrogens 3")] > 0


def test_deepdds_vectors_sum_to_one():
    sums = atom_features(Chem.MolFromSmiles("c1ccccc1C#N"), "deepdds").sum(1)
    np.testing.assert_allclose(sums, 1, rtol=1e-6)


def test_deepce_sums_the_bonds_around_an_atom():
    names = ATOM_FEATURE_NAMES["deepce"]
    ring, methyl = names.index("bonds in a ring"), names.index("bonds single")
    toluene = atom_features(Chem.MolFromSmiles("Cc1ccccc1"), "deepce")
    assert toluene[:2, ring].tolist() == [0, 2]
    assert toluene[:3, methyl].tolist() == [1, 1, 0]
    assert toluene[1, names.index("bonds aromatic")] == 2


def test_unusual_elements_count_as_unknown():
    features = atom_features(Chem.MolFromSmiles("[W]"), "deepdds")
    assert features[0, ATOM_FEATURE_NAMES["deepdds"].index("element unknown")] > 0


def test_edges_go_both_ways_and_a_single_atom_has_none():
    graph = molecule_graph("CCO", "deepdds")
    pairs = set(map(tuple, graph.edge_index.T.tolist()))
    assert pairs == {(0, 1), (1, 0), (1, 2), (2, 1)}
    single = molecule_graph("O", "deepdds")
    assert single.edge_index.shape == (2, 0)
    assert single.edge_index.dtype == torch.int64


def test_a_batch_of_the_table_holds_the_graphs_of_its_drugs():
    graphs = drug_graphs(read_molecules(DRUGS), "deepdds")
    x, edges, owner = GraphTable(graphs)(torch.tensor([2, 1, 0]))
    first = 0
    for place, drug in enumerate((2, 1, 0)):
        one = graphs.data(drug)
        atoms = owner == place
        assert torch.equal(x[atoms], one.x)
        assert torch.equal(edges[:, owner[edges[0]] == place] - first, one.edge_index)
        first += len(one.x)


def test_each_drug_of_a_batch_occurs_once():
    drugs = torch.tensor([[3, 1], [1, 3], [3, 3]])
    unique, places = distinct(drugs)
    assert unique.tolist() == [1, 3]
    assert torch.equal(unique[places], drugs)


def test_graphs_and_fingerprints_are_computed_once(tmp_path, monkeypatch):
    cache, molecules = ContentCache(tmp_path), read_molecules(DRUGS)
    first = drug_graphs(molecules, "deepcdr", cache=cache)
    prints = morgan_fingerprints(molecules, cache=cache)
    for module in ("graphs", "fingerprints"):
        monkeypatch.setattr(f"sclong_tasks.chemistry.{module}.parse_smiles", None)
    assert drug_graphs(molecules, "deepcdr", cache=cache).digest == first.digest
    assert np.array_equal(morgan_fingerprints(molecules, cache=cache), prints)


def test_fingerprints_agree_with_rdkits_bit_vectors():
    prints = morgan_fingerprints(read_molecules(DRUGS), bits=256)
    generator = AllChem.GetMorganGenerator(radius=2, fpSize=256)
    expected = np.zeros(256)
    molecule = Chem.MolFromSmiles(DRUGS["aspirin"])
    DataStructs.ConvertToNumpyArray(generator.GetFingerprint(molecule), expected)
    assert np.array_equal(prints[2], expected)
    counted = morgan_fingerprints(read_molecules(DRUGS), bits=256, counts=True)
    assert np.array_equal(counted > 0, prints > 0)
    with pytest.raises(ConfigError, match="bits"):
        morgan_fingerprints(read_molecules(DRUGS), bits=0)


@pytest.mark.real_data
def test_deepcdr_features_are_those_that_its_authors_published():
    folder = shared_folder("data/drug_response")
    if folder is None:
        pytest.skip("no folder shared/data/drug_response beside the checkout")
    smiles = dict(
        line.split("\t")
        for line in (folder / "223drugs_pubchem_smiles.txt").read_text().splitlines()
        if line.strip()
    )
    compared = 0
    with zipfile.ZipFile(folder / "drug_graph_feat.zip") as archive:
        for name in [n for n in archive.namelist() if n.endswith(".hkl")]:
            with h5py.File(io.BytesIO(archive.read(name))) as file:
                published = np.array(file["data_0/data_0"], dtype=np.float32)
            graph = molecule_graph(smiles[name.split("/")[-1].removesuffix(".hkl")], "deepcdr")
            ours = graph.x.numpy()
            if ours.shape != published.shape:
                continue
            # DeepChem sorts the atoms of a molecule by degree.
            rows = [np.array(sorted(map(tuple, table))) for table in (ours, published)]
            compared += bool(np.array_equal(*rows))
    assert compared >= 215
