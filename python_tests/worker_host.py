"""A worker's server as its streams see it (hornbeam_worker.host), for tests without a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from hornbeam_worker.frames import Measured
from hornbeam_worker.threads import Threads

__all__ = ["WorkerHost"]


class WorkerHost:
    """A server of one worker; what is sent is in `sent`, as flags and payload."""

    def __init__(self, loop: asyncio.AbstractEventLoop, window: int = 262_144) -> None:
        self.app: Callable[..., Any] = lambda: None
        self.loop = loop
        self.transport: Any = self
        self.threads = Threads(2)
        self.window = self.piece = self.prefetch = window
        self.measure: Callable[[Any, int], Measured] | None = None
        self.sent: list[tuple[int, bytes]] = []
        self.ended: list[int] = []
        self._changed = asyncio.Event()

    def send_threadsafe(self, *parts: Any) -> None:
        data = b"".join(parts)
        self.sent.append((data[9], data[10:]))
        self.loop.call_soon_threadsafe(self._changed.set)

    def finished(self, stream: int) -> None:
        self.ended.append(stream)
        self._changed.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for it, looking at whatever is sent and every 5 ms."""
        deadline = self.loop.time() + 20
        while not condition():
            assert self.loop.time() < deadline
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), 0.005)
