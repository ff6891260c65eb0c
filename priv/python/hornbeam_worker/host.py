"""The server as its streams see it: what a cycle, an invocation or a sender may use of it.

`server.Server` is one; unit tests have their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from hornbeam_worker.frames import Measured
from hornbeam_worker.threads import Threads
from hornbeam_worker.transport import Transport

__all__ = ["Host", "Stream"]


class Host(Protocol):
    """`window`, `piece` and `prefetch` are in bytes: see `credit` and asgi/http.py."""

    app: Callable[..., Any]
    loop: asyncio.AbstractEventLoop
    transport: Transport
    threads: Threads
    window: int
    piece: int
    prefetch: int
    # What is said of each request as its response begins (`routes`), if anybody wants it.
    measure: Callable[[Any, int], Measured] | None

    def finished(self, stream: int) -> None:
        """The application has returned: nothing more comes of this stream."""


class Stream(Protocol):
    """What runs for one stream. `task` is None for what runs in a thread."""

    task: asyncio.Task[None] | None

    def on_frame(self, kind: int, payload: bytes) -> None:
        """A frame of this stream."""

    def on_disconnect(self) -> None:
        """Nobody waits for it any more."""

    def about(self) -> str:
        """What it is, for a person: "GET /path" for a request."""
