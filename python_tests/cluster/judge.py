"""What must hold of a cluster after a run, besides linearizability: counters, locks, schedules.

Pure. Called by the tests of the cluster and by bench/chaos_cluster.py with the history of its
clients (history.py) and the lines that holders of locks and tasks wrote (apps/cluster_app.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from cluster.linearizability import Operation

__all__ = ["Hold", "Tick", "counters", "holds", "late_writes", "locks", "schedules", "ticks"]

# How long a holder that was not stopped may go on after somebody else has the lock: a turn of a
# busy machine, not more, s. Its writes are refused by their token meanwhile.
TURN = 1.0
Pauses = Mapping[str, Sequence[tuple[float, float]]]


def counters(operations: Iterable[Operation], finals: Mapping[str, Any]) -> list[str]:
    """The sum of what was acknowledged is exact; what is unknown may be in it or not."""
    told: dict[str, int] = defaultdict(int)
    unknown: dict[str, int] = defaultdict(int)
    for operation in operations:
        if operation.kind == "incr" and operation.outcome == "ok":
            told[operation.key] += operation.args[0]
        elif operation.kind == "incr" and operation.outcome == "unknown":
            unknown[operation.key] += operation.args[0]
    return [
        f"{key} is {final}: {told[key]} were acknowledged, {unknown[key]} unknown"
        for key, final in finals.items()
        if not told[key] <= (final or 0) <= told[key] + unknown[key]
    ]


@dataclass
class Hold:
    """One time that somebody had a lock, or asked for it in vain."""

    name: str
    node: str
    asked: float
    token: int = 0
    acquired: float = inf
    ended: float = inf
    writes: list[float] = field(default_factory=list)


def holds(journal: Iterable[str]) -> list[Hold]:
    """Of lines `NAME TOKEN EVENT TIME NODE HOLDER`."""
    found: dict[str, Hold] = {}
    for line in journal:
        name, token, event, at, node, holder = line.split()
        hold = found.setdefault(holder, Hold(name, node, float(at)))
        match event:
            case "acquired":
                hold.token, hold.acquired = int(token), float(at)
            case "write":
                hold.writes.append(float(at))
            case "released" | "lost":
                hold.ended = float(at)
    return list(found.values())


def locks(found: Sequence[Hold], paused: Pauses, turn: float = TURN) -> list[str]:
    """Tokens only grow, and nobody goes on as a holder when another is one. `paused`: when the
    processes of a node stood still, by its name."""
    problems = []
    for name, held in _by_name(found).items():
        held.sort(key=lambda hold: hold.acquired)
        tokens = [hold.token for hold in held]
        if len(set(tokens)) != len(tokens):
            problems.append(f"{name}: a token was given twice: {sorted(tokens)}")
        highest, by_asking = 0, sorted(held, key=lambda hold: hold.asked)
        rest = iter(held)
        following = next(rest, None)
        for hold in by_asking:
            # All that had been acquired when this one asked.
            while following is not None and following.acquired < hold.asked:
                highest = max(highest, following.token)
                following = next(rest, None)
            if hold.token <= highest:
                problems.append(f"{name}: token {hold.token} after {highest}: {hold}")
        for hold, late, at in late_writes(held):
            stood = [pause for pause in paused.get(hold.node, ()) if pause[1] > hold.acquired]
            if late > turn and not any(began <= at for began, _ in stood):
                problems.append(f"{name}: token {hold.token} wrote {late:.2f} s after a later one")
    return problems


def late_writes(found: Sequence[Hold]) -> list[tuple[Hold, float, float]]:
    """Those that a store refuses by their token: of whom, how late, and when."""
    late = []
    for held in _by_name(found).values():
        for hold in held:
            later = [other.acquired for other in held if other.token > hold.token]
            first = min(later, default=inf)
            late += [(hold, at - first, at) for at in hold.writes if at > first]
    return late


@dataclass(frozen=True)
class Tick:
    """One beginning of a time of a schedule that is due every second."""

    due: int
    task: str
    node: str
    at: float


def ticks(journal: Iterable[str]) -> list[Tick]:
    """Of lines `DUE TASK NODE TIME`; DUE in milliseconds since 1970."""
    words = (line.split() for line in journal)
    return [Tick(int(due), task, node, float(at)) for due, task, node, at in words]


def schedules(begun: Iterable[Tick], *, gaps: bool = True) -> list[str]:
    """Each time is one task (which runs again when its node is gone); `gaps`: no time between the
    first and the last may be left out. Something must have begun."""
    tasks: dict[int, set[str]] = defaultdict(set)
    for tick in begun:
        tasks[tick.due].add(tick.task)
    if not tasks:
        return ["no time of the schedule was begun"]
    problems = [
        f"the time {due} was begun as {len(found)} tasks: {sorted(found)}"
        for due, found in sorted(tasks.items())
        if len(found) > 1
    ]
    if gaps:
        left_out = [due for due in range(min(tasks), max(tasks), 1000) if due not in tasks]
        problems += [f"the time {due} was not begun" for due in left_out]
    return problems


def _by_name(found: Sequence[Hold]) -> dict[str, list[Hold]]:
    by_name: dict[str, list[Hold]] = defaultdict(list)
    for hold in found:
        if hold.token:
            by_name[hold.name].append(hold)
    return by_name
