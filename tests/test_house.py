"""Rules of the house that no linter knows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (
    ".ci",
    ".github",
    "benchmarks",
    "docs",
    "faults",
    "packages",
    "slurm",
    "studies",
    "tests",
)
GENERATED = {"__pycache__", "dist", "build", "venv", "libraries"}
LONGEST_SOURCE = 500
LARGEST_FILE = 500_000
LARGEST_MODEL = 10_000_000
MODELS = ROOT / "packages" / "sclong-core" / "src" / "sclong_core" / "models"
BROWSER_MODEL = ROOT / "docs" / "browser" / "model"
"""What ships: without it nobody embeds a cell. A model is limited as a whole."""
LARGEST_PAGE = 1_200_000
"""A report opens without a network, so that it holds its figures and every number itself."""
TEXT = {
    "",
    ".cfg",
    ".css",
    ".html",
    ".in",
    ".ipynb",
    ".js",
    ".json",
    ".md",
    ".py",
    ".sbatch",
    ".sh",
    ".svg",
}
TEXT |= {".ipynb", ".toml", ".tsv", ".txt", ".yaml", ".yml"}


def files() -> Iterator[Path]:
    """Everything that belongs to the project, whether git knows it yet or not."""
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            inside = path.relative_to(ROOT / folder).parts
            cached = any(part.startswith(".") for part in inside[:-1])
            if path.is_file() and not cached and not GENERATED & set(inside):
                yield path


FILES = tuple(files())
SOURCES = tuple(
    path for path in FILES if path.suffix == ".py" and "src" in path.relative_to(ROOT).parts
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_is_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST_SOURCE, f"{name(path)} has {lines} lines: two subjects live in it"


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if not path.name.startswith("__")], ids=name
)
def test_a_module_has_tests(path):
    """By name (test_pooling, test_embedding_pooling, test_embedding), or imported by a test."""
    package = next(parent for parent in path.parents if parent.parent.name == "packages")
    parts = path.with_suffix("").relative_to(package / "src").parts
    names = {"test_" + "_".join(parts[start:]) for start in range(1, len(parts))}
    names |= {"test_" + "_".join(parts[1:end]) for end in range(2, len(parts))}
    tests = [*package.glob("tests/**/test_*.py"), *ROOT.glob("tests/**/test_*.py")]
    if names & {test.stem for test in tests}:
        return
    imported = re.compile(
        rf"\b{re.escape('.'.join(parts))}\b"
        rf"|from {re.escape('.'.join(parts[:-1]))} import .*\b{parts[-1]}\b"
    )
    assert any(imported.search(test.read_text(encoding="utf-8")) for test in tests), (
        f"no test for {name(path)}: add {sorted(names)[-1]}.py"
    )


def test_no_file_is_large():
    allowed = {".html": LARGEST_PAGE}
    large = {
        name(path)
        for path in FILES
        if not {MODELS, BROWSER_MODEL} & set(path.parents)
        and path.stat().st_size > allowed.get(path.suffix, LARGEST_FILE)
    }
    assert not large


def test_models_that_ship_are_small():
    for model in MODELS.iterdir():
        names = {path.name for path in FILES if model in path.parents}
        assert names == {"card.json", "config.json", "model.safetensors", "vocabulary.tsv"}
        assert sum((model / file).stat().st_size for file in names) < LARGEST_MODEL
    assert {path.name for path in BROWSER_MODEL.iterdir()} == {"genes.json", "student.onnx"}
    assert sum(path.stat().st_size for path in BROWSER_MODEL.iterdir()) < LARGEST_MODEL


def test_no_path_of_one_machine():
    machine = re.compile(r"(?<![\w.*/])/(?:home|root|Users|work)/[\w.-]|[A-Z]:\\\\?Users\\")
    found = {
        f"{name(path)}:{number}"
        for path in FILES
        if path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if machine.search(line)
    }
    assert not found


def test_no_pickle_is_shipped():
    shipped = {name(path) for path in FILES if path.suffix in {".pkl", ".pickle", ".pt", ".pth"}}
    assert not shipped
