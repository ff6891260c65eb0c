"""One HTTP request: `receive`, `send`, and every way to use them wrongly.

Source: ASGI, HTTP & WebSocket message format 2.5.

States of the response: WAITING -> (start) HELD -> (first body) STREAMING -> COMPLETE, with TRAILERS
before COMPLETE when the start announced them, and ENDING before it while the last of the body waits
for credit. The start is held until the first body event, so that a response in one piece is one
frame. What few applications send (1xx, trailers, files) is in `extensions`, so that this path stays
short.

Flow control: `credit`. `await send(body)` returns when all of it has gone out, that is, while less
than a window and a piece is not credited. What the application has taken of the request's body is
reported with `demand` frames.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from time import perf_counter_ns
from typing import Any, Final

import msgpack

from hornbeam_erlang import _trace
from hornbeam_worker import frames, logged, logs
from hornbeam_worker.asgi import extensions
from hornbeam_worker.asgi.errors import ClientDisconnected, caused_by_disconnect
from hornbeam_worker.asgi.scope import Scope
from hornbeam_worker.credit import Piece, Sender, is_due, message
from hornbeam_worker.host import Host

__all__ = ["MAX_HEAD", "HTTPCycle"]

logger = logging.getLogger("hornbeam.asgi")

WAITING: Final = 0
HELD: Final = 1
STREAMING: Final = 2
TRAILERS: Final = 3
ENDING: Final = 4
COMPLETE: Final = 5

# The reasons of an ABORT frame (hornbeam_frame:abort_reason/1).
APP_ERROR: Final = 1
NO_RESPONSE: Final = 2
INCOMPLETE_RESPONSE: Final = 3

# The largest piece of a body in one frame.
PIECE: Final = 65_536

# Packed headers, which share a frame with little else: hornbeam_frame takes 1 MiB of both.
MAX_HEAD: Final = 1_000_000

# What informational responses may have together, each counted like a message, since nothing
# credits them; more are left out. The same number stands in hornbeam_worker_streams.
MAX_INFORM: Final = 262_144


class HTTPCycle:
    """Runs the application for one request."""

    __slots__ = (
        "_buffered", "_complete", "_disconnect_told", "_expects", "_frame", "_gone",
        "_headers", "_informed", "_phase", "_scope", "_sender", "_server", "_status", "_stream",
        "_taken", "_trailers", "_waiters", "began", "task",
    )  # fmt: skip

    def __init__(self, server: Host, stream: int, scope: Scope, flags: int, body: bytes) -> None:
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._stream = stream
        self._scope = scope
        self.began = 0 if server.measure is None else perf_counter_ns()
        # The request's body
        self._buffered: bytes | None = body  # None: all of it has been given
        self._complete = bool(flags & 1)  # all of it has arrived
        self._expects = bool(flags & 2)  # the client waits for 100 (Continue)
        self._taken = 0  # by the application, and not yet reported by `demand`
        # The response
        self._phase = WAITING
        self._status = 0
        self._headers = b""
        self._trailers: list[Any] | None = None  # a list once they are announced
        self._informed = 0  # what its 1xx have taken
        self._sender: Sender | None = None  # once the response goes on
        self._frame: bytearray | None = None  # of small parts, the last one sent
        # Both
        self._gone = False
        self._disconnect_told = False
        self._waiters: list[asyncio.Future[None]] = []

    # What arrives from Erlang

    def on_frame(self, kind: int, payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.CREDIT:
            self.on_credit(int.from_bytes(payload, "big"))
        elif kind == frames.BODY:
            self.on_body(False, payload)
        elif kind == frames.BODY_END:
            self.on_body(True, payload)
        elif kind == frames.DISCONNECT:
            self.on_disconnect()

    def about(self) -> str:
        """As `Stream` has it."""
        return f"{self._scope['method']} {self._scope['path']}"

    def on_body(self, last: bool, data: bytes) -> None:
        """More of the request's body."""
        self._buffered = (self._buffered or b"") + data
        self._complete = last
        self._wake()

    def on_credit(self, count: int) -> None:
        """The client's socket has taken `count` bytes."""
        if self._sender is not None:
            self._sender.credit(count)

    def on_disconnect(self) -> None:
        """The client has gone, or the server has given up (timeout)."""
        self._gone = True
        if self._sender is not None:
            self._sender.close()
        self._wake()

    # What the application calls

    async def receive(self) -> dict[str, Any]:
        """The next `http.request`; `http.disconnect` when the client has gone or all is said."""
        if self._buffered is not None:
            if self._expects and not self._buffered:
                self._demand(0)
            while not (self._buffered or self._complete or self._over()):
                await self._change()
            if not self._over():
                return self._take_body()
        while not self._over():
            await self._change()
        if self._disconnect_told:
            await asyncio.sleep(0)  # asked again and again: let the others run
        self._disconnect_told = True
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes `http.response.start`, `http.response.body` and the messages of `extensions`.

        Raises ClientDisconnected when the client has gone, RuntimeError for a wrong order,
        TypeError and ValueError for wrong values.
        """
        kind = message["type"]
        if self._server.transport.full:
            await self._server.transport.room()
        if self._gone:
            raise ClientDisconnected("the client has disconnected")
        if kind == "http.response.body" and self._phase in (HELD, STREAMING):
            await self._send_body(message)
        elif kind == "http.response.start" and self._phase == WAITING:
            self._hold_start(message)
        elif self._phase < ENDING:
            await self._send_rare(kind, message)

    async def _send_rare(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "http.response.early_hint" and self._phase == WAITING:
            self._inform(103, extensions.link_headers(message))
        elif kind == "http.response.pathsend" and self._phase == HELD:
            self._send_file(extensions.file_path(message))
        elif kind == "http.response.trailers" and self._phase == TRAILERS:
            self._send_trailers(message)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r} {_WHEN[self._phase]}")

    async def run(self, parent: bytes | None = None, number: str | None = None) -> None:
        """Calls the application and ends the stream whatever it does. Log lines and calls of this
        task know the request's trace and its id, where it has them."""
        if parent is not None:
            _trace.current.set(parent)
        if number is not None:
            logs.request_id.set(number)
        try:
            await self._server.app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._abort(APP_ERROR)
        except (Exception, SystemExit) as error:
            if not (self._gone and caused_by_disconnect(error)):
                self._log("exception in the application", error)
            self._abort(APP_ERROR)
        else:
            if self._phase != COMPLETE and not self._gone:
                self._log("the application returned without completing its response", None)
                self._abort(NO_RESPONSE if self._phase <= HELD else INCOMPLETE_RESPONSE)
        finally:
            self._server.finished(self._stream)

    # Inside

    def _over(self) -> bool:
        return self._gone or self._phase == COMPLETE

    def _take_body(self) -> dict[str, Any]:
        body, self._buffered = self._buffered or b"", b""
        if self._complete:
            self._buffered = None
        else:
            self._taken += len(body)
            if body and is_due(self._taken, self._server.prefetch):
                self._demand(self._taken)
        return {"type": "http.request", "body": body, "more_body": not self._complete}

    def _demand(self, count: int) -> None:
        self._expects = False
        self._taken = 0
        self._server.transport.send(
            frames.flagged(frames.DEMAND, self._stream, False, count.to_bytes(4, "big"))
        )

    def _hold_start(self, message: dict[str, Any]) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            if status in extensions.INFORMATIONAL:
                self._inform(int(status), message.get("headers", ()))
                return
            raise ValueError(f"an HTTP status from 200 to 999 is needed, not {status!r}")
        headers = message.get("headers", ())
        self._headers = _packed(headers if type(headers) is list else list(headers))
        self._status = int(status)
        self._phase = HELD
        if message.get("trailers"):
            self._trailers = []

    def _inform(self, status: int, headers: Iterable[Any]) -> None:
        packed = _packed(list(headers))
        informed = self._informed + message(len(packed))
        if informed > MAX_INFORM:
            return
        self._informed = informed
        payload = status.to_bytes(2, "big") + packed
        self._server.transport.send(frames.flagged(frames.INFORM, self._stream, False, payload))

    def _send_file(self, path: bytes) -> None:
        frame = frames.pathsend(self._stream, self._status, self._headers, path, self._measured())
        self._server.transport.send(frame)
        self._complete_response()

    def _send_trailers(self, message: dict[str, Any]) -> None:
        assert self._trailers is not None
        self._trailers += message.get("headers", ())
        if not message.get("more_trailers", False):
            packed = _packed(self._trailers)
            self._server.transport.send(frames.flagged(frames.TRAILERS, self._stream, True, packed))
            self._complete_response()

    def _complete_response(self) -> None:
        self._phase = COMPLETE
        if self._waiters:
            self._wake()

    async def _send_body(self, message: dict[str, Any]) -> None:
        body = message.get("body", b"")
        if not isinstance(body, bytes):
            body = bytes(memoryview(body))  # TypeError unless bytes-like
        ends = not message.get("more_body", False)
        last = ends and self._trailers is None
        rest = self._start(last, body) if self._phase == HELD else body
        if rest is not None and (rest or last):
            await self._data(last, rest)
        if last:
            self._complete_response()
        elif ends:
            self._phase = TRAILERS

    def _start(self, last: bool, body: bytes) -> memoryview | None:
        """Sends the head and what may go with it. The rest of the body, if there is any."""
        rest = None
        # What is at most a window goes whole: nothing has to be credited before it is complete.
        if len(body) > (self._server.window if last else self._server.piece):
            rest = memoryview(body)[self._server.piece :]
            last, body = False, body[: self._server.piece]
        if not last:
            self._sender = Sender(self._server, len(body))
        measure = self._server.measure
        measured = None if measure is None else measure(self._scope, self.began)
        self._server.transport.send(
            *frames.response(self._stream, last, self._status, self._headers, body, measured)
        )
        self._phase = STREAMING
        self._headers = b""
        return rest

    async def _data(self, last: bool, body: bytes | memoryview) -> None:
        assert self._sender is not None
        if last:
            self._phase = ENDING
        if len(body) * 16 <= self._server.piece and self._sender.at_once(len(body)):
            self._send_small(last, body)
        elif not await self._sender.send(self._pieces(last, body)):
            raise ClientDisconnected("the client has disconnected")

    def _send_small(self, last: bool, body: bytes | memoryview) -> None:
        """Puts a small part into the frame of the one before, while that waits for its turn of the
        loop to end: ten thousand parts of a table are a few frames, and none is held back."""
        frame, transport = self._frame, self._server.transport
        if frame is not None and len(frame) < self._server.piece and transport.is_newest(frame):
            frame += body
            frames.grown(frame, last)
        else:
            self._frame = frame = bytearray(frames.data_head(self._stream, last, len(body)))
            frame += body
            transport.send(frame)

    def _pieces(self, last: bool, body: bytes | memoryview) -> list[Piece]:
        """The frames of a part of the body, the last one first."""
        stream, size = self._stream, self._server.piece
        if len(body) <= size:
            return [(len(body), (frames.data_head(stream, last, len(body)), body))]
        view = memoryview(body)
        pieces: list[Piece] = []
        for at in range(0, len(body), size):
            part = view[at : at + size]
            head = frames.data_head(stream, last and at + size >= len(body), len(part))
            pieces.append((len(part), (head, part)))
        pieces.reverse()
        return pieces

    def _abort(self, reason: int) -> None:
        if not self._over():
            self._phase = COMPLETE
            if self._sender is not None:
                self._sender.close()
            self._server.transport.send(frames.abort(self._stream, reason, self._measured()))

    def _measured(self) -> frames.Measured | None:
        """For who wants figures of each request (`routes`)."""
        measure = self._server.measure
        return None if measure is None else measure(self._scope, self.began)

    def _log(self, text: str, error: BaseException | None) -> None:
        scope = self._scope
        logged.error(logger, "%s: %s %s", text, scope.get("method"), scope.get("path"), of=error)

    async def _change(self) -> None:
        waiter: asyncio.Future[None] = self._server.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def _packed(headers: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(headers)
    if len(packed) > MAX_HEAD:
        raise ValueError(f"headers of {len(packed)} bytes; {MAX_HEAD} is the most")
    return packed


_WHEN: Final = {
    WAITING: "before http.response.start",
    HELD: "after http.response.start",
    STREAMING: "while the response's body is being sent",
    TRAILERS: "before http.response.trailers",
}
