import gzip

import pytest

from sclong_core.errors import InputError
from sclong_data import text_files
from sclong_data.text_files import first_line, read_lines


def test_plain_and_packed_lines_are_the_same(tmp_path):
    text = b"one\r\ntwo\n\nfour"
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text))
    expected = [(1, "one"), (2, "two"), (3, ""), (4, "four")]
    assert list(read_lines(tmp_path / "plain")) == expected
    assert list(read_lines(tmp_path / "packed")) == expected


def test_first_line_passes_over_comments(tmp_path):
    (tmp_path / "a").write_text("\n# a comment\nfirst\n")
    assert first_line(tmp_path / "a", comment="#") == "first"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (gzip.compress(b"text" * 1000, mtime=0)[:-9], "cut short or damaged"),
        (gzip.compress(b"text", mtime=0)[:12] + b"\x00" * 20, "cut short or damaged"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        first_line(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone cannot be read: No such file"):
        first_line(tmp_path / "gone")


@pytest.mark.fault
@pytest.mark.parametrize(
    ("line", "message"), [(b"0", "longer than"), (b"0" * 99 + b"\n", "50 times its size")]
)
def test_bombs_are_refused(tmp_path, monkeypatch, line, message):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 10**6)
    monkeypatch.setattr(text_files, "UNSUSPICIOUS_BYTES", 10**6)
    monkeypatch.setattr(text_files, "RATIO", 50)
    (tmp_path / "a.gz").write_bytes(gzip.compress(line * (10**7 // len(line))))
    with pytest.raises(InputError, match=message):
        for _ in read_lines(tmp_path / "a.gz"):
            pass
