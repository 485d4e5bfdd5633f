"""Annotation files and what they say of genes."""

import gzip

import pytest

from sclong_core.errors import InputError
from sclong_data.genes.merging import merge
from sclong_data.genes.records import GeneRecord
from sclong_data.genes.table import GeneTable
from sclong_data.graph.annotations import collect_terms
from sclong_data.graph.ontology import GeneOntology
from sclong_data.graph.reading import read_annotations


def ensembl(number):
    return f"ENSG{number:011d}"


TABLE = GeneTable(
    merge(
        [],
        [
            GeneRecord(ensembl(1), "ONE", "", ("OLD",), (), "101", ("P00001", "P00009")),
            GeneRecord(ensembl(2), "TWO", "", ("OLD",), (), "102", ("P00002", "P00009")),
        ],
        {},
    )
)
OBO = """format-version: 1.2
data-version: releases/2025-06-01
ontology: go

[Term]
id: GO:0000001
name: root

[Term]
id: GO:0000002
name: kind of root
alt_id: GO:0000022
is_a: GO:0000001 ! root

[Term]
id: GO:0000003
name: part of a kind of root
relationship: part_of GO:0000002 ! kind of root
relationship: regulates GO:0000004

[Term]
id: GO:0000004
name: another root

[Term]
id: GO:0000009
name: gone
is_obsolete: true
replaced_by: GO:0000003

[Typedef]
id: part_of
name: part of
"""


def gaf_row(accession, symbol, term, qualifier="involved_in", taxon="taxon:9606", evidence="IDA"):
    return "\t".join(
        [
            "UniProtKB",
            accession,
            symbol,
            qualifier,
            term,
            "PMID:1",
            evidence,
            "",
            "P",
            "",
            "",
            "protein",
            taxon,
            "20250101",
            "UniProt",
            "",
            "",
        ]
    )


GAF = [
    "!gaf-version: 2.2",
    "!generated-by: GOC",
    gaf_row("P00001", "ANYTHING", "GO:0000003"),
    gaf_row("P00002", "TWO", "GO:0000022"),
    gaf_row("P00009", "TWO", "GO:0000004"),
    gaf_row("P00001", "ONE", "GO:0000004", qualifier="NOT|involved_in"),
    gaf_row("P00001", "ONE", "GO:0000009"),
    gaf_row("P00001", "ONE", "GO:0000099"),
    gaf_row("Q99999", "NOBODY", "GO:0000001"),
    gaf_row("Q99998", "OLD", "GO:0000001"),
    gaf_row("P00001", "ONE", "GO:0000001", taxon="taxon:10090"),
    gaf_row("P00001", "ONE", "GO:0000001", taxon="taxon:9606|taxon:1280", evidence="ND"),
]


