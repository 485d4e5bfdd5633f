"""Requests over http and https: retried, with redirects looked at before they are taken."""

import email.utils
import http.client
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import requests
import urllib3

from sclong_core.errors import InputError
from sclong_data.fetching.addresses import redirected, require_web, shown
from sclong_data.fetching.decoding import decoded, encoding_of
from sclong_data.fetching.pace import SlowError, WatchedAdapter, arriving
from sclong_data.fetching.workers import Stop

_LOG = logging.getLogger("sclong")
_REDIRECTS = (301, 302, 303, 307, 308)
_WORTH_RETRYING = (408, 425, 429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
MOST_BYTES = 1 << 28
"""Of what a catalogue answers: CELLxGENE's list of all data sets has a tenth of it."""
_AGENT = "sclong-data"
T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to wait for servers."""

    attempts: int = 6
    """Attempts in a row that get nothing, before giving up."""
    connect_seconds: float = 15.0
    """For a connection."""
    stall_seconds: float = 60.0
    """Without a byte, or with fewer than 100 bytes a second."""
    fruitless_seconds: float = 110.0
    """Of attempts in a row that get nothing, without the waits between them."""
    first_wait_seconds: float = 1.0
    """After the first failure; doubled after each."""
    longest_wait_seconds: float = 120.0
    """Whatever a server asks for."""


PATIENT = Patience()


class TransientError(Exception):
    """A failure that may pass. ``wait`` holds the seconds that the server asked for."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@contextmanager
def opened(
    url: str, headers: Mapping[str, str], patience: Patience, stop: Stop | None = None
) -> Iterator[requests.Response]:
    """The answer to one GET, its body still to be read.

    Raises:
        InputError: the address, or one that it leads to, is refused; or the server will not give
            the file.
        TransientError: worth another attempt.
    """
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, WatchedAdapter())
        response = _followed(session, url, headers, patience, stop or Stop())
        with response:
            yield response


def get_json(url: str, patience: Patience = PATIENT) -> Any:
    """The JSON at an address.

    Raises:
        InputError: it cannot be had, it is not JSON, or it is larger than catalogues are.
    """
    content = _content(url, {"Accept": "application/json"}, patience)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{shown(url)} did not answer with JSON: {reason}") from error


def get_text(url: str, patience: Patience = PATIENT) -> str:
    """The UTF-8 text at an address.

    Raises:
        InputError: it cannot be had, it is not text, or it is larger than catalogues are.
    """
    try:
        return _content(url, {}, patience).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{shown(url)} did not answer with text") from error


def _content(url: str, headers: Mapping[str, str], patience: Patience) -> bytes:
    def attempt() -> bytes:
        with opened(url, headers, patience) as response:
            if response.status_code != requests.codes.ok:
                raise TransientError(f"status {response.status_code}")
            where = shown(url)
            encoding = encoding_of(response.headers.get("Content-Encoding", ""), where)
            chunks = arriving(response, patience.stall_seconds)
            if encoding is not None:
                chunks = decoded(chunks, encoding, where, most=MOST_BYTES)
            content = bytearray()
            with passing():
                for chunk in chunks:
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise InputError(
                            f"{where} answers with more than {MOST_BYTES:,} bytes: not read"
                        )
            return bytes(content)

    return retried(attempt, url, patience)


@contextmanager
def passing() -> Iterator[None]:
    """Failures of a connection while a body is read, as failures that may pass."""
    try:
        yield
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        SlowError,
        OSError,
    ) as error:
        raise TransientError(_words(error)) from error


def retried(
    attempt: Callable[[], T | None], url: str, patience: Patience, stop: Stop | None = None
) -> T:
    """The result of an attempt that is repeated while failures may pass.

    An attempt that returns None made some headway: the next begins with new patience.

    Args:
        attempt: asks the server.
        url: the address, for messages.
        patience: with the server.
        stop: ends the waits between attempts.

    Raises:
        InputError: too many attempts in a row came to nothing, or they took too long.
        StoppedError: it was stopped.
    """
    failures, fruitless = 0, 0.0
    while True:
        begun = time.monotonic()
        try:
            result = attempt()
        except TransientError as error:
            failures += 1
            fruitless += time.monotonic() - begun
            if failures >= patience.attempts or fruitless > patience.fruitless_seconds:
                raise InputError(
                    f"{shown(url)}: {error} ({failures} attempts): try again later"
                ) from error
            wait = waiting_time(failures, error.wait, patience)
            _LOG.info("%s: %s; again in %.0f s", shown(url), error, wait)
            (stop or Stop()).sleep(wait)
        else:
            if result is not None:
                return result
            failures, fruitless = 0, 0.0


