"""What tools/suites.py shows again of a step that has failed."""

from __future__ import annotations

import sys

from harness import ROOT

# Last: a tool's name must not hide a package's.
sys.path.append(str(ROOT / "tools"))
from suites import LINES_OF_ALL, LINES_OF_ONE, failures

EUNIT = """\
=INFO REPORT==== of something else
  1) hornbeam_x_tests:a_test/0: what it is about
     Failure/Error: ?assertEqual(1, 2)
Pending:
  hornbeam_x_tests:-b_test_/0-fun-0-/0
    %% Unknown error: {timeout, late}
Finished in 2 seconds
"""
CT = "%%% hornbeam_SUITE ==> a_case: FAILED\n%%% hornbeam_SUITE ==> why\n"
PYTEST = "python_tests/a/test_b.py .F\nFAILED python_tests/a/test_b.py::test_c - assert 1 == 2\n"


def shown(text: str) -> list[str]:
    return failures(text.splitlines(keepends=True)).splitlines()


def test_what_each_tool_names() -> None:
    found = shown(EUNIT)
    assert found[0].startswith("  1) hornbeam_x_tests:a_test/0")
    assert "  hornbeam_x_tests:-b_test_/0-fun-0-/0" in found
    assert "    %% Unknown error: {timeout, late}" in found
    assert "=INFO REPORT==== of something else" not in found
    assert shown(CT) == CT.splitlines()
    assert shown(PYTEST) == ["FAILED python_tests/a/test_b.py::test_c - assert 1 == 2"]


def test_it_is_bounded() -> None:
    many = "".join(f"FAILED python_tests/test_{n}.py::test {'x' * 999}\n" for n in range(1000))
    assert len(shown(many)) == LINES_OF_ALL
    assert max(map(len, shown(many))) <= 200


def test_the_end_of_what_names_nothing() -> None:
    assert (
        shown("".join(f"{n}\n" for n in range(100)))
        == ["95", "96", "97", "98", "99"][-LINES_OF_ONE:]
    )
