"""The Python packages as docs/architecture.md draws them, their modules from the ground up: each
imports those that stand before it, wherever in the file that is, also for types alone."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "priv" / "python"
TREE = (ROOT / "docs" / "architecture.md").read_text().partition("## The tree")[2]
PACKAGES = [
    "hornbeam",
    "hornbeam_worker",
    "hornbeam_erlang",
    "hornbeam_ml",
    "hornbeam_channels",
    "hornbeam_presence",
    "hornbeam_client",
]


def drawn(package: str) -> list[str]:
    """The modules of a package in the order of the page."""
    rows = TREE.partition(f"\npriv/python/{package}/")[2].partition("\n\n")[0].splitlines()[1:]
    names = []
    for row in rows:
        folder, _, files = re.split(r"\s{2,}", row.strip())[0].rpartition("/")
        names += [".".join(filter(None, [package, folder, file])) for file in files.split(", ")]
    return names


def modules(package: str) -> dict[str, Path]:
    """The files of a package by the names of their modules. An empty `__init__` is none."""
    files = [
        file
        for file in (SOURCES / package).rglob("*.py")
        if len(ast.parse(file.read_text()).body) > 1
    ]
    return {".".join(file.relative_to(SOURCES).with_suffix("").parts): file for file in files}


MODULES = {name: file for package in PACKAGES for name, file in modules(package).items()}


def imports(name: str) -> Iterator[str]:
    """The modules that a module imports itself. What Python runs besides, the `__init__` of a
    package on the way to one of its modules, is none of its own."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            yield from (found for alias in node.names if (found := module(alias.name)))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            assert node.module
            for alias in node.names:
                if found := module(f"{node.module}.{alias.name}") or module(node.module):
                    yield found


def module(name: str) -> str | None:
    return next((found for found in (name, f"{name}.__init__") if found in MODULES), None)


@pytest.mark.parametrize("package", PACKAGES)
def test_each_module_is_drawn_once(package: str) -> None:
    assert sorted(drawn(package)) == sorted(modules(package))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_one_that_stands_after_it(package: str) -> None:
    height = {name: number for number, name in enumerate(drawn(package))}
    upward = [
        (name, imported)
        for name in height
        for imported in imports(name)
        if height.get(imported, -1) >= height[name]
    ]
    assert upward == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Nor by way of the other package."""
    graph = {name: set(imports(name)) for name in MODULES}
    assert graph["hornbeam_worker.calls"] >= {"hornbeam_erlang._hub", "hornbeam_worker.transport"}
    graphlib.TopologicalSorter(graph).prepare()