def waiting_time(failures: int, asked: float | None, patience: Patience) -> float:
    """Seconds to wait: what the server asked for, or twice as long after each failure.

    Up to a quarter is added, so that many workers do not come back at once.
    """
    wait = asked if asked is not None else patience.first_wait_seconds * 2 ** (failures - 1)
    spread = 1 + random.random() / 4  # noqa: S311  # no secret
    return min(wait * spread, patience.longest_wait_seconds)


def _followed(
    session: requests.Session,
    url: str,
    headers: Mapping[str, str],
    patience: Patience,
    stop: Stop,
) -> requests.Response:
    """The answer at the end of all redirects."""
    require_web(url)
    here = url
    for _ in range(_MOST_REDIRECTS + 1):
        response = _get(session, here, headers, patience)
        if response.status_code not in _REDIRECTS or "Location" not in response.headers:
            _judge(response, here)
            return response
        asked = _asked(response)
        response.close()
        there = redirected(here, response.headers["Location"])
        if asked:  # the HCA's file service prepares files so
            stop.sleep(min(asked, patience.longest_wait_seconds))
        here = there
    raise InputError(f"{shown(url)} redirects more than {_MOST_REDIRECTS} times: giving up")


def _get(
    session: requests.Session, url: str, headers: Mapping[str, str], patience: Patience
) -> requests.Response:
    try:
        return session.get(
            url,
            headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers},
            stream=True,
            allow_redirects=False,
            timeout=(patience.connect_seconds, patience.stall_seconds),
        )
    except requests.exceptions.SSLError as error:
        raise InputError(
            f"{shown(url)}: the server's certificate cannot be trusted: {_words(error)}"
        ) from error
    except requests.exceptions.RequestException as error:
        if isinstance(error, ValueError):  # an address or a header that cannot be
            raise InputError(f"{shown(url)} is not an address: {_words(error)}") from error
        raise TransientError(_words(error)) from error
    except (OSError, urllib3.exceptions.TimeoutError, http.client.HTTPException) as error:
        raise TransientError(_words(error)) from error
    except (ValueError, urllib3.exceptions.HTTPError) as error:
        raise InputError(f"{shown(url)} is not an address: {_words(error)}") from error


def _judge(response: requests.Response, url: str) -> None:
    """Refuse answers without the file."""
    status = response.status_code
    if status in _WORTH_RETRYING:
        asked = _asked(response)
        response.close()
        raise TransientError(f"the server answered with status {status}", asked)
    if status >= 400 and status != requests.codes.requested_range_not_satisfiable:
        response.close()
        advice = {401: "it needs an account", 403: "it is not public", 404: "it is not there"}
        reason = advice.get(status, "it was refused")
        raise InputError(f"{shown(url)}: {reason} (status {status}): correct the address")


def _asked(response: requests.Response) -> float | None:
    """Seconds in a Retry-After header, which may also be a date."""
    value = response.headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", value):
        return float(value)
    try:
        date = email.utils.parsedate_to_datetime(value)
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None


def _words(error: Exception) -> str:
    """The reason in one line, without addresses, which may hold a key."""
    kinds = {
        requests.exceptions.ConnectTimeout: "no connection in time",
        requests.exceptions.ReadTimeout: "no data arrived for too long",
        requests.exceptions.ConnectionError: "the connection failed",
        requests.exceptions.ChunkedEncodingError: "the connection broke",
        requests.exceptions.InvalidURL: "it cannot be parsed",
        urllib3.exceptions.ReadTimeoutError: "no data arrived for too long",
        urllib3.exceptions.HTTPError: "the connection broke",
        SlowError: "the server sends too slowly",
        TimeoutError: "no answer in time",
        OSError: "the connection broke",
        UnicodeError: "the name of the server cannot be encoded",
    }
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), None) or (
        type(error).__name__
    )
