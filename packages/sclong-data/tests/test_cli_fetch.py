"""``sclong data list`` and ``sclong data fetch``."""

import argparse
import json

import pytest

from sclong_core.cli.main import main
from sclong_core.testing import make_counts_anndata
from sclong_data.cli import fetch as fetch_command
from sclong_data.cli import list_datasets
from sclong_data.cli.sizes import print_size, read_size
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from tests.support.server import LoopbackServer


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def test_a_catalogue_becomes_a_manifest_which_is_fetched(server, tmp_path, capsys):
    make_counts_anndata(5, 6).write_h5ad(tmp_path / "a.h5ad")
    content = (tmp_path / "a.h5ad").read_bytes()
    server.files["/v1.h5ad"] = content
    described = {
        "dataset_id": "d1",
        "title": "Lungs",
        "collection_name": "Atlas",
        "organism": [{"label": "Homo sapiens"}],
        "tissue": [{"label": "lung"}, {"label": "blood"}, {"label": "liver"}],
        "cell_count": 5,
        "assets": [{"filetype": "H5AD", "filesize": len(content), "url": server.url("/v1.h5ad")}],
    }
    other = {**described, "dataset_id": "d2", "organism": [{"label": "Mus musculus"}]}
    server.files["/datasets"] = json.dumps([described, other]).encode()
    path = tmp_path / "m.tsv"
    words = ["data", "list", "cellxgene", "--api", server.url("/"), "--tissue", "lung"]
    assert main([*words, "-o", str(path)]) == 0
    printed = capsys.readouterr()
    assert "Lungs" in printed.out
    assert "1 another organism" in printed.err
    assert [entry.dataset for entry in Manifest.read(path)] == ["d1"]
    assert main([*words, "--organism", "any"]) == 0
    assert main(["data", "fetch", str(path), "--dry-run"]) == 0
    assert not (tmp_path / "downloads").exists()
    assert main(["data", "fetch", str(path)]) == 0
    assert "fetched" in capsys.readouterr().out
    assert main(["data", "fetch", str(path), "--verify", "--workers", "2"]) == 0
    assert "present" in capsys.readouterr().out
    assert len(server.asked_for("/v1.h5ad")) == 1


def test_a_failure_is_reported_at_the_end_with_a_status(server, tmp_path, capsys):
    server.files["/b.h5ad"] = b"b"
    entries = tuple(
        DatasetEntry(name, source="url", location=server.url(f"/{name}.h5ad")) for name in "ab"
    )
    Manifest(entries, tmp_path).write(tmp_path / "m.tsv")
    assert main(["data", "fetch", str(tmp_path / "m.tsv")]) == 2
    printed = capsys.readouterr()
    assert "1 of 2 data sets were not downloaded; the first: a: " in printed.err
    assert "status 404" in printed.err
    assert "Traceback" not in printed.err
    assert (tmp_path / "downloads" / "b" / "b.h5ad").exists()


def test_a_folder_becomes_a_manifest_beside_it(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    make_counts_anndata(5, 6).write_h5ad(tmp_path / "data" / "a.h5ad")
    path = tmp_path / "m.tsv"
    assert main(["data", "list", str(tmp_path / "data"), "-o", str(path)]) == 0
    manifest = Manifest.read(path)
    assert manifest.local_path(manifest["a"]).exists()
    assert manifest["a"].location == "data/a.h5ad"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list", "geo"], "'geo' is not a source"),
        (["list", "hca", "--census", "1"], "--census belongs"),
        (["list", "hca", "--max-size", "big"], "'big' is not a size"),
        (["fetch", "nowhere.tsv"], "nowhere.tsv"),
        (["fetch", "nowhere.tsv", "--workers", "0"], "--workers must be"),
    ],
)
def test_wrong_words_get_one_line(words, expected, capsys):
    assert main(["data", *words]) == 2
    printed = capsys.readouterr().err
    assert expected in printed
    assert len(printed.strip().splitlines()) == 1


def test_every_source_can_be_named():
    parser = argparse.ArgumentParser()
    list_datasets.command.add_arguments(parser)
    names = [
        list_datasets._source(parser.parse_args(words)).name
        for words in (
            ["cellxgene"],
            ["cellxgene", "--census", "2025-01-30"],
            ["hca"],
            ["cellblast", "--api", "https://h/t.csv"],
            ["."],
        )
    ]
    assert names == ["CELLxGENE", "CELLxGENE Census", "Human Cell Atlas", "Cell BLAST", "folder"]


def test_bars_show_what_comes_in():
    entry = DatasetEntry("a", location="x")
    with fetch_command._bars(shown=True) as watch:
        watch(entry)(5, 10)
    with fetch_command._bars(shown=False) as watch:
        assert watch is None


@pytest.mark.parametrize(
    ("text", "size"), [("12", 12), ("2GB", 2 * 10**9), ("1.5 m", 1_500_000), ("3kb", 3_000)]
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert read_size(text) == size


def test_sizes_are_printed_for_people():
    printed = [print_size(size) for size in (None, 5, 1_500, 2 * 10**9)]
    assert printed == ["", "5 B", "1.5 kB", "2.0 GB"]
