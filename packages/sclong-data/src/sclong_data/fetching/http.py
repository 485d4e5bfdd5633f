"""Requests over http and https: retried, with redirects looked at before they are taken."""

import email.utils
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import requests

from sclong_core.errors import InputError

_LOG = logging.getLogger("sclong")
_REDIRECTS = (301, 302, 303, 307, 308)
_WORTH_RETRYING = (408, 425, 429, 500, 502, 503, 504)
_MOST_REDIRECTS = 10
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
    """Without a byte."""
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


def shown(url: str) -> str:
    """An address for people: without password, and without the query, which may hold a key."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def require_web(url: str, *, before: str | None = None) -> None:
    """Refuse what is not on the web, and the way from https back to http.

    Raises:
        InputError: another scheme, no server, or less safe than ``before``.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        through = f" ({shown(before)} led there)" if before else ""
        raise InputError(
            f"{parts.scheme or 'no scheme'}: only http and https addresses are fetched{through}"
        )
    if before and urlsplit(before).scheme == "https" and parts.scheme == "http":
        raise InputError(
            f"{shown(before)} leads to {shown(url)}, which is not encrypted: not followed"
        )


@contextmanager
def opened(url: str, headers: Mapping[str, str], patience: Patience) -> Iterator[requests.Response]:
    """The answer to one GET, its body still to be read.

    Raises:
        InputError: the address, or one that it leads to, is refused; or the server will not give
            the file.
        TransientError: worth another attempt.
    """
    with requests.Session() as session:
        response = _followed(session, url, headers, patience)
        with response:
            yield response


def get_json(url: str, patience: Patience = PATIENT) -> Any:
    """The JSON at an address.

    Raises:
        InputError: it cannot be had, or it is not JSON.
    """

    def attempt() -> Any:
        with opened(url, {"Accept": "application/json"}, patience) as response:
            if response.status_code != requests.codes.ok:
                raise TransientError(f"status {response.status_code}")
            try:
                return response.json()
            except requests.exceptions.JSONDecodeError as error:
                raise InputError(f"{shown(url)} did not answer with JSON: {error}") from error
            except requests.exceptions.RequestException as error:
                raise TransientError(_words(error)) from error

    return retried(attempt, url, patience)


def get_text(url: str, patience: Patience = PATIENT) -> str:
    """The UTF-8 text at an address.

    Raises:
        InputError: it cannot be had, or it is not text.
    """

    def attempt() -> str:
        with opened(url, {}, patience) as response:
            try:
                return response.content.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise InputError(f"{shown(url)} did not answer with text") from error
            except requests.exceptions.RequestException as error:
                raise TransientError(_words(error)) from error

    return retried(attempt, url, patience)


def retried(attempt: Callable[[], T | None], url: str, patience: Patience) -> T:
    """The result of an attempt that is repeated while failures may pass.

    An attempt that returns None made some headway: the next begins with new patience.

    Raises:
        InputError: too many attempts in a row came to nothing.
    """
    failures = 0
    while True:
        try:
            result = attempt()
        except TransientError as error:
            failures += 1
            if failures >= patience.attempts:
                raise InputError(
                    f"{shown(url)}: {error} ({failures} attempts): try again later"
                ) from error
            wait = waiting_time(failures, error.wait, patience)
            _LOG.info("%s: %s; again in %.0f s", shown(url), error, wait)
            time.sleep(wait)
        else:
            if result is not None:
                return result
            failures = 0


def waiting_time(failures: int, asked: float | None, patience: Patience) -> float:
    """Seconds to wait: what the server asked for, or twice as long after each failure.

    Up to a quarter is added, so that many workers do not come back at once.
    """
    wait = asked if asked is not None else patience.first_wait_seconds * 2 ** (failures - 1)
    spread = 1 + random.random() / 4  # noqa: S311  # no secret
    return min(wait * spread, patience.longest_wait_seconds)


def _followed(
    session: requests.Session, url: str, headers: Mapping[str, str], patience: Patience
) -> requests.Response:
    """The answer at the end of all redirects."""
    require_web(url)
    here = url
    for _ in range(_MOST_REDIRECTS + 1):
        response = _get(session, here, headers, patience)
        if response.status_code not in _REDIRECTS or "Location" not in response.headers:
            _judge(response, here)
            return response
        there = urljoin(here, response.headers["Location"])
        asked = _asked(response)
        response.close()
        require_web(there, before=here)
        if asked:  # the HCA's file service prepares files so
            time.sleep(min(asked, patience.longest_wait_seconds))
        here = there
    raise InputError(f"{shown(url)} leads on more than {_MOST_REDIRECTS} times: given up")


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
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
        raise InputError(f"{shown(url)} is no address: {_words(error)}") from error
    except requests.exceptions.RequestException as error:
        raise TransientError(_words(error)) from error


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
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _words(error: Exception) -> str:
    """The reason in one line, without addresses, which may hold a key."""
    kinds = {
        requests.exceptions.ConnectTimeout: "no connection in time",
        requests.exceptions.ReadTimeout: "no byte came for too long",
        requests.exceptions.ConnectionError: "the connection failed",
        requests.exceptions.ChunkedEncodingError: "the connection broke",
    }
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), None) or (
        type(error).__name__
    )
