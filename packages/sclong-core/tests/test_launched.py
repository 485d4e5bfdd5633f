import pytest

from sclong_core.errors import ConfigError
from sclong_core.launched import Launched, is_first_process, launched, process_rank

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none",
    "LOCAL_WORLD_SIZE": "4",
    "WORLD_SIZE": "8",
    "RANK": "5",
    "LOCAL_RANK": "1",
}
SRUN = {
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_NAME": "sclong-pretrain",
    "SLURM_STEP_NUM_NODES": "12",
    "SLURM_STEP_TASKS_PER_NODE": "8(x12)",
    "SLURM_PROCID": "95",
    "SLURM_LOCALID": "7",
}


def test_nothing_is_launched_where_no_launcher_says_so():
    assert launched({"PATH": "/bin"}) is None
    assert process_rank({}) == 0


def test_torchrun():
    assert launched(TORCHRUN) == Launched("torchrun", nodes=2, per_node=4, rank=5)


def test_srun():
    assert launched(SRUN) == Launched("srun", nodes=12, per_node=8, rank=95)


def test_torchrun_within_a_job_is_torchrun():
    assert launched({**SRUN, **TORCHRUN}).by == "torchrun"


def test_a_batch_script_is_not_a_launcher():
    job = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
    assert launched(job) is None


@pytest.mark.parametrize("described", ["8,7", "2(x3),1"])
def test_machines_with_different_numbers_of_tasks_are_refused(described):
    with pytest.raises(ConfigError, match="--ntasks-per-node"):
        launched({**SRUN, "SLURM_STEP_TASKS_PER_NODE": described})


def test_torchrun_with_different_numbers_of_processes_is_refused():
    with pytest.raises(ConfigError, match="--nproc-per-node"):
        launched({**TORCHRUN, "WORLD_SIZE": "7"})


@pytest.mark.parametrize(
    ("environment", "rank"),
    [({"RANK": "3", "LOCAL_RANK": "1"}, 3), ({"SLURM_PROCID": "2"}, 2), ({"LOCAL_RANK": "1"}, 1)],
)
def test_rank(environment, rank):
    assert process_rank(environment) == rank


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0", "GROUP_RANK": "0"}, True),
        ({"RANK": "3", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),  # started by hand on the second of two machines
        ({"SLURM_PROCID": "1"}, False),
    ],
)
def test_one_process_of_a_run_is_its_first(environment, first):
    assert is_first_process(environment) is first
