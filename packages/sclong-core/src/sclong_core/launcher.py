"""Which processes were started together, by ``srun``, ``torchrun``, ``fabric run`` or Lightning."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sclong_core.errors import ConfigError

_NUMBERS = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_PORT",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NODEID",
    "SLURM_NTASKS",
)
"""Variables that are numbers, wherever Lightning reads them."""
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
        _require(environment, "torchrun", ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        per_node, world, rank = (
            _number(environment, name) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "RANK")
        )
        if not per_node or world % per_node:
            raise ConfigError(
                f"torchrun started {world} processes, {per_node} of them here: use the "
                "same --nproc-per-node on every machine"
            )
        if rank >= world:
            raise ConfigError(
                f"RANK is {rank} and WORLD_SIZE {world}, which do not belong to one run "
                "of torchrun: start it again in a new shell"
            )
        return Launched("torchrun", world // per_node, per_node, rank)
    if "SLURM_STEP_ID" in environment and environment.get("SLURM_JOB_NAME") != "interactive":
        return _launched_by_srun(environment)
    return None


def check_variables(environment: Mapping[str, str] = os.environ) -> None:
    """Refuse variables of a launcher that no launcher sets so, before anything is loaded.

    Raises:
        ConfigError: one is not a number, or others that belong to it are missing.
    """
    for name in _NUMBERS:
        if name in environment:
            _number(environment, name)
    launched(environment)
    if "RANK" in environment and not {"TORCHELASTIC_RUN_ID", "LOCAL_RANK"} & environment.keys():
        raise ConfigError(
            "RANK is set, but the other variables of torchrun are not: start with torchrun, or "
            "unset RANK"
        )


def process_rank(environment: Mapping[str, str] = os.environ) -> int:
    """This process among those of its run; 0 where it is alone.

    Processes that Lightning starts by itself know their rank on this machine only.

    Raises:
        ConfigError: the variable that says so is not a number.
    """
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in environment:
            return _number(environment, name)
    return 0


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the first process of its run, over all machines.

    Raises:
        ConfigError: a variable that says so is not a number.
    """
    # As Lightning reads it.
    name = "NODE_RANK" if "NODE_RANK" in environment else "GROUP_RANK"
    node = _number(environment, name) if name in environment else 0
    return process_rank(environment) == 0 and node == 0


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(
            f"the variable {name} is {text!r}, which is not a number: a launcher sets it; start "
            "with srun or torchrun, or unset it"
        )
    return int(text)


def _require(environment: Mapping[str, str], launcher: str, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in environment]
    if missing:
        raise ConfigError(
            f"some variables of {launcher} are missing ({', '.join(missing)}): start "
            f"with {launcher}, or unset the others"
        )


def _launched_by_srun(environment: Mapping[str, str]) -> Launched:
    """The job step of this process; what a batch script itself starts is in no step."""
    _require(environment, "srun", ("SLURM_PROCID", "SLURM_LOCALID"))
    described = environment.get("SLURM_STEP_TASKS_PER_NODE", "1")
    found = _SAME_ON_ALL.fullmatch(described)
    if found is None:
        raise ConfigError(
            f"srun started {described} tasks on its machines: use the same number on "
            "every machine, with --ntasks-per-node"
        )
    name = "SLURM_STEP_NUM_NODES"
    nodes = _number(environment, name) if name in environment else 1
    return Launched("srun", nodes, int(found.group(1)), process_rank(environment))
