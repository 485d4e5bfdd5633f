"""Undoing the compression that servers put around what they send (``Content-Encoding``)."""

import zlib
from collections.abc import Iterable, Iterator

from sclong_core.errors import InputError

RATIO = 500
"""Bytes unpacked for one packed; looked at above :data:`UNSUSPICIOUS_BYTES`."""
UNSUSPICIOUS_BYTES = 10**8
"""Too little to be a bomb."""
GZIP = b"\x1f\x8b"
_STEP = 1 << 20
_PLAIN = ("", "identity")
_PACKED = ("gzip", "x-gzip", "deflate")


def encoding_of(header: str, where: str) -> str | None:
    """The encoding that an answer names, None for none.

    Args:
        header: ``Content-Encoding``.
        where: the address, for the message.

    Raises:
        InputError: it is one that is not undone.
    """
    name = header.strip().lower()
    if name in _PLAIN:
        return None
    if name not in _PACKED:
        raise InputError(
            f"{where} is sent with the encoding {name[:50]!r}, which was not requested: "
            "download the file in another way, and write its path into the manifest"
        )
    return name


def decoded(
    chunks: Iterable[bytes], encoding: str, where: str, *, most: int | None = None
) -> Iterator[bytes]:
    """The bytes as they were before the server packed them.

    Args:
        chunks: what the server sent.
        encoding: gzip (of several members, too) or deflate.
        where: the address, for messages.
        most: bytes that may come out of it; else they are compared with those that came in.

    Raises:
        InputError: damaged, cut short, or more comes out than an honest file would give.
    """
    packed = unpacked = 0
    reader = _decompressor(encoding)
    for chunk in chunks:
        packed += len(chunk)
        waiting = chunk
        while waiting:
            if reader.eof:
                if not waiting.startswith(GZIP):
                    break  # padding behind the last member
                reader = _decompressor(encoding)
            try:
                piece = reader.decompress(waiting, _STEP)
            except zlib.error as error:
                raise _damaged(where) from error
            waiting = reader.unconsumed_tail or reader.unused_data
            unpacked += len(piece)
            limit = most if most is not None else max(UNSUSPICIOUS_BYTES, RATIO * packed)
            if unpacked > limit:
                raise InputError(f"{where} unpacks to more than {limit:,} bytes: do not trust it")
            if piece:
                yield piece
    if not reader.eof:
        yield reader.flush()
        if not reader.eof:
            raise _damaged(where)


def _decompressor(encoding: str) -> "zlib._Decompress":
    return zlib.decompressobj(zlib.MAX_WBITS | (0 if encoding == "deflate" else 16))


def _damaged(where: str) -> InputError:
    return InputError(f"{where}: the compressed download is damaged or cut short: try again later")
