"""One HTTP request of a WSGI application: `start_response`, the body, and every way to use them
wrongly.

Source: PEP 3333. Made by `crew` in the loop's thread, which brings what comes of the stream
(`on_frame`); `run` is called by one of the crew's threads, and everything else happens there.

States of the response: WAITING -> (start_response) HELD -> (first bytes) STREAMING -> COMPLETE. The
head is held until the first bytes that are not empty, as PEP 3333 wants it; a response in one piece
is one frame, and one that is as long as its content-length says ends with its last byte.

Every cycle sends exactly one last frame of its stream, also when nobody waits for it any more: that
is when Erlang takes the thread for free (hornbeam_worker_streams).

Flow control: `credit`. Whoever writes waits while a window is not credited.

Shared by the two threads: `_gone`, `_credited` and what has come of the body, which the loop's
alone writes. It notifies after it has written, the other looks while it holds the condition.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Protocol

import msgpack

from hornbeam_worker import frames, logged
from hornbeam_worker.asgi.errors import ClientDisconnected, caused_by_disconnect
from hornbeam_worker.asgi.http import APP_ERROR, INCOMPLETE_RESPONSE, MAX_INFORM, NO_RESPONSE
from hornbeam_worker.credit import may_send, message
from hornbeam_worker.host import Host
from hornbeam_worker.wsgi.environ import Environ, build
from hornbeam_worker.wsgi.files import FileWrapper, whole
from hornbeam_worker.wsgi.head import Fields, pack, pairs, status_code
from hornbeam_worker.wsgi.input import Body, stream

__all__ = ["Cycle", "Place"]

logger = logging.getLogger("hornbeam.wsgi")

WAITING: Final = 0
HELD: Final = 1
STREAMING: Final = 2
COMPLETE: Final = 3

# What is left of a content-length when more came than it says.
TOO_LONG: Final = -1

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Place(Protocol):
    """What a thread lends to the request that it runs."""

    changed: threading.Condition
    common: Environ

    def began(self, environ: Environ) -> None:
        """The application is about to be called."""

    def ended(self) -> None:
        """The request is over."""


class Cycle:
    """Runs the application for one request."""

    __slots__ = (
        "_began", "_body", "_changed", "_code", "_credited", "_environ", "_fields", "_first",
        "_gone", "_informed", "_is_head", "_left", "_phase", "_scope", "_sent", "_server",
        "_stream", "task",
    )  # fmt: skip

    def __init__(self, server: Host, stream: int, payload: bytes) -> None:
        self.task: asyncio.Task[None] | None = None  # never one of the loop's
        self._server = server
        self._stream = stream
        start = 5 + int.from_bytes(payload[1:5], "big")
        self._scope = payload[5:start]
        self._first = payload[start:]
        self._body = (
            None
            if payload[0] & 1
            else Body(self, self._first, bool(payload[0] & 2), server.prefetch)
        )
        self._environ: Environ = {}
        self._began = 0
        # The response
        self._phase = WAITING
        self._code = 0
        self._fields: list[tuple[bytes, bytes]] = []
        self._left: int | None = None  # of what content-length says; None: it says nothing
        self._is_head = False
        self._informed = 0  # what its 1xx have taken
        self._sent = 0  # bytes of a response that goes on
        # Both
        self._credited = 0
        self._gone = False
        self._changed: threading.Condition | None = None

    # In the loop's thread

    def on_frame(self, kind: int, payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.CREDIT:
            self._credited += int.from_bytes(payload, "big")
        elif kind in (frames.BODY, frames.BODY_END):
            if self._body is not None:
                self._body.add(kind == frames.BODY_END, payload)
        elif kind == frames.DISCONNECT:
            self._gone = True
        self._notify()

    def on_disconnect(self) -> None:
        """The client has gone, or the server has given up."""
        self._gone = True
        self._notify()

    def _notify(self) -> None:
        changed = self._changed
        if changed is not None:
            with changed:
                changed.notify_all()

    def about(self) -> str:
        """As `Stream` has it."""
        scope = msgpack.unpackb(self._scope, use_list=False)
        path = scope[1] if scope[1] is not None else scope[2].decode("latin-1")
        return f"{scope[0]} {path}"

    def is_over(self) -> bool:
        """Whether nobody waits for the application any more."""
        return self._gone or self._phase == COMPLETE

    # In a thread of the crew

    def run(self, place: Place) -> None:
        """Calls the application and ends the stream whatever it does. Never raises."""
        self._changed = place.changed
        self._began = perf_counter_ns()
        try:
            if not self._gone:
                self._environ = self._environment(place.common)
                place.began(self._environ)
                self._call()
        except BaseException as error:  # SystemExit ends this request and not the worker
            if not (self._gone and caused_by_disconnect(error)):
                self._log("exception in the application", error)
        if self._phase != COMPLETE:
            self._abort(APP_ERROR)
        self._changed = None
        self._environ = {}  # which refers to this
        place.ended()

    def _environment(self, common: Environ) -> Environ:
        environ = build(self._scope, common)
        environ["wsgi.input"] = stream(self._body, self._first)
        environ["wsgi.early_hints"] = self.early_hints
        self._is_head = environ["REQUEST_METHOD"] == "HEAD"
        return environ

    def _call(self) -> None:
        result = self._server.app(self._environ, self.start_response)
        try:
            self._respond(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _respond(self, result: Iterable[bytes]) -> None:
        if isinstance(result, FileWrapper) and self._send_file(result):
            return
        is_one = self._phase == HELD and isinstance(result, (list, tuple)) and len(result) == 1
        if is_one and self._send_whole(result[0]):  # type: ignore[index]
            return
        for data in result:
            self.write(data)
            if self._left == TOO_LONG:
                break  # nothing of the rest would be sent
        self._finish()

    def _send_whole(self, data: bytes) -> bool:
        """Sends a body that has no other part in one frame with its head, if it is not too large
        for that."""
        size = len(_checked(data))
        if self._left is None and size > self._server.window and not self._is_head:
            self._fields.append((b"content-length", b"%d" % size))
            self._left = size
        if self._gone or self._left not in (None, size) or size > self._server.window:
            return False
        self._begin(True, data)
        return True

    # What the application calls

    def start_response(
        self, status: str, headers: Fields, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Takes the head of the response, once; again with an exception as long as nothing of it
        has been sent, which it raises otherwise."""
        if exc_info is not None:
            try:
                if self._phase >= STREAMING:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a traceback refers to this frame
        elif self._phase != WAITING:
            raise RuntimeError("start_response was called before, and this time without exc_info")
        self._code = status_code(status)
        self._fields, length = pairs(headers)
        self._left = None if self._is_head or self._code in (204, 304) else length
        self._phase = HELD
        return self.write

    def early_hints(self, headers: Fields) -> None:
        """Sends a 103 (Early Hints) with these fields, before the response has begun."""
        if self._phase >= STREAMING or self._gone:
            return
        packed = pack(pairs(headers)[0])
        informed = self._informed + message(len(packed))
        if informed <= MAX_INFORM:
            self._informed = informed
            payload = (103).to_bytes(2, "big") + packed
            self._write(frames.flagged(frames.INFORM, self._stream, False, payload))

    def write(self, data: bytes) -> None:
        """Sends a part of the body; returns when all of it has been handed on."""
        if not _checked(data):
            return
        if self._phase == WAITING:
            raise RuntimeError("the body began before start_response was called")
        if self._gone:
            raise ClientDisconnected("the client has disconnected")
        if self._left == TOO_LONG:
            return
        complete = self._phase == COMPLETE
        data, last = self._counted(data)
        if self._phase == HELD:
            self._begin(last, data)
        elif not complete:
            self._data(last, data)

    # What a body asks for

    def demand(self, count: int) -> None:
        """Reports what was read of the request's body."""
        payload = count.to_bytes(4, "big")
        self._write(frames.flagged(frames.DEMAND, self._stream, False, payload))

    def wait(self, ready: Callable[[], object]) -> None:
        """Returns when it is so; ClientDisconnected when the client has gone."""
        changed = self._changed
        if changed is None:
            raise ValueError("the request is over")
        with changed:
            while not ready() and not self._gone:
                changed.wait()
        if not ready():
            raise ClientDisconnected("the client has disconnected")

    # Inside

    def _counted(self, data: bytes) -> tuple[bytes, bool]:
        """What of a part may be sent, and whether nothing may follow."""
        if self._left is None:
            return data, False
        if len(data) > self._left:
            self._log("the response is longer than its content-length", None)
            data, self._left = data[: self._left], TOO_LONG
            return data, True
        self._left -= len(data)
        return data, self._left == 0

    def _begin(self, last: bool, data: bytes) -> None:
        """Sends the head and what may go with it."""
        rest = None
        # What is at most a window goes whole: nothing has to be credited before it is complete.
        if len(data) > (self._server.window if last else self._server.piece):
            rest = memoryview(data)[self._server.piece :]
            data = data[: self._server.piece]
        whole = last and rest is None
        self._sent = len(data)
        self._phase = COMPLETE if whole else STREAMING
        head = pack(self._fields)
        measured = self._measured()
        self._write(*frames.response(self._stream, whole, self._code, head, data, measured))
        if rest is not None:
            self._data(last, rest)

    def _data(self, last: bool, data: bytes | memoryview) -> None:
        size, view = self._server.piece, memoryview(data)
        for at in range(0, len(view) or 1, size):
            part = view[at : at + size]
            ends = last and at + size >= len(view)
            if not self._may_send():
                self.wait(self._may_send)
            self._sent += len(part)
            if ends:
                self._phase = COMPLETE
            self._write(frames.data_head(self._stream, ends, len(part)), part)

    def _may_send(self) -> bool:
        return may_send(self._sent - self._credited, self._server.window)

    def _finish(self) -> None:
        """The application has nothing more to say."""
        if self._phase == WAITING:
            self._log("the application returned without calling start_response", None)
            self._abort(NO_RESPONSE)
        elif self._phase == HELD:
            self._begin(True, b"")
        elif self._phase == STREAMING and self._left:
            self._log("the response is shorter than its content-length", None)
            self._abort(INCOMPLETE_RESPONSE)
        elif self._phase == STREAMING:
            self._data(True, b"")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Leaves a file to the server, if it is one and all of it is wanted."""
        if self._phase != HELD or self._code != 200 or self._gone:
            return False
        found = whole(wrapper.filelike)
        if found is None or self._left not in (None, found[1]):
            return False
        packed = pack(self._fields)
        self._phase = COMPLETE
        self._write(frames.pathsend(self._stream, self._code, packed, found[0], self._measured()))
        return True

    def _abort(self, reason: int) -> None:
        self._phase = COMPLETE
        self._write(frames.abort(self._stream, reason, self._measured()))

    def _measured(self) -> frames.Measured | None:
        """For who wants figures of each request (`routes`)."""
        measure = self._server.measure
        return None if measure is None else measure(self._environ, self._began)

    def _write(self, *parts: bytes | memoryview) -> None:
        self._server.transport.send_threadsafe(*parts)

    def _log(self, text: str, error: BaseException | None) -> None:
        environ = self._environ
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        logged.error(logger, "%s: %s %s", text, environ.get("REQUEST_METHOD"), path, of=error)


def _checked(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"a body consists of bytes, not of {type(data).__name__}")
    return data
