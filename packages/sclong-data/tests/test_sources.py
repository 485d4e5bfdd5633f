"""Catalogues as their publishers answer, and folders."""

import json
import sys
import types
from urllib.parse import parse_qs, urlsplit

import anndata
import numpy as np
import pandas as pd
import pytest

from sclong_core.errors import InputError
from sclong_core.testing import make_counts_anndata
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching import Patience, fetch
from sclong_data.reading import open_dataset
from sclong_data.sources import CellBlast, CellxGene, Census, Filters, HumanCellAtlas, LocalFolder
from sclong_data.sources.census import slice_location
from tests.support.places import shared_folder
from tests.support.server import LoopbackServer

REAL = shared_folder("data")
ONCE = Patience(attempts=1)


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def answer(server, path, content):
    server.files[path] = json.dumps(content).encode()


def term(label, identifier="X:1"):
    return {"label": label, "ontology_term_id": identifier}


def cellxgene(number, **changes):
    """A data set as the curation API describes it, without the fields that nobody reads."""
    described = {
        "assay": [term("10x 3' v3", "EFO:0009922"), term("10x 3' v2", "EFO:0009899")],
        "assets": [
            {"filesize": 345, "filetype": "RDS", "url": f"https://datasets.h/{number}.rds"},
            {"filesize": 234, "filetype": "H5AD", "url": f"https://datasets.h/{number}.h5ad"},
        ],
        "cell_count": 1_000 * number,
        "collection_doi": "10.1/1",
        "collection_name": "A collection",
        "dataset_id": f"00000000-0000-4000-8000-{number:012}",
        "dataset_version_id": f"10000000-0000-4000-8000-{number:012}",
        "disease": [term("normal", "PATO:0000461")],
        "donor_id": ["D1"],
        "is_primary_data": [True],
        "mean_genes_per_cell": 1.5,
        "organism": [term("Homo sapiens", "NCBITaxon:9606")],
        "primary_cell_count": 1_000 * number,
        "raw_data_location": "raw.X",
        "schema_version": "5.2.0",
        "suspension_type": ["cell"],
        "tissue": [term("lung", "UBERON:0002048") | {"tissue_type": "tissue"}],
        "title": "=A title",
        "tombstone": False,
        "x_approximate_distribution": "NORMAL",
    }
    return described | changes


def test_cellxgene_is_listed_with_what_it_says(server):
    answer(server, "/datasets", [cellxgene(1)])
    (entry,) = CellxGene(server.url("")).list(Filters())
    assert entry == DatasetEntry(
        "00000000-0000-4000-8000-000000000001",
        source="cellxgene",
        location="https://datasets.h/1.h5ad",
        bytes=234,
        organism="Homo sapiens",
        assay="10x 3' v2; 10x 3' v3",
        tissue="lung",
        disease="normal",
        cells=1_000,
        matrix="raw",
        normalisation="raw",
        title="A title (A collection)",
    )


def test_filters_leave_out_and_say_why(server, caplog):
    mouse = {"organism": [term("Mus musculus")]}
    copies = {"primary_cell_count": 0, "is_primary_data": [False]}
    answer(
        server,
        "/datasets",
        [
            cellxgene(1),
            cellxgene(2, **mouse),
            cellxgene(3, tissue=[term("blood")]),
            cellxgene(4, disease=[term("COVID-19"), term("normal")], raw_data_location="X"),
            cellxgene(5, **copies),
            cellxgene(6, assay=[term("Smart-seq2")]),
            cellxgene(7, assets=[]),
            cellxgene(8, tombstone=True),
            cellxgene(
                9, assets=[{"filesize": 10**12, "filetype": "H5AD", "url": "https://h/9.h5ad"}]
            ),
        ],
    )
    source = CellxGene(server.url(""))

    def numbers(**filters):
        return [int(entry.dataset[-2:]) for entry in source.list(Filters(**filters))]

    assert numbers() == [1, 2, 3, 4, 6, 9]
    assert numbers(primary_only=False) == [1, 2, 3, 4, 5, 6, 9]
    assert numbers(organism=("homo sapiens",)) == [1, 3, 4, 6, 9]
    assert numbers(organism=("homo",)) == []
    assert numbers(tissue=("LUNG", "brain")) == [1, 2, 4, 6, 9]
    assert numbers(disease=("covid",)) == [4]
    assert numbers(assay=("10x",), max_bytes=10**9) == [1, 2, 3, 4]
    assert numbers(min_cells=4_000, limit=1) == [4]
    assert numbers(text="a TITLE (a coll", limit=2) == [1, 2]
    assert source.list(Filters())[3].matrix is None
    with caplog.at_level("INFO", logger="sclong"):
        numbers(tissue=("lung",), max_bytes=10**9)
    assert "CELLxGENE: left out: 1 another tissue, 1 too large" in caplog.text


