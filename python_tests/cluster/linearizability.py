"""Whether a history of operations that overlap could be that of an object that does one at a time.

Owns the check and the model of a key of `cluster_state`. Called by the tests of the cluster and by
bench/chaos_cluster.py; calls nothing. The history is walked in the order of its invocations and
returns, with the set of all places where the object could be by then (`Place`): its state, and
which operations that have not returned have been done. An operation that returns must be done: each
place is left by every way that does it, or is struck out. When no place is left, the history is
wrong, and the operation that could not be done is named.

What keeps the set small:

- keys are checked one by one: a history is linearizable if that of each key is
- an operation that only looks (`passive`) is done as soon as it fits; that is never worse
- an operation whose outcome is unknown may be done at any later time or never, so a place that has
  used fewer of them, and is the same otherwise, can do all that the other can
- of two that ask for the same, the one that began first is used first

Bounds: at most `limit` places at a time and as many steps from one return, or the answer is
"undecided". PyPI and Debian have no such checker for Python; those that are known are in Go,
Clojure and Rust, and would bring a toolchain for the size of this file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ABSENT", "Operation", "Verdict", "check", "check_all", "key_model"]

Outcome = Literal["ok", "fail", "unknown"]
LIMIT = 20_000


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


# What a key without a value holds.
ABSENT = _Absent()


@dataclass(frozen=True)
class Operation:
    """One operation of a client, with the times between which it was under way.

    ok: done, with that result. fail: certainly not done. unknown: done once at any time after
    `invoked`, or never.
    """

    client: int
    kind: str
    key: str
    args: tuple[Any, ...]
    result: Any
    invoked: float
    returned: float
    outcome: Outcome = "ok"

    def __str__(self) -> str:
        said = repr(self.result) if self.outcome == "ok" else self.outcome
        text = f"{self.kind}({', '.join(map(repr, self.args))}) -> {said}"
        return f"client {self.client}: {text} [{self.invoked:.4f} .. {self.returned:.4f}]"


# The state after the operation; a tuple of one, or None where it cannot have had its result.
Model = Callable[[Any, Operation], tuple[Any] | None]


def key_model(state: Any, operation: Operation) -> tuple[Any] | None:
    """A key of cluster_state: register and counter in one."""
    after, result = _apply(state, operation.kind, operation.args)
    if operation.outcome == "ok" and not _same(result, operation.result):
        return None
    return (after,)


def _apply(state: Any, kind: str, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """The state after it, and its result."""
    match kind, args:
        case "get", ():
            return state, state
        case "put", (value,):
            return value, None
        case "add", (value,):
            return (value, True) if state is ABSENT else (state, False)
        case "cas", (old, new):
            return (new, True) if _same(state, old) else (state, False)
        case "incr", (delta,):
            total = (0 if state is ABSENT else state) + delta
            return total, total
        case "delete", ():
            return ABSENT, None
        case "pop", ():
            return ABSENT, state
    raise ValueError(f"no operation of a key: {kind}{args}")


def passive(operation: Operation) -> bool:
    """Whether it cannot have changed anything, since it had that result."""
    if operation.outcome != "ok":
        return operation.kind == "get"
    match operation.kind:
        case "get":
            return True
        case "add" | "cas":
            return not operation.result
        case "pop":
            return operation.result is ABSENT
    return False


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and (one is ABSENT) == (other is ABSENT)


@dataclass(frozen=True)
class Verdict:
    """right: True, False, or None when the bound was reached first."""

    right: bool | None
    explanation: str = ""


def check_all(operations: Iterable[Operation], limit: int = LIMIT) -> dict[str, Verdict]:
    """Verdicts by key, of those that are not right."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        by_key[operation.key].append(operation)
    verdicts = {key: check(history, limit=limit) for key, history in by_key.items()}
    return {key: verdict for key, verdict in verdicts.items() if verdict.right is not True}


def check(
    operations: Iterable[Operation],
    model: Model = key_model,
    start: Any = ABSENT,
    limit: int = LIMIT,
) -> Verdict:
    """Of one object, whose first state is `start`."""
    history = [operation for operation in operations if operation.outcome != "fail"]
    return _Walk(history, model, limit).verdict(start)


@dataclass(frozen=True)
class _Place:
    """Where the object could be. `done`: of those that will return; `used`: of the unknown ones.

    Both as numbers of operations.
    """

    state: Any
    done: frozenset[int]
    used: frozenset[int]


class _TooMany(Exception):
    """The bound is reached."""


