"""Downloads from a web server that misbehaves."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching import Lock, Patience, download, fetch
from sclong_data.fetching.addresses import require_web, shown
from sclong_data.fetching.http import get_json, get_text, waiting_time
from sclong_data.reading import open_dataset
from tests.support.server import Answer, LoopbackServer

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(
    attempts=3,
    connect_seconds=5,
    stall_seconds=0.2,
    first_wait_seconds=0.01,
    longest_wait_seconds=0.05,
)


@pytest.fixture
def server():
    with LoopbackServer() as running:
        running.files["/x.h5ad"] = CONTENT
        yield running


def get(server, path, **options):
    return download(server.url("/x.h5ad"), path, patience=HASTY, **options)


def test_a_file_is_downloaded_with_its_checksum_and_progress(server, tmp_path):
    seen = []
    path = tmp_path / "folder" / "x.h5ad"
    found = get(
        server,
        path,
        sha256=SHA256,
        expected_bytes=len(CONTENT),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert found == SHA256
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [item.name for item in path.parent.iterdir()] == ["x.h5ad"]
    assert get(server, path, sha256=SHA256) == SHA256
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answers",
    [
        [
            Answer(429, {"Retry-After": "1"}),
            Answer(429, {"Retry-After": "Wed, 01 Jan 2020 00:00:00 GMT"}),
        ],
        [Answer(503), Answer(500)],
        [Answer(cut_after=50_000), Answer(cut_after=10)],
        [Answer(stall_after=50_000, seconds=0.5)],
        [Answer(cut_after=50_000), Answer(ranges=False)],
        [Answer(cut_after=50_000, etag=False)],
        [Answer(cut_after=50_000), Answer(503), Answer(cut_after=20_000)],
        [Answer(length=False)],
        [Answer(301, {"Location": "/x.h5ad?once", "Retry-After": "1"})],
    ],
    ids=[
        "too many requests",
        "server errors",
        "cut twice",
        "stall",
        "no ranges",
        "no etag",
        "cut and errors",
        "no length",
        "redirect",
    ],
)
def test_failures_that_pass_are_overcome(server, tmp_path, answers):
    server.answers["/x.h5ad"] = list(answers)
    assert get(server, tmp_path / "x.h5ad") == SHA256
    assert (tmp_path / "x.h5ad").read_bytes() == CONTENT
    assert not server.answers["/x.h5ad"]


def test_what_was_received_is_not_asked_for_again(server, tmp_path):
    server.answers["/x.h5ad"] = [Answer(cut_after=50_000)]
    get(server, tmp_path / "x.h5ad")
    first, second = server.asked_for("/x.h5ad")
    assert "Range" not in first
    assert second["Range"] == "bytes=50000-"
    assert second["If-Range"].startswith('"')


def test_a_file_that_changed_between_resumes_is_begun_anew(server, tmp_path):
    path = tmp_path / "x.h5ad"
    server.always["/x.h5ad"] = Answer(cut_after=0)
    server.answers["/x.h5ad"] = [Answer(cut_after=50_000)]
    with pytest.raises(InputError, match="try again later"):
        get(server, path)
    assert (tmp_path / "x.h5ad.part").stat().st_size == 50_000
    assert not path.exists()
    server.always.clear()
    server.files["/x.h5ad"] = CONTENT[::-1]
    get(server, path)
    assert path.read_bytes() == CONTENT[::-1]
    assert "Range" in server.requests[-1][1]


def test_a_part_that_is_complete_or_too_long_is_recognised(server, tmp_path):
    path = tmp_path / "x.h5ad"
    etag = f'"{hash(CONTENT)}"'
    note = {"url": server.url("/x.h5ad"), "validator": etag}
    for content in (CONTENT, CONTENT + b"more", b"other" * 30_000):
        path.unlink(missing_ok=True)
        (tmp_path / "x.h5ad.part").write_bytes(content)
        (tmp_path / "x.h5ad.part.json").write_text(json.dumps(note))
        assert get(server, path) == SHA256
    server.answers["/x.h5ad"] = [Answer(416, {"Content-Range": f"bytes */{len(CONTENT)}"})]
    (tmp_path / "x.h5ad.part").write_bytes(CONTENT)
    (tmp_path / "x.h5ad.part.json").write_text(json.dumps(note))
    assert get(server, path) == SHA256


NESTED = "[" * 100_000


def test_a_part_with_a_note_that_is_damaged_is_begun_anew(server, tmp_path):
    (tmp_path / "x.h5ad.part").write_bytes(CONTENT[:50])
    (tmp_path / "x.h5ad.part.json").write_text(NESTED)
    assert get(server, tmp_path / "x.h5ad") == SHA256
    assert "Range" not in server.requests[-1][1]


def test_damaged_notes_of_what_was_fetched_are_said_or_made_again(server, tmp_path):
    entry = DatasetEntry("x", source="url", location=server.url("/x.h5ad"))
    manifest = Manifest((entry,), tmp_path)
    fetch(manifest, patience=HASTY)
    (tmp_path / "downloads" / "x" / ".x.h5ad.json").write_text(NESTED)
    assert fetch(manifest, patience=HASTY)[0].status == "fetched"
    assert fetch(manifest, patience=HASTY)[0].status == "present"
    (tmp_path / "downloads" / "lock.json").write_text(NESTED)
    (tmp_path / "downloads" / "x" / "x.h5ad").unlink()
    (failed,) = fetch(manifest, patience=HASTY)
    assert (failed.status, "is not a lock file" in failed.error) == ("failed", True)


def test_a_wrong_checksum_names_both_and_leaves_nothing(server, tmp_path):
    with pytest.raises(InputError, match=f"{SHA256} instead of {'0' * 64}"):
        get(server, tmp_path / "x.h5ad", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_stays_when_its_replacement_is_wrong(server, tmp_path):
    (tmp_path / "x.h5ad").write_bytes(b"old")
    with pytest.raises(InputError):
        get(server, tmp_path / "x.h5ad", sha256="0" * 64)
    assert (tmp_path / "x.h5ad").read_bytes() == b"old"


def test_another_size_than_the_catalogue_says_is_refused_at_once(server, tmp_path):
    with pytest.raises(InputError, match=r"102,400 bytes instead of the expected 7"):
        get(server, tmp_path / "x.h5ad", expected_bytes=7)
    server.answers["/x.h5ad"] = [Answer(length=False)]
    with pytest.raises(InputError, match="more than the expected 7 bytes"):
        get(server, tmp_path / "x.h5ad", expected_bytes=7)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(404), "not there .status 404."),
        (Answer(403), "not public"),
        (Answer(401), "needs an account"),
        (Answer(410), "refused .status 410."),
    ],
)
def test_refusals_are_not_repeated(server, tmp_path, answer, expected):
    server.always["/x.h5ad"] = answer
    with pytest.raises(InputError, match=expected):
        get(server, tmp_path / "x.h5ad")
    assert len(server.requests) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answer", [Answer(429), Answer(503), Answer(cut_after=0), Answer(206)])
def test_patience_ends(server, tmp_path, answer):
    server.always["/x.h5ad"] = answer
    with pytest.raises(InputError, match=r"3 attempts.*try again later"):
        get(server, tmp_path / "x.h5ad")
    assert len(server.requests) == 3


def test_no_server_at_all_is_said(tmp_path):
    with pytest.raises(InputError, match="the connection failed"):
        download("http://127.0.0.1:9/x?key=secret", tmp_path / "x", patience=HASTY)


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1/",
        "data:text/plain,x",
        "javascript:1",
    ],
)
def test_redirects_to_other_schemes_are_refused(server, tmp_path, target):
    server.always["/x.h5ad"] = Answer(302, {"Location": target})
    with pytest.raises(InputError, match="only http and https"):
        get(server, tmp_path / "x.h5ad")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "/etc/passwd", "http:///x", "C:\\x"]
)
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(InputError, match="only http and https"):
        download(url, tmp_path / "x")


def test_redirects_end_and_are_never_less_safe(server, tmp_path):
    server.always["/x.h5ad"] = Answer(302, {"Location": "/x.h5ad"})
    with pytest.raises(InputError, match="more than 10 times"):
        get(server, tmp_path / "x.h5ad")
    with pytest.raises(InputError, match="not encrypted"):
        require_web("http://h/x", before="https://h/x")
    require_web("https://h/x", before="http://h/x")


def test_passwords_and_keys_are_not_shown(server, tmp_path, caplog):
    assert shown("https://me:word@h:8/x?key=1#y") == "https://h:8/x"
    url = server.url("/x.h5ad?key=secret").replace("http://", "http://me:word@")
    server.always["/x.h5ad"] = Answer(503)
    with caplog.at_level("DEBUG"), pytest.raises(InputError) as refused:
        download(url, tmp_path / "x", patience=HASTY)
    ours = " ".join(record.getMessage() for record in caplog.records if record.name == "sclong")
    for text in (ours, str(refused.value)):
        assert "word" not in text
        assert "secret" not in text


def test_two_processes_do_not_write_one_file(server, tmp_path):
    import fcntl  # noqa: PLC0415

    with (tmp_path / "x.h5ad.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            get(server, tmp_path / "x.h5ad")


def test_waiting_grows_up_to_a_limit():
    waits = [waiting_time(failures, None, Patience()) for failures in range(1, 12)]
    assert 1 <= waits[0] <= 1.25
    assert waits[-1] == 120
    assert waiting_time(1, 7, Patience()) >= 7


def test_json_and_text_are_read_with_the_same_patience(server):
    server.files |= {"/a.json": b'{"a": 1}', "/b.json": b"<html>", "/c.txt": b"\xff"}
    server.answers["/a.json"] = [Answer(503), Answer(cut_after=2)]
    assert get_json(server.url("/a.json"), HASTY) == {"a": 1}
    with pytest.raises(InputError, match="did not answer with JSON"):
        get_json(server.url("/b.json"), HASTY)
    assert get_text(server.url("/b.json"), HASTY) == "<html>"
    with pytest.raises(InputError, match="did not answer with text"):
        get_text(server.url("/c.txt"), HASTY)


def test_a_lock_trusts_once_and_verifies_ever_after(tmp_path):
    lock = Lock(tmp_path / "lock.json")
    url = "https://me:word@h/x?v=1"
    assert lock.expected(url) is None
    lock.record(url, SHA256, 5)
    assert Lock(tmp_path / "lock.json").expected(url) == SHA256
    assert "word" not in lock.path.read_text()
    lock.record(url, SHA256, 5)
    with pytest.raises(InputError, match="it was changed"):
        lock.record(url, "0" * 64, 5)
    assert lock.expected("https://h/x?v=2") is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 9, "files": {}}', '{"format": 1, "files": {"a": 1}}']
)
def test_a_damaged_lock_is_refused(tmp_path, content):
    (tmp_path / "lock.json").write_text(content)
    with pytest.raises(InputError, match="not a lock file"):
        Lock(tmp_path / "lock.json").expected("https://h/x")


def entry(server, name, path, **fields):
    return DatasetEntry(name, source="url", location=server.url(path), **fields)


def test_a_manifest_is_fetched_once(server, tmp_path):
    server.files["/y.h5ad"] = b"y"
    (tmp_path / "z.h5ad").touch()
    manifest = Manifest(
        (
            entry(server, "x", "/x.h5ad", sha256=SHA256, bytes=len(CONTENT)),
            entry(server, "y", "/y.h5ad"),
            DatasetEntry("z", location="z.h5ad"),
        ),
        tmp_path,
    )
    first = fetch(manifest, patience=HASTY)
    assert [found.status for found in first] == ["fetched", "fetched", "local"]
    assert manifest.local_path(manifest["x"]).read_bytes() == CONTENT
    asked = len(server.requests)
    again = fetch(manifest, patience=HASTY)
    assert [found.status for found in again] == ["present", "present", "local"]
    assert len(server.requests) == asked
    manifest.local_path(manifest["x"]).write_bytes(CONTENT[::-1])
    assert fetch(manifest, patience=HASTY)[0].status == "present"
    assert fetch(manifest, patience=HASTY, verify=True)[0].status == "fetched"


def test_one_failure_does_not_stop_the_rest(server, tmp_path):
    manifest = Manifest(
        (
            entry(server, "absent", "/absent.h5ad"),
            entry(server, "wrong", "/x.h5ad", sha256="0" * 64),
            entry(server, "x", "/x.h5ad"),
            DatasetEntry("nowhere", location="nowhere.h5ad"),
        ),
        tmp_path,
    )
    found = fetch(manifest, workers=1, patience=HASTY)
    assert [one.status for one in found] == ["failed", "failed", "fetched", "failed"]
    assert "404" in found[0].error
    with pytest.raises(InputError, match="sclong data fetch"):
        manifest.local_path(manifest["wrong"])


def test_a_file_changed_on_the_server_is_noticed_without_a_published_checksum(server, tmp_path):
    manifest = Manifest((entry(server, "x", "/x.h5ad"),), tmp_path)
    fetch(manifest, patience=HASTY)
    manifest.local_path(manifest["x"]).unlink()
    server.files["/x.h5ad"] = CONTENT[::-1]
    (found,) = fetch(manifest, patience=HASTY)
    assert found.status == "failed"
    assert SHA256 in found.error
    newer = hashlib.sha256(CONTENT[::-1]).hexdigest()
    listed = Manifest((entry(server, "x", "/x.h5ad", sha256=newer),), tmp_path)
    assert fetch(listed, patience=HASTY)[0].status == "fetched"


def test_nothing_of_a_manifest_reaches_a_shell_or_leaves_its_folder(server, tmp_path):
    server.files["/a;touch owned;$(id)`id`.h5ad"] = CONTENT
    server.files["/../../escaped.h5ad"] = CONTENT
    folder = tmp_path / "in ; touch owned $(touch owned)"
    folder.mkdir()
    manifest = Manifest(
        (
            entry(server, "a", "/a;touch%20owned;$(id)`id`.h5ad", title="$(touch owned)"),
            entry(server, "b", "/..%2f..%2fescaped.h5ad"),
        ),
        folder,
    )
    manifest.write(folder / "m.tsv")
    found = fetch(Manifest.read(folder / "m.tsv"), patience=HASTY)
    assert [one.status for one in found] == ["fetched", "fetched"]
    for one in manifest:
        assert manifest.local_path(one).resolve().is_relative_to(folder.resolve() / "downloads")
    assert not list(tmp_path.rglob("owned"))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_an_interrupt_stops_all_files(server, tmp_path):
    server.always["/x.h5ad"] = Answer(seconds=0.01)
    manifest = Manifest(
        tuple(entry(server, f"x{number}", "/x.h5ad") for number in range(6)), tmp_path
    )

    def watch(_entry):
        def shown(done, _total):
            raise KeyboardInterrupt

        return shown

    with pytest.raises(KeyboardInterrupt):
        fetch(manifest, workers=2, patience=HASTY, watch=watch)
    assert not [path for path in tmp_path.rglob("*.h5ad") if path.is_file()]


SCRIPT = """
import sys
from sclong_data.fetching import fetch
from sclong_data.dataset_manifest import Manifest
fetch(Manifest.read(sys.argv[1]))
"""


@pytest.mark.fault
def test_a_killed_fetch_goes_on_where_it_was(server, tmp_path):
    content = CONTENT * 10
    server.files["/x.h5ad"] = content
    server.always["/x.h5ad"] = Answer(seconds=0.004)
    Manifest((entry(server, "x", "/x.h5ad"),), tmp_path).write(tmp_path / "m.tsv")
    part = tmp_path / "downloads" / "x" / "x.h5ad.part"
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "m.tsv")])
        before = part.stat().st_size if part.exists() else 0
        deadline = time.monotonic() + 60
        while (part.stat().st_size if part.exists() else 0) <= before + 8_000:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not part.with_suffix("").exists()
    server.always.clear()
    manifest = Manifest.read(tmp_path / "m.tsv")
    (found,) = fetch(manifest, patience=HASTY)
    assert found.status == "fetched"
    assert manifest.local_path(manifest["x"]).read_bytes() == content
    starts = [headers.get("Range", "bytes=0-") for headers in server.asked_for("/x.h5ad")]
    assert len(starts) == 4
    assert all(start != "bytes=0-" for start in starts[1:])


@pytest.fixture
def small_disk(disk_of):
    """A file system of 1 MB."""
    return disk_of("1m")


@pytest.mark.fault
def test_a_full_disk_leaves_nothing_under_the_name_of_a_file(server, small_disk):
    server.files["/x.h5ad"] = CONTENT * 5
    manifest = Manifest((entry(server, "x", "/x.h5ad"),), small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(800_000))
    (found,) = fetch(manifest, patience=HASTY)
    assert "No space left" in found.error
    assert not manifest.expected_path(manifest["x"]).exists()
    filler.unlink()
    assert fetch(manifest, patience=HASTY)[0].status == "fetched"
    assert manifest.local_path(manifest["x"]).read_bytes() == CONTENT * 5


@pytest.mark.fault
def test_a_full_disk_leaves_no_half_turned_matrix(small_disk, tmp_path):
    cells = "".join(f"c{number}{',5' * 300}\n" for number in range(900))
    (tmp_path / "x.csv").write_text(f"{''.join(f',G{gene}' for gene in range(300))}\n{cells}")
    wanted = DatasetEntry("x", location="x.csv", matrix="cells-by-genes")
    with pytest.raises(InputError, match=r"cannot be written there .No space left"):
        open_dataset(wanted, tmp_path / "x.csv", small_disk)
    assert not [path for path in small_disk.rglob("*") if path.is_file() and path.stat().st_size]
    assert open_dataset(wanted, tmp_path / "x.csv", tmp_path / "scratch").n_cells == 900
