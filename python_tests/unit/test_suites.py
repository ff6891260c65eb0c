"""What tools/suites.py shows again of a step that has failed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from harness import ROOT

# Last: a tool's name must not hide a package's.
sys.path.append(str(ROOT / "tools"))
from suites import AGAIN, LINES_OF_ALL, LINES_OF_ONE, Run, Step, alone, failures, named

EUNIT = """\
=INFO REPORT==== of something else
  1) hornbeam_x_tests:a_test/0: what it is about
     Failure/Error: ?assertEqual(1, 2)
Pending:
  hornbeam_x_tests:-b_test_/0-fun-0-/0
    %% Unknown error: {timeout, late}
Finished in 2 seconds
"""
CT = """\
%%% x_SUITE: \x1b[0;32m.\x1b[0m
%%% x_SUITE ==> a_case: \x1b[0;31mFAILED\x1b[0m
%%% x_SUITE ==> \x1b[0;31mwhy
%%% x_SUITE ==> b_case: \x1b[0;35mSKIPPED\x1b[0m
%%% x_SUITE ==> \x1b[0;35m{tc_auto_skip,
    {failed,
"""
PYTEST = "python_tests/a/test_b.py .F\nFAILED python_tests/a/test_b.py::test_c - assert 1 == 2\n"


def shown(text: str) -> list[str]:
    return failures(text.splitlines(keepends=True)).splitlines()


def test_what_each_tool_names() -> None:
    found = shown(EUNIT)
    assert found[0].startswith("  1) hornbeam_x_tests:a_test/0")
    assert "  hornbeam_x_tests:-b_test_/0-fun-0-/0" in found
    assert "    %% Unknown error: {timeout, late}" in found
    assert "=INFO REPORT==== of something else" not in found
    assert shown(CT) == [
        "%%% x_SUITE ==> a_case: FAILED",
        "%%% x_SUITE ==> why",
        "%%% x_SUITE ==> b_case: SKIPPED",
        "%%% x_SUITE ==> {tc_auto_skip,",
        "    {failed,",
    ]
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


def test_what_runs_again() -> None:
    def again(name: str, text: str) -> list[str]:
        step = Step(name, ())
        return list(alone(step, named(step, text.splitlines(keepends=True))).argv)

    modules = "hornbeam_x_tests"
    assert again("eunit", EUNIT) == ["rebar3", "eunit", f"--module={modules}"]
    assert named(Step("ct", ()), CT.splitlines()) == ["x_SUITE ==> a_case", "x_SUITE ==> b_case"]
    ct = ["rebar3", "ct", "--suite=test/x_SUITE"]
    assert again("ct", CT) == ct
    two = CT + "%%% y_SUITE ==> c_case: FAILED\n"
    assert again("ct", two) == ["rebar3", "ct", "--suite=test/x_SUITE,test/y_SUITE"]
    text = "FAILED t/test_b.py::test_c[a b] - assert 1\nERROR t/test_d.py\nFAILED t/test_d.py::x\n"
    assert again("pytest", text)[-3:] == [
        "t/test_b.py::test_c[a b]",
        "t/test_d.py",
        "t/test_d.py::x",
    ]


def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> Run:
    """A step in which tests fail when they run for the first time, but for the last of five."""
    test = tmp_path / "test_it.py"
    test.write_text(
        "import pathlib, pytest\n\n"
        f"@pytest.mark.parametrize('n', range({number}))\n"
        "def test_it(n, request):\n"
        "    mark = pathlib.Path(__file__).with_name(f'ran{n}')\n"
        "    before = mark.exists()\n"
        "    mark.touch()\n"
        "    assert before and n != 4\n"
    )
    monkeypatch.setattr("suites.ROOT", tmp_path)
    monkeypatch.setattr("suites.PYTEST", (sys.executable, "-m", "pytest"))
    run = Run()
    run.lanes([[Step("pytest", (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "."))]])
    run.again()
    return run


def test_a_few_may_fail_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ran(tmp_path, monkeypatch, AGAIN)
    assert few.failed == {}
    verdict = few.verdict().splitlines()
    assert verdict[0].startswith("all passed, ")
    assert verdict[1:] == [
        f"unsteady, passed alone: test_it.py::test_it[{n}]" for n in range(AGAIN)
    ]


def test_many_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = ran(tmp_path, monkeypatch, AGAIN + 1)
    assert list(many.failed) == ["pytest"]
    assert many.verdict().startswith("FAILED: pytest, ")


def test_what_fails_again_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        (tmp_path / f"ran{n}").touch()
    again = ran(tmp_path, monkeypatch, 5)
    assert list(again.failed) == ["pytest, again"]
    assert "test_it[4]" in again.failed["pytest, again"]
