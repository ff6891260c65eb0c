"""Threads for the plain functions that Erlang invokes.

A job never waits for another one's thread while there are fewer than `limit` jobs: so a function
may call Erlang, which calls a function here, and so on. Threads that have had nothing to do for a
while end. They are daemons: a function that does not return does not keep the process from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Threads"]

LIMIT: Final = 256
IDLE_SECONDS: Final = 30.0

Job = Callable[[], None]


class Threads:
    """Runs jobs; a job must not raise."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._jobs: deque[Job] = deque()
        self._count = 0
        self._idle = 0
        self._changed = threading.Condition()

    def run(self, job: Job) -> None:
        """Runs a job in a thread, at once unless `limit` of them are busy. Never waits."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
                return
            if self._count == self._limit:
                return
            self._count += 1
        threading.Thread(target=self._work, name="hornbeam-call", daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()

    def _next(self) -> Job | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(self._jobs.__len__, IDLE_SECONDS)
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._count -= 1
            return None