class _Walk:
    """Of one history."""

    def __init__(self, history: list[Operation], model: Model, limit: int) -> None:
        self.history, self.model, self.limit = history, model, limit
        # Those that have been invoked and will return; and the unknown ones, alike with alike.
        self.pending: set[int] = set()
        self.looking: set[int] = set()
        self.unknown: dict[tuple[str, str], list[int]] = defaultdict(list)

    def verdict(self, start: Any) -> Verdict:
        """The whole walk."""
        places = [_Place(start, frozenset(), frozenset())]
        for is_return, number in self._events():
            try:
                if is_return:
                    after = self._returned(places, number)
                else:
                    after = self._invoked(places, number)
            except _TooMany:
                return Verdict(None, f"more than {self.limit} places at {self.history[number]}")
            if not after:
                return Verdict(False, self._explained(places, number))
            places = after
        return Verdict(True)

    def _events(self) -> list[tuple[bool, int]]:
        """Invocations before returns of the same time: such operations overlap."""
        events: list[tuple[float, bool, int]] = []
        for number, operation in enumerate(self.history):
            events.append((operation.invoked, False, number))
            if operation.outcome == "ok":
                events.append((operation.returned, True, number))
        return [(is_return, number) for _, is_return, number in sorted(events)]

    def _invoked(self, places: list[_Place], number: int) -> list[_Place]:
        operation = self.history[number]
        if operation.outcome == "unknown":
            if not passive(operation):
                self.unknown[operation.kind, repr(operation.args)].append(number)
            return places
        if passive(operation):
            self.looking.add(number)
            return [self._settled(place) for place in places]
        self.pending.add(number)
        return places

    def _returned(self, places: list[_Place], number: int) -> list[_Place]:
        """Breadth first, so that a place that has used less is found before those that used more"""
        kept, seen = _Frontier(self.pending - {number}), _Frontier(self.pending)
        level = [place for place in places if seen.add(place)]
        steps = 0
        while level:
            following: list[_Place] = []
            for place in level:
                if number in place.done:
                    kept.add(_Place(place.state, place.done - {number}, place.used))
                    continue
                for after in self._steps(place):
                    steps += 1
                    if seen.add(after):
                        following.append(after)
            if max(steps, len(following)) > self.limit:
                raise _TooMany
            level = following
        self.pending.discard(number)
        self.looking.discard(number)
        return list(kept)

    def _steps(self, place: _Place) -> Iterator[_Place]:
        """All the places one operation further."""
        for number in self.pending - place.done:
            after = self.model(place.state, self.history[number])
            if after is not None:
                yield self._settled(_Place(after[0], place.done | {number}, place.used))
        for alike in self.unknown.values():
            free = next((number for number in alike if number not in place.used), None)
            if free is None:
                continue
            after = self.model(place.state, self.history[free])
            if after is not None and not _same(after[0], place.state):
                yield self._settled(_Place(after[0], place.done, place.used | {free}))

    def _settled(self, place: _Place) -> _Place:
        """Does all that only looks, and fits."""
        done = {
            number
            for number in self.looking - place.done
            if self.model(place.state, self.history[number]) is not None
        }
        return _Place(place.state, place.done | done, place.used) if done else place

    def _explained(self, places: list[_Place], number: int) -> str:
        states = sorted({repr(place.state) for place in places})
        others = [self.history[n] for n in sorted(self.pending | self.looking) if n != number]
        unknown = [self.history[n] for alike in self.unknown.values() for n in alike]
        lines = [
            f"cannot be: {self.history[number]}",
            f"  the value before it: {' or '.join(states[:10])}",
            *(f"  under way: {operation}" for operation in others[:10]),
            *(f"  outcome unknown: {operation}" for operation in unknown[-10:]),
        ]
        return "\n".join(lines)


class _Frontier:
    """Places of which none can do all that another can. `changing`: what may change the state."""

    def __init__(self, changing: Iterable[int]) -> None:
        self._changing = frozenset(changing)
        self._by_state: dict[tuple[str, frozenset[int]], list[_Place]] = defaultdict(list)

    def add(self, place: _Place) -> bool:
        """False if one that is there can do all that this one can."""
        others = self._by_state[repr(place.state), place.done & self._changing]
        for other in others:
            if other.done >= place.done and other.used <= place.used:
                return False
        others[:] = [o for o in others if not (place.done >= o.done and place.used <= o.used)]
        others.append(place)
        return True

    def __iter__(self) -> Iterator[_Place]:
        for others in self._by_state.values():
            yield from others
