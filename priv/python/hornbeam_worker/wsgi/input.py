"""`wsgi.input`: the body of a request as a stream that is read by the thread of the request.

Called by `cycle`. A body that has come with the request is an `io.BytesIO`; of any other, what the
loop's thread has been given is here until it is read, and what has been read is reported
(`demand`), so that more comes: `prefetch` bounds what is held.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Protocol

from hornbeam_worker.credit import is_due

__all__ = ["Body", "stream"]


class Request(Protocol):
    """What a body needs of its cycle."""

    def demand(self, count: int) -> None:
        """Reports that so many bytes were read; 0 asks a client that waits for 100."""

    def wait(self, ready: Callable[[], object]) -> None:
        """Returns when it is so; an OSError when the client has gone."""


class Body(io.RawIOBase):
    """What comes of a body; `add` is the loop's thread's, all else the reader's."""

    def __init__(self, cycle: Request, first: bytes, expects: bool, prefetch: int) -> None:
        super().__init__()
        self._cycle = cycle
        self._parts: deque[bytes | memoryview] = deque((first,) if first else ())
        self._complete = False
        self._expects = expects
        self._prefetch = prefetch
        self._taken = 0  # read, and not yet reported

    def add(self, last: bool, data: bytes) -> None:
        """More of it has come."""
        if data:
            self._parts.append(data)
        self._complete = self._complete or last

    def readable(self) -> bool:
        """As of any stream to read from."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Takes what there is; waits for the first byte."""
        part = self._next()
        count = min(len(part), len(buffer))
        buffer[:count] = part[:count]
        if count < len(part):
            self._parts.appendleft(memoryview(part)[count:])
        self._report(count)
        return count

    def readall(self) -> bytes:
        """Takes all of it."""
        parts = []
        while part := self._next():
            parts.append(part)
            self._report(len(part))
        return b"".join(parts)

    def _next(self) -> bytes | memoryview:
        if not self._parts and not self._complete:
            if self._expects:
                self._cycle.demand(0)
            self._cycle.wait(self._has_news)
        self._expects = False
        return self._parts.popleft() if self._parts else b""

    def _has_news(self) -> bool:
        return bool(self._parts) or self._complete

    def _report(self, count: int) -> None:
        if self._complete:
            return
        self._taken += count
        if count and is_due(self._taken, self._prefetch):
            taken, self._taken = self._taken, 0
            self._cycle.demand(taken)


def stream(body: Body | None, whole: bytes) -> BinaryIO:
    """What an application gets: every method of a file that is read."""
    return io.BytesIO(whole) if body is None else io.BufferedReader(body, 65_536)
