"""Which processes were started together, by ``srun``, ``torchrun``, ``fabric run`` or Lightning."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sclong_core.errors import ConfigError

_SAME_ON_ALL = re.compile(r"(\d+)(\(x\d+\))?")


@dataclass(frozen=True)
class Launched:
    """Processes that a launcher started together, of which this is one."""

    by: str
    """The launcher."""
    nodes: int
    """Machines."""
    per_node: int
    """Processes on each of them, one a device."""
    rank: int
    """This process, over all machines."""


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """What a launcher started, from the variables it sets; None where nothing was launched.

    Args:
        environment: variables of this process.

    Raises:
        ConfigError: machines have different numbers of processes, which cannot train together.
    """
    if "TORCHELASTIC_RUN_ID" in environment:  # torchrun, which may itself run within a SLURM job
        per_node = int(environment["LOCAL_WORLD_SIZE"])
        world = int(environment["WORLD_SIZE"])
        if world % per_node:
            raise ConfigError(
                f"torchrun started {world} processes, {per_node} of them here: give every machine "
                "the same --nproc-per-node"
            )
        return Launched("torchrun", world // per_node, per_node, int(environment["RANK"]))
    if "SLURM_STEP_ID" in environment and environment.get("SLURM_JOB_NAME") != "interactive":
        return _launched_by_srun(environment)
    return None


def process_rank(environment: Mapping[str, str] = os.environ) -> int:
    """This process among those of its run; 0 where it is alone.

    Processes that Lightning starts by itself know their rank on this machine only.
    """
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in environment:
            return int(environment[name])
    return 0


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first process of its run, over all machines."""
    node = environment.get("NODE_RANK", environment.get("GROUP_RANK", "0"))  # as Lightning reads it
    return process_rank(environment) == 0 and int(node) == 0


def _launched_by_srun(environment: Mapping[str, str]) -> Launched:
    """The job step of this process; what a batch script itself starts is in no step."""
    described = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    found = _SAME_ON_ALL.fullmatch(described)
    if found is None:
        raise ConfigError(
            f"srun started {described} tasks on its machines: give every machine the same number, "
            "with --ntasks-per-node"
        )
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", "1"))
    return Launched("srun", nodes, int(found.group(1)), process_rank(environment))
