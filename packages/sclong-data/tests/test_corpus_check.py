import zipfile

import numpy as np
import pytest

from sclong_core.cli.main import main
from sclong_core.errors import InputError
from sclong_data.corpus import shards
from sclong_data.corpus.archive import member_offset
from sclong_data.corpus.check import check_corpus
from sclong_data.corpus.corpus import CellCorpus
from sclong_data.corpus.layout import shard_path
from tests.support.corpora import write_made_up_corpus, write_shards

NAME = "shards/a.1.zarr.zip"


@pytest.fixture
def folder(tmp_path):
    write_made_up_corpus(tmp_path)
    return tmp_path


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def test_a_whole_corpus_has_no_problem(folder, capsys):
    checked = check_corpus(folder)
    assert checked.problems == ()
    assert (checked.cells, checked.files) == (104, 7)
    assert main(["data", "check", str(folder)]) == 0
    assert "7, all as written" in capsys.readouterr().out


@pytest.mark.fault
def test_every_region_of_a_shard_is_watched_by_check_and_by_the_reader(tmp_path, monkeypatch):
    """Each member of the archive, its header, and the archive's own table, byte by byte."""
    monkeypatch.setattr(shards, "CHUNK", 64)
    write_made_up_corpus(tmp_path, {"a.0": 40})
    path = shard_path(tmp_path, "a.0")
    whole = path.read_bytes()
    regions = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            start = member_offset(archive, member.filename)
            regions[member.filename] = (start, start + member.file_size)
            regions[f"header of {member.filename}"] = (member.header_offset, start)
        regions["table"] = (archive.start_dir, len(whole))
    random = np.random.default_rng(0)
    for region, (start, stop) in regions.items():
        places = {start, stop - 1, *random.integers(start, stop, 4).tolist()}
        for place in sorted(places):
            flip(path, place, 1 << int(random.integers(8)))
            problems = check_corpus(tmp_path).problems
            assert [problem.file for problem in problems] == ["shards/a.0.zarr.zip"], region
            if region.startswith("X/") and region.endswith("c/0"):
                with pytest.raises(InputError, match=r"a\.0\.zarr\.zip is damaged"):
                    CellCorpus(tmp_path).read(np.arange(37))
                assert f"{region} in it is damaged" in problems[0].what
            path.write_bytes(whole)
    assert len(regions) > 40
    assert check_corpus(tmp_path).problems == ()


@pytest.mark.fault
@pytest.mark.parametrize("name", ["vocabulary.tsv", "cells/keys.npy", "cells/kept.npy", NAME])
def test_each_file_is_watched(folder, name, capsys):
    path = folder / name
    whole = path.read_bytes()
    for damage in (None, whole[:-1], whole + b"0", whole[:-1] + bytes([whole[-1] ^ 1])):
        if damage is None:
            path.unlink()
        else:
            path.write_bytes(damage)
        assert [problem.file for problem in check_corpus(folder).problems] == [name]
        assert main(["data", "check", str(folder)]) == 2
        said = capsys.readouterr()
        assert said.out.startswith(f"{name}: ")
        assert "1 file is not as written" in said.err
        path.write_bytes(whole)


def test_another_vocabulary_is_said_with_both_digests(folder):
    path = folder / "vocabulary.tsv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    (problem,) = check_corpus(folder).problems
    assert "its genes have digest" in problem.what
    path.write_text("\n".join([lines[0], lines[1] + "S", *lines[2:]]) + "\n")
    (problem,) = check_corpus(folder).problems
    assert "its genes match" in problem.what


def test_all_problems_are_listed(folder):
    (folder / NAME).unlink()
    (folder / "shards" / "b.0.json").write_text("{}")
    write_shards(folder, {"z.0": 4})
    files = [problem.file for problem in check_corpus(folder).problems]
    assert files == [NAME, "shards/b.0.json", "shards/z.0.zarr.zip"]


def test_a_damaged_index_is_an_error(folder, capsys):
    for place in (10, -20):
        flip(folder / "corpus.json", place)
        assert main(["data", "check", str(folder)]) == 2
        assert "corpus.json" in capsys.readouterr().err
        flip(folder / "corpus.json", place)
    assert main(["data", "check", str(folder / "shards")]) == 2
    assert "holds no corpus" in capsys.readouterr().err
