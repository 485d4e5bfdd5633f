"""A web server on this machine that misbehaves as asked: what tests of downloads need."""

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

_SLOW_BYTES = 4096


@dataclass(frozen=True)
class Answer:
    """How to answer one request; without it, a file is given with ranges and an ETag."""

    status: int | None = None
    """Answer with this status and no file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent as well, or instead."""
    cut_after: int | None = None
    """Announce all, send this many bytes, and close the connection."""
    stall_after: int | None = None
    """Send this many bytes, and then nothing for ``seconds``."""
    seconds: float = 0.0
    """Of a stall; or after every 4 kB where nothing else is asked for."""
    ranges: bool = True
    """Whether ranges are understood."""
    length: bool = True
    """Whether the length is announced."""
    etag: bool = True
    """Whether the file can be recognised."""


class LoopbackServer:
    """Serves ``files`` by path; ``answers`` say how the next requests of a path are met.

    A context manager. ``requests`` collects (path with query, headers) of all requests.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        handler = type("Handler", (_Handler,), {"loopback": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def asked_for(self, path: str) -> list[dict[str, str]]:
        """Headers of the requests of a path so far."""
        return [headers for asked, headers in self.requests if urlsplit(asked).path == path]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Answers for the server in ``loopback``."""

    loopback: LoopbackServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as asked."""
        server = self.loopback
        path = urlsplit(self.path).path
        server.requests.append((self.path, dict(self.headers)))
        waiting = server.answers.get(path, [])
        answer = waiting.pop(0) if waiting else server.always.get(path, Answer())
        content = server.files.get(self.path, server.files.get(unquote(path)))
        if answer.status is not None or content is None:
            self._refuse(answer.status or 404, answer)
        else:
            self._give(content, answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
        """Say nothing."""

    def _refuse(self, status: int, answer: Answer) -> None:
        self.send_response(status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _give(self, content: bytes, answer: Answer) -> None:
        etag = f'"{hash(content)}"'
        start = self._range_start(content, answer, etag)
        self.send_response(200 if start is None else 206)
        headers = {"Content-Type": "application/octet-stream"}
        if answer.etag:
            headers["ETag"] = etag
        if answer.length:
            headers["Content-Length"] = str(len(content) - (start or 0))
        else:
            self.close_connection = True
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        for name, value in (headers | dict(answer.headers)).items():
            self.send_header(name, value)
        self.end_headers()
        self._send(content[start or 0 :], answer)

    def _range_start(self, content: bytes, answer: Answer, etag: str) -> int | None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, etag)
        if not wanted or not answer.ranges or not same or int(wanted[1]) >= len(content):
            return None
        return int(wanted[1])

    def _send(self, body: bytes, answer: Answer) -> None:
        try:
            if answer.cut_after is not None:
                self.wfile.write(body[: answer.cut_after])
                self.close_connection = True
            elif answer.stall_after is not None:
                self.wfile.write(body[: answer.stall_after])
                self.wfile.flush()
                time.sleep(answer.seconds)
                self.close_connection = True
            elif answer.seconds:
                for begin in range(0, len(body), _SLOW_BYTES):
                    self.wfile.write(body[begin : begin + _SLOW_BYTES])
                    self.wfile.flush()
                    time.sleep(answer.seconds)
            else:
                self.wfile.write(body)
        except OSError:  # the client has gone away
            self.close_connection = True
