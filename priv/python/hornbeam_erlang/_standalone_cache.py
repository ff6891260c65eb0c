"""What the stand-in has of `hornbeam_cache`: results that are computed once, in this process.

The same rules (hornbeam_cache_flights.erl): one computes, the others wait; whoever leaves has a
successor. There is no bound, and nothing is evicted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from typing import Any, Final

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._errors import ComputationError

__all__ = ["Cache"]

Key = tuple[str, bytes]
# Resolved with a packed value or ABSENT: compute.
Answer = concurrent.futures.Future[Any]

_COROUTINE: Final = 1
_BLOCKED: Final = 2
_FIGURES: Final = ("hits", "misses", "waits", "evictions", "bytes", "entries")


class _Flight:
    """A computation: who leads it, and who waits, the oldest first."""

    def __init__(self, key: Key, mode: int) -> None:
        self.key = key
        self.mode = mode
        self.waiters: dict[int, tuple[int, Answer]] = {}


class Cache:
    """The values, and the computations in progress. Thread-safe; only `wait` blocks."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[Key, tuple[bytes, float]] = {}
        self._open: dict[Key, _Flight] = {}
        self._leads: dict[int, _Flight] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def wait(self, key: Key, token: int, mode: int, timeout: float | None) -> Any:
        """The packed value of a key, or ABSENT for whom has to compute it."""
        try:
            return self._ask(key, token, mode).result(timeout)
        except concurrent.futures.TimeoutError:
            raise _late() from None

    async def await_(self, key: Key, token: int, mode: int, timeout: float | None) -> Any:
        """As `wait`, without blocking the loop."""
        answer = asyncio.wrap_future(self._ask(key, token, mode))
        try:
            return await asyncio.wait_for(answer, timeout)
        except asyncio.TimeoutError:
            raise _late() from None

    def _ask(self, key: Key, token: int, mode: int) -> Answer:
        answer: Answer = concurrent.futures.Future()
        with self._lock:
            packed, expires = self._entries.get(key, (b"", 0.0))
            flight = self._open.get(key)
            if expires > time.monotonic():
                self._count(key[0], "hits")
                answer.set_result(packed)
            elif flight is None:
                self._count(key[0], "misses")
                self._leads[token] = self._open[key] = _Flight(key, mode)
                answer.set_result(ABSENT)
            elif mode == _BLOCKED and flight.mode == _COROUTINE:
                self._count(key[0], "misses")
                answer.set_result(ABSENT)
            else:
                self._count(key[0], "waits")
                flight.waiters[token] = (mode, answer)
        return answer

    def put(self, token: int, packed: bytes, expires: float) -> None:
        """The leader has computed."""
        with self._lock:
            flight = self._leads.pop(token, None)
            if flight is not None:
                if self._close(flight):
                    self._entries[flight.key] = (packed, expires)
                for _, answer in flight.waiters.values():
                    _tell(answer, packed)

    def fail(self, token: int, failure: list[Any]) -> None:
        """The leader could not."""
        with self._lock:
            flight = self._leads.pop(token, None)
            if flight is not None:
                self._close(flight)
                for _, answer in flight.waiters.values():
                    if answer.set_running_or_notify_cancel():
                        answer.set_exception(ComputationError(*failure))

    def leave(self, token: int) -> None:
        """A caller has given up."""
        with self._lock:
            for flight in self._leads.values():
                flight.waiters.pop(token, None)
            left = self._leads.pop(token, None)
            if left is None:
                return
            was_open = self._close(left)
            if left.waiters:
                successor = next(iter(left.waiters))
                left.mode, answer = left.waiters.pop(successor)
                self._leads[successor] = left
                if was_open or left.key not in self._open:
                    self._open[left.key] = left
                _tell(answer, ABSENT)
                self._release_blocked(left)

    def _release_blocked(self, flight: _Flight) -> None:
        for token, (mode, answer) in list(flight.waiters.items()):
            if mode == _BLOCKED and flight.mode == _COROUTINE:
                del flight.waiters[token]
                _tell(answer, ABSENT)

    def clear(self, namespace: str | None) -> int:
        """Forgets what is kept; how many values."""
        with self._lock:
            self._drop_expired()
            keys = [key for key in self._entries if namespace in (None, key[0])]
            for key in keys:
                del self._entries[key]
            for key in [key for key in self._open if namespace in (None, key[0])]:
                del self._open[key]
            return len(keys)

    def stats(self) -> dict[str, Any]:
        """The figures."""
        with self._lock:
            self._drop_expired()
            found = {name: dict(counts) for name, counts in self._counts.items()}
            for (name, _), (packed, _) in self._entries.items():
                found[name]["entries"] += 1
                found[name]["bytes"] += len(packed)
            total = {figure: sum(own[figure] for own in found.values()) for figure in _FIGURES}
            return {**total, "max_bytes": None, "namespaces": found}

    def _close(self, flight: _Flight) -> bool:
        """No more join this flight; whether they did."""
        if self._open.get(flight.key) is not flight:
            return False
        del self._open[flight.key]
        return True

    def _count(self, namespace: str, figure: str) -> None:
        self._counts.setdefault(namespace, dict.fromkeys(_FIGURES, 0))[figure] += 1

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for key in [key for key, (_, expires) in self._entries.items() if expires <= now]:
            del self._entries[key]


def _tell(answer: Answer, value: Any) -> None:
    if answer.set_running_or_notify_cancel():
        answer.set_result(value)


def _late() -> TimeoutError:
    return TimeoutError("the computation of another caller has not ended in time")
