"""Published tables and files of cells: how far names lead, and what a vocabulary is made of."""

import csv
import gzip
import json
import lzma
from collections import Counter
from functools import cache
from importlib.resources import files

import pytest

from sclong_core.errors import InputError
from sclong_core.expression import open_cells
from sclong_core.human_genes import FILE
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.genes.counting import count_nonzeros
from sclong_data.genes.mapping import map_genes
from sclong_data.genes.name_table import name_table
from sclong_data.genes.table import GeneTable
from sclong_data.genes.vocabulary import build_vocabulary
from sclong_data.graph.annotations import collect_terms
from sclong_data.graph.reading import read_annotations
from tests.support.places import shared_folder

pytestmark = pytest.mark.real_data
CELLXGENE = "genes/gencode_genes_homo_sapiens.csv.gz"
HGNC = "genes/hgnc_complete_set.txt.gz"
OLDER = "genes/gencode_v44_gene_id2name.csv.gz"
CELLS = [
    "batch_integration/sc_mixology_celllines.h5ad",
    "cellxgene/example_invalid_CL.h5ad",
    "cellxgene/example_valid.h5ad",
    "cellxgene/scimilarity_test.h5ad",
    "pbmc/kang_pbmc_ctrl_stim.h5ad",
    "pbmc/pbmc68k_reduced.h5ad",
    "pbmc/pbmc_5k_protein_v3.h5ad",
    "pbmc/pbmc_10k_protein_v3.h5ad",
    "pbmc/symphony_pbmcs_small.h5ad",
    "perturbation/papalexi_lowmoi_subset.h5ad",
]


def real(name):
    folder = shared_folder("data")
    if folder is None or not (folder / name).is_file():
        pytest.skip(f"{name} is not among the shared files beside this checkout")
    return folder / name


@cache
def read_table(*names):
    return GeneTable.read(*map(real, names))


def whole_table():
    return read_table(CELLXGENE, HGNC, OLDER)


@cache
def annotated():
    table = whole_table()
    return collect_terms(read_annotations(real("go/human_ensembl_gene2go_direct.csv.gz")), table)


def var_of(name):
    with open_cells(real(name)) as source:
        return source.var


def test_hgnc_symbols_round_trip():
    table = read_table(HGNC)
    symbols = table.approved_symbols
    resolution = table.resolve(symbols)
    assert Counter(resolution.how) == {"symbol": 38_979, "unknown": 3_038}
    # Three Ensembl ids have two approved symbols; each of the others leads back to its symbol.
    same = sum(
        table.genes[gene].symbol == symbol
        for symbol, gene in zip(symbols, resolution.ids, strict=True)
        if gene is not None
    )
    assert same == 38_976


def test_earlier_and_other_names_of_hgnc_lead_to_the_same_gene_or_to_none():
    table = read_table(HGNC)
    symbols = set(table.approved_symbols)
    with gzip.open(real(HGNC), "rt") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if row["ensembl_gene_id"]]
    names = {
        (name, row["ensembl_gene_id"])
        for row in rows
        for name in filter(None, f"{row['prev_symbol']}|{row['alias_symbol']}".split("|"))
        if name not in symbols and row["status"] == "Approved"
    }
    ordered = sorted(names)
    resolution = table.resolve([name for name, _ in ordered])
    found = list(zip(ordered, resolution.ids, strict=True))
    assert all(gene in (None, own) for (_, own), gene in found)
    assert (sum(gene is not None for _, gene in found), len(found)) == (51_071, 54_041)


def test_every_gene_of_cellxgene_is_known_with_and_without_hgnc():
    with gzip.open(real(CELLXGENE), "rt") as handle:
        ids = [line.split(",")[0] for line in handle]
    assert len(ids) == 78_894
    for table in (read_table(CELLXGENE), whole_table()):
        assert table.resolve(ids).ids == tuple(ids)
        assert set(table.resolve(ids).how) == {"id"}
    # HGNC's and an older release's other ids: retired, or genes where nothing replaces them.
    assert len(whole_table()) == 80_198


