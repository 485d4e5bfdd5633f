"""Servers that drip, pack what they send, lie, or lead to addresses that cannot be."""

import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from contextlib import contextmanager

import pytest

from sclong_core.errors import InputError
from sclong_data.dataset_manifest import DatasetEntry, Manifest
from sclong_data.fetching import Patience, download, fetch
from sclong_data.fetching import http as ours
from sclong_data.fetching.addresses import redirected, shown
from sclong_data.fetching.decoding import decoded
from sclong_data.fetching.http import get_json, get_text
from sclong_data.fetching.workers import Stop, StoppedError, in_threads
from sclong_data.sources import CellxGene, Filters, HumanCellAtlas

BODY = b"cells " * 20_000
HASTY = Patience(
    attempts=2,
    connect_seconds=5,
    stall_seconds=0.4,
    first_wait_seconds=0.01,
    longest_wait_seconds=0.05,
)


@contextmanager
def serving(answer):
    """The address of a server whose answer to each request is written by ``answer``."""
    listening = socket.create_server(("127.0.0.1", 0))

    def one(connection):
        with connection:
            try:
                connection.recv(65_536)
                answer(connection)
            except OSError:
                pass

    def loop():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=loop, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()


def whole(body, headers=b"", status=b"200 OK", length=None):
    size = str(len(body) if length is None else length).encode()
    head = b"HTTP/1.1 " + status + b"\r\nConnection: close\r\nContent-Length: " + size
    return lambda connection: connection.sendall(head + b"\r\n" + headers + b"\r\n" + body)


def dripping(head, piece=b"a"):
    def answer(connection):
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return answer


HEAD = b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 1000000\r\n'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "body": dripping(HEAD + b"\r\n"),
    "body after much": dripping(HEAD + b"\r\n" + b"a" * 100),
    "status": dripping(b"HTTP/1.1 "),
    "headers": dripping(HEAD + b"X: "),
    "chunks": dripping(CHUNKED, b"1\r\na\r\n"),
    "size of a chunk": dripping(CHUNKED, b"0"),
    "nothing": dripping(b"", b""),
}


@pytest.mark.parametrize("answer", DRIPS.values(), ids=list(DRIPS))
def test_a_server_that_drips_is_given_up_and_the_others_are_fetched(tmp_path, answer):
    with serving(answer) as slow, serving(whole(BODY)) as good:
        entries = [
            DatasetEntry(name, "url", f"{server}/{name}.h5ad")
            for name, server in (("a", slow), ("b", good))
        ]
        found = fetch(Manifest(tuple(entries), tmp_path), workers=1, patience=HASTY)
    assert [one.status for one in found] == ["failed", "fetched"]
    assert "2 attempts" in found[0].error
    with serving(answer) as slow, pytest.raises(InputError, match="2 attempts"):
        get_json(slow, HASTY)


def test_attempts_that_take_long_are_fewer(tmp_path):
    patience = Patience(stall_seconds=0.2, fruitless_seconds=0.3, first_wait_seconds=0.01)
    with serving(DRIPS["headers"]) as url, pytest.raises(InputError, match="2 attempts"):
        download(f"{url}/a", tmp_path / "a", patience=patience)


LOCATIONS = [
    b"http://127.0.0.1:99999/x",
    b"http://[::1/x",
    b"http://127.0.0.1:abc/x",
    b"http://" + b"a" * 70 + b".localhost/x",
    b"http://a..b/x",
    b"http://\xff\xfe/x",
    b"http://127.0.0.1:1/\xff\xfe",
    b"http://127.0.0.1:-1/",
    b"//[",
    b"http:///x",
    b"http://\x01/",
    b"ssh://h/x",
    b"http://user:pass@[/x",
]


@pytest.mark.parametrize("location", LOCATIONS)
def test_an_odd_redirect_is_one_line_and_the_others_are_fetched(tmp_path, location):
    odd = whole(b"", b"Location: " + location + b"\r\n", b"302 Found")
    with serving(odd) as bad, serving(whole(BODY)) as good:
        entries = [
            DatasetEntry(name, "url", f"{server}/{name}.h5ad")
            for name, server in (("a", bad), ("b", good))
        ]
        found = fetch(Manifest(tuple(entries), tmp_path), workers=1, patience=HASTY)
    assert [one.status for one in found] == ["failed", "fetched"]
    assert found[0].error.isprintable()
    assert "pass@" not in found[0].error