@pytest.mark.parametrize(
    "content", [{"datasets": []}, [{"dataset_id": "a", "assets": [{}]}], ["a"], [1]]
)
def test_an_unknown_shape_is_refused(server, content):
    answer(server, "/datasets", content)
    with pytest.raises(InputError, match=r"unknown shape|did not answer with a list"):
        CellxGene(server.url("")).list(Filters())


def hca(number, **changes):
    """A hit of the file index as Azul gives it, without the fields that nobody reads."""
    file = {
        "accessible": True,
        "azul_url": f"https://service.h/repository/files/{number}?catalog=dcp1&version=2",
        "contentDescription": ["Count Matrix"],
        "drs_uri": f"drs://{number}",
        "fileSource": "Contributor",
        "format": "h5ad",
        "isIntermediate": False,
        "name": f"matrix {number}.h5ad",
        "sha256": f"{number:064x}",
        "size": 100 * number,
        "uuid": f"20000000-0000-4000-8000-{number:012}",
        "version": "2021-02-10T16:56:40.419579Z",
    }
    return {
        "cellSuspensions": [{"organ": ["blood"], "totalCells": 5_000}, {"totalCells": None}],
        "donorOrganisms": [{"genusSpecies": ["Homo sapiens"], "disease": ["normal"]}],
        "entryId": file["uuid"],
        "files": [file | changes],
        "projects": [{"projectId": ["cc95"], "projectTitle": ["Census of Immune Cells"]}],
        "protocols": [{"libraryConstructionApproach": ["10x 3' v2"]}, {"workflow": ["x"]}],
        "samples": [{"organ": ["blood", None], "disease": ["normal"]}],
        "specimens": [{"organ": ["blood"]}],
    }


def page(hits, following=None):
    return {"hits": hits, "pagination": {"count": len(hits), "next": following}, "termFacets": {}}


def test_hca_is_listed_over_all_pages(server):
    hits = [hca(1), hca(2, contentDescription=["DNA sequence"]), hca(3, accessible=False)]
    answer(server, "/index/files", page(hits, server.url("/next?search_after=1")))
    answer(server, "/next", page([hca(4), hca(1), hca(5, azul_url=None)]))
    found = HumanCellAtlas(server.url(""), catalog="dcp1").list(Filters(organism=("Homo sapiens",)))
    assert [entry.location for entry in found] == [
        f"https://service.h/repository/files/{number}?catalog=dcp1&version=2#matrix%20{number}.h5ad"
        for number in (1, 4)
    ]
    first = found[0]
    assert (first.sha256, first.bytes, first.cells) == (f"{1:064x}", 100, 5_000)
    assert (first.tissue, first.assay, first.disease) == ("blood", "10x 3' v2", "normal")
    assert first.file_name == "matrix_1.h5ad"
    query = parse_qs(urlsplit(server.requests[0][0]).query)
    assert query["catalog"] == ["dcp1"]
    assert json.loads(query["filters"][0]) == {
        "fileFormat": {"is": ["h5ad", "h5", "loom"]},
        "genusSpecies": {"is": ["Homo sapiens"]},
        "isIntermediate": {"is": [False]},
    }


