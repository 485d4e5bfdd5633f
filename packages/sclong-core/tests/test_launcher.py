import pytest

from sclong_core.errors import ConfigError
from sclong_core.launcher import (
    Launched,
    check_variables,
    is_first_process,
    launched,
    process_rank,
)

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


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK"])
@pytest.mark.parametrize("value", ["abc", "", "-1", "1.5", "²"])
def test_variables_that_are_not_numbers_are_named(name, value):
    with pytest.raises(ConfigError, match=f"variable {name} is .*not a number"):
        check_variables({name: value})
    with pytest.raises(ConfigError, match=f"variable {name} is .*not a number"):
        is_first_process({name: value})


@pytest.mark.parametrize("name", ["WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK", "LOCAL_RANK"])
@pytest.mark.parametrize("value", [None, "x"])
def test_variables_of_torchrun_are_there_or_are_not(name, value):
    environment = {key: text for key, text in TORCHRUN.items() if key != name}
    if value is not None:
        environment[name] = value
    with pytest.raises(ConfigError, match=name):
        check_variables(environment)


@pytest.mark.parametrize("name", ["SLURM_PROCID", "SLURM_LOCALID"])
def test_variables_of_srun_are_there_or_are_not(name):
    with pytest.raises(ConfigError, match=rf"some variables of srun are missing \({name}\)"):
        launched({key: text for key, text in SRUN.items() if key != name})


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"TORCHELASTIC_RUN_ID": "x"}, "some variables of"),
        ({"RANK": "1"}, "start with torchrun, or unset RANK"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "start with torchrun, or unset RANK"),
        ({"SLURM_NTASKS": "two"}, "SLURM_NTASKS"),
        ({**TORCHRUN, "RANK": "8"}, "RANK is 8 and WORLD_SIZE 8"),
        ({**TORCHRUN, "LOCAL_WORLD_SIZE": "0"}, "--nproc-per-node"),
        ({**SRUN, "SLURM_STEP_NUM_NODES": "many"}, "SLURM_STEP_NUM_NODES"),
    ],
)
def test_variables_that_do_not_belong_together_are_refused(environment, reason):
    with pytest.raises(ConfigError, match=reason):
        check_variables(environment)


@pytest.mark.parametrize("environment", [{}, TORCHRUN, SRUN, {"LOCAL_RANK": "1", "NODE_RANK": "0"}])
def test_variables_as_launchers_set_them_are_taken(environment):
    check_variables(environment)
