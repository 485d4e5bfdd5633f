"""Where a result comes from: versions, digests, machine, time."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version

import torch

_PACKAGES = (
    "sclong-bench",
    "sclong-core",
    "torch",
    "lightning",
    "torch-geometric",
    "performer-pytorch",
    "numpy",
    "anndata",
    "scanpy",
    "scikit-learn",
    "umap-learn",
)


@dataclass(frozen=True)
class Machine:
    """The machine in words that name nobody's."""

    cores: int
    """CPU cores that the process may use."""
    threads: int
    """Threads of PyTorch."""
    system: str
    """Operating system and processor architecture."""

    def __str__(self) -> str:
        """One line."""
        return f"{self.used}, {self.system}, no GPU"

    @property
    def used(self) -> str:
        """How much of it worked."""
        return f"{min(self.threads, self.cores)} of {self.cores} CPU cores"


def this_machine() -> Machine:
    """The machine this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(cores or 1, torch.get_num_threads(), f"{platform.system()} {platform.machine()}")


def versions() -> dict[str, str]:
    """Of Python and of the packages that matter."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