def test_hca_pages_of_another_server_are_not_followed(server):
    answer(server, "/index/files", page([], "https://elsewhere.h/index/files"))
    with pytest.raises(InputError, match="not followed"):
        HumanCellAtlas(server.url("")).list(Filters())
    answer(server, "/index/files", page([{"files": [{}]}]))
    assert HumanCellAtlas(server.url("")).list(Filters()) == []
    answer(server, "/index/files", page([{"files": [{"azul_url": "https://h/x"}]}]))
    with pytest.raises(InputError, match="unknown shape"):
        HumanCellAtlas(server.url("")).list(Filters())


TABLE = """dataset_name,organism,organ,lifestage,platform,cell number,publication,CL,remark,collect
Baron_human,Homo sapiens,Pancreas,,inDrop,8569,A Map of the Human and Mouse Pancreas,TRUE,"4, a",x
Young,Homo sapiens,Kidney,"fetal, adult",10x,"5,685",Single-cell transcriptomes,TRUE,,x.R
Cao,Caenorhabditis elegans,Atlas,L2,sci-RNA-seq,32061,Comprehensive profiling,TRUE,,x.R
"""


def test_cell_blast_is_listed_from_its_table(server):
    server.files["/table.csv"] = TABLE.encode()
    source = CellBlast(server.url("/table.csv"), "https://files.h")
    found = source.list(Filters(organism=("Homo sapiens",)))
    assert [entry.location for entry in found] == [
        "https://files.h/Baron_human/Baron_human.h5ad",
        "https://files.h/Young/Young.h5ad",
    ]
    assert [entry.cells for entry in found] == [8_569, 5_685]
    assert found[1].tissue == "Kidney"
    assert source.list(Filters(tissue=("lung",))) == []
    server.files["/table.csv"] = b"<html></html>"
    with pytest.raises(InputError, match="not the table of data sets"):
        source.list(Filters())


def test_a_listed_file_is_fetched_and_opened_under_its_name(server, tmp_path):
    make_counts_anndata(5, 6).write_h5ad(tmp_path / "a.h5ad")
    server.files["/files/1"] = (tmp_path / "a.h5ad").read_bytes()
    entry = DatasetEntry("a", source="hca", location=server.url("/files/1?version=2#a%20b.h5ad"))
    manifest = Manifest((entry,), tmp_path)
    assert fetch(manifest, patience=ONCE)[0].status == "fetched"
    path = manifest.local_path(entry)
    assert path.name == "a_b.h5ad"
    with open_dataset(entry, path, tmp_path / "scratch") as source:
        assert source.n_cells == 5


def test_a_folder_says_what_its_files_say(tmp_path):
    adata = make_counts_anndata(5, 6)
    adata.obs["tissue"] = pd.Categorical(["lung", "blood", "lung", "lung", "lung"])
    adata.uns["organism"] = "Homo sapiens"
    (tmp_path / "sub").mkdir()
    adata.write_h5ad(tmp_path / "sub" / "a b.h5ad")
    anndata.AnnData(np.eye(3)).write_h5ad(tmp_path / "sub.a-b.h5ad")
    (tmp_path / "damaged.h5ad").write_bytes(b"x")
    source = LocalFolder(tmp_path)
    found = {entry.dataset: entry for entry in source.list(Filters())}
    alike = {f"sub.a-b.h5ad-{_digest(name)}" for name in ("sub/a b.h5ad", "sub.a-b.h5ad")}
    assert set(found) == {"damaged", *alike}
    (lung,) = source.list(Filters(tissue=("lung",)))
    assert (lung.location, lung.cells, lung.tissue) == ("sub/a b.h5ad", 5, "blood; lung")
    assert lung.organism == "Homo sapiens"
    with pytest.raises(InputError, match="is not a folder"):
        LocalFolder(tmp_path / "nowhere").list(Filters())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no data set"):
        LocalFolder(tmp_path / "empty").list(Filters())


def _digest(path):
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(path.encode()).hexdigest()[:12]


