"""The rule of flow control between the BEAM and a worker, and how senders of a stream take turns.

Used by asgi/http.py, asgi/websocket.py and logs.py. The rule is drawn and argued in its mirror,
src/wire/hornbeam_credit.erl: a sender may send while less than a window is not credited, however
large the next piece is; a receiver credits what it has taken when that is a quarter of a window.
It may credit more than has been taken: so the window of a response gets wider.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from hornbeam_worker.host import Host

__all__ = ["OVERHEAD", "Piece", "Sender", "is_due", "log_window", "may_send", "message"]

# What a message counts besides its bytes, so that empty ones are bounded too.
OVERHEAD: Final = 64
_LOG_WINDOW: Final = 1_048_576

# What a piece counts, and its frame in one part or more.
Piece = tuple[int, tuple[bytes | memoryview, ...]]


def may_send(uncredited: int, window: int) -> bool:
    """Whether the next piece may be sent."""
    return uncredited < window


def is_due(taken: int, window: int) -> bool:
    """Whether what has been taken and not yet credited is to be credited now."""
    return taken * 4 >= window


def message(size: int) -> int:
    """What a WebSocket message or a log record of so many bytes counts."""
    return size + OVERHEAD


def log_window() -> int:
    """How much of what is logged may be on its way."""
    return _LOG_WINDOW


class Sender:
    """Sends the pieces of one stream as credit allows. Whoever comes first is served first, and
    nothing gets between the pieces of one message.

    A task that is cancelled while it waits leaves the line; what it has not sent is not sent.
    """

    __slots__ = ("_queue", "_server", "_uncredited")

    def __init__(self, server: Host, uncredited: int = 0) -> None:
        self._server = server
        self._uncredited = uncredited
        self._queue: deque[tuple[list[Piece], asyncio.Future[bool]]] | None = None

    async def send(self, pieces: list[Piece]) -> bool:
        """Sends a message (its pieces are taken from the list, the last one first); returns when
        the frame of the last has gone out. False: `close` came before."""
        if self._queue is None:
            self._put(pieces)
            if not pieces:
                return True
            self._queue = deque()
        waiter: asyncio.Future[bool] = self._server.loop.create_future()
        self._queue.append((pieces, waiter))
        return await waiter

    def at_once(self, count: int) -> bool:
        """Whether what counts so much may go now, with nobody before it; it then counts."""
        if self._queue is None and may_send(self._uncredited, self._server.window):
            self._uncredited += count
            return True
        return False

    def credit(self, count: int) -> None:
        """The other side has taken what counts so much."""
        self._uncredited -= count
        while self._queue:
            pieces, waiter = self._queue[0]
            if not waiter.done():  # else its task was cancelled
                self._put(pieces)
                if pieces:
                    return
                waiter.set_result(True)
            self._queue.popleft()
        self._queue = None

    def close(self) -> None:
        """Nothing more can be sent: those who wait are told."""
        queue, self._queue = self._queue or (), None
        for _, waiter in queue:
            if not waiter.done():
                waiter.set_result(False)

    def _put(self, pieces: list[Piece]) -> None:
        window, send = self._server.window, self._server.transport.send
        while pieces and may_send(self._uncredited, window):
            count, frame = pieces.pop()
            self._uncredited += count
            send(*frame)
