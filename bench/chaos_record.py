"""What happened in a run of chaos.py: exchanges by kind and end, and the faults that explain them.

Clients (chaos_load) note how each exchange ended, faults (chaos_faults) from when to when they were
there. An exchange that ended otherwise than right is explained when a fault that may cause such an
end was there while it ran, or until GRACE seconds before it. A wrong answer is never explained.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["GRACE", "RIGHT", "Fault", "Record"]

# What a fault has begun may go on: a reload gives streams graceful_timeout (4 s) to end, and
# shutdown_timeout (2 s) to their worker.
GRACE = 7.0
RIGHT = "right"


@dataclass(frozen=True)
class Fault:
    """What a kind of fault does, and what it explains: ends, by kinds of exchanges."""

    name: str
    explains: dict[str, frozenset[str]] = field(default_factory=dict)
    # Whether new connections may be refused, or everything stands still.
    refuses: bool = False


@dataclass
class _Interval:
    fault: Fault
    began: float
    ended: float = float("inf")


class Record:
    """Written by the clients' loop and by the threads of faults."""

    def __init__(self) -> None:
        self.ends: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.faults: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.skipped: dict[str, str] = {}
        self._unexplained: Counter[str] = Counter()
        self._problems: list[str] = []
        self._intervals: list[_Interval] = []
        self._underway: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._begun = 0
        self._zero = time.monotonic()

    def begin(self, kind: str) -> int:
        """An exchange begins; what `end` is told."""
        with self._lock:
            self._begun += 1
            self._underway[self._begun] = kind, time.monotonic()
            return self._begun

    def underway(self, kind: str, since: float) -> bool:
        """Whether an exchange of that kind that had begun by then has not ended."""
        with self._lock:
            return any(of == kind and at <= since for of, at in self._underway.values())

    def end(self, number: int, end: str) -> None:
        """An exchange has ended now, and how."""
        with self._lock:
            kind, began = self._underway.pop(number)
            self.ends[kind][end] += 1
            if end == RIGHT or self._explained(kind, end, began):
                return
            self._unexplained[f"{kind}: {end}"] += 1
            if self._unexplained[f"{kind}: {end}"] == 1:
                self._problems.append(f"{kind}: {end}, with {self._now()}")

    def problem(self, text: str) -> None:
        """Anything else that is wrong."""
        with self._lock:
            self._problems.append(f"{text}, with {self._now()}")

    def note(self, text: str) -> None:
        """Counts what a fault has seen."""
        with self._lock:
            self.notes[text] += 1

    @contextmanager
    def during(self, fault: Fault) -> Iterator[None]:
        """The time of a fault."""
        interval = _Interval(fault, time.monotonic())
        with self._lock:
            self.faults[fault.name] += 1
            self._intervals.append(interval)
        try:
            yield
        finally:
            interval.ended = time.monotonic()

    def refusing(self) -> bool:
        """Whether a fault is there that explains a refused connection."""
        with self._lock:
            return any(i.fault.refuses and i.ended == float("inf") for i in self._intervals)

    def problems(self) -> list[str]:
        """What nothing explains."""
        return [*self._problems, *(f"{end} x {n}" for end, n in self._unexplained.items())]

    def report(self) -> str:
        """Counts, for a person."""
        lines = ["exchanges:"]
        lines += [f"  {kind:10} {dict(ends)}" for kind, ends in sorted(self.ends.items())]
        lines.append(f"faults: {dict(sorted(self.faults.items()))}")
        lines += [f"  skipped: {name} ({why})" for name, why in self.skipped.items()]
        lines.append(f"seen by faults: {dict(sorted(self.notes.items()))}")
        return "\n".join(lines)

    def _explained(self, kind: str, end: str, began: float) -> bool:
        return any(
            i.ended + GRACE >= began and end in i.fault.explains.get(kind, ())
            for i in self._intervals
        )

    def _now(self) -> str:
        """The faults that are there or have just been, for a message."""
        now = time.monotonic()
        names = [i.fault.name for i in self._intervals if i.ended + GRACE >= now]
        return f"{' and '.join(names) or 'no fault'} at {now - self._zero:.1f} s"
