"""Threads for the plain functions that Erlang invokes.

A job never waits for another one's thread while there are fewer than `limit` jobs: so a function
may call Erlang, which calls a function here, and so on. Threads that have had nothing to do for a
while end. They are daemons: a function that does not return does not keep the process from ending.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

__all__ = ["Threads"]

LIMIT: Final = 256
IDLE_SECONDS: Final = 30.0

Job = Callable[[], None]


class _Thread:
    """A thread and its job. Whoever takes it out of the idle ones sets `job` and releases
    `given`."""

    __slots__ = ("given", "job")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.given = threading.Lock()
        self.given.acquire()


class Threads:
    """Runs jobs; a job must not raise."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()  # guards what follows; but an idle one may always be taken
        self._jobs: deque[Job] = deque()
        self._count = 0
        self._idle: list[_Thread] = []  # the last one is the warmest

    def run(self, job: Job) -> None:
        """Runs a job in a thread, at once unless `limit` of them are busy. Never waits."""
        if not self._give(job):
            with self._lock:
                if self._give(job):
                    return
                if self._count == self._limit:
                    self._jobs.append(job)
                    return
                self._count += 1
            work, args = self._work, (_Thread(job),)
            threading.Thread(target=work, args=args, name="hornbeam-call", daemon=True).start()

    def _give(self, job: Job) -> bool:
        try:
            idle = self._idle.pop()
        except IndexError:
            return False
        idle.job = job
        idle.given.release()
        return True

    def _work(self, thread: _Thread) -> None:
        while thread.job is not None:
            thread.job()
            thread.job = None  # an idle thread keeps nothing of it
            thread.job = self._next(thread)

    def _next(self, thread: _Thread) -> Job | None:
        with self._lock:
            if self._jobs:
                return self._jobs.popleft()
            self._idle.append(thread)
        if not thread.given.acquire(timeout=IDLE_SECONDS):
            with self._lock, contextlib.suppress(ValueError):  # it was taken at the last moment
                self._idle.remove(thread)
                self._count -= 1
                return None
            thread.given.acquire()
        return thread.job
