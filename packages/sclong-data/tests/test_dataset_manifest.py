import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sclong_core.errors import InputError
from sclong_data.dataset_entry import DatasetEntry, inert_text
from sclong_data.dataset_manifest import Manifest

ENTRIES = (
    DatasetEntry(
        "kang",
        location="pbmc/kang.h5ad",
        organism="Homo sapiens",
        matrix="counts",
        normalisation="raw",
        cells=2_000,
        title='PBMC, "stimulated"; $(touch owned) `id` | && rm -rf ~',
    ),
    DatasetEntry(
        "far.1",
        source="url",
        location="https://example.org/a%20b.h5ad",
        sha256="ab" * 32,
        bytes=12,
    ),
)
line = (
    st.text(st.characters(exclude_categories=("C", "Zs", "Zl", "Zp")) | st.just(" "), max_size=30)
    .map(str.strip)
    .filter(lambda text: not text.startswith(("=", "+", "-", "@")))
)
maybe = st.none() | line.filter(bool)


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    Manifest(ENTRIES, tmp_path).write(tmp_path / "manifest.tsv")
    assert Manifest.read(tmp_path / "manifest.tsv") == Manifest(ENTRIES, tmp_path)


@given(
    title=line,
    organism=maybe,
    matrix=maybe,
    size=st.none() | st.integers(0, 10**15),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True),
)
def test_any_printable_text_survives_writing_and_reading(
    tmp_path_factory, title, organism, matrix, size, name
):
    entry = DatasetEntry(
        name, location="x.h5ad", title=title, organism=organism, matrix=matrix, bytes=size
    )
    folder = tmp_path_factory.mktemp("manifest")
    Manifest((entry,), folder).write(folder / "m.tsv")
    assert Manifest.read(folder / "m.tsv").entries == (entry,)


def test_pandas_reads_the_same_table(tmp_path):
    Manifest(ENTRIES, tmp_path).write(tmp_path / "m.tsv")
    table = pd.read_csv(tmp_path / "m.tsv", sep="\t")
    assert table["title"][0] == ENTRIES[0].title
    assert Manifest.from_frame(table, tmp_path) == Manifest(ENTRIES, tmp_path)


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    path = tmp_path / "m.tsv"
    saved = '\ufeffdataset\tlocation\ttitle\r\na\tx.h5ad\t"one ""two"""\r\n\t\t\r\n'
    path.write_bytes(saved.encode())
    assert Manifest.read(path)["a"].title == 'one "two"'


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("dataset", "../escape", "not a data set id"),
        ("dataset", "..", "not a data set id"),
        ("dataset", "a/b", "not a data set id"),
        ("dataset", "a\\b", "not a data set id"),
        ("dataset", "", "empty"),
        ("dataset", "x" * 129, "not a data set id"),
        ("location", "file:///etc/passwd", "neither a path nor"),
        ("location", "ftp://example.org/x.h5ad", "neither a path nor"),
        ("location", "https://name:word@example.org/x.h5ad", "password"),
        ("location", "https:///x.h5ad", "names no server"),
        ("location", "", "empty"),
        ("source", "geo", "not one of local"),
        ("sha256", "abc", "64 hexadecimal"),
        ("bytes", "-4", "not a whole number"),
        ("bytes", "4.5", "not a whole number"),
        ("cells", "many", "not a whole number"),
        ("normalisation", "tpm", "not one of auto"),
        ("title", "=HYPERLINK(1)", "formula"),
        ("title", "a\x1b[2Jb", "printable"),
        ("location", "@SUM(A1)", "formula"),
    ],
)
def test_a_bad_cell_is_refused_by_its_line_and_column(tmp_path, column, value, expected):
    row = {"dataset": "b", "source": "url", "location": "https://example.org/x.h5ad"}
    row |= {"sha256": "", "bytes": "", "cells": "", "normalisation": "", "title": "t"}
    row[column] = value
    good = ["a", "local", "x.h5ad", "", "", "", "", "t"]
    path = write(tmp_path / "m.tsv", *("\t".join(cells) for cells in (row, good, row.values())))
    with pytest.raises(InputError, match=expected) as refused:
        Manifest.read(path)
    assert f"line 3, column {column}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["dataset\tlocation", "a\tx.h5ad", "A\ty.h5ad"], "line 3, column dataset.*line 2"),
        (["dataset\tlocation", "a"], "line 2: 1 columns"),
        (["dataset\tlocation", "a\tb\tc"], "line 2: 3 columns"),
        (["dataset,location", "a,b"], "no column 'dataset'"),
        (["dataset\tlocation\tsha265", "a\tb\tc"], "column 'sha265' is unknown"),
        (["dataset\tlocation\tlocation", "a\tb\tc"], "occurs twice"),
        (["dataset\tlocation"], "lists no data sets"),
        ([""], "no column"),
        (["dataset\tlocation", 'a\t"x'], "line"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path, lines, expected):
    with pytest.raises(InputError, match=expected):
        Manifest.read(write(tmp_path / "m.tsv", *lines))


def test_binary_files_are_refused(tmp_path):
    (tmp_path / "m.tsv").write_bytes(b"\x89HDF\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        Manifest.read(tmp_path / "m.tsv")


def test_downloads_stay_in_their_folder(tmp_path):
    names = [
        "https://h/..%2F..%2Fetc%2Fpasswd",
        "https://h/%00x",
        "https://h/",
        "https://h/.bashrc",
    ]
    entries = tuple(
        DatasetEntry(f"d{number}", source="url", location=location)
        for number, location in enumerate(names)
    )
    manifest = Manifest(entries, tmp_path)
    for entry in entries:
        place = manifest.expected_path(entry).resolve()
        assert place.parent == (tmp_path / "downloads" / entry.dataset).resolve()
        assert not place.name.startswith(".")


def test_what_is_missing_is_said_with_what_to_do(tmp_path):
    manifest = Manifest(ENTRIES, tmp_path)
    with pytest.raises(InputError, match="does not exist: correct"):
        manifest.local_path(manifest["kang"])
    with pytest.raises(InputError, match="sclong data fetch"):
        manifest.local_path(manifest["far.1"])
    with pytest.raises(InputError, match="no data set 'other'"):
        manifest["other"]


def test_paths_follow_the_manifest_to_another_folder(tmp_path):
    (tmp_path / "pbmc").mkdir()
    (tmp_path / "pbmc" / "kang.h5ad").touch()
    (tmp_path / "lists").mkdir()
    Manifest(ENTRIES, tmp_path).write(tmp_path / "lists" / "m.tsv")
    moved = Manifest.read(tmp_path / "lists" / "m.tsv")
    assert moved["kang"].location == "../pbmc/kang.h5ad"
    assert moved.local_path(moved["kang"]).samefile(tmp_path / "pbmc" / "kang.h5ad")


def test_an_address_may_name_a_part_of_an_archive():
    entry = DatasetEntry("a", source="url", location="https://h/x.tar.gz#sub/folder%20b")
    assert (entry.archived, entry.file_name, entry.member) == (True, "x.tar.gz", "sub/folder b")


def test_text_of_catalogues_is_made_inert():
    assert inert_text("=cmd|' /C calc'!A0\n\tb\x07") == "cmd|' /C calc'!A0 b"
    entry = DatasetEntry("a", location="x", title=inert_text("-+@= x"))
    assert entry.title == "x"


def test_entries_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ENTRIES[0].dataset = "other"  # type: ignore[misc]
