"""Calls of one method that run together: what `hornbeam_erlang.batched` asks for.

Called by `service`, which has one of these for each batched method. The calls come from
`performance` in the loop's thread; the method runs in a thread, or in the loop if it is async.

    idle ──the first call──▶ collecting ──max_size calls, or max_wait over──▶ running ──▶ idle
                                 ▲                                              │
                                 └────────── calls that have come meanwhile ────┘

One batch of a method runs at a time: so the method need not be ready for threads, and what comes
meanwhile makes the next batch, at once when the oldest of it has waited long enough. max_size is no
more than the calls that a process takes at once (concurrency): nobody waits for who cannot come.

A batch is a part of one trace: that of the oldest of its calls that has one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from hornbeam_erlang import _trace
from hornbeam_worker.host import Host
from hornbeam_worker.performance import Performance

__all__ = ["Batcher"]

_Live = list[tuple[Performance, Any]]


class Batcher:
    """Collects the calls of one method."""

    def __init__(
        self,
        server: Host,
        function: Callable[[list[Any]], Any],
        *,
        is_async: bool,
        max_size: int,
        max_wait: float,
    ) -> None:
        self._server = server
        self._function = function
        self._is_async = is_async
        self._max_size = max_size
        self._max_wait = max_wait
        self._waiting: deque[tuple[Performance, float]] = deque()  # and when it came
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | bool = False

    def add(self, call: Performance) -> None:
        """Takes a call; in the loop's thread."""
        self._waiting.append((call, self._server.loop.time()))
        self._look()

    def _look(self) -> None:
        """Runs a batch, if one is due, or sees to it that it will be."""
        if self._running or not self._waiting:
            return
        due = self._waiting[0][1] + self._max_wait
        if len(self._waiting) >= self._max_size or self._server.loop.time() >= due:
            self._run()
        elif self._timer is None:
            self._timer = self._server.loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if not self._running and self._waiting:
            self._run()

    def _run(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        size = min(self._max_size, len(self._waiting))
        calls = [self._waiting.popleft()[0] for _ in range(size)]
        self._running = True
        if self._is_async:
            self._running = self._server.loop.create_task(self._in_loop(calls))
        else:
            self._server.threads.run(lambda: self._in_thread(calls))

    def _in_thread(self, calls: list[Performance]) -> None:
        live = _begun(calls)
        try:
            with _traced(live):
                if live:
                    _give(live, self._function([item for _, item in live]))
        except BaseException as error:  # also SystemExit: it ends these calls, not the thread
            _fail(live, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
            self._server.loop.call_soon_threadsafe(self._finished, calls)

    async def _in_loop(self, calls: list[Performance]) -> None:
        live = _begun(calls)
        try:
            with _traced(live):
                if live:
                    _give(live, await self._function([item for _, item in live]))
        except asyncio.CancelledError as error:
            _fail(live, error)
            raise
        except Exception as error:
            _fail(live, error)
        finally:
            self._finished(calls)

    def _finished(self, calls: list[Performance]) -> None:
        self._running = False
        for call in calls:
            call.settled()
        self._look()


def _begun(calls: list[Performance]) -> _Live:
    """Those that are still to run, with their items."""
    return [found for call in calls if (found := _item(call)) is not None]


def _item(call: Performance) -> tuple[Performance, Any] | None:
    try:
        positional, keywords = call.arguments()
        if len(positional) != 1 or keywords:
            raise TypeError("a batched method is called with one argument, by position")
    except Exception as error:
        call.fail(error)
        return None
    return call, positional[0]


def _traced(live: _Live) -> _trace.joined:
    return _trace.joined(next((call.parent for call, _ in live if call.parent), None))


def _give(live: _Live, results: Sequence[Any]) -> None:
    """To each its own: a result, or an exception in the place of one."""
    given = list(results)
    if len(given) != len(live):
        raise ValueError(f"{len(given)} results of a batched method for {len(live)} items")
    for (call, _), result in zip(live, given, strict=True):
        _give_one(call, result)


def _give_one(call: Performance, result: Any) -> None:
    try:
        if isinstance(result, BaseException):
            raise result
        call.give(result)
    except BaseException as error:
        call.fail(error)


def _fail(live: _Live, error: BaseException) -> None:
    for call, _ in live:
        call.fail(error)
