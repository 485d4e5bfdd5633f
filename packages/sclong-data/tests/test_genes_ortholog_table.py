"""The table of mouse genes is made of one-to-one pairs alone."""

import lzma

import pytest

from sclong_core.errors import InputError
from sclong_core.expression.orthologs import HEADER
from sclong_data.genes.ortholog_table import main, ortholog_table

HEAD = "Gene stable ID,Gene name,Human gene name,Human gene stable ID,Human homology type"
ROWS = (
    "ENSMUSG2,Bb,BB,ENSG2,ortholog_one2one",
    "ENSMUSG1,Aa,AA,ENSG1,ortholog_one2one",
    "ENSMUSG1,Aa,AA,ENSG1,ortholog_one2one",
    "ENSMUSG3,Cc,CC,ENSG3,ortholog_one2many",
    "ENSMUSG4,Dd,,,",
)


def written(folder, *rows, head=HEAD):
    path = folder / "export.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_pairs_are_sorted_and_stand_once(tmp_path):
    main([str(written(tmp_path, *ROWS)), str(tmp_path / "table.tsv.xz")])
    text = lzma.decompress((tmp_path / "table.tsv.xz").read_bytes()).decode()
    assert text == f"{HEADER}\nENSMUSG1\tAa\tENSG1\nENSMUSG2\tBb\tENSG2\n"


def test_what_is_not_such_an_export_is_refused(tmp_path):
    with pytest.raises(InputError, match="lacks the column 'Gene name'"):
        ortholog_table(written(tmp_path, head="Gene stable ID,Name"))
    twice = (ROWS[1], "ENSMUSG9,Zz,AA,ENSG1,ortholog_one2one")
    with pytest.raises(InputError, match="ENSG1 is in several one-to-one pairs"):
        ortholog_table(written(tmp_path, *twice))
