"""Addresses on the web: what may be fetched, and how an address is shown."""

from urllib.parse import SplitResult, urljoin, urlsplit

from sclong_core.errors import InputError

_SHOWN = 200


def parts_of(url: str) -> SplitResult:
    """The parts of an address, whose port is a number.

    Raises:
        InputError: it is not an address.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError as error:
        raise InputError(f"{shown(url)!r} is not an address ({error}): correct it") from error
    return parts


def shown(url: str) -> str:
    """An address for people: without password, and without the query, which may hold a key."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        plain = f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
        plain = f"{scheme}://{rest.rpartition('@')[2]}"
    return "".join(letter if letter.isprintable() else "?" for letter in plain[:_SHOWN])


def require_web(url: str, *, before: str | None = None) -> None:
    """Refuse what is not on the web, and the way from https back to http.

    Raises:
        InputError: no address, another scheme, no server, or less safe than ``before``.
    """
    parts = parts_of(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        through = f" ({shown(before)} led there)" if before else ""
        raise InputError(
            f"{parts.scheme or 'no scheme'}: only http and https addresses are downloaded{through}"
        )
    if before and urlsplit(before).scheme == "https" and parts.scheme == "http":
        raise InputError(
            f"{shown(before)} redirects to {shown(url)}, which is not encrypted: not followed"
        )


def redirected(here: str, location: str) -> str:
    """The address that a server leads to.

    Args:
        here: the address that was asked.
        location: the header ``Location`` of its answer, as Python decodes it.

    Raises:
        InputError: it is not an address, or not one to follow.
    """
    try:
        there = urljoin(here, location.encode("latin-1").decode("utf-8"))
    except ValueError as error:
        raise InputError(
            f"{shown(here)} redirects to {shown(location)!r}, which is not an address"
        ) from error
    require_web(there, before=here)
    return there
