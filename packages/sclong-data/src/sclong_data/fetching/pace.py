"""The bytes of an answer as they come, and an end to answers that come too slowly.

A connection that gives nothing ends by its own timeout. One that gives a byte now and then does
not, and may do so within its headers: somebody must look at the clock meanwhile.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
import urllib3

CHUNK_BYTES = 1 << 16
LEAST_BYTES_A_SECOND = 100
"""Below it, nobody would wait for a file."""


class SlowError(Exception):
    """Less came than anybody waits for."""


def arriving(response: requests.Response, window_seconds: float) -> Iterator[bytes]:
    """The body of an answer, undecoded, in pieces of at most 64 KiB.

    Args:
        response: of a session with :class:`WatchedAdapter`, asked for with ``stream=True``.
        window_seconds: over which the pace is measured.

    Raises:
        SlowError: less than 100 bytes a second came.
        urllib3.exceptions.HTTPError: the connection broke or stalled.
    """
    with _watched(getattr(response.raw, "watched", None), window_seconds) as watch:
        try:
            while chunk := response.raw.read1(CHUNK_BYTES, decode_content=False):
                watch.count += len(chunk)
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            if watch.ended:
                raise SlowError("the server sends too slowly") from None
            raise
    if watch.ended:
        raise SlowError("the server sends too slowly")


class _Watch:
    """Looks now and then how much came, and shuts the connection where it is too little."""

    def __init__(self, watched: socket.socket, seconds: float) -> None:
        self.count = 0
        """Bytes that came so far."""
        self.ended = False
        self._socket, self._seconds = watched, seconds
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._done.set()

    def _run(self) -> None:
        before = 0
        while not self._done.wait(self._seconds):
            if self.count - before < LEAST_BYTES_A_SECOND * self._seconds:
                self.ended = True
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # what waits for it sees the end
                return
            before = self.count


@contextmanager
def _watched(connection: socket.socket | None, seconds: float) -> Iterator[_Watch]:
    watch = _Watch(connection if connection is not None else socket.socket(), seconds)
    try:
        yield watch
    finally:
        watch.close()


class _WatchedConnection:
    """A connection whose headers must come in time, and that tells the answer its socket."""

    timeout: Any
    sock: socket.socket | None

    def getresponse(self, *args: Any, **settings: Any) -> Any:
        """The answer, up to the end of its headers."""
        connection, seconds = self.sock, self.timeout
        if connection is None or not isinstance(seconds, int | float):
            return super().getresponse(*args, **settings)  # type: ignore[misc]  # of the class beside
        with _watched(connection, float(seconds)) as watch:
            try:
                answer = super().getresponse(*args, **settings)  # type: ignore[misc]  # as above
            except Exception as error:
                if watch.ended:
                    raise TimeoutError("the server did not answer in time") from error
                raise
        answer.watched = connection
        return answer


class _Http(_WatchedConnection, urllib3.connection.HTTPConnection):
    pass


class _Https(_WatchedConnection, urllib3.connection.HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS = {"http": _HttpPool, "https": _HttpsPool}


class WatchedAdapter(requests.adapters.HTTPAdapter):
    """An adapter for sessions of requests whose connections are watched."""

    def init_poolmanager(self, *args: Any, **settings: Any) -> None:
        """Make the connections those of this module."""
        super().init_poolmanager(*args, **settings)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **settings: Any) -> Any:
        """Make connections through a proxy those of this module."""
        manager = super().proxy_manager_for(*args, **settings)
        manager.pool_classes_by_scheme = _POOLS
        return manager
