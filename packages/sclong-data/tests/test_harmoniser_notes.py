"""What is noted on the way: digests of files, rows of the report, tallies, progress."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import InputError
from sclong_data.harmoniser import identity
from sclong_data.harmoniser.identity import SourceDigests
from sclong_data.harmoniser.progress import Silent, drawn_progress
from sclong_data.harmoniser.rows import listed, report_line
from sclong_data.harmoniser.tallies import Tally


def test_a_file_is_read_once_while_it_does_not_change(tmp_path, monkeypatch):
    path, cache = tmp_path / "cells.h5ad", tmp_path / "sources.json"
    path.write_bytes(b"one")
    first = SourceDigests(cache).of(path)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "sha256_file", lambda _: pytest.fail("read again"))
        assert SourceDigests(cache).of(path) == first
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert SourceDigests(cache).of(path) != first


def test_a_folder_is_its_files_by_name(tmp_path):
    folder = tmp_path / "tenx"
    folder.mkdir()
    digests = SourceDigests(tmp_path / "sources.json")
    with pytest.raises(InputError, match="holds no file"):
        digests.of(folder)
    (folder / "matrix.mtx").write_text("x")
    one = digests.of(folder)
    (folder / "matrix.mtx").rename(folder / "genes.tsv")
    assert digests.of(folder) != one


def test_a_damaged_cache_is_no_matter(tmp_path):
    (tmp_path / "cells.h5ad").write_bytes(b"one")
    found = SourceDigests(tmp_path / "sources.json").of(tmp_path / "cells.h5ad")
    other = (tmp_path / "sources.json").read_bytes().replace(found.encode(), b"0" * 64)
    for damage in (b"\xff", b"[]", b"{", b"[" * 100_000, other):
        (tmp_path / "sources.json").write_bytes(damage)
        assert SourceDigests(tmp_path / "sources.json").of(tmp_path / "cells.h5ad") == found


def test_no_cell_of_the_report_is_a_formula():
    row = {"dataset": "a", "status": "failed", "reason": "=cmd()", "cells": None, "title": "+1"}
    line = report_line(row)
    assert "'=cmd()" in line
    assert not any(text.startswith(("=", "+", "-", "@")) for text in line)


def test_counts_are_listed_with_the_largest_first():
    assert listed({"b": 1, "a": 1, "c": 5}) == "c 5; a 1; b 1"


counts = st.dictionaries(st.sampled_from("abc"), st.integers(1, 9))


@given(st.lists(st.tuples(st.integers(0, 9), counts), max_size=5))
def test_tallies_add_up_and_survive_json(parts):
    tallies = []
    for cells, out in parts:
        tally = Tally(cells=cells, counts=float(cells))
        tally.out.update(out)
        tally.annotation["sex"] = tally.out.copy()
        tallies.append(tally)
        assert Tally.from_dict(tally.to_dict()) == tally
    total = Tally.total(tallies)
    assert total.cells == total.counts == sum(cells for cells, _ in parts)
    assert sum(total.out.values()) == sum(sum(out.values()) for _, out in parts)
    assert Tally.total([Tally.total(tallies[:2]), *tallies[2:]]) == total


def test_progress_is_drawn_only_where_it_is_shown(capsys):
    with drawn_progress(shown=False) as progress:
        assert isinstance(progress, Silent)
        progress.stage("cells", 2)
        progress.advance(2)
    assert capsys.readouterr().err == ""
    with drawn_progress(shown=True) as progress:
        progress.advance(1)
        for stage in ("data sets", "cells"):
            progress.stage(stage, 3)
            progress.advance(int(np.int64(2)))
    assert capsys.readouterr().err.strip() == ""  # a bar is gone when its work is done
