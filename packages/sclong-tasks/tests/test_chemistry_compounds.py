"""One compound, one key: salts, hydrates, charges, metals, and text that is no molecule."""

import pytest
from rdkit import Chem

from sclong_core.errors import InputError
from sclong_tasks.chemistry.compounds import compound_of, inchikey
from sclong_tasks.chemistry.counterions import INORGANIC, ORGANIC
from sclong_tasks.chemistry.molecules import parse_smiles, read_molecules

ACID, BASE = "CCCC(CCC)C(=O)O", "CN(C)CCc1ccccc1"
PENICILLIN = "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)"
NAPROXEN = "CC(C(=O)O)c1ccc2cc(OC)ccc2c1"
PAMOIC = "OC(=O)c1cc2ccccc2c(Cc2c(O)c(cc3ccccc23)C(O)=O)c1O"


def key(smiles):
    return compound_of(Chem.MolFromSmiles(smiles)).key


@pytest.mark.parametrize(
    ("free", "other"),
    [
        (ACID, "CCCC(CCC)C(=O)[O-].[Na+]"),
        (ACID, "CCCC(CCC)C(=O)O[Na]"),
        (ACID, "CCCC(CCC)C(=O)O.[Na]"),
        (ACID, "CCCC(CCC)C(=O)O[Ca]OC(=O)C(CCC)CCC"),
        (ACID, "[Mg+2].CCCC(CCC)C(=O)[O-].CCCC(CCC)C(=O)[O-]"),
        (ACID, "CCCC(CCC)C(=O)O.CCCC(CCC)C(=O)[O-].[Na+]"),
        (ACID, "O.O.[K+].CCCC(CCC)C(=O)[O-]"),
        (BASE, BASE + ".Cl"),
        (BASE, "C[NH+](C)CCc1ccccc1.[Cl-]"),
        (BASE, BASE + ".OC(=O)/C=C\\C(=O)O"),
        (BASE, BASE + ".CS(=O)(=O)O.Cl.O"),
        (BASE, BASE + "." + PAMOIC),
        (PENICILLIN + "O", PENICILLIN + "[O-].[K+]"),
        (PENICILLIN + "O", PENICILLIN + "O.C(CNCc1ccccc1)NCc1ccccc1"),
        ("C[N+](C)(C)Cc1ccccc1", "C[N+](C)(C)Cc1ccccc1.[Br-]"),
        ("C[N+](C)(C)Cc1ccccc1.[Cl-]", "C[N+](C)(C)Cc1ccccc1.COS(=O)(=O)[O-]"),
        ("C[N+](C)(C)CC(O)CC(=O)[O-]", "C[N+](C)(C)CC(O)CC(=O)O.[Cl-]"),
        ("OC(=O)c1ccccc1", "[O-]C(=O)c1ccccc1.[Na+]"),
        ("NO", "NO.Cl"),
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),
        ("CO", "[2H]C([2H])([2H])O"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("O=[N+]([O-])c1ccccc1", "O=N(=O)c1ccccc1"),
        ("[NH3]->[Pt](Cl)(Cl)<-[NH3]", "N.N.Cl[Pt]Cl"),
    ],
)
def test_one_compound_has_one_key(free, other):
    assert key(free) == key(other)


@pytest.mark.parametrize(
    ("smiles", "not_these"),
    [
        ("N.N.Cl[Pt]Cl", ["Cl[Pt]Cl", "N", "Cl"]),
        ("[O-2].[O-2].[O-2].[As+3].[As+3]", ["O", "[As]", "[As+3]"]),
        ("[Li+].[Li+].[O-]C([O-])=O", ["OC(O)=O", "[Li+]", "[Na+].[Na+].[O-]C([O-])=O"]),
        ("[Li+].[Li+].[Li+].OC(CC([O-])=O)(CC([O-])=O)C([O-])=O", ["OC(CC(O)=O)(CC(O)=O)C(O)=O"]),
        ("[Li+].[Cl-]", ["Cl", "[Na+].[Cl-]"]),
        ("[CH-]1C=CC=C1.[CH-]1C=CC=C1.[Fe+2]", ["C1C=CC=C1", "[Fe+2]"]),
        ("[O-]n1ccccc1=S.[O-]n1ccccc1=S.[Zn+2]", ["On1ccccc1=S"]),
        ("[Ca+2].[O-]C([O-])=O", ["OC(O)=O"]),
        ("[K+].[Cl-]", ["Cl", "[K+]"]),
        ("[Na+].[O-][Sb]=O", ["O[Sb]=O"]),
        ("C[NH+](C)CCc1ccccc1.CC(C(=O)[O-])c1ccc2cc(OC)ccc2c1", [BASE, NAPROXEN]),
        (BASE + ".CCCC(CCC)C(=O)O", [BASE, ACID]),
        ("C1CNCCN1.OC(CC(O)=O)(CC(O)=O)C(O)=O", ["C1CNCCN1", "OC(CC(O)=O)(CC(O)=O)C(O)=O"]),
    ],
)
def test_what_would_lose_its_identity_is_compared_whole(smiles, not_these):
    found = compound_of(Chem.MolFromSmiles(smiles))
    assert found.whole
    assert found.key == inchikey(Chem.MolFromSmiles(smiles))[:14]
    assert found.key not in {key(other) for other in not_these}