def test_ids_of_a_folder_depend_on_its_paths_alone(tmp_path):
    for name in ("x.h5ad", "X.loom", "x.h5", "-=y.h5ad", "z" * 140 + ".h5ad"):
        (tmp_path / name).touch()
    names = [entry.dataset for entry in Manifest.from_folder(tmp_path)]
    assert names == [entry.dataset for entry in Manifest.from_folder(tmp_path)]
    assert {"x.h5ad", "X.loom", "x.h5"} <= set(names)
    manifest = Manifest.from_folder(tmp_path)
    manifest.write(tmp_path / "m.tsv")
    assert all(manifest.local_path(entry).exists() for entry in Manifest.read(tmp_path / "m.tsv"))


def fake_census(adata, seen):
    """The functions of cellxgene-census that are called, over an object."""

    class Opened:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

    def open_soma(*, census_version):
        seen.append(("open", census_version))
        if census_version == "never":
            raise ValueError("unknown version")
        return Opened()

    def get_obs(census, organism, *, value_filter, column_names):
        seen.append(("obs", organism, value_filter))
        return adata.obs[column_names]

    def get_anndata(census, organism, *, obs_value_filter, X_name):  # noqa: N803
        seen.append(("anndata", organism, obs_value_filter, X_name))
        return adata if "nothing" not in obs_value_filter else adata[:0]

    module = types.ModuleType("cellxgene_census")
    module.open_soma, module.get_obs, module.get_anndata = open_soma, get_obs, get_anndata
    return module


def test_slices_of_the_census_are_listed_and_fetched(tmp_path, monkeypatch):
    adata = make_counts_anndata(4, 3)
    adata.obs["dataset_id"] = pd.Categorical(["b", "a", "b", "b"])
    adata.var["feature_id"] = ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419"]
    adata.var_names = ["0", "1", "2"]
    seen = []
    monkeypatch.setitem(sys.modules, "cellxgene_census", fake_census(adata, seen))
    where = "cell_type == 'it''s; $(x)'"
    found = Census("2025-01-30", where).list(Filters(tissue=("lung",), organism=("Homo sapiens",)))
    assert [(entry.dataset, entry.cells) for entry in found] == [("a", 1), ("b", 3)]
    asked = f"is_primary_data == True and tissue_general in ['lung'] and ({where})"
    assert seen == [("open", "2025-01-30"), ("obs", "homo_sapiens", asked)]
    manifest = Manifest(tuple(found[1:]), tmp_path)
    assert fetch(manifest)[0].status == "fetched"
    assert seen[-1] == ("anndata", "homo_sapiens", f"dataset_id == 'b' and {asked}", "raw")
    assert fetch(manifest)[0].status == "present"
    with open_dataset(found[1], manifest.local_path(found[1]), tmp_path / "s") as source:
        assert source.var.index[0] == "ENSG00000000003"
    for location, expected in [
        (slice_location("never", "homo_sapiens", "x"), "unknown version"),
        (slice_location("1", "homo_sapiens", "nothing"), "no cells match"),
        ("census:1", "is not a slice"),
    ]:
        bad = DatasetEntry("bad", source="cellxgene", location=location)
        (one,) = fetch(Manifest((bad,), tmp_path))
        assert expected in one.error


def test_without_the_census_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cellxgene_census", None)
    with pytest.raises(InputError, match=r"pip install 'sclong-data\[cellxgene\]'"):
        Census("2025-01-30").list(Filters())
    entry = DatasetEntry("a", source="cellxgene", location="census:1/homo_sapiens?obs=x")
    (one,) = fetch(Manifest((entry,), tmp_path))
    assert "sclong-data[cellxgene]" in one.error


@pytest.mark.real_data
@pytest.mark.skipif(REAL is None, reason="the shared data are not beside this checkout")
def test_real_files_say_what_they_hold():
    found = {entry.dataset: entry for entry in LocalFolder(REAL / "cellxgene").list(Filters())}
    valid = found["example_valid"]
    assert valid.cells == 2
    assert valid.organism == "Homo sapiens"
    assert valid.tissue is not None
    assert found["example_invalid_CL"].cells == 320
