"""``--data``: a manifest is in one place and its files in another."""

import pytest

from sclong_core.cli.main import main
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from tests.support.datasets import made_up_vocabulary, write_datasets
from tests.support.server import LoopbackServer


@pytest.fixture
def asked(tmp_path):
    write_datasets(tmp_path).write(tmp_path / "manifest.tsv")
    made_up_vocabulary().write(tmp_path / "vocabulary.tsv")
    (tmp_path / "rules.yaml").write_text("min_genes_per_dataset: 20\nmin_genes_per_cell: 10\n")
    return [
        "data", "harmonise", f"{tmp_path}/manifest.tsv", "-o", f"{tmp_path}/corpus",
        "--vocabulary", f"{tmp_path}/vocabulary.tsv", "--rules", f"{tmp_path}/rules.yaml",
    ]  # fmt: skip


@pytest.fixture
def server():
    with LoopbackServer() as running:
        yield running


def test_the_files_of_a_manifest_may_be_in_another_folder(asked, tmp_path, capsys):
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "manifest.tsv").rename(away / "manifest.tsv")
    moved = [*asked[:2], f"{away}/manifest.tsv", *asked[3:]]
    assert main(moved) == 1, "the data sets are not beside the manifest"
    capsys.readouterr()
    assert main([*moved, "--data", str(tmp_path)]) == 0
    assert "106 cells" in capsys.readouterr().out


def test_a_data_folder_that_is_a_file_is_refused(asked, tmp_path, capsys):
    assert main([*asked, "--data", f"{tmp_path}/manifest.tsv"]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_downloads_may_go_to_another_folder(server, tmp_path, capsys):
    server.files["/a.h5ad"] = b"some bytes"
    entry = DatasetEntry("a", source="url", location=server.url("/a.h5ad"))
    Manifest((entry,), tmp_path).write(tmp_path / "m.tsv")
    words = ["data", "fetch", f"{tmp_path}/m.tsv", "--data", f"{tmp_path}/elsewhere"]
    assert main(words) == 0
    assert (tmp_path / "elsewhere" / "downloads" / "a" / "a.h5ad").read_bytes() == b"some bytes"
    assert not (tmp_path / "downloads").exists()
    assert main(words) == 0
    assert "present" in capsys.readouterr().out