def test_other_compounds_keep_other_keys():
    smiles = ["C", "CC", "CCO", "O=[As]O[As]=O", "[Fe+2]", "[Fe+3]", ACID, BASE, PAMOIC, "N"]
    assert len({key(one) for one in smiles}) == len(smiles)


def test_what_inchi_cannot_describe_has_a_key_too():
    molecules = read_molecules({"chain": "C" * 1100, "longer": "C" * 1101, "same": "C" * 1100})
    assert molecules.molecules[0].inchikey == ""
    assert molecules.duplicates == (("chain", "same"),)


def test_mixtures_and_metals_are_named():
    sulfa, trimethoprim = "Cc1cc(NS(=O)(=O)c2ccc(N)cc2)no1", "COc1cc(Cc2cnc(N)nc2N)cc(OC)c1OC"
    molecules = read_molecules(
        {
            "both": f"{sulfa}.{trimethoprim}",
            "small": f"{trimethoprim}.CCCC=O",
            "cisplatin": "N.N.Cl[Pt]Cl",
        }
    )
    lines = "\n".join(molecules.describe())
    assert "1 drugs of several compounds, compared by the largest: small" in lines
    assert "none is twice as large, compared as a whole: both" in lines
    assert "1 drugs compared with their metals or counter-ions: cisplatin" in lines


def test_every_counterion_is_read_and_alone_is_itself():
    for smiles in [*INORGANIC.values(), *ORGANIC.values()]:
        molecule = Chem.MolFromSmiles(smiles)
        assert molecule is not None, smiles
        assert not compound_of(molecule).whole
        assert key(f"{BASE}.{smiles}") == key(BASE), smiles


@pytest.mark.parametrize("smiles", ["CCO |$a;b;c$|", " CCO ", "C-C-O", "CCO\tethanol", "OCC\n"])
def test_what_stands_around_a_smiles_changes_nothing(smiles):
    assert read_molecules({"x": smiles}).molecules[0].canonical == "CCO"


@pytest.mark.parametrize(
    ("smiles", "why"),
    [
        ("", "1 without a SMILES"),
        ("  ", "1 without a SMILES"),
        (None, "1 without a SMILES"),
        (float("nan"), "1 without a SMILES"),
        ("*", r"1 with an atom that can be any \(\*\)"),
        ("*CC", "can be any"),
        ("InChI=1S/CH4/h1H4", "1 given as InChI, not as SMILES"),
        ("C(C)(C)(C)(C)C", "1 that RDKit cannot read"),
        ("CCO |garbage|", "1 that RDKit cannot read"),
        ("CC>>CO", "1 that RDKit cannot read"),
        ("nan", "1 that RDKit cannot read"),
        ("CC(=O)O CCN", "1 with two SMILES in one field"),
    ],
)
def test_what_is_no_molecule_is_refused_by_name_and_reason(smiles, why):
    with pytest.raises(InputError, match=rf"1 of 2 drugs cannot be used, {why}.*: x \(|{why}"):
        read_molecules({"ethanol": "CCO", "x": smiles})
    assert read_molecules({"ethanol": "CCO", "x": smiles}, reject=True).names == ("ethanol",)
    if isinstance(smiles, str):
        with pytest.raises(InputError, match="a drug "):
            parse_smiles(smiles)
