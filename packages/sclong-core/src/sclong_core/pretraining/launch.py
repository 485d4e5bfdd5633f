"""Making a Trainer fit the processes that a launcher started.

Lightning refuses to train where its settings differ from what was started, on every rank and with
a traceback. Settings are copied from run to run, so what was started decides, and a difference is
said.
"""

import logging
import os
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from sclong_core.launcher import launched

_LOG = logging.getLogger("sclong")


def apply_launch(trainer: dict[str, Any]) -> None:
    """Make a Trainer's arguments those of the processes that were started, and say what changed.

    Args:
        trainer: arguments of the Trainer, changed in place: machines, devices, and the plugin that
            tells Lightning its environment.

    Raises:
        ConfigError: the processes cannot train together.
    """
    found = launched()
    if found is None:
        if "SLURM_JOB_ID" in os.environ:  # in a batch script: no task of srun, waits for nobody
            trainer["plugins"].append(LightningEnvironment())
        return
    if found.by == "srun":
        # Lightning takes no --ntasks: it wants what --ntasks-per-node says, which is the same.
        os.environ.setdefault("SLURM_NTASKS_PER_NODE", str(found.per_node))
        # Lightning's own requeueing saves inside a signal handler; see StopOnSignal.
        trainer["plugins"].append(SLURMEnvironment(auto_requeue=False))
    before = (int(trainer.get("num_nodes") or 1), trainer.get("devices"))
    trainer["num_nodes"], trainer["devices"] = found.nodes, found.per_node
    if found.rank == 0 and str(before) != str((found.nodes, found.per_node)):
        _LOG.info(
            (
                "%s started %d x %d processes: using these for trainer.num_nodes and "
                "trainer.devices instead of %s and %s"
            ),
            found.by,
            found.nodes,
            found.per_node,
            *before,
        )
