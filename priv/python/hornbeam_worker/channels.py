"""The worker's side of channels: who may connect, and the handlers of what clients send.

Called by `server` (load, connect), and by calls from Erlang whose target is `dispatch`;
hornbeam_channel_python.erl has the form of their arguments and answers. Nothing is kept here: the
assigns of each client come with each call and go back with its answer. Plain handlers run in
threads of their own, async ones in the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from hornbeam_erlang import _channel_answers as answers
from hornbeam_erlang._channel import Channel, Channels, Handler, channels_of, serve
from hornbeam_erlang._channel_messages import decode, encode
from hornbeam_erlang._channel_socket import Refused, Request, Socket, check_assigns
from hornbeam_worker import loader, values
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.threads import Threads

__all__ = ["Dispatcher", "connect", "dispatch", "load"]

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_UNMATCHED: Final = '{"reason":"unmatched topic"}'
_UNKNOWN: Final = '{"reason":"unmatched event"}'
_NO_JSON: Final = '{"reason":"the payload is no JSON"}'
_VERSION: Final = b"this server speaks version 2 of the protocol (vsn=2.0.0)\n"


class Dispatcher:
    """Calls the handlers of some channels, and answers as Erlang is answered."""

    def __init__(self, channels: Channels, threads: Threads) -> None:
        self._channels = channels
        self._threads = threads
        self._kinds: dict[str, Callable[..., Awaitable[list[Any]]]] = {
            "join": self._join,
            "event": self._event,
            "intercept": self._intercept,
            "leave": self._leave,
            "authorize": self._authorize,
        }

    async def dispatch(self, kind: str, *fields: Any) -> list[Any]:
        """One call of Erlang's; raises what a handler raises."""
        return await self._kinds[kind](*fields)

    async def connect(self, request: Request) -> list[Any]:
        """The assigns of a new connection, packed, and its id; or raises Refused."""
        handler = self._channels.connect
        given = None if handler is None else await self._run(handler, request)
        connected = answers.connected(given)
        if connected.id is not None and type(connected.id) is not str:
            raise TypeError(f"connect: an id is a str, not {connected.id!r}")
        return [_packed(connected.id, check_assigns(connected.assigns)), connected.id]

    async def _join(
        self, topic: str, join_ref: str | None, params: str | bytes, assigns: bytes, token: bytes
    ) -> list[Any]:
        found = self._channels.find(topic)
        if found is None:
            return ["error", _UNMATCHED]
        channel, parts = found
        try:
            given = decode(params)
        except ValueError:
            return ["error", _NO_JSON]
        flags = _flags(channel)
        if isinstance(given, dict) and isinstance(last := given.pop("hb_last_id", None), str):
            flags["last_id"] = last
        socket = _socket(topic, join_ref, None, assigns, token)
        try:
            returned = None
            if (handler := channel.handler("on_join")) is not None:
                arguments = [topic, given] if handler.arity == 3 else [topic, parts, given]
                returned = await self._run(handler, *arguments, socket)
            response, joined = answers.joined(returned, socket)
        except Refused as refused:
            return ["error", encode("the response", refused.response)]
        kept = _kept(joined, socket, assigns)
        return ["ok", encode("the response", response), kept, flags]

    async def _event(
        self,
        topic: str,
        join_ref: str | None,
        event: str,
        payload: str | bytes,
        assigns: bytes,
        token: bytes,
        ref: str | None,
        moved: bool,
    ) -> list[Any]:
        channel = self._channel(topic)
        before = socket = _socket(topic, join_ref, ref, assigns, token)
        if moved and (handler := channel.handler("on_rejoin")) is not None:
            socket = answers.rejoined(await self._run(handler, topic, socket), socket)
        if (handler := channel.handler("on", event)) is None:
            return ["reply", "error", _UNKNOWN, _kept(socket, before, assigns)]
        try:
            given = decode(payload)
        except ValueError:
            return ["reply", "error", _NO_JSON, _kept(socket, before, assigns)]
        try:
            returned = await self._run(handler, given, socket)
        except Refused as refused:
            response = encode("the response", refused.response)
            return ["reply", "error", response, _kept(socket, before, assigns)]
        answer = answers.of_event(event, returned, socket)
        kept = _kept(answer.socket, before, assigns)
        silent = answer.payload is answers.NOBODY
        packed = None if silent else encode("the reply", answer.payload)
        if answer.reason is not None:
            return ["stop", answer.reason, kept, packed]
        return ["noreply", kept] if silent else ["reply", answer.status, packed, kept]

    async def _intercept(
        self,
        topic: str,
        join_ref: str | None,
        event: str,
        payload: str | bytes,
        assigns: bytes,
        token: bytes,
    ) -> list[Any]:
        socket = _socket(topic, join_ref, None, assigns, token)
        handler = self._channel(topic).handler("intercept", event)
        if handler is None:  # a worker that runs other code than the one that was joined
            return ["push", event, payload, assigns]
        returned = await self._run(handler, event, decode(payload), socket)
        given, after = answers.intercepted(event, returned, socket)
        kept = _kept(after, socket, assigns)
        if given is None:
            return ["noreply", kept]
        return ["push", event, encode(f'the payload of "{event}"', given), kept]

    async def _leave(
        self, topic: str, join_ref: str | None, reason: str, assigns: bytes, token: bytes
    ) -> list[Any]:
        if (handler := self._channel(topic).handler("on_leave")) is not None:
            arguments = [topic] if handler.arity == 2 else [topic, reason]
            await self._run(handler, *arguments, _socket(topic, join_ref, None, assigns, token))
        return ["ok"]

    async def _authorize(self, topic: str, head: dict[str, Any]) -> list[Any]:
        found = self._channels.find(topic)
        if found is None or (handler := found[0].handler("authorize")) is None:
            return ["unmatched"]
        try:
            answers.may(await self._run(handler, topic, request_of(head)))
        except Refused as refused:
            return ["refused", encode("the response", refused.response)]
        return ["ok", _flags(found[0])]

    def _channel(self, topic: str) -> Channel:
        found = self._channels.find(topic)
        if found is None:
            raise LookupError(f'no channel of this application has the topic "{topic}"')
        return found[0]

    async def _run(self, handler: Handler, *arguments: Any) -> Any:
        """What a handler returns: in the loop, or in a thread that knows the context."""
        if handler.is_async:
            return await handler.function(*arguments)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        run = functools.partial(contextvars.copy_context().run, handler.function, *arguments)
        self._threads.run(functools.partial(_in_thread, future, run))
        returned = await future
        return await returned if inspect.isawaitable(returned) else returned


