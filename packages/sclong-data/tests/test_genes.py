"""Gene tables from HGNC and GENCODE."""

import gzip

import pytest

from sclong_core.errors import InputError
from sclong_data.genes.table import GeneTable

HGNC_COLUMNS = (
    *("hgnc_id", "symbol", "name", "locus_group", "locus_type", "status", "alias_symbol"),
    *("prev_symbol", "entrez_id", "ensembl_gene_id", "uniprot_ids"),
)


def ensembl(number):
    return f"ENSG{number:011d}"


def hgnc_row(symbol, gene="", *, coding=True, status="Approved", alias="", prev="", ncbi="", up=""):
    group = "protein-coding gene" if coding else "non-coding RNA"
    kind = "gene with protein product" if coding else "RNA, long non-coding"
    values = (f"HGNC:{symbol}", symbol, "a name", group, kind, status, alias, prev, ncbi, gene, up)
    return "\t".join(values)


HGNC = [
    "\t".join(HGNC_COLUMNS),
    hgnc_row("ONE", ensembl(1), alias='"UNO|SHARED"', prev="FIRST", ncbi="11", up="P1|P2"),
    hgnc_row("TWO", ensembl(2), coding=False, alias="SHARED", prev="BOTH", ncbi="12", up="P2"),
    hgnc_row("THREE", ensembl(93), alias="BOTH", prev="OLDTHREE", ncbi="13"),
    hgnc_row("FOUR", "", alias="QUATTRO", ncbi="14"),
    hgnc_row("NOWHERE", "", alias="UNO", ncbi="15"),
    hgnc_row("SWAPPED", ensembl(6)),
    hgnc_row("GONE", ensembl(99), status="Entry Withdrawn"),
    hgnc_row("TWIN", ensembl(8)),
]
LIST = [
    f"{ensembl(1)},ONE,12,1000,protein_coding",
    f"{ensembl(2)},TWO,1,1000,protein_coding",
    f"{ensembl(3)},THREE,1,1000,lncRNA",
    f"{ensembl(4)},FOUR,1,1000,lncRNA",
    f"{ensembl(5)},{ensembl(5)},1,1000,TEC",
    f"{ensembl(6)},RENAMED,1,1000,lncRNA",
    f"{ensembl(7)},SWAPPED,1,1000,lncRNA",
    f"{ensembl(8)},TWIN,1,1000,lncRNA",
    f"{ensembl(9)},TWIN,1,1000,lncRNA",
    f"{ensembl(10)},Y_RNA,1,1000,misc_RNA",
    f"{ensembl(11)},Y_RNA,1,1000,misc_RNA",
    f"{ensembl(12)},C9orf7,1,1000,protein_coding",
]
OLDER = [
    f"{ensembl(1)},EINS",
    f"{ensembl(81)},THREE",
    f"{ensembl(82)},ONLYOLD",
    f"{ensembl(83)},Y_RNA",
]


def gtf_row(gene, name, biotype="protein_coding", feature="gene"):
    about = f'gene_id "{gene}"; gene_type "{biotype}"; gene_name "{name}"; level 2; tag "x";'
    return "\t".join(["chr1", "HAVANA", feature, "1", "9", ".", "+", ".", about])


GTF = [
    "##description: evidence-based annotation of the human genome (GRCh38), version 48",
    gtf_row(f"{ensembl(1)}.5", "ONE"),
    gtf_row(f"{ensembl(1)}.5", "ONE", feature="transcript"),
    gtf_row(f"{ensembl(1)}.5_PAR_Y", "ONE"),
    gtf_row("ENSGR0000000002.3", "TWO"),
    gtf_row(f"{ensembl(5)}.1", f"{ensembl(5)}.1", "lncRNA"),
]


def write(path, lines):
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture
def files(tmp_path):
    return [
        write(tmp_path / "list.csv.gz", LIST),
        write(tmp_path / "hgnc.txt", HGNC),
        write(tmp_path / "older.csv", OLDER),
    ]


@pytest.fixture
def table(files):
    return GeneTable.read(*files)


@pytest.mark.parametrize(
    ("name", "gene", "how"),
    [
        (ensembl(1), 1, "id"),
        (f"{ensembl(1)}.17", 1, "id"),
        (f"{ensembl(1)}.17_PAR_Y", 1, "id"),
        ("ENSGR0000000002.3", 2, "id"),
        ("ONE", 1, "symbol"),
        ("RENAMED", 6, "symbol"),
        ("FIRST", 1, "previous"),
        ("EINS", 1, "previous"),
        ("OLDTHREE", 3, "previous"),
        ("QUATTRO", 4, "alias"),
        ("13", 3, "ncbi"),
        ("LOC14", 4, "ncbi"),
        # HGNC's own id is not in GENCODE, whose only gene of that symbol is another one.
        (ensembl(93), 3, "retired"),
        (ensembl(81), 3, "retired"),
        (ensembl(82), 82, "id"),
        ("ONLYOLD", 82, "symbol"),
        # HGNC names one of the two genes to which GENCODE gives the symbol.
        ("TWIN", 8, "symbol"),
        ("C9ORF7", 12, "symbol"),
        ("C9orf7", 12, "symbol"),
        ("C9ORF8", None, "unknown"),
        ("SHARED", None, "ambiguous"),
        ("BOTH", None, "ambiguous"),
        ("SWAPPED", None, "ambiguous"),
        ("Y_RNA", None, "ambiguous"),
        (ensembl(83), None, "ambiguous"),
        ("NOWHERE", None, "unknown"),
        ("GONE", None, "unknown"),
        (ensembl(99), None, "unknown"),
        ("one", None, "unknown"),
        ("", None, "unknown"),
        ("15", None, "unknown"),
    ],
)
def test_names_and_what_they_mean(table, name, gene, how):
    resolution = table.resolve([name])
    assert resolution.ids == (ensembl(gene) if gene else None,)
    assert resolution.how == (how,)


