"""What was there before is not replaced, unless it is ours."""

import json
import os

import pytest

from sclong_core.cli.main import main
from sclong_core.errors import InputError
from sclong_data.dataset_manifest import Manifest
from sclong_data.harmoniser.run import harmonise
from sclong_data.harmoniser.workplace import _require_corpus
from sclong_data.outputs import begins_with, require_output
from tests.support.datasets import (
    SMALL_RULES,
    corpus_bytes,
    made_up_vocabulary,
    write_datasets,
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return write_datasets(tmp_path_factory.mktemp("datasets"))


def run(manifest, corpus):
    return harmonise(manifest, corpus, vocabulary=made_up_vocabulary(), rules=SMALL_RULES)


@pytest.mark.parametrize(
    "name",
    [
        "corpus.json",
        "report.tsv",
        "duplicates.json",
        "vocabulary.tsv",
        "datasets/z.json",
        "shards/a.00000.zarr.zip",
        "cells/keys.npy",
        ".work/notes",
        ".work/lock",
    ],
)
def test_a_folder_that_is_no_corpus_is_left_as_it_is(manifest, tmp_path, name):
    mine = tmp_path / "corpus" / name
    mine.parent.mkdir(parents=True)
    mine.write_text('{"mine": 1}')
    with pytest.raises(InputError, match="not the folder of a corpus"):
        run(manifest, tmp_path / "corpus")
    assert [path for path in (tmp_path / "corpus").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == '{"mine": 1}'


def test_a_link_that_leads_nowhere_is_something_too(manifest, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "shards").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="holds shards"):
        run(manifest, tmp_path / "corpus")
    assert not (tmp_path / "elsewhere").exists()


def test_a_store_of_cells_is_no_place_for_a_corpus(manifest, tmp_path):
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "x.zarr" / "zarr.json").write_text("{}")
    for folder in (tmp_path / "x.zarr", tmp_path / "x.zarr" / "new"):
        with pytest.raises(InputError, match="lies in the data set"):
            run(manifest, folder)
    with pytest.raises(InputError, match="inside"):
        require_output(tmp_path / "x.zarr" / "obs.tsv")


def test_other_things_in_the_folder_of_a_corpus_stay(manifest, tmp_path):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    names = ["notes.txt", ".notes.tmp-1", ".work2/x"]
    for name in names:
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_text("mine")
    run(manifest, corpus)
    names += ["datasets/mine.json", "datasets/list.json", "shards/mine.00001.zarr.zip"]
    names += ["shards/mine.00001.json", "shards/readme.md"]
    for name in names:
        (corpus / name).write_text("[1]" if name.endswith("list.json") else "mine")
    smaller = Manifest(manifest.entries[:2], manifest.folder)
    run(smaller, corpus)
    assert all((corpus / name).is_file() for name in names)
    assert main(["data", "stats", str(corpus), "-o", str(tmp_path / "page.html")]) == 0
    for name in names:
        (corpus / name).unlink()
    run(smaller, tmp_path / "fresh")
    left, fresh = (corpus_bytes(folder) for folder in (corpus, tmp_path / "fresh"))
    assert left.keys() == fresh.keys()
    assert all(left[name] == fresh[name] for name in fresh if name != "corpus.json")


def test_a_corpus_whose_notes_were_removed_is_still_ours(manifest, tmp_path):
    run(manifest, tmp_path / "corpus")
    before = corpus_bytes(tmp_path / "corpus")
    (tmp_path / "corpus" / ".work" / "lock").unlink()
    run(manifest, tmp_path / "corpus")
    assert corpus_bytes(tmp_path / "corpus") == before


def test_the_page_of_a_corpus_replaces_an_older_page_and_nothing_else(manifest, tmp_path, capsys):
    corpus = tmp_path / "corpus"
    run(manifest, corpus)
    before = corpus_bytes(corpus)
    others = [tmp_path / "cells.csv", tmp_path / "other.html"]
    for path in others:
        path.write_text("<!DOCTYPE html>\n<p>mine</p>")
    for path in (*others, *(corpus / name for name in before)):
        assert main(["data", "stats", str(corpus), "-o", str(path)]) == 2
        assert "choose another name" in capsys.readouterr().err
    assert main(["data", "stats", str(corpus), "-o", str(tmp_path)]) == 2
    assert corpus_bytes(corpus) == before
    assert all("mine" in path.read_text() for path in others)
    for _ in range(2):
        assert main(["data", "stats", str(corpus), "-o", str(tmp_path / "page.html")]) == 0


def test_a_list_replaces_an_older_list_and_nothing_else(manifest, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / f"{name}.h5ad").write_bytes((manifest.folder / f"{name}.h5ad").read_bytes())
    before = (tmp_path / "a.h5ad").read_bytes()
    (tmp_path / "mine.tsv").write_text("dataset\tlocation\na\ta.h5ad\n")
    (tmp_path / "linked.tsv").symlink_to(tmp_path / "a.h5ad")
    for name in ("a.h5ad", "mine.tsv", "linked.tsv"):
        assert main(["data", "list", str(tmp_path), "-o", str(tmp_path / name)]) == 2
        assert "choose another name" in capsys.readouterr().err
    assert (tmp_path / "a.h5ad").read_bytes() == before
    assert "location\na" in (tmp_path / "mine.tsv").read_text()
    for _ in range(2):
        assert main(["data", "list", str(tmp_path), "-o", str(tmp_path / "manifest.tsv")]) == 0


def test_an_output_is_never_an_input(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x")
    os.link(path, tmp_path / "b.txt")
    (tmp_path / "c.txt").symlink_to(path)
    for name in ("a.txt", "b.txt", "c.txt"):
        with pytest.raises(InputError, match="also an input"):
            require_output(tmp_path / name, [path])
    require_output(tmp_path / "new.txt", [path])
    assert not begins_with(tmp_path, "x")
    assert begins_with(path, "x")
    assert not begins_with(path, json.dumps("x"))


@pytest.mark.parametrize("made", [(), ("surveys",), ("surveys", "units")])
def test_a_run_killed_while_it_made_its_place_can_be_taken_up(tmp_path, made):
    work = tmp_path / "corpus" / ".work"
    work.mkdir(parents=True)
    for name in made:
        (work / name).mkdir()
    _require_corpus(tmp_path / "corpus")
    (work / "mine.txt").write_text("precious")
    with pytest.raises(InputError, match="is not the folder of a corpus"):
        _require_corpus(tmp_path / "corpus")
