"""What identifies a cell: a digest of the values that are stored for it."""

from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from sclong_core.expression.rows import Csr

Digests = npt.NDArray[np.uint64]
"""``(cells, 2)``: 128 bits for each cell."""
_BYTES = 16


def cell_digests(expression: Csr) -> Digests:
    """BLAKE2b of each cell's values, of 128 bits.

    It is taken over the positions (int32) and then the values (float32) above zero, little-endian
    and in the order of the vocabulary, so that two cells have one digest exactly if they are stored
    alike: among 60 million different cells, two share one with a probability of 5e-24.

    Args:
        expression: ``(cells, genes)`` CSR of float32, sorted, without zeros.
    """
    positions = memoryview(expression.indices.astype("<i4")).cast("B")
    values = memoryview(expression.data.astype("<f4")).cast("B")
    ends = [4 * int(end) for end in expression.indptr]
    found = bytearray()
    for start, stop in pairwise(ends):
        digest = blake2b(positions[start:stop], digest_size=_BYTES)
        digest.update(values[start:stop])
        found += digest.digest()
    return np.frombuffer(bytes(found), dtype="<u8").astype(np.uint64).reshape(-1, 2)
