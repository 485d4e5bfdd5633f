"""Seeds of many cells at once: what NumPy's ``SeedSequence`` makes of each, in whole arrays.

Making a ``SeedSequence`` and a bit generator for every cell takes as long as drawing its masks. The
algorithm is O'Neill's seed sequence as NumPy documents it, whose results NumPy keeps for ever;
tests hold this to NumPy's own.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
_POOL = 4
_WORD = 32
_LOW = (1 << _WORD) - 1
_INIT_A, _MULT_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULT_B = 0x8B51F9DD, 0x58F38DED
_MIX_L, _MIX_R = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_SHIFT = np.uint32(16)


def philox_keys(shared: Sequence[int], cells: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The keys that ``Philox(SeedSequence((*shared, cell)))`` has, one row a cell.

    Args:
        shared: non-negative integers, the same for all.
        cells: the last integer of each.

    Returns:
        ``(cells, 2)``.
    """
    keys = np.empty((cells.size, 2), dtype=np.uint64)
    low, high = (cells & np.uint64(_LOW)).astype(np.uint32), (cells >> np.uint64(_WORD))
    prefix = [word for number in shared for word in _words(number)]
    for wide in (False, True):  # a small integer is one word, a large one two
        chosen = np.flatnonzero((high > 0) == wide)
        last = [low[chosen], high[chosen].astype(np.uint32)] if wide else [low[chosen]]
        same = [np.full(chosen.size, word, dtype=np.uint32) for word in prefix]
        keys[chosen] = _state(_mixed([*same, *last]))
    return keys


def _words(number: int) -> Iterator[int]:
    """The integer in words of 32 bits, the lowest first."""
    yield number & _LOW
    while number := number >> _WORD:
        yield number & _LOW


class _Hash:
    """A hash whose constant goes on with every word."""

    def __init__(self, constant: int, multiplier: int) -> None:
        self._constant, self._multiplier = constant, multiplier

    def __call__(self, words: Words) -> Words:
        words = words ^ np.uint32(self._constant)
        self._constant = self._constant * self._multiplier & _LOW
        words = words * np.uint32(self._constant)
        hashed: Words = words ^ (words >> _SHIFT)
        return hashed


def _mixed(entropy: list[Words]) -> list[Words]:
    """The pool of words that the entropy is mixed into."""
    hashed = _Hash(_INIT_A, _MULT_A)
    nothing = np.zeros_like(entropy[0])
    pool = [hashed(word) for word in (entropy + [nothing] * _POOL)[:_POOL]]
    for source in range(_POOL):
        for target in range(_POOL):
            if source != target:
                pool[target] = _mix(pool[target], hashed(pool[source]))
    for word in entropy[_POOL:]:
        for target in range(_POOL):
            pool[target] = _mix(pool[target], hashed(word))
    return pool


def _mix(one: Words, other: Words) -> Words:
    result = _MIX_L * one - _MIX_R * other
    mixed: Words = result ^ (result >> _SHIFT)
    return mixed


def _state(pool: list[Words]) -> npt.NDArray[np.uint64]:
    """Two integers of 64 bits out of the pool."""
    hashed = _Hash(_INIT_B, _MULT_B)
    words = [hashed(word).astype(np.uint64) for word in pool]
    return np.stack(
        [words[0] | words[1] << np.uint64(_WORD), words[2] | words[3] << np.uint64(_WORD)], axis=1
    )


class Draws:
    """Uniform draws of one cell after the other, from one generator that is set to each key."""

    def __init__(self, keys: npt.NDArray[np.uint64]) -> None:
        self._keys = keys
        self._philox = np.random.Philox(0)
        self._random = np.random.Generator(self._philox)
        self._start = np.zeros(4, dtype=np.uint64)

    def of(self, row: int, count: int) -> npt.NDArray[np.float64]:
        """The first draws of the generator with the key of a row."""
        self._philox.state = {
            "bit_generator": "Philox",
            "state": {"counter": self._start, "key": self._keys[row]},
            "buffer": self._start,
            "buffer_pos": 4,
            "has_uint32": 0,
            "uinteger": 0,
        }
        return self._random.random(count)
