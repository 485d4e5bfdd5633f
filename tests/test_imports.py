import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SIBLINGS = {"sclong_data", "sclong_tasks", "sclong_bench"}
HEAVY = {"torch", "lightning", "anndata", "pandas", "scanpy", "sklearn", "matplotlib"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after ``code``."""
    report = (
        "import json, sys; print(json.dumps(sorted({n.partition('.')[0] for n in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_importing_core_loads_nothing_heavy():
    assert not loaded_after("import sclong_core") & (HEAVY | SIBLINGS)


def test_configuration_and_vocabulary_need_no_torch():
    code = "from sclong_core import GeneGraph, GeneVocabulary, ScLongConfig"
    assert not loaded_after(code) & (HEAVY | SIBLINGS)


def test_the_model_loads_without_lightning_and_without_the_other_packages():
    loaded = loaded_after("from sclong_core import ScLong")
    assert "torch" in loaded
    assert not loaded & ({"lightning", "pytorch_lightning", "scanpy", "matplotlib"} | SIBLINGS)


@pytest.mark.parametrize("package", ["sclong_data", "sclong_tasks", "sclong_bench"])
def test_importing_another_package_loads_nothing_heavy(package):
    assert not loaded_after(f"import {package}") & HEAVY


@pytest.mark.parametrize("package", ["sclong_core", "sclong_data", "sclong_tasks", "sclong_bench"])
def test_every_public_name_is_there(package):
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_import_contracts_hold():
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("former", "name", "place"),
    [
        ("sclong_data.manifest", "Manifest", "sclong_data.dataset_manifest"),
        ("sclong_bench.suites.cells", "make", "sclong_bench.suites.grid"),
        (
            "sclong_tasks.drug_combination.synthetic",
            "write_synthetic_files",
            "sclong_tasks.drug_combination.example",
        ),
    ],
)
def test_former_places_of_modules_still_work_and_say_where_they_went(former, name, place):
    with pytest.warns(DeprecationWarning, match=f"{former} is now {place}"):
        module = importlib.import_module(former)
    assert getattr(module, name) is getattr(importlib.import_module(place), name)
