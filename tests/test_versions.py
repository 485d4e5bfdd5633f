import importlib
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("core", "data", "tasks", "bench")


def project(part: str) -> dict:
    text = (ROOT / f"packages/sclong-{part}/pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


VERSION = project("core")["version"]


@pytest.mark.parametrize("part", PARTS)
def test_all_packages_have_one_version(part):
    assert project(part)["version"] == VERSION


@pytest.mark.parametrize("part", PARTS)
def test_the_installed_package_says_its_version(part):
    assert importlib.import_module(f"sclong_{part}").__version__ == VERSION


@pytest.mark.parametrize("part", PARTS)
def test_siblings_are_asked_for_in_exactly_that_version(part):
    asked = [name for name in project(part)["dependencies"] if name.startswith("sclong-")]
    assert all(name.partition("==")[2] == VERSION for name in asked)


@pytest.mark.parametrize("part", PARTS)
def test_a_package_asks_only_for_those_below_it(part):
    asked = {name.partition("=")[0] for name in project(part)["dependencies"]}
    below = {f"sclong-{name}" for name in PARTS[: PARTS.index(part)]}
    assert {name for name in asked if name.startswith("sclong-")} <= below


def test_the_citation_names_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == VERSION


@pytest.mark.parametrize("part", PARTS)
def test_each_package_ships_the_licence(part):
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert (ROOT / f"packages/sclong-{part}/LICENSE").read_text(encoding="utf-8") == licence


def pins(file: str) -> dict[str, str]:
    """Version by distribution in a file of constraints."""
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {normal(name): version for name, version in pairs}


def test_every_lower_bound_of_core_is_the_version_that_was_tested():
    bounds = dict(name.split(">=") for name in project("core")["dependencies"])
    tested = pins("constraints-lowest.txt")
    assert {normal(name) for name in bounds} == set(tested)
    assert all(f"{tested[normal(name)]}.".startswith(f"{bound}.") for name, bound in bounds.items())


def test_every_dependency_is_in_the_constraints():
    pinned = set(pins("constraints.txt"))
    asked = {normal(name) for part in PARTS for name in project(part)["dependencies"]}
    assert {name for name in asked if not name.startswith("sclong-")} <= pinned


def normal(requirement: str) -> str:
    """The bare distribution name of a requirement."""
    for mark in "[<>=!~;":
        requirement = requirement.partition(mark)[0]
    return requirement.strip().lower().replace("_", "-")
