"""The judges of counters, locks and schedules, with what they must find."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from cluster.judge import counters, holds, late_writes, locks, schedules, ticks
from cluster.linearizability import Operation


def incr(key: str, delta: int, outcome: Any) -> Operation:
    return Operation(0, "incr", key, (delta,), None, 0, inf, outcome)


HISTORY = [incr("a", 1, "ok"), incr("a", 2, "ok"), incr("a", 4, "unknown"), incr("a", 8, "fail")]


@pytest.mark.parametrize(("final", "right"), [(2, False), (3, True), (7, True), (8, False)])
def test_counters(final: int, right: bool) -> None:
    assert (counters(HISTORY, {"a": final}) == []) is right


def test_a_counter_that_nobody_raised() -> None:
    assert counters(HISTORY, {"b": None}) == []
    assert counters([incr("b", 1, "ok")], {"b": None}) != []


TAKEN_IN_TURN = """\
x 0 asked 1 n1 h1
x 5 acquired 2 n1 h1
x 0 asked 2.5 n2 h2
x 5 write 3 n1 h1
x 5 released 4 n1 h1
x 9 acquired 5 n2 h2
x 9 write 6 n2 h2
x 9 released 7 n2 h2
x 0 asked 8 n2 h3
y 0 asked 8 n2 h4
y 3 acquired 9 n2 h4
"""


def judged(journal: str, paused: Any = None) -> list[str]:
    return locks(holds(journal.splitlines()), paused or {})


def test_locks_that_are_taken_in_turn() -> None:
    assert judged(TAKEN_IN_TURN) == []
    assert late_writes(holds(TAKEN_IN_TURN.splitlines())) == []


def test_a_token_that_goes_back() -> None:
    assert judged(TAKEN_IN_TURN + "x 8 acquired 9 n2 h3\n") != []


def test_a_smaller_token_of_one_who_asked_before_is_late_only() -> None:
    journal = "x 0 asked 1 n1 h1\nx 0 asked 1 n2 h2\nx 2 acquired 3 n2 h2\nx 1 acquired 3.1 n1 h1\n"
    assert judged(journal) == []


def test_a_token_given_twice() -> None:
    journal = "x 0 asked 1 n1 h1\nx 0 asked 1 n2 h2\nx 2 acquired 3 n2 h2\nx 2 acquired 3.1 n1 h1\n"
    assert judged(journal) != []


def test_who_goes_on_while_another_holds() -> None:
    journal = TAKEN_IN_TURN.replace("x 5 released 4", "x 5 write 6.5")
    assert judged(journal) != []
    ((hold, late, at),) = late_writes(holds(journal.splitlines()))
    assert (hold.token, late, at) == (5, 1.5, 6.5)
    assert judged(journal, {"n1": [(3.5, 6.4)]}) == [], "it could not know"
    assert judged(journal, {"n2": [(3.5, 6.4)]}) != []
    assert judged(journal, {"n1": [(0.5, 1.5)]}) != [], "that was before it had the lock"


def test_each_time_of_a_schedule_is_one_task() -> None:
    right = ["1000 a n1 1.0", "2000 b n2 2.0", "2000 b n1 14.0", "3000 c n1 3.0"]
    assert schedules(ticks(right)) == []
    assert len(schedules(ticks([*right, "3000 d n3 3.1"]))) == 1
    assert len(schedules(ticks([*right, "6000 d n3 6.1"]))) == 2
    assert schedules(ticks([*right, "6000 d n3 6.1"]), gaps=False) == []
    assert schedules([]) != []
