"""Interactions from STRING."""

import numpy as np
import pytest

from sclong_core.errors import InputError
from sclong_data.genes.merging import merge
from sclong_data.genes.records import GeneRecord
from sclong_data.genes.table import GeneTable
from sclong_data.graph.building import graph_of
from sclong_data.graph.interactions import read_proteins, read_string

GENES = [f"ENSG{number:011d}" for number in range(1, 5)]
TABLE = GeneTable(merge([], [GeneRecord(gene, f"S{gene[-1]}", "") for gene in GENES], {}))
PROTEINS = [f"9606.ENSP{number:011d}" for number in range(1, 5)]
ALIASES = ["#string_protein_id\talias\tsource"] + [
    f"{protein}\t{alias}\tany"
    for protein, gene in zip(PROTEINS, GENES, strict=True)
    for alias in (gene, f"{gene}.4", "P12345")
]
INFO = ["#string_protein_id\tpreferred_name\tprotein_size\tannotation"] + [
    f"{protein}\tS{gene[-1]}\t99\twords" for protein, gene in zip(PROTEINS, GENES, strict=True)
]
LINKS = [
    "protein1 protein2 combined_score",
    f"{PROTEINS[0]} {PROTEINS[1]} 900",
    f"{PROTEINS[1]} {PROTEINS[0]} 900",
    f"{PROTEINS[0]} {PROTEINS[2]} 650",
    f"{PROTEINS[0]} 9606.ENSP00000000099 999",
]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(("names", "table"), [(ALIASES, None), (INFO, TABLE)])
@pytest.mark.parametrize("extra", ["", " 0 0"])
def test_links_above_the_score_join_genes(tmp_path, names, table, extra):
    header, *rows = LINKS
    if extra:
        header = "protein1 protein2 neighborhood fusion combined_score"
        rows = [" ".join([*row.split(" ")[:2], "0", "0", row.split(" ")[2]]) for row in rows]
    links = write(tmp_path / "links.txt", [header, *rows])
    similarity = read_string(links, write(tmp_path / "names.txt", names), GENES, table)
    graph = graph_of(similarity)
    assert graph.edge_index.T.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    np.testing.assert_allclose(graph.edge_weight, [1, 0.9, 0.9, 1])
    more = read_string(links, tmp_path / "names.txt", GENES, table, minimum_score=600)
    assert more.known().tolist() == [True, True, True, False]


def test_a_protein_of_two_genes_is_left_out(tmp_path):
    lines = [*ALIASES, f"{PROTEINS[0]}\t{GENES[1]}\tany"]
    assert PROTEINS[0] not in read_proteins(write(tmp_path / "names.txt", lines))


@pytest.mark.parametrize(
    ("links", "names", "table", "message"),
    [
        (["a b c"], ALIASES, None, "not a file of STRING links"),
        ([LINKS[0], "10090.ENSMUSP1 10090.ENSMUSP2 900"], ALIASES, None, "line 2.*two human"),
        ([LINKS[0], f"{PROTEINS[0]} {PROTEINS[1]} x"], ALIASES, None, "line 2"),
        ([LINKS[0], f"{PROTEINS[0]} {PROTEINS[1]} 1001"], ALIASES, None, "up to 1000"),
        ([LINKS[0], f"{PROTEINS[0]} {PROTEINS[1]} ٩٠٠"], ALIASES, None, "line 2"),
        ([LINKS[0], f"{PROTEINS[0]} {PROTEINS[1]} {'9' * 9999}"], ALIASES, None, "line 2"),
        (LINKS[:1], ALIASES, None, "none of the pairs joins"),
        (LINKS, ["x"], None, "does not name STRING's proteins"),
        (LINKS, INFO, None, "give a gene table"),
        (LINKS, ALIASES[:1], None, "names no protein"),
    ],
)
def test_bad_files_are_refused(tmp_path, links, names, table, message):
    links = write(tmp_path / "links.txt", links)
    names = write(tmp_path / "names.txt", names)
    with pytest.raises(InputError, match=message):
        read_string(links, names, GENES, table)