@pytest.mark.parametrize(
    ("name", "known", "columns"),
    [
        ("cellxgene/example_valid.h5ad", 7, 7),
        ("cellxgene/example_invalid_CL.h5ad", 134, 135),
        ("cellxgene/scimilarity_test.h5ad", 797, 1_000),
        ("batch_integration/sc_mixology_celllines.h5ad", 28_208, 28_455),
        ("pbmc/kang_pbmc_ctrl_stim.h5ad", 8_796, 9_015),
        ("pbmc/pbmc68k_reduced.h5ad", 753, 765),
    ],
)
def test_genes_of_files_of_cells_are_known(name, known, columns):
    table = whole_table()
    mapping = map_genes(var_of(name), GeneVocabulary.from_ids(sorted(table.genes)), table)
    assert sum(mapping.counts.values()) == columns
    assert mapping.match.columns.size == known
    assert len(mapping.ambiguous) + len(mapping.lost) == columns - known


def test_mouse_genes_are_refused_with_the_reason():
    var = var_of("cellxgene/example_valid.h5ad")
    var.index = [name.replace("ENSG", "ENSMUSG") for name in var.index]
    table = read_table(CELLXGENE)
    with pytest.raises(InputError, match="mouse Ensembl ids"):
        map_genes(var.iloc[:, :0], GeneVocabulary.from_ids(sorted(table.genes)), table)


def test_the_vocabulary_of_what_is_there_and_its_size_by_reason():
    table = whole_table()
    nonzeros = count_nonzeros([real(name) for name in CELLS], table)
    built = build_vocabulary(table, nonzeros=nonzeros, annotated=annotated().terms)
    assert built.sizes == {
        "expressed": 20_000,
        "protein_coding": 20_225,
        "go": 18_768,
        "gene2vec": 0,
    }
    assert built.only()["go"] == 2
    assert len(built.vocabulary) == 26_171
    assert set(built.vocabulary.ids) <= set(table.genes)


def _first_columns(name, skip=0):
    with gzip.open(real(name), "rt") as handle:
        return [line.split("\t")[0].strip() for line in handle][skip:]


@pytest.mark.parametrize(
    ("name", "names", "genes"),
    [
        ("genes/scfoundation_gene_index_19264.tsv.gz", 19_264, 19_206),
        ("genes/scimilarity_gene_order.tsv.gz", 28_231, 21_444),
        ("genes/genecompass_human_gene_names.txt.gz", 28_291, 26_320),
        ("genes/scgpt_default_gene_vocab.json.gz", 48_292, 40_539),
    ],
)
def test_genes_of_other_models_vocabularies_are_known(name, names, genes):
    if name.endswith(".json.gz"):
        with gzip.open(real(name), "rt") as handle:
            listed = list(json.load(handle))
    else:
        listed = _first_columns(name, skip=int("index" in name))
    assert len(listed) == names
    found = set(whole_table().resolve(listed).ids) - {None}
    assert len(found) >= genes


def test_annotations_of_ncbi_genes_and_of_proteins_lead_to_genes():
    table = whole_table()
    assert len(annotated().terms) == 18_768
    assert annotated().counts == {"used": 278_936}
    parts = (
        "enables_MolecularFunction",
        "involvedIn_BiologicalProcess",
        "locatedIn_CellularComponent",
    )
    entrez = set()
    for part in parts:
        with gzip.open(real(f"go/edge_Gene_{part}.csv.gz"), "rt") as handle:
            entrez |= {row["source_id"] for row in csv.DictReader(handle)}
    resolution = table.resolve(sorted(entrez))
    assert (len(entrez), len(set(resolution.ids) - {None})) == (18_842, 18_768)
    proteins = set()
    for part in ("BP", "CC", "MF"):
        with gzip.open(real(f"go/associations_{part}.json.gz"), "rt") as handle:
            proteins |= set(json.load(handle))
    resolution = table.resolve_uniprot(sorted(proteins))
    assert (len(proteins), len(set(resolution.ids) - {None})) == (44_587, 19_243)


def test_gene_sets_of_enrichr_are_read():
    path = real("go/enrichr_GO_Biological_Process_2021.gmt.gz")
    found = collect_terms(read_annotations(path), whole_table())
    assert len(set().union(*found.terms.values())) == 6_036
    assert found.used > 0.99 * found.counts.total()


def test_the_table_of_names_in_core_is_that_of_its_source():
    source = real(HGNC)
    shipped = files("sclong_core").joinpath(FILE).read_bytes()
    assert lzma.decompress(name_table(source)) == lzma.decompress(shipped)