@pytest.mark.parametrize(
    "url", ["http://h:99999/x", "http://[::1/x", "http://h:abc/x", "http:///x", "http://:80/x"]
)
def test_an_address_that_cannot_be_is_refused_in_a_manifest_and_alone(tmp_path, url):
    with pytest.raises(InputError, match="column location"):
        DatasetEntry("a", "url", url)
    with pytest.raises(InputError):
        download(url, tmp_path / "x")
    assert "secret" not in shown(f"{url}?key=secret")
    assert redirected("http://h/a", "/b c") == "http://h/b c"


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "GZIP", "deflate"])
@pytest.mark.parametrize("known", ["checksum", "size", "nothing"])
def test_what_a_server_packed_is_unpacked(tmp_path, name, known):
    packed = zlib.compress(BODY) if name == "deflate" else gzip.compress(BODY)
    answer = whole(packed, f"Content-Encoding: {name}\r\n".encode())
    options = {
        "checksum": {"sha256": hashlib.sha256(BODY).hexdigest(), "expected_bytes": len(BODY)},
        "size": {"expected_bytes": len(BODY)},
        "nothing": {},
    }[known]
    with serving(answer) as url:
        found = download(f"{url}/x.h5ad", tmp_path / "x.h5ad", patience=HASTY, **options)
        assert get_text(url, HASTY) == BODY.decode()
    assert found == hashlib.sha256(BODY).hexdigest()
    assert (tmp_path / "x.h5ad").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["x.h5ad"]


@pytest.mark.parametrize("known", ["checksum", "size", "nothing"])
def test_a_packed_file_that_a_server_calls_packed_stays_as_it_is(tmp_path, known):
    """As Apache does with every .gz where it is set up so."""
    packed = gzip.compress(BODY)
    options = {
        "checksum": {"sha256": hashlib.sha256(packed).hexdigest()},
        "size": {"expected_bytes": len(packed)},
        "nothing": {},
    }[known]
    with serving(whole(packed, b"Content-Encoding: x-gzip\r\n")) as url:
        download(f"{url}/x.csv.gz", tmp_path / "x.csv.gz", patience=HASTY, **options)
    assert (tmp_path / "x.csv.gz").read_bytes() == packed


def test_a_packed_file_that_is_packed_once_more_is_unpacked_once(tmp_path):
    once = gzip.compress(BODY)
    with serving(whole(gzip.compress(once), b"Content-Encoding: gzip\r\n")) as url:
        download(f"{url}/x.gz", tmp_path / "x.gz", patience=HASTY)
    assert (tmp_path / "x.gz").read_bytes() == once


def test_a_server_may_say_packed_of_what_is_not(tmp_path):
    with serving(whole(BODY, b"Content-Encoding: gzip\r\n")) as url:
        download(f"{url}/x", tmp_path / "x", patience=HASTY)
    assert (tmp_path / "x").read_bytes() == BODY


BOMB = gzip.compress(bytes(300_000_000), 9)


@pytest.mark.parametrize(
    ("body", "encoding", "options", "message"),
    [
        (BOMB, "gzip", {}, "do not trust it"),
        (BOMB, "gzip", {"expected_bytes": 1000}, "do not trust it"),
        (gzip.compress(BODY)[:-9], "gzip", {}, "damaged or cut short"),
        (gzip.compress(BODY)[:50] + b"x" * 90, "gzip", {}, "damaged or cut short"),
        (BODY, "br", {}, "encoding 'br'"),
        (gzip.compress(BODY), "gzip, gzip", {}, "which was not requested"),
        (gzip.compress(BODY), "gzip", {"expected_bytes": len(BODY) + 1}, "bytes instead of"),
        (gzip.compress(BODY), "gzip", {"sha256": "0" * 64}, "instead of"),
    ],
    ids=["bomb", "known bomb", "cut", "damaged", "unknown", "twice", "size", "checksum"],
)
def test_what_is_packed_wrongly_leaves_nothing(tmp_path, body, encoding, options, message):
    answer = whole(body, f"Content-Encoding: {encoding}\r\n".encode())
    with serving(answer) as url, pytest.raises(InputError, match=message):
        download(f"{url}/x", tmp_path / "x", patience=HASTY, **options)
    assert not list(tmp_path.iterdir())


def test_members_behind_each_other_are_one_file():
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + bytes(512)
    pieces = [packed[place : place + 7] for place in range(0, len(packed), 7)]
    assert b"".join(decoded(pieces, "gzip", "x")) == b"one two"


