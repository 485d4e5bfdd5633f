"""Morgan fingerprints of drugs."""

import numpy as np
import numpy.typing as npt
from rdkit.Chem import rdFingerprintGenerator

from sclong_core.errors import ConfigError
from sclong_tasks.cache import ContentCache
from sclong_tasks.chemistry.molecules import Molecules, parse_smiles

_VERSION = 1


def morgan_fingerprints(
    molecules: Molecules,
    *,
    radius: int = 2,
    bits: int = 1024,
    counts: bool = False,
    cache: ContentCache | None = None,
) -> npt.NDArray[np.float32]:
    """``(drugs, bits)`` Morgan fingerprints: 0 and 1, or how often each substructure occurs.

    Args:
        molecules: checked drugs.
        radius: bonds around each atom (2 is what is also called ECFP4).
        bits: length of the vector that substructures are hashed into.
        counts: count substructures in place of marking them.
        cache: where fingerprints are kept between runs.

    Raises:
        ConfigError: a negative radius, or no bits.
    """
    if radius < 0 or bits < 1:
        raise ConfigError(f"fingerprints need radius >= 0 and bits >= 1, not {radius} and {bits}")
    smiles = [molecule.canonical for molecule in molecules.molecules]
    key = {
        "what": "Morgan fingerprints",
        "version": _VERSION,
        "radius": radius,
        "bits": bits,
        "counts": counts,
        "smiles": smiles,
    }

    def compute() -> dict[str, npt.NDArray[np.float32]]:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
        one = generator.GetCountFingerprintAsNumPy if counts else generator.GetFingerprintAsNumPy
        rows = [one(parse_smiles(text)).astype(np.float32) for text in smiles]
        return {"fingerprints": np.stack(rows) if rows else np.empty((0, bits), np.float32)}

    return (cache or ContentCache(None)).arrays(key, compute)["fingerprints"]