def test_genes_symbols_and_biotypes(table):
    assert table.genes[ensembl(5)].symbol == ""
    assert table.genes[ensembl(6)].symbol == "RENAMED"
    # What either source calls protein-coding is so.
    assert table.genes[ensembl(3)].biotype == "protein_coding"
    assert table.genes[ensembl(2)].biotype == "protein_coding"
    assert table.genes[ensembl(5)].biotype == "TEC"
    assert len(table) == len(LIST) + 1
    assert "NOWHERE" in table.approved_symbols


def test_proteins(table):
    resolution = table.resolve_uniprot(["P1", "P1-2", "P2", "P9"])
    assert resolution.ids == (ensembl(1), ensembl(1), None, None)
    assert resolution.how[2:] == ("ambiguous", "unknown")


def test_hgnc_alone(files):
    table = GeneTable.read(files[1])
    assert table.resolve(["ONE", ensembl(93), "THREE", "FOUR", "SWAPPED"]).ids == (
        ensembl(1),
        ensembl(93),
        ensembl(93),
        None,
        ensembl(6),
    )


def test_gtf(tmp_path):
    table = GeneTable.read(write(tmp_path / "gencode.gtf.gz", GTF))
    assert sorted(table.genes) == [ensembl(1), ensembl(2), ensembl(5)]
    assert table.resolve(["ONE", "TWO"]).ids == (ensembl(1), ensembl(2))
    assert table.genes[ensembl(5)] == type(table.genes[ensembl(5)])(ensembl(5), "", "lncRNA")


def test_published_successors_are_followed_to_the_current_gene(tmp_path, files):
    rows = [(71, 72), (72, 1), (73, 1), (73, 2), (74, None), (2, 1)]
    lines = [f"{ensembl(old)}\t{ensembl(new) if new else '-'}" for old, new in rows]
    retired = write(tmp_path / "retired.tsv", ["retired\tid", *lines])
    table = GeneTable.read(files[0], retired)
    resolution = table.resolve([ensembl(old) for old in (71, 72, 73, 74, 2)])
    assert resolution.ids == (ensembl(1), ensembl(1), None, None, ensembl(2))
    assert resolution.how == ("retired", "retired", "ambiguous", "unknown", "id")


def test_the_order_of_rows_does_not_matter(tmp_path, files, table):
    names = [f"{kind}" for kind in table.approved_symbols]
    names += ["SHARED", "BOTH", "TWIN", "Y_RNA", ensembl(93), ensembl(81), ensembl(83)]
    turned = GeneTable.read(
        write(tmp_path / "a.csv", LIST[::-1]),
        write(tmp_path / "b.txt", [HGNC[0], *HGNC[:0:-1]]),
        write(tmp_path / "c.csv", OLDER[::-1]),
    )
    assert turned.resolve(names) == table.resolve(names)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["hgnc_id\tsymbol\tname"], "lacks locus_group, locus_type, status"),
        (HGNC[:1], "holds no approved gene"),
        ([*HGNC[:2], HGNC[1]], "line 3: symbol 'ONE' is there twice"),
        ([*HGNC[:2], "HGNC:9\tX"], "line 3: 2 columns where the header has 11"),
        ([HGNC[0], hgnc_row("A", "ENSMUSG00000000001")], "is not a human Ensembl gene id"),
        (["ENSMUSG00000000001,Actb"], "'ENSMUSG00000000001' is not a human Ensembl gene id"),
        ([LIST[0], LIST[0]], f"line 2: {ensembl(1)} is there twice"),
        ([LIST[0], "a,b,c"], "line 2: 3 columns"),
        (["gene_id,symbol", LIST[0]], "line 1: 'gene_id' is not a human"),
        ([GTF[1], "x\ty"], "line 2: 2 columns where GTF has 9"),
        ([GTF[1], GTF[1].replace("gene_id", "id")], "a gene without gene_id"),
        ([GTF[0], GTF[2]], "holds no gene"),
        ([gtf_row("ENSMUSG00000000001.2", "Actb")], "is not a human Ensembl gene id"),
        (["retired\tid", f"{ensembl(1)}\t-"], "retired ids alone are not a gene table"),
        (["retired\tid", ensembl(1)], "line 2: 1 columns"),
        (["some text"], "is not a table of genes: it begins with 'some text'"),
    ],
)
def test_bad_tables_are_refused_by_file_and_line(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        GeneTable.read(write(tmp_path / "bad", lines))


def test_a_truncated_table_is_refused(tmp_path):
    path = write(tmp_path / "hgnc.txt.gz", HGNC)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="cut short or damaged"):
        GeneTable.read(path)


def test_a_second_hgnc_table_and_none_at_all_are_refused(files):
    with pytest.raises(InputError, match="second HGNC table"):
        GeneTable.read(files[1], files[1])
    with pytest.raises(InputError, match="needs a file"):
        GeneTable.read()
