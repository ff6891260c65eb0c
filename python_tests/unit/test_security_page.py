"""The tables of docs/security.md: each row names a test that is there, and options that are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
OPTIONS = set(re.findall(r"^\| `([a-z_0-9]+)`", (ROOT / "docs" / "options.md").read_text(), re.M))
SECTION = PAGE.partition("## What can make it hold what")[2].partition("### What remains")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith(("| what it holds", "| ---"))
]


def test_there_are_rows_for_everybody() -> None:
    assert SECTION.count("### ") == 4
    assert len(ROWS) > 40


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_has_its_test_and_its_options(row: list[str]) -> None:
    _what, bound, tests = row
    names = re.findall(r"`([^`]+)`", tests)
    assert names
    for name in names:
        assert _exists(name), name
    for option in re.findall(r"`([a-z_0-9]+)`", bound):
        assert option in OPTIONS or option in {"window", "queue_size"}, option


def _exists(name: str) -> bool:
    kind, _, module = name.partition(" ")
    if kind in ("EUnit", "CT"):
        return (ROOT / "test" / f"{module}.erl").is_file()
    file, _, function = name.partition("::")
    path = ROOT / "python_tests" / file
    return path.is_file() and f"def {function}(" in path.read_text()