@pytest.mark.parametrize(
    ("length", "status"), [(10_000_000, "failed"), (-5, "fetched"), ("x", "fetched")]
)
def test_lengths_that_are_not_true(tmp_path, length, status):
    with serving(whole(BODY, length=length)) as url:
        entry = DatasetEntry("a", "url", f"{url}/a.h5ad")
        (found,) = fetch(Manifest((entry,), tmp_path), patience=HASTY)
    assert found.status == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 200_000, "did not answer with JSON"),
        (b'"' + b"x" * 3_000 + b'"', "more than 2,000 bytes"),
        (b"\xff\xfe\x00", "did not answer with JSON"),
    ],
)
def test_what_a_catalogue_answers_is_bounded(monkeypatch, body, message):
    monkeypatch.setattr(ours, "MOST_BYTES", 2_000 if len(body) < 10_000 else 10**6)
    for content, headers in ((body, b""), (gzip.compress(body), b"Content-Encoding: gzip\r\n")):
        wanted = message if not headers else f"{message}|unpacks to more"
        with serving(whole(content, headers)) as url, pytest.raises(InputError, match=wanted):
            get_json(url, HASTY)


@pytest.mark.parametrize(
    "answer",
    [
        {"hits": 5, "pagination": {}},
        {"hits": [], "pagination": {"next": 7}},
        {"hits": [], "pagination": {"next": ["x"]}},
        {"hits": [7], "pagination": {}},
        {
            "hits": [
                {"files": [{"uuid": "a", "name": "x.h5ad", "size": 1e999, "url": "http://h/x"}]}
            ]
        },
        {"hits": [], "pagination": {"next": "same"}},
        [],
    ],
)
def test_a_catalogue_of_another_shape_is_one_line(answer):
    pages = []

    def reply(connection):
        content = dict(answer) if isinstance(answer, dict) else answer
        if isinstance(content, dict):
            content.setdefault("pagination", {})
            if content["pagination"].get("next") == "same":
                content["pagination"] = {"next": pages[0]}
        whole(json.dumps(content).encode())(connection)

    with serving(reply) as url:
        pages.append(f"{url}/index/files?again")
        with pytest.raises(InputError):
            HumanCellAtlas(api=url, patience=HASTY).list(Filters())
        if answer:  # a list is what CELLxGENE answers with
            with pytest.raises(InputError):
                CellxGene(api=url, patience=HASTY).list(Filters())


SCRIPT = """
import sys
from sclong_core.cli.main import main
sys.exit(main(["data", "fetch", sys.argv[1]]))
"""


@pytest.mark.fault
@pytest.mark.parametrize("name", ["body", "size of a chunk"])
def test_an_interrupt_ends_the_command_whatever_it_waits_for(tmp_path, name):
    with serving(DRIPS[name]) as url:
        entry = DatasetEntry("a", "url", f"{url}/a.h5ad")
        Manifest((entry,), tmp_path).write(tmp_path / "m.tsv")
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "m.tsv")], stderr=subprocess.PIPE
        )
        part = tmp_path / "downloads" / "a" / "a.h5ad.part"
        while not part.exists():
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().splitlines()[-1] == "error: interrupted"


def test_an_interrupt_does_not_wait_for_threads(tmp_path):
    free = threading.Event()
    stop = Stop()

    def work(task):
        if task:
            free.wait(60)
        return task

    results = in_threads(work, [0, 1, 2], 2, stop)
    assert next(results) == (0, 0)
    results.close()  # as an interrupt does
    with pytest.raises(StoppedError):
        stop.sleep(60)
    assert not free.is_set()
    free.set()


def test_a_file_of_somebody_else_is_renamed_and_links_are_not_followed(tmp_path, caplog):
    with serving(whole(BODY)) as url:
        entry = DatasetEntry("a", "url", f"{url}/a.h5ad")
        manifest = Manifest((entry,), tmp_path)
        folder = tmp_path / "downloads" / "a"
        folder.mkdir(parents=True)
        (folder / "a.h5ad").write_text("mine")
        (found,) = fetch(manifest, patience=HASTY)
        assert found.status == "fetched"
        assert (folder / "a.h5ad.kept-1").read_text() == "mine"
        assert "a.h5ad.kept-1" in caplog.text

        mine = tmp_path / "mine"
        mine.write_text("mine")
        for path in folder.iterdir():
            path.unlink()
        (folder / "a.h5ad.part").symlink_to(mine)
        (found,) = fetch(manifest, patience=HASTY)
        assert "is a link" in found.error
        (folder / "a.h5ad.part").unlink()
        folder.rmdir()
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
        (found,) = fetch(manifest, patience=HASTY)
        assert "leads out of it" in found.error
    assert mine.read_text() == "mine"
    assert not list((tmp_path / "elsewhere").iterdir())