def write(path, lines):
    text = "".join(f"{line}\n" for line in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.fixture
def ontology(tmp_path):
    return GeneOntology.read(write(tmp_path / "go.obo", OBO.splitlines()))


@pytest.mark.parametrize("name", ["goa.gaf", "goa.gaf.gz"])
def test_gaf_with_an_ontology(tmp_path, ontology, name):
    path = write(tmp_path / name, GAF)
    found = collect_terms(read_annotations(path, without_evidence=["ND"]), TABLE, ontology)
    assert found.terms == {ensembl(1): {"GO:0000003"}, ensembl(2): {"GO:0000002", "GO:0000004"}}
    assert found.counts == {
        "used": 3,
        "negated (NOT)": 1,
        "obsolete": 1,
        "unknown term": 1,
        "unknown gene": 1,
        "ambiguous gene": 1,
        "another species": 1,
        "evidence ND": 1,
    }
    assert (found.ambiguous, found.unknown, found.resolved) == ({"OLD"}, {"NOBODY"}, 1)


def test_terms_propagate_along_is_a_and_part_of_only(tmp_path, ontology):
    path = write(tmp_path / "goa.gaf", GAF[:3])
    found = collect_terms(read_annotations(path), TABLE, ontology, propagate=True)
    assert found.terms == {ensembl(1): {"GO:0000003", "GO:0000002", "GO:0000001"}}
    assert len(ontology) == 4


def test_propagation_needs_an_ontology(tmp_path):
    path = write(tmp_path / "goa.gaf", GAF[:3])
    with pytest.raises(InputError, match="with an ontology"):
        collect_terms(read_annotations(path), TABLE, propagate=True)


def test_gene2go(tmp_path):
    path = write(
        tmp_path / "gene2go.gz",
        [
            "#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\tGO_term\tPubMed\tCategory",
            "10090\t101\tGO:0000001\tIEA\tinvolved_in\troot\t-\tProcess",
            "9606\t101\tGO:0000001\tIEA\tinvolved_in\troot\t-\tProcess",
            "9606\t101\tGO:0000002\tIEA\tNOT involved_in\troot\t-\tProcess",
            "9606\t102\tGO:0000003\tIEA\t-\troot\t-\tProcess",
            "9606\t999\tGO:0000003\tIEA\t-\troot\t-\tProcess",
        ],
    )
    found = collect_terms(read_annotations(path), TABLE)
    assert found.terms == {ensembl(1): {"GO:0000001"}, ensembl(2): {"GO:0000003"}}
    assert found.counts["negated (NOT)"] == found.counts["another species"] == 1
    assert found.unknown == {"999"}


def test_gene_sets(tmp_path):
    path = write(tmp_path / "sets.gmt", ["A\tsomewhere\tONE\tTWO,1.0", "B\t\t102\tNOBODY"])
    found = collect_terms(read_annotations(path), TABLE)
    assert found.terms == {ensembl(1): {"A"}, ensembl(2): {"A", "B"}}


def test_tables_and_json(tmp_path):
    table = write(tmp_path / "t.csv", ["gene_id,symbol,go_id", f"{ensembl(1)},x,GO:1", ",TWO,GO:2"])
    expected = {ensembl(1): {"GO:1"}, ensembl(2): {"GO:2"}}
    assert collect_terms(read_annotations(table), TABLE).terms == expected
    content = write(tmp_path / "t.json", [f'{{"{ensembl(1)}": ["GO:1"], "TWO": ["GO:2"]}}'])
    assert collect_terms(read_annotations(content), TABLE).terms == expected
    assert set(collect_terms(read_annotations(content), None).terms) == {ensembl(1), "TWO"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["!gaf-version: 1.0", GAF[2]], "GAF 1.0: give GAF 2"),
        ([GAF[0], "UniProtKB\tP1"], "line 2: 2 columns where GAF 2 has 15"),
        (GAF[:2], "no annotation of a known human gene is left .none read"),
        ([GAF[0], GAF[8]], "unknown gene: 1"),
        (["#tax_id\tGeneID\tGO"], "is not gene2go"),
        (
            ["#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\tx", "9606\t1"],
            "line 2: 2 columns where gene2go has 8",
        ),
        (["A\tb\t"], "line 1: no genes"),
        (["A\tb\tONE", "A\tb\tTWO"], "'A' is there twice"),
        (["gene_id,go_id", "x"], "line 2: 1 columns where the header has 2"),
        (["{ not json"], "is not JSON"),
        (["{" + '"a": {' * 5000], "is not JSON"),
        (['{"a": 3}'], "each with its list of terms"),
        (["whatever"], "no annotations of a known kind"),
    ],
)
def test_bad_annotations_are_refused(tmp_path, lines, message):
    path = write(tmp_path / "bad", lines)
    with pytest.raises(InputError, match=message):
        collect_terms(read_annotations(path), TABLE)


def test_a_truncated_file_is_refused(tmp_path):
    path = write(tmp_path / "goa.gaf.gz", GAF * 50)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut short or damaged"):
        collect_terms(read_annotations(path), TABLE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an ontology in OBO format"),
        ("format-version: 1.2\n\n[Typedef]\nid: x\nname: y\nontology: go\n", "holds no term"),
        (
            OBO.replace("part_of GO:0000002 ! kind of root", "part_of of what"),
            "is damaged",
        ),
    ],
)
def test_bad_ontologies_are_refused(tmp_path, text, message):
    path = tmp_path / "go.obo"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        GeneOntology.read(path)
