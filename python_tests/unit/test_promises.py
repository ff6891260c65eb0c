"""What a cluster promises, in tables of docs/: each row names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# A page, and how the heads of its tables begin.
TABLES = {
    "cluster-state.md": ["| when | a change that was answered |"],
    "locks.md": ["| | who holds it |"],
    "tasks.md": ["| the caller was told |"],
    "clustering.md": ["| what happens |", "| | over nodes |", "| a peer is refused |"],
}
# Of five members two may fail: no test loses the disks of a majority.
NOTHING = "nothing is promised"


def rows() -> list[tuple[str, list[str]]]:
    """Of all tables, with where they are; the columns of each."""
    found = []
    for page, heads in TABLES.items():
        lines = (ROOT / "docs" / page).read_text().splitlines()
        for head in heads:
            (at,) = (i for i, line in enumerate(lines) if line.startswith(head))
            columns = lines[at].count(" |")
            assert lines[at].endswith("| tests |"), head
            for line in lines[at + 2 :]:
                if not line.startswith("|"):
                    break
                cells = [cell.strip() for cell in line.strip("|").split(" |")][:columns]
                found.append((f"{page}: {cells[0] or head}", cells))
    return found


ROWS = rows()


def test_there_are_rows() -> None:
    assert len(ROWS) > 45


@pytest.mark.parametrize("cells", [cells for _, cells in ROWS], ids=[name for name, _ in ROWS])
def test_a_row_has_its_tests(cells: list[str]) -> None:
    tests = cells[-1]
    if tests == NOTHING:
        return
    named = re.findall(r"`(\w+)`: ((?:`\w+`(?:, )?)+)", tests)
    assert named, tests
    for module, names in named:
        text = _source(module)
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^(def {name}\(|{name}\(\w*\) ->)", text, re.MULTILINE), name


def test_every_test_that_is_named_runs() -> None:
    """A case of Common Test runs if all/0 has it."""
    for _, cells in ROWS:
        for module, names in re.findall(r"`(\w+_SUITE)`: ((?:`\w+`(?:, )?)+)", cells[-1]):
            everything = re.search(r"^all\(\) ->\s*\[(.*?)\]\.", _source(module), re.M | re.S)
            assert everything
            cases = re.findall(r"\w+", everything[1])
            assert set(re.findall(r"`(\w+)`", names)) <= set(cases)


def _source(module: str) -> str:
    if module.startswith("test_"):
        file = ROOT / "python_tests" / "cluster" / f"{module}.py"
    else:
        file = ROOT / "test" / f"{module}.erl"
    return file.read_text()
