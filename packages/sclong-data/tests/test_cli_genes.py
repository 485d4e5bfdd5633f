"""``sclong data vocabulary``, ``graph`` and ``gene2vec`` on files."""

import json

import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from sclong_core.cli.main import main
from sclong_core.graph import GeneGraph
from sclong_core.vocabulary import GeneVocabulary
from sclong_data.cli import gene_files, graph, graph_build, vocabulary_build, vocabulary_import
from sclong_data.cli import vocabulary as vocabulary_group


def ensembl(number):
    return f"ENSG{number:011d}"


HGNC_COLUMNS = (
    *("hgnc_id", "symbol", "locus_group", "locus_type", "status", "alias_symbol", "prev_symbol"),
    *("entrez_id", "ensembl_gene_id", "uniprot_ids"),
)
HGNC = "\n".join(
    [
        "\t".join(HGNC_COLUMNS),
        *(
            f"HGNC:{n}\tS{n}\t{kind}\tx\tApproved\tA{n}|ALL\t\t10{n}\t{ensembl(n)}\tP{n}"
            for n, kind in enumerate(["protein-coding gene", "other", "other", "other"], 1)
        ),
    ]
)
GAF_ROWS = [("P1", "GO:1"), ("P1", "GO:2"), ("P2", "GO:1"), ("P3", "GO:9")]
GAF = "\n".join(
    [
        "!gaf-version: 2.2",
        *(
            f"UniProtKB\t{protein}\tx\tinvolved_in\t{term}\tR\tIDA\t\tP\t\t\tprotein\ttaxon:9606"
            "\t20250101\tUniProt\t\t"
            for protein, term in GAF_ROWS
        ),
    ]
)
OBO = """format-version: 1.2
ontology: go

[Term]
id: GO:1
name: one

[Term]
id: GO:2
name: two
is_a: GO:1 ! one
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hgnc.txt").write_text(HGNC)
    (tmp_path / "go.gaf").write_text(GAF)
    (tmp_path / "go.obo").write_text(OBO)
    (tmp_path / "g2v.txt").write_text(f"S4 {'1 ' * 200}\nALL {'2 ' * 200}\n")
    (tmp_path / "sets.gmt").write_text("PATHWAY\t\tS3\tS4\n")
    (tmp_path / "links.txt").write_text(
        "protein1 protein2 combined_score\n9606.ENSP1 9606.ENSP4 900\n"
    )
    (tmp_path / "info.txt").write_text(
        "#string_protein_id\tpreferred_name\tprotein_size\tannotation\n"
        "9606.ENSP1\tS1\t9\tx\n9606.ENSP4\tS4\t9\tx\n"
    )
    GeneVocabulary.from_ids(map(ensembl, (1, 2, 3, 4))).write(tmp_path / "vocabulary.tsv")
    adata = AnnData(sparse.csr_matrix(np.array([[1.0, 1.0], [0.0, 1.0]], dtype=np.float32)))
    adata.var_names = ["S2", "A3"]
    adata.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path


TABLE = ["--gene-table", "hgnc.txt"]


def sclong(*words):
    return main(["data", *words])


def test_a_vocabulary_is_built_from_files(folder, capsys):
    (folder / "counts.tsv").write_text("S2\t5\n")
    words = ["--cells", "cells.h5ad", "--counts", "counts.tsv", "--top", "1"]
    words += ["--go", "go.gaf", "--gene2vec", "g2v.txt", *TABLE]
    assert sclong("vocabulary", "build", "-o", "built.tsv", *words) == 0
    vocabulary = GeneVocabulary.read(folder / "built.tsv")
    assert vocabulary.ids == tuple(map(ensembl, (1, 2, 3, 4)))
    assert vocabulary.symbols == ("S1", "S2", "S3", "S4")
    reasons = [
        line.split("\t")[4:] for line in (folder / "built.reasons.tsv").read_text().split("\n")
    ]
    assert reasons[1:5] == [list("0110"), list("1010"), list("0010"), list("0001")]
    report = json.loads((folder / "built.report.json").read_text())
    assert report["digest"] == vocabulary.digest
    assert report["genes by reason"] == {
        "expressed": 1,
        "protein_coding": 1,
        "go": 3,
        "gene2vec": 1,
    }
    assert report["names"]["gene2vec"]["ambiguous"] == ["ALL"]
    assert set(report["files"]) == {
        "GO annotations", "Gene2vec", "cells 1", "counts", "gene table 1"
    }  # fmt: skip
    shown = capsys.readouterr()
    assert "20,480" in shown.out
    assert vocabulary.digest in shown.out


def test_a_vocabulary_without_counts_says_so(folder, capsys):
    words = ["--without", "go", "gene2vec", *TABLE]
    assert sclong("vocabulary", "build", "-o", "built.tsv", *words) == 0
    assert "no gene is included for its number of non-zeros" in " ".join(
        capsys.readouterr().err.split()
    )


def test_building_twice_gives_the_same_bytes(folder):
    for name in ("one", "two"):
        (folder / name).mkdir()
        words = ["--go", "go.gaf", "--gene2vec", "g2v.txt", "--cells", "cells.h5ad", *TABLE]
        assert sclong("vocabulary", "build", "-o", f"{name}/v.tsv", *words) == 0
        words = ["--vocabulary", f"{name}/v.tsv", "--annotations", "go.gaf", *TABLE]
        assert sclong("graph", "build", "-o", f"{name}/graph.npz", *words) == 0
        words = ["--vocabulary", f"{name}/v.tsv", "--vectors", "g2v.txt", *TABLE]
        assert sclong("gene2vec", "-o", f"{name}/g2v.npy", *words) == 0
    files = sorted(path.name for path in (folder / "one").iterdir())
    assert len(files) == 7
    for name in files:
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_a_list_is_imported_as_it_is(folder, capsys):
    (folder / "genes.txt").write_text(f"{ensembl(3)}\n{ensembl(9)}\n{ensembl(1)}.4\n")
    assert sclong("vocabulary", "import", "genes.txt", "-o", "a.tsv") == 0
    plain = GeneVocabulary.read(folder / "a.tsv")
    assert plain.ids == (ensembl(3), ensembl(9), ensembl(1))
    assert sclong("vocabulary", "import", "genes.txt", "-o", "b.tsv", *TABLE) == 0
    named = GeneVocabulary.read(folder / "b.tsv")
    assert (named.digest, named.symbols) == (plain.digest, ("S3", "", "S1"))
    assert "unknown ids" in capsys.readouterr().out


def edges(path):
    graph = GeneGraph.read(path)
    ends = [(int(one) + 1, int(two) + 1) for one, two in graph.edge_index.T if one < two]
    weights = graph.edge_weight[graph.edge_index[0] < graph.edge_index[1]]
    return dict(zip(ends, np.round(weights.astype(float), 3).tolist(), strict=True))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--annotations", "go.gaf"], {(1, 2): 0.5}),
        (["--annotations", "go.gaf", "--ontology", "go.obo", "--propagate"], {(1, 2): 0.5}),
        (["--from", "gene-sets", "--gene-sets", "sets.gmt"], {(3, 4): 1.0}),
        (
            ["--from", "string", "--string-links", "links.txt", "--string-names", "info.txt"],
            {(1, 4): 0.9},
        ),
        (
            [
                *("--from", "go", "gene-sets", "string", "--annotations", "go.gaf"),
                *("--gene-sets", "sets.gmt", "--string-links", "links.txt"),
                *("--string-names", "info.txt"),
            ],
            {(1, 2): 0.5, (3, 4): 1.0, (1, 4): 0.9},
        ),
        (["--annotations", "go.gaf", "--threshold", "0.5"], {}),
        (["--annotations", "go.gaf", "--threshold", "0.5", "--own-edges", "ranked"], {}),
    ],
)
def test_a_graph_is_built_from_one_source_or_several(folder, words, expected, capsys):
    words = ["--vocabulary", "vocabulary.tsv", *words, *TABLE]
    assert sclong("graph", "build", "-o", "graph.npz", *words) == 0
    assert edges(folder / "graph.npz") == expected
    report = json.loads((folder / "graph.report.json").read_text())
    assert report["digest"] == GeneGraph.read(folder / "graph.npz").digest
    assert report["digest"] in capsys.readouterr().out


def test_a_graph_of_the_vocabulary_s_own_names_needs_no_gene_table(folder):
    (folder / "terms.json").write_text(json.dumps({ensembl(1): [1, 2], ensembl(4): [2]}))
    words = ["--vocabulary", "vocabulary.tsv", "--annotations", "terms.json", "--no-gene-table"]
    assert sclong("graph", "build", "-o", "graph.npz", *words) == 0
    assert edges(folder / "graph.npz") == {(1, 4): 0.5}


def test_vectors_are_aligned_and_counted(folder, capsys):
    words = ["--vocabulary", "vocabulary.tsv", "--vectors", "g2v.txt", "--missing", "zeros", *TABLE]
    assert sclong("gene2vec", "-o", "g2v.npy", *words) == 0
    vectors = np.load(folder / "g2v.npy", allow_pickle=False)
    assert vectors.shape == (4, 200)
    assert vectors.sum(axis=1).tolist() == [0, 0, 0, 200]
    report = json.loads((folder / "g2v.report.json").read_text())
    assert (report["with a vector"], report["filled in"]) == (1, 3)
    assert report["names not used"] == ["ALL"]
    assert "1 of 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vocabulary", "build", "-o", "vocabulary.tsv", *TABLE], "already exists"),
        (["vocabulary", "build", "-o", "gone/v.tsv", *TABLE], "folder gone does not exist"),
        (
            ["vocabulary", "build", "-o", "v.tsv", "--go", "hgnc.txt", "--gene-table", "gone"],
            "gone cannot be read",
        ),
        (
            ["graph", "build", "-o", "g", "--vocabulary", "vocabulary.tsv", "--from", "gene-sets"],
            "needs --gene-sets",
        ),
        (
            [
                *("graph", "build", "-o", "g", "--vocabulary", "vocabulary.tsv"),
                *("--gene-sets", "sets.gmt"),
            ],
            "add it to --from",
        ),
        (
            [
                "gene2vec",
                "-o",
                "g",
                "--vocabulary",
                "vocabulary.tsv",
                "--vectors",
                "go.gaf",
                *TABLE,
            ],
            "not 200",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(folder, words, message, capsys):
    assert sclong(*words) == 2
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert "Traceback" not in error
    assert not list(folder.glob(".*tmp*"))


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (["vocabulary", "import", "list.txt", "-o", "list.txt"], ""),
        (["graph", "build", "--vocabulary", "list.txt", "-o", "list.txt"], ""),
        (["gene2vec", "--vocabulary", "list.txt", "-o", "list.txt"], ""),
        (["graph", "build", "--vocabulary", "list.report.json", "-o", "list.npz"], ".report.json"),
    ],
)
def test_an_output_over_an_input_is_refused_even_if_overwriting_is_asked_for(
    command, ending, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("list.txt", "list.report.json"):
        (tmp_path / name).write_text(f"{ensembl(1)}\n")
    assert main(["data", *command, "--overwrite"]) == 2
    assert "choose another name" in capsys.readouterr().err
    assert (tmp_path / f"list{ending or '.txt'}").read_text() == f"{ensembl(1)}\n"


def test_what_lies_in_the_place_of_a_report_is_not_replaced(folder, capsys):
    words = ["data", "graph", "build", "--vocabulary", "list.txt", "-o", "new.npz"]
    (folder / "new.report.json").write_text('{"mine": 1}')
    (folder / "list.txt").write_text(f"{ensembl(1)}\n")
    assert main(words) == 2
    assert "new.report.json already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 2
    assert "not written by this command" in capsys.readouterr().err
    assert (folder / "new.report.json").read_text() == '{"mine": 1}'


def test_groups_name_their_commands():
    assert vocabulary_group.command.members == {
        "build": vocabulary_build.__name__,
        "import": vocabulary_import.__name__,
    }
    assert graph.command.members == {"build": graph_build.__name__}


def test_a_report_lies_beside_its_output_and_names_the_files_used(tmp_path):
    (tmp_path / "used").write_text("text")
    place = gene_files.write_report(tmp_path / "graph.npz", {"a": tmp_path / "used"}, {"genes": 3})
    assert place == tmp_path / "graph.report.json"
    report = json.loads(place.read_text())
    assert report["genes"] == 3
    assert report["files"]["a"]["name"] == "used"
    assert len(report["files"]["a"]["sha256"]) == 64


@pytest.mark.parametrize(
    "words", [["vocabulary"], ["vocabulary", "build"], ["graph", "build"], ["gene2vec"]]
)
def test_commands_explain_themselves(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        sclong(*words, "--help")
    assert stopped.value.code == 0
    assert "sclong data" in capsys.readouterr().out
