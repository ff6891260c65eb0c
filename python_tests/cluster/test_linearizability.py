"""The checker itself: histories made by hand, generated ones, and those with one wrong answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.linearizability import ABSENT, Operation, check, check_all, key_model


def op(
    kind: str, *args: Any, at: tuple[float, float], result: Any = None, outcome: Any = "ok"
) -> Operation:
    return Operation(0, kind, "k", args, result, at[0], at[1], outcome)


def lost(kind: str, *args: Any, at: float) -> Operation:
    return op(kind, *args, at=(at, inf), outcome="unknown")


RIGHT = {
    "nothing": [],
    "one after the other": [
        op("get", at=(0, 1), result=ABSENT),
        op("put", 1, at=(2, 3)),
        op("get", at=(4, 5), result=1),
        op("cas", 1, 2, at=(6, 7), result=True),
        op("cas", 1, 3, at=(8, 9), result=False),
        op("pop", at=(10, 11), result=2),
        op("add", 5, at=(12, 13), result=True),
        op("add", 6, at=(14, 15), result=False),
        op("incr", 2, at=(16, 17), result=7),
        op("delete", at=(18, 19)),
        op("incr", 1, at=(20, 21), result=1),
    ],
    "a read that overlaps a write sees either": [
        op("put", 1, at=(0, 1)),
        op("put", 2, at=(2, 9)),
        op("get", at=(3, 4), result=1),
        op("get", at=(5, 6), result=2),
    ],
    "the order of two writes is told by a later read": [
        op("put", 1, at=(0, 5)),
        op("put", 2, at=(0, 5)),
        op("get", at=(6, 7), result=1),
    ],
    "a write of the value that is there may come after another": [
        op("put", 3, at=(0, 1)),
        op("put", 3, at=(2, 9)),
        op("put", 4, at=(3, 4)),
        op("get", at=(5, 6), result=4),
        op("get", at=(10, 11), result=3),
    ],
    "a lost answer: it was done later": [
        op("put", 1, at=(0, 1)),
        lost("put", 2, at=2),
        op("get", at=(3, 4), result=1),
        op("get", at=(5, 6), result=2),
    ],
    "a lost answer: it was never done": [
        op("put", 1, at=(0, 1)),
        lost("put", 2, at=2),
        op("get", at=(30, 40), result=1),
    ],
    "one that failed was not done": [
        op("put", 1, at=(0, 1)),
        op("put", 2, at=(2, 3), outcome="fail"),
        op("get", at=(4, 5), result=1),
    ],
    "lost increments": [
        *(lost("incr", 1, at=n) for n in range(20)),
        op("incr", 1, at=(30, 31), result=8),
        op("get", at=(32, 33), result=20),
    ],
}

WRONG = {
    "stale read": [
        op("put", 1, at=(0, 1)),
        op("put", 2, at=(2, 3)),
        op("get", at=(4, 5), result=1),
    ],
    "the value goes back": [
        op("put", 1, at=(0, 1)),
        op("put", 2, at=(2, 9)),
        op("get", at=(3, 4), result=2),
        op("get", at=(5, 6), result=1),
    ],
    "lost write": [op("put", 1, at=(0, 1)), op("get", at=(2, 3), result=ABSENT)],
    "an increment done twice": [
        op("incr", 1, at=(0, 1), result=1),
        op("incr", 1, at=(2, 3), result=3),
    ],
    "a lost increment done twice": [
        lost("incr", 1, at=0),
        op("get", at=(2, 3), result=1),
        op("get", at=(4, 5), result=2),
    ],
    "cas that both win": [
        op("put", 1, at=(0, 1)),
        op("cas", 1, 2, at=(2, 5), result=True),
        op("cas", 1, 3, at=(2, 5), result=True),
    ],
    "add that both win": [
        op("add", 1, at=(0, 5), result=True),
        op("add", 2, at=(0, 5), result=True),
    ],
    "a value that nobody wrote": [op("put", 1, at=(0, 1)), op("get", at=(0, 1), result=7)],
    "read before it was written": [op("get", at=(0, 1), result=1), op("put", 1, at=(2, 3))],
    "done though it failed": [
        op("put", 1, at=(0, 1), outcome="fail"),
        op("get", at=(2, 3), result=1),
    ],
    "a lost write comes back a second time": [
        op("put", 1, at=(0, 1)),
        lost("put", 2, at=2),
        op("get", at=(3, 4), result=2),
        op("put", 3, at=(5, 6)),
        op("get", at=(7, 8), result=2),
    ],
    "two readers that see two writes in two orders": [
        op("put", 1, at=(0, 9)),
        op("put", 2, at=(0, 9)),
        op("get", at=(1, 2), result=1),
        op("get", at=(3, 4), result=2),
        op("get", at=(5, 6), result=1),
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_right_histories(history: list[Operation]) -> None:
    assert check(history).right is True


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_wrong_histories(history: list[Operation]) -> None:
    verdict = check(history)
    assert verdict.right is False
    assert verdict.explanation.startswith("cannot be: client 0: ")


def test_keys_are_judged_by_themselves() -> None:
    right = [replace(operation, key="a") for operation in RIGHT["lost increments"]]
    wrong = [replace(operation, key="b") for operation in WRONG["stale read"]]
    assert list(check_all([*right, *wrong])) == ["b"]
    assert check_all(right) == {}


def test_too_much_to_look_through_is_no_verdict() -> None:
    """Thirty writes at once, and a read of a value that was not among them."""
    history = [op("put", n, at=(0, 9)) for n in range(30)]
    assert check([*history, op("get", at=(10, 11), result=-1)], limit=500).right is None


class Shared:
    """One object that does one operation at a time, asked by clients that overlap."""

    def __init__(self, rng: random.Random, clients: int, length: int, losses: float) -> None:
        self.rng, self.losses = rng, losses
        self.state: Any = ABSENT
        self.free_at = [0.0] * clients
        self.history: list[Operation] = []
        for moment in range(1, length + 1):
            self._one(float(moment))

    def _one(self, moment: float) -> None:
        """Takes effect at `moment`, or never; is under way around it."""
        client = self.rng.randrange(len(self.free_at))
        invoked = self.rng.uniform(min(self.free_at[client], moment), moment)
        returned = self.rng.uniform(moment, moment + 4)
        self.free_at[client] = returned
        kind, args = self._drawn()
        is_lost = self.rng.random() < self.losses
        if not (is_lost and self.rng.random() < 0.5):
            asked = Operation(client, kind, "k", args, None, invoked, returned, "unknown")
            state, result = self.state, self._result(kind, args)
            after = key_model(state, asked)
            assert after is not None
            self.state = after[0]
        if is_lost:
            self.history.append(Operation(client, kind, "k", args, None, invoked, inf, "unknown"))
        else:
            self.history.append(Operation(client, kind, "k", args, result, invoked, returned))

    def _drawn(self) -> tuple[str, tuple[Any, ...]]:
        value = self.rng.randrange(5)
        choices: list[tuple[str, tuple[Any, ...]]] = [
            ("get", ()),
            ("put", (value,)),
            ("cas", (self.rng.randrange(5), value)),
            ("incr", (1,)),
            ("add", (value,)),
            ("pop", ()),
            ("delete", ()),
        ]
        return self.rng.choices(choices, (6, 3, 4, 4, 1, 1, 1))[0]

    def _result(self, kind: str, args: tuple[Any, ...]) -> Any:
        """Said here a second time, so that one judges the other."""
        here = self.state is not ABSENT
        results: dict[str, Callable[[], Any]] = {
            "get": lambda: self.state,
            "pop": lambda: self.state,
            "put": lambda: None,
            "delete": lambda: None,
            "add": lambda: not here,
            "cas": lambda: here and self.state == args[0],
            "incr": lambda: (self.state if here else 0) + args[0],
        }
        return results[kind]()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 40), st.integers(1, 8), st.integers(1, 60), st.sampled_from([0, 0.1]))
def test_what_a_real_object_answered_is_right(
    seed: int, clients: int, length: int, losses: float
) -> None:
    verdict = check(Shared(random.Random(seed), clients, length, losses).history)
    assert verdict.right is True, verdict.explanation


def test_one_wrong_answer_is_found_most_of_the_time() -> None:
    """Not always: what overlaps may explain it."""
    rng = random.Random(17)
    found = sum(check(mutated(rng)).right is False for _ in range(100))
    assert found > 60


def mutated(rng: random.Random) -> list[Operation]:
    history = Shared(rng, 4, 60, 0.02).history
    answered = [n for n, o in enumerate(history) if o.kind in ("get", "incr") and o.outcome == "ok"]
    number = rng.choice(answered)
    was = history[number].result
    history[number] = replace(history[number], result=(0 if was is ABSENT else was) + 1)
    return history


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 40))
def test_it_agrees_with_trying_every_order(seed: int) -> None:
    """Short histories with a wrong answer here and there."""
    rng = random.Random(seed)
    history = Shared(rng, 3, 5, 0.2).history
    number = rng.randrange(len(history))
    if history[number].kind in ("get", "incr") and rng.random() < 0.7:
        history[number] = replace(history[number], result=rng.choice([ABSENT, 0, 1, 2, 3]))
    assert check(history).right is any_order(history)


def any_order(history: list[Operation]) -> bool:
    lost_ones = [o for o in history if o.outcome == "unknown"]
    answered = [o for o in history if o.outcome == "ok"]
    for chosen in range(1 << len(lost_ones)):
        done = answered + [o for n, o in enumerate(lost_ones) if chosen >> n & 1]
        if any(_in_time(order) and _fits(order) for order in permutations(done)):
            return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    """None began after one that stands behind it had returned."""
    latest = -inf
    for operation in order:
        latest = max(latest, operation.invoked)
        if operation.returned < latest:
            return False
    return True


def _fits(order: tuple[Operation, ...]) -> bool:
    state: Any = ABSENT
    for operation in order:
        after = key_model(state, operation)
        if after is None:
            return False
        state = after[0]
    return True