def _in_thread(future: asyncio.Future[Any], run: Callable[[], Any]) -> None:
    settle: Callable[[], None]
    try:
        settle = functools.partial(_settle, future, run(), None)
    except BaseException as error:  # also SystemExit: it ends this call, not the worker
        fit = isinstance(error, Exception) and not isinstance(error, StopIteration)
        raised = error if fit else _wrapped(error)
        settle = functools.partial(_settle, future, None, raised)
    with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
        future.get_loop().call_soon_threadsafe(settle)


def _wrapped(error: BaseException) -> RuntimeError:
    made = RuntimeError(f"a handler raised {type(error).__name__}: {error}")
    made.__cause__ = error
    return made


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.done():  # Erlang waits no longer
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


def _flags(channel: Channel) -> dict[str, Any]:
    """What Erlang does for a channel without asking."""
    return {
        "intercepts": channel.events("intercept"),
        "leave": channel.handler("on_leave") is not None,
        "presence": channel.presence,
        "history": None if channel.history is None else channel.history.bounds,
    }


# Assigns as Erlang keeps them: the connection's id and the values.


def _socket(
    topic: str, join_ref: str | None, ref: str | None, packed: bytes, token: bytes
) -> Socket:
    id, assigns = values.unpack(packed) if packed else (None, {})
    return Socket(topic, assigns, id, join_ref, ref, token)


def _packed(id: str | None, assigns: dict[str, Any]) -> bytes:
    return values.pack([id, assigns], "assigns")


def _kept(after: Socket, before: Socket, packed: bytes) -> bytes:
    if after is before:
        return packed
    if after.topic != before.topic:
        raise ValueError(f'a handler of "{before.topic}" returned the socket of "{after.topic}"')
    return _packed(before.id, dict(after.assigns))


def request_of(head: dict[str, Any]) -> Request:
    """A request's head: an ASGI scope, or Erlang's, whose `query` is a str."""
    query = head["query"] if "query" in head else head.get("query_string", b"").decode("latin-1")
    fields: dict[str, str] = {}
    headers: Iterable[tuple[bytes, bytes]] = head.get("headers", ())
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    client = head.get("client")
    return Request(
        path=head.get("path", "/"),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=fields,
        client=None if client is None else (client[0], client[1]),
        scheme=head.get("scheme", "ws"),
    )


_dispatcher = Dispatcher(Channels(), Threads())


def load(target: str) -> None:
    """Imports the channels that this worker handles; StartFailure."""
    global _dispatcher
    try:
        found = loader.attribute(target)
    except StartFailure as failure:
        text = f'"{target}": {failure.text}'
        raise StartFailure(FailureKind.CHANNELS_FAILED, text) from None
    try:
        channels = channels_of(found)
    except (TypeError, ValueError) as error:
        raise StartFailure(FailureKind.CHANNELS_FAILED, f'"{target}": {error}') from None
    serve(channels)
    _dispatcher = Dispatcher(channels, Threads())


async def dispatch(kind: str, *fields: Any) -> list[Any]:
    """What Erlang asks for a channel."""
    return await _dispatcher.dispatch(kind, *fields)


async def connect(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application of a connection's handshake. Once it is accepted, its one message tells
    Erlang the assigns and the id; whatever the client sends goes to Erlang."""
    await receive()
    request = request_of(scope)
    if not request.query.get("vsn", "2.").startswith("2."):
        await _deny(send, 400, b"text/plain; charset=utf-8", _VERSION)
        return
    try:
        first = await _dispatcher.connect(request)
    except Refused as refused:
        text = encode("the response", refused.response)
        body = text if isinstance(text, bytes) else text.encode()
        await _deny(send, 403, b"application/json", body)
        return
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "bytes": values.pack(first)})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _deny(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
