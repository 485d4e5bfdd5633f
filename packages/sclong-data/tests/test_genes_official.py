"""Official files: fetched once, checked against their publisher, and the same ever after."""

import hashlib
import http.server
import threading
from functools import partial

import pytest

from sclong_core.errors import InputError
from sclong_data.genes import official
from sclong_data.genes.official import LOCK_FILE, OfficialFile, obtain

CONTENT = b"genes\n" * 1000


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        """Say nothing."""


@pytest.fixture
def published(tmp_path):
    """A publisher's folder, and its address."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "genes.gz").write_bytes(CONTENT)
    handler = partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def wanted(address, *, sums=False):
    md5_list = f"{address}/MD5SUMS" if sums else None
    return OfficialFile("genes", f"{address}/genes.gz", "genes-1.gz", md5_list)


def test_a_file_is_fetched_once_and_noted(tmp_path, published):
    folder, address = published
    sources = tmp_path / "sources"
    seen = []
    place = obtain(wanted(address), sources, progress=lambda *done: seen.append(done))
    assert place.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert hashlib.sha256(CONTENT).hexdigest() in (sources / LOCK_FILE).read_text()
    (folder / "genes.gz").unlink()
    assert obtain(wanted(address), sources) == place


def test_a_file_that_was_changed_after_its_fetch_is_refused(tmp_path, published):
    _, address = published
    place = obtain(wanted(address), tmp_path / "sources")
    place.write_bytes(b"other")
    with pytest.raises(InputError, match=r"genes-1\.gz is not the file that was fetched"):
        obtain(wanted(address), tmp_path / "sources")


def test_a_publisher_who_changes_the_file_is_noticed(tmp_path, published):
    folder, address = published
    obtain(wanted(address), tmp_path / "sources").unlink()
    (folder / "genes.gz").write_bytes(b"other")
    with pytest.raises(InputError, match="SHA-256"):
        obtain(wanted(address), tmp_path / "sources")
    assert not (tmp_path / "sources" / "genes-1.gz").exists()


@pytest.mark.parametrize("mark", ["", "./", "*"])
def test_the_publisher_s_checksum_is_asked(tmp_path, published, mark):
    folder, address = published
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    (folder / "MD5SUMS").write_text(f"{'0' * 32}  other\n{digest}  {mark}genes.gz\n")
    assert obtain(wanted(address, sums=True), tmp_path / "sources").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("line", "message"),
    [("0" * 32 + "  genes.gz", "the publisher says 0000"), ("x  other", "no checksum of genes.gz")],
)
def test_a_file_that_the_publisher_s_checksum_denies_is_not_kept(
    tmp_path, published, line, message
):
    folder, address = published
    (folder / "MD5SUMS").write_text(f"{line}\n")
    sources = tmp_path / "sources"
    with pytest.raises(InputError, match=message):
        obtain(wanted(address, sums=True), sources)
    assert not (sources / "genes-1.gz").exists()
    assert not (sources / LOCK_FILE).exists()


def test_the_official_files_are_named_by_secure_addresses_and_their_versions():
    files = [value for value in vars(official).values() if isinstance(value, OfficialFile)]
    assert (
        len({file.url for file in files}) == len({file.file for file in files}) == len(files) == 10
    )
    assert all(file.url.startswith("https://") for file in files)
    assert official.GENCODE.md5_list is not None
