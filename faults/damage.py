"""Damage to the bytes of a file, drawn from a generator: what disks, networks and people do."""

import io
import zipfile
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]
_EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**62, 2**63 - 1, 2**64 - 1)
_TOKENS = (
    *(b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"", b"\x00", b"\xff\xfe", b"\xed\xa0\x80"),
    *(b"[" * 5000, b'{"a":' * 3000, b"null", b"true", b"{}", b"[]", b'""', b"=cmd()", b"\n\n"),
    *(b"!!python/object/apply:os.system ['true']", b"../../../etc/passwd", b"\x1b[2J", b"\t\t\t"),
)


def flip_bits(content: bytes, generator: np.random.Generator) -> bytes:
    """One to eight bits."""
    changed = bytearray(content)
    for place in generator.integers(len(content), size=generator.integers(1, 9)).tolist():
        changed[place] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def cut_short(content: bytes, generator: np.random.Generator) -> bytes:
    """An end that is missing."""
    return content[: int(generator.integers(len(content)))]


def cut_out(content: bytes, generator: np.random.Generator) -> bytes:
    """A piece that is missing."""
    start, stop = _piece(content, generator)
    return content[:start] + content[stop:]


def repeat_piece(content: bytes, generator: np.random.Generator) -> bytes:
    """A piece that is there twice."""
    start, stop = _piece(content, generator)
    return content[:stop] + content[start:]


def swap_pieces(content: bytes, generator: np.random.Generator) -> bytes:
    """Two neighbouring pieces in each other's place."""
    first, second, third = sorted(generator.integers(len(content) + 1, size=3).tolist())
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def blank_piece(content: bytes, generator: np.random.Generator) -> bytes:
    """A piece that a disk gives as zeros."""
    start, stop = _piece(content, generator)
    return content[:start] + bytes(stop - start) + content[stop:]


def insert_noise(content: bytes, generator: np.random.Generator) -> bytes:
    """Random bytes in between."""
    place = int(generator.integers(len(content) + 1))
    return content[:place] + generator.bytes(int(generator.integers(1, 64))) + content[place:]


def lie_about_a_number(content: bytes, generator: np.random.Generator) -> bytes:
    """An extreme whole number of 4 or 8 bytes, often where headers have their sizes."""
    width = int(generator.choice([4, 8]))
    end = len(content) if generator.random() < 0.5 else min(len(content), 256)
    place = int(generator.integers(max(1, end)))
    number = _EXTREMES[int(generator.integers(len(_EXTREMES)))]
    told: bytes = (number % (1 << 8 * width)).to_bytes(width, "little")
    return content[:place] + told + content[place + width :]


def plant_token(content: bytes, generator: np.random.Generator) -> bytes:
    """Something that means something to a parser, in the place of a word or number."""
    token = _TOKENS[int(generator.integers(len(_TOKENS)))]
    start = int(generator.integers(len(content) + 1))
    stop = start
    while stop < len(content) and content[stop : stop + 1].isalnum() and stop - start < 40:
        stop += 1
    return content[:start] + token + content[stop:]


def swap_words(content: bytes, generator: np.random.Generator) -> bytes:
    """Two lines, fields or words of a text in each other's place."""
    separator = (b"\n", b"\t", b",", b" ")[int(generator.integers(4))]
    words = content.split(separator)
    if len(words) > 1:
        first, second = generator.integers(len(words), size=2).tolist()
        words[first], words[second] = words[second], words[first]
    return separator.join(words)


def replace_all(content: bytes, generator: np.random.Generator) -> bytes:
    """Another file altogether: empty, noise, a web page, zeros, a pickle."""
    others = (
        b"",
        generator.bytes(len(content) % 4096 + 1),
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        bytes(len(content) % 4096 + 1),
        b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    )
    return others[int(generator.integers(len(others)))]


DAMAGES: Sequence[Damage] = (
    *(flip_bits, cut_short, cut_out, repeat_piece, swap_pieces, blank_piece, insert_noise),
    *(lie_about_a_number, plant_token, swap_words, replace_all),
)


def damaged(content: bytes, generator: np.random.Generator) -> bytes:
    """The content with one kind of damage; never the same as before."""
    for _ in range(50):
        change = DAMAGES[int(generator.integers(len(DAMAGES)))] if content else insert_noise
        found = change(content, generator)
        if found != content:
            return found
    return content + b"\x00"


def _piece(content: bytes, generator: np.random.Generator) -> tuple[int, int]:
    start = int(generator.integers(len(content)))
    length = int(generator.integers(1, max(2, len(content) // 4)))
    return start, min(len(content), start + length)


@cache
def packed_bomb(name: str) -> bytes:
    """A small ZIP archive whose one member unpacks to 120 MB."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(name, bytes(120_000_000))
    return target.getvalue()
