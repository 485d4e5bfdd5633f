"""Count the house: files, lines, circles of imports, imports in functions, empty classes.

``python -m benchmarks.house`` prints one line a figure, of the files that are installed.
Imports that only type checkers see are left out: they are no circle when the code runs.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import networkx as nx

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class House:
    """What was counted."""

    files: int
    lines: int
    circles: tuple[tuple[str, ...], ...]
    """Files that import each other, those of functions too."""
    circles_at_the_top: tuple[tuple[str, ...], ...]
    """Files that import each other when they are imported."""
    imports_in_functions: int
    classes: int
    empty_classes: int
    """Classes of nothing but a docstring and at most one assignment, with a base of the house."""


def count(root: Path = ROOT) -> House:
    """Count the installed files below a checkout."""
    paths = sorted(root.glob("packages/*/src/**/*.py"))
    trees = {_module(path): ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    top = {name: set(_imported(tree, trees, deferred=False)) for name, tree in trees.items()}
    every = {name: set(_imported(tree, trees, deferred=True)) for name, tree in trees.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    return House(
        files=len(paths),
        lines=sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths),
        circles=_circles(every),
        circles_at_the_top=_circles(top),
        imports_in_functions=sum(len(set(_deferred(tree))) for tree in trees.values()),
        classes=len(classes),
        empty_classes=sum(_is_empty(node) for node in classes),
    )


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    names = parts[parts.index("src") + 1 :]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def _deferred(tree: ast.AST) -> Iterator[ast.stmt]:
    """Import statements inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    yield inner


def _seen_by_type_checkers(tree: ast.AST) -> set[ast.AST]:
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }


def _imported(tree: ast.AST, known: Mapping[str, ast.AST], *, deferred: bool) -> Iterator[str]:
    """Modules of the house that a file imports."""
    left_out = _seen_by_type_checkers(tree) | (set() if deferred else set(_deferred(tree)))
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in known:
                    yield full
                elif node.module in known:
                    yield node.module


def _circles(imports: Mapping[str, set[str]]) -> tuple[tuple[str, ...], ...]:
    graph = nx.DiGraph((name, other) for name, others in imports.items() for other in others)
    found = [tuple(sorted(part)) for part in nx.strongly_connected_components(graph)]
    return tuple(sorted(part for part in found if len(part) > 1))


def _is_empty(node: ast.ClassDef) -> bool:
    body = [
        part
        for part in node.body
        if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
        and not isinstance(part, ast.Pass)
    ]
    assigned = all(isinstance(part, ast.Assign | ast.AnnAssign) for part in body)
    declared = any(
        isinstance(part, ast.AnnAssign) and "ClassVar" not in ast.dump(part.annotation)
        for part in body
    )
    return bool(node.bases) and len(body) <= 1 and assigned and not declared


def _shown(circles: tuple[tuple[str, ...], ...]) -> str:
    return "; ".join(" <-> ".join(part) for part in circles)


def main() -> None:
    """Print the figures."""
    found = count()
    print(f"installed files                 {found.files:,}")
    print(f"lines                           {found.lines:,}")
    print(f"circles of imports              {len(found.circles)}  {_shown(found.circles)}")
    top = found.circles_at_the_top
    print(f"circles at the top of files     {len(top)}  {_shown(top)}")
    print(f"imports inside functions        {found.imports_in_functions:,}")
    print(f"classes                         {found.classes:,}")
    print(f"classes without a line of code  {found.empty_classes:,}")


if __name__ == "__main__":
    main()
