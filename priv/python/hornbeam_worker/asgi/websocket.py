"""One WebSocket connection: `receive`, `send`, and every way to use them wrongly.

Source: ASGI, HTTP & WebSocket message format 2.5, "WebSocket".

States: CONNECTING -> (accept) ACCEPTING -> OPEN -> CLOSED, or CONNECTING -> (close) CLOSED, or
CONNECTING -> (denial response) DENYING. `_close` is set when the client has gone or said good-bye:
code and reason.

Flow control: `credit`. `await send(...)` returns when the message has gone out, that is, while less
than a window and a message is not credited; what the application has received is reported with
`demand` frames, and Erlang stops reading from a client of whom a window's worth is not received.
Credit for nothing is the answer to an accept, a subscribe or an unsubscribe, in their order.

Memory: an idle connection is this object, its task and what the application keeps. There is no
queue until a message arrives that nobody waits for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Final, TypeAlias

import msgpack

from hornbeam_erlang import _trace
from hornbeam_worker import credit, frames, logged, logs
from hornbeam_worker.asgi.errors import ClientDisconnected, caused_by_disconnect
from hornbeam_worker.asgi.http import MAX_HEAD, HTTPCycle
from hornbeam_worker.asgi.scope import Scope
from hornbeam_worker.host import Host

__all__ = ["WebSocketCycle"]

logger = logging.getLogger("hornbeam.asgi")

CONNECTING: Final = 0
ACCEPTING: Final = 1
OPEN: Final = 2
DENYING: Final = 3
CLOSED: Final = 4

# The longest message that fits into a frame, and the longest topic.
LONGEST: Final = frames.MAX_SIZE - 128
LONGEST_TOPIC: Final = 1024
# The bytes of a close frame's reason: more is cut by Erlang, at the end of a character.
LONGEST_REASON: Final = 123

# The reasons of an ABORT frame (hornbeam_frame:abort_reason/1).
APP_ERROR: Final = 1
NO_RESPONSE: Final = 2

VANISHED: Final = (1006, "")

_SUBSCRIPTION: Final = {
    "hornbeam.websocket.subscribe": frames.WS_SUBSCRIBE,
    "hornbeam.websocket.unsubscribe": frames.WS_UNSUBSCRIBE,
}


Application: TypeAlias = Callable[..., Any]


class WebSocketCycle:
    """Runs the application for one connection."""

    __slots__ = (
        "_app", "_asking", "_began", "_close", "_connect_told", "_denial", "_disconnect_told",
        "_inbox", "_receiver", "_scope", "_sender", "_server", "_state", "_stream", "_taken",
        "task",
    )  # fmt: skip

    def __init__(self, server: Host, stream: int, scope: Scope, app: Application) -> None:
        self.task: asyncio.Task[None] | None = None
        self._app = app
        self._server = server
        self._stream = stream
        self._scope = scope
        self._state = CONNECTING
        self._began = 0 if server.measure is None else perf_counter_ns()
        self._denial: HTTPCycle | None = None
        # From the client
        self._connect_told = False
        self._inbox: deque[str | bytes] | None = None
        self._receiver: asyncio.Future[None] | None = None
        self._taken = 0  # by the application, and not yet reported by `demand`
        self._close: tuple[int, str] | None = None
        self._disconnect_told = False
        # To the client
        self._sender: credit.Sender | None = None  # from the first message on
        # Those who wait for an answer, in the order in which they asked.
        self._asking: deque[asyncio.Future[bool]] | None = None

    # What arrives from Erlang

    def about(self) -> str:
        """As `Stream` has it."""
        return f"WebSocket {self._scope['path']}"

    def on_frame(self, kind: int, payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.WS_TEXT:
            self.on_message(payload.decode())
        elif kind == frames.WS_BINARY:
            self.on_message(payload)
        elif kind == frames.CREDIT:
            self.on_credit(int.from_bytes(payload, "big"))
        elif kind == frames.WS_CLOSE:
            self.on_close(payload)
        elif kind == frames.DISCONNECT:
            self.on_disconnect()

    def on_message(self, message: str | bytes) -> None:
        """A message of the client."""
        if self._inbox is None:
            self._inbox = deque()
        self._inbox.append(message)
        self._wake_receiver()

    def on_credit(self, count: int) -> None:
        """`count` bytes are on their way to the client; 0 is an answer."""
        if self._denial is not None:
            self._denial.on_credit(count)
        elif not count:
            self._answer()
        elif self._sender is not None:
            self._sender.credit(count)

    def on_close(self, payload: bytes) -> None:
        """The connection is closed: by the client, or by the server."""
        self._end(int.from_bytes(payload[:2], "big"), payload[2:].decode("utf-8", "replace"))

    def on_disconnect(self) -> None:
        """The client has gone before the handshake was complete, or the server ends."""
        self._end(*VANISHED)

    # What the application calls

    async def receive(self) -> dict[str, Any]:
        """`websocket.connect`, then messages, then `websocket.disconnect`, again and again."""
        if not self._connect_told:
            self._connect_told = True
            return {"type": "websocket.connect"}
        while self._inbox is None:
            if self._close is not None:
                return await self._disconnect(self._close)
            if self._receiver is not None:
                raise RuntimeError("receive() is being awaited by another task")
            self._receiver = self._server.loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        message = self._inbox.popleft()
        if not self._inbox:
            self._inbox = None
        if isinstance(message, str):
            self._report(_utf8_length(message))
            return {"type": "websocket.receive", "text": message}
        self._report(len(message))
        return {"type": "websocket.receive", "bytes": message}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes the messages of the WebSocket format, and `hornbeam.websocket.(un)subscribe`.

        Raises ClientDisconnected when the connection is closed, RuntimeError for a wrong order,
        TypeError and ValueError for wrong values.
        """
        kind = message["type"]
        if self._server.transport.full:
            await self._server.transport.room()
        if self._close is not None or self._state == CLOSED:
            raise ClientDisconnected("the WebSocket is closed")
        if self._state == OPEN:
            await self._send_open(kind, message)
        elif self._state == CONNECTING and kind == "websocket.accept":
            await self._accept(message)
        elif self._state == CONNECTING and kind == "websocket.close":
            self._send_close(message)
        elif self._state in (CONNECTING, DENYING) and kind.startswith("websocket.http.response."):
            await self._deny(kind, message)
        else:
            raise _unexpected(kind, self._state)

    async def run(self, parent: bytes | None = None, number: str | None = None) -> None:
        """Calls the application and ends the stream whatever it does. Log lines and calls of this
        task know the request's trace and its id, where it has them."""
        if parent is not None:
            _trace.current.set(parent)
        if number is not None:
            logs.request_id.set(number)
        try:
            await self._app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._abort(APP_ERROR)
        except Exception as error:
            if not (self._close is not None and caused_by_disconnect(error)):
                self._log("exception in the application", error)
            self._abort(APP_ERROR)
        else:
            if self._state == OPEN:
                self._finish(1000, "")
            elif self._state != CLOSED and self._close is None:
                self._returned_early()
        finally:
            self._state = CLOSED
            self._server.finished(self._stream)

    # Inside

    async def _send_open(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "websocket.send":
            await self._send_message(message)
        elif kind == "websocket.close":
            self._send_close(message)
        elif kind in _SUBSCRIPTION:
            await self._ask(_SUBSCRIPTION[kind], _topic(message["topic"]))
        else:
            raise _unexpected(kind, OPEN)

    async def _accept(self, message: dict[str, Any]) -> None:
        subprotocol = message.get("subprotocol")
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise TypeError(f"subprotocol must be str or None, not {subprotocol!r}")
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
        if any(name.lower() == b"sec-websocket-protocol" for name, _ in headers):
            raise ValueError("the subprotocol is not a header here: use 'subprotocol'")
        packed = msgpack.packb([subprotocol, msgpack.packb(headers)])
        if len(packed) > MAX_HEAD:
            raise ValueError(f"headers of {len(packed)} bytes; {MAX_HEAD} is the most")
        self._state = ACCEPTING
        await self._ask(frames.WS_ACCEPT, packed, self._measured())
        if self._state == ACCEPTING:
            self._state = OPEN

    async def _ask(
        self, kind: int, payload: bytes, measured: frames.Measured | None = None
    ) -> None:
        """Sends what is answered, and waits for the answer."""
        answer: asyncio.Future[bool] = self._server.loop.create_future()
        if self._asking is None:
            self._asking = deque()
        self._asking.append(answer)
        self._transmit(kind, payload, measured)
        if not await answer:
            raise ClientDisconnected("the WebSocket is closed")

    async def _send_message(self, message: dict[str, Any]) -> None:
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError("websocket.send has exactly one of 'text' and 'bytes'")
        if text is not None:
            if not isinstance(text, str):
                raise TypeError(f"'text' must be str, not {type(text).__name__}")
            kind, payload = frames.WS_SEND_TEXT, text.encode()
        else:
            kind, payload = frames.WS_SEND_BYTES, _bytes(data)
        if len(payload) > LONGEST:
            raise ValueError(f"a message of {len(payload)} bytes; {LONGEST} is the most")
        if self._sender is None:
            self._sender = credit.Sender(self._server)
        frame = frames.flagged(kind, self._stream, False, payload)
        if not await self._sender.send([(credit.message(len(payload)), (frame,))]):
            raise ClientDisconnected("the WebSocket is closed")

    def _send_close(self, message: dict[str, Any]) -> None:
        code = message.get("code")
        code = 1000 if code is None else int(code)
        if (code != 1005 and not (1000 <= code <= 1014 or 3000 <= code <= 4999)) or code in (
            1004,
            1006,
        ):
            raise ValueError(f"{code} is no code that a close may have")
        self._finish(code, message.get("reason") or "")

    def _finish(self, code: int, reason: str) -> None:
        measured = self._measured() if self._state == CONNECTING else None
        self._state = CLOSED
        # What receive() says from now on.
        self._close = (code, reason)
        payload = code.to_bytes(2, "big") + reason[:LONGEST_REASON].encode()
        self._server.transport.send(
            frames.measured(frames.WS_END, self._stream, True, payload, measured)
        )
        self._wake_all()

    async def _deny(self, kind: str, message: dict[str, Any]) -> None:
        if self._denial is None:
            self._denial = HTTPCycle(self._server, self._stream, self._scope, 1, b"")
            self._denial.began = self._began
            self._state = DENYING
        await self._denial.send({**message, "type": kind.removeprefix("websocket.")})
        if kind == "websocket.http.response.body" and not message.get("more_body", False):
            self._state = CLOSED
            self._close = VANISHED

    async def _disconnect(self, close: tuple[int, str]) -> dict[str, Any]:
        if self._disconnect_told:
            await asyncio.sleep(0)  # asked again and again: let the others run
        self._disconnect_told = True
        return {"type": "websocket.disconnect", "code": close[0], "reason": close[1]}

    def _report(self, size: int) -> None:
        if self._close is not None:
            return
        self._taken += credit.message(size)
        if credit.is_due(self._taken, self._server.window):
            self._transmit(frames.DEMAND, self._taken.to_bytes(4, "big"))
            self._taken = 0

    def _transmit(self, kind: int, payload: bytes, measured: frames.Measured | None = None) -> None:
        self._server.transport.send(frames.measured(kind, self._stream, False, payload, measured))

    def _measured(self) -> frames.Measured | None:
        """Of a handshake that is answered, for who wants figures (`routes`)."""
        measure = self._server.measure
        return None if measure is None else measure(self._scope, self._began)

    def _end(self, code: int, reason: str) -> None:
        if self._denial is not None:
            self._denial.on_disconnect()
        if self._close is None:
            self._close = (code, reason)
            self._wake_all()

    def _wake_all(self) -> None:
        self._wake_receiver()
        if self._sender is not None:
            self._sender.close()
        asking, self._asking = self._asking or (), None
        for answer in asking:
            if not answer.done():
                answer.set_result(False)

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def _answer(self) -> None:
        """The first of those who asked has its answer, even if it no longer waits for it."""
        if self._asking:
            answer = self._asking.popleft()
            if not answer.done():
                answer.set_result(True)

    def _returned_early(self) -> None:
        self._log("the application returned without accepting or closing the WebSocket", None)
        self._abort(NO_RESPONSE)

    def _abort(self, reason: int) -> None:
        if self._close is None and self._state != CLOSED:
            measured = self._measured() if self._state == CONNECTING else None
            self._server.transport.send(frames.abort(self._stream, reason, measured))
            self._close = VANISHED

    def _log(self, text: str, error: BaseException | None) -> None:
        logged.error(logger, "%s: WebSocket %s", text, self._scope.get("path"), of=error)


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _bytes(data: Any) -> bytes:
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def _topic(topic: object) -> bytes:
    if not isinstance(topic, str):
        raise TypeError(f"a topic is a str, not {topic!r}")
    encoded = topic.encode()
    if not 0 < len(encoded) <= LONGEST_TOPIC:
        raise ValueError(f"a topic has 1 to {LONGEST_TOPIC} bytes, not {len(encoded)}")
    return encoded


def _unexpected(kind: str, state: int) -> RuntimeError:
    return RuntimeError(f"unexpected ASGI message {kind!r} {_WHEN[state]}")


_WHEN: Final = {
    CONNECTING: "before websocket.accept",
    ACCEPTING: "while websocket.accept is being sent",
    OPEN: "after websocket.accept",
    DENYING: "after websocket.http.response.start",
}
