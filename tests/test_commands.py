"""Commands of all packages: what `sclong --help` imports of them stays light."""

import subprocess
import sys

import pytest

MODULES = (
    "sclong_data.cli.check",
    "sclong_data.cli.data",
    "sclong_data.cli.fetch",
    "sclong_data.cli.harmonise",
    "sclong_data.cli.list_datasets",
    "sclong_data.cli.stats",
    "sclong_tasks.cli.finetune",
    "sclong_tasks.cli.predict_labels",
    "sclong_tasks.cli.task",
    "sclong_tasks.cli.run",
    "sclong_bench.cli.bench",
    "sclong_bench.cli.demo",
    "sclong_bench.cli.plan",
    "sclong_bench.cli.reproduce",
    "sclong_bench.cli.run",
)
HEAVY = {"anndata", "lightning", "matplotlib", "pandas", "rdkit", "scanpy", "sklearn", "torch"}


@pytest.mark.parametrize("module", MODULES)
def test_a_command_imports_nothing_heavy(module):
    code = f"import sys; from {module} import command; print(command.help); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert done[0]
    assert not HEAVY & set(done[-1].split())
