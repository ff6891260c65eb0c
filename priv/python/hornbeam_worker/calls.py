"""Calls from Python to Erlang: numbers them, sends them, and brings each reply to its caller.

Called by `hornbeam_erlang` (this is its backend in a worker). A call is a frame {operation:u8,
msgpack array}; the reply is {status:u8, msgpack value}. Who waits how:

- in the loop's thread a synchronous call reads the pipe until its reply has come;
- in any other thread it waits on a lock that the loop's thread releases when it meets the reply;
- an await waits on a future, so any number of them are outstanding, and go out in one write.

No deadlock. A thread never waits for another thread's call, and the loop's thread, while it waits
for its own, goes on resolving everybody's replies and starting the plain functions that Erlang
invokes (each in a thread). What it cannot do meanwhile is run an *async* function for Erlang: if
its own call waits for one on this worker, the call's deadline ends it, and `aio.call` would have
been right.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from hornbeam_erlang import _trace
from hornbeam_erlang._backend import ABSENT, HookRequest, ServiceFeed, ServiceRequest
from hornbeam_erlang._errors import raise_error
from hornbeam_erlang._hook_handlers import Handlers
from hornbeam_erlang._hub import Hub, Mailbox, wait_in_thread
from hornbeam_erlang._operations import ARGUMENTS, OPERATIONS
from hornbeam_worker import envelope, frames, hook_calls, service_calls, values
from hornbeam_worker.transport import Transport

__all__ = ["Calls"]

_AWAIT: Final = OPERATIONS["hook_await"]
# What they run has one more argument where something is traced: of which span it is a child.
_TRACED: Final = frozenset(OPERATIONS[name] for name in ("call", "cast", "rpc_call", "rpc_cast"))
_OK: Final = 0
_ABSENT_STATUS: Final = 2
_MORE: Final = 3
_OPERATION: Final = [bytes([code]) for code in range(256)]
# What a frame holds besides its payload.
_LARGEST: Final = frames.MAX_SIZE - 64

Resolve = Callable[[bytes | None], object]


class _ThreadWait:
    """A thread that waits for a reply."""

    __slots__ = ("lock", "reply")

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.lock = threading.Lock()
        self.lock.acquire()

    def resolve(self, reply: bytes | None) -> None:
        self.reply = reply
        self.lock.release()


class Calls:
    """The calls of one worker that wait for a reply."""

    def __init__(self, transport: Transport, window: int = 262_144) -> None:
        self.hub = Hub()
        self.hooks = Handlers()
        self.window = window
        self._transport = transport
        self._loop_thread = threading.get_ident()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Resolve] = {}  # None is given to it when no reply will come
        self._over = False

    def call(self, operation: int, arguments: list[Any]) -> Any:
        """Sends a call and returns its value or ABSENT. Works in the loop's thread and in any
        other."""
        payload = _payload(operation, arguments)
        number = (next(self._numbers) & 0xFFFFFFFF) or next(self._numbers)
        return _value(self._ask(number, frames.encode(frames.CALL, number, payload)))

    def _ask(self, number: int, frame: bytes, *rest: envelope.Part) -> bytes | None:
        """Sends a call, whole or in parts, and waits for its reply; in any thread."""
        if threading.get_ident() == self._loop_thread:
            replies: list[bytes | None] = []
            self._waiting[number] = replies.append
            try:
                reply = None
                if rest:
                    self._transport.send(frame, *rest)
                else:
                    reply = self._transport.exchange(frame, number)
                if reply is None:
                    self._transport.wait_in_loop(replies.__len__)
                    reply = replies[0]
            finally:
                self._waiting.pop(number, None)
            return reply
        wait = _ThreadWait()
        self._wait(number, wait.resolve)
        self._transport.send_threadsafe(frame, *rest)
        wait.lock.acquire()
        return wait.reply

    async def acall(self, operation: int, arguments: list[Any]) -> Any:
        """As `call`, from any event loop, which goes on meanwhile."""
        payload = _payload(operation, arguments)
        number = (next(self._numbers) & 0xFFFFFFFF) or next(self._numbers)
        return _value(await self._aask(number, frames.encode(frames.CALL, number, payload)))

    async def _aask(self, number: int, *frame: envelope.Part) -> bytes | None:
        """As `_ask`, from any event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes | None] = loop.create_future()
        if threading.get_ident() == self._loop_thread:
            self._wait(number, partial(_settle, future))
            self._transport.send(*frame)
        else:
            self._wait(number, partial(_settle_elsewhere, loop, future))
            self._transport.send_threadsafe(*frame)
        try:
            return await future
        except asyncio.CancelledError:
            self.drop(number)
            raise

    # Services (`service_calls`)

    def service_call(self, asked: ServiceRequest) -> Any:
        """Calls a method and returns its value; in any thread."""
        number, frame = self._asking("service_call", asked)
        return _service_value(self._ask(number, *frame))

    async def aservice_call(self, asked: ServiceRequest) -> Any:
        """As `service_call`, from any event loop."""
        number, frame = self._asking("service_call", asked)
        return _service_value(await self._aask(number, *frame))

    def service_stream(self, asked: ServiceRequest) -> ServiceFeed:
        """Begins a stream of values; in any thread."""
        feed = service_calls.Feed(self, _raise)
        feed.number, frame = self._asking("service_stream", asked)
        self._open(feed.number, frame, feed.mailbox)
        return feed

    # Hooks (`hook_calls`)

    def hook_call(self, asked: HookRequest) -> Any:
        """Calls a hook and returns its value, or begins a call and returns its id."""
        number = self._number()
        return _hook_value(asked, self._ask(number, *hook_calls.frame(self, number, asked)))

    async def ahook_call(self, asked: HookRequest) -> Any:
        """As `hook_call`, from any event loop."""
        number = self._number()
        return _hook_value(asked, await self._aask(number, *hook_calls.frame(self, number, asked)))

    def hook_await(self, timeout_ms: int, task: str) -> Any:
        """The value of a call that was begun."""
        number = self._number()
        payload = _payload(_AWAIT, [timeout_ms, task])
        return _service_value(self._ask(number, frames.encode(frames.CALL, number, payload)))

    async def ahook_await(self, timeout_ms: int, task: str) -> Any:
        """As `hook_await`, from any event loop."""
        number = self._number()
        payload = _payload(_AWAIT, [timeout_ms, task])
        return _service_value(await self._aask(number, frames.encode(frames.CALL, number, payload)))

    def hook_stream(self, asked: HookRequest) -> ServiceFeed:
        """Begins a stream of values; in any thread."""
        feed = service_calls.Feed(self, _raise)
        feed.number = self._number()
        self._open(feed.number, hook_calls.frame(self, feed.number, asked), feed.mailbox)
        return feed

    def _number(self) -> int:
        return (next(self._numbers) & 0xFFFFFFFF) or next(self._numbers)

    def _asking(self, operation: str, asked: ServiceRequest) -> tuple[int, list[Any]]:
        number = self._number()
        return number, service_calls.frame(number, operation, asked)

    def _open(self, number: int, frame: list[envelope.Part], mailbox: Mailbox) -> None:
        """Sends a call, all replies of which go into a mailbox."""

        def resolve(reply: bytes | None) -> None:
            if reply is None:
                mailbox.close()
            else:
                mailbox.put("", reply)

        self._wait(number, resolve)
        if threading.get_ident() == self._loop_thread:
            self._transport.send(*frame)
        else:
            self._transport.send_threadsafe(*frame)

    def drop(self, number: int) -> None:
        """Nobody waits for a call any longer, which ends it on Erlang's side, too."""
        if self._waiting.pop(number, None) is not None:
            self.post(OPERATIONS["cancel"], [number])

    def post(self, operation: int, arguments: list[Any]) -> None:
        """Sends a call that gets no reply. Takes no lock, so a finalizer may call it."""
        frame = frames.encode(frames.CALL, 0, _payload(operation, arguments))
        if threading.get_ident() == self._loop_thread:
            self._transport.send(frame)
        else:
            self._transport.send_soon(frame)

    def expect(self, operation: int, arguments: list[Any]) -> Mailbox:
        """Begins a call whose value comes into a mailbox, which is closed where none will come."""
        mailbox = Mailbox(1)

        def resolve(reply: bytes | None) -> None:
            if reply is not None and reply[0] == _OK:
                mailbox.put("", reply[1:])
            else:
                mailbox.close()

        number = self._number()
        self._wait(number, resolve)
        frame = frames.encode(frames.CALL, number, _payload(operation, arguments))
        if threading.get_ident() == self._loop_thread:
            self._transport.send(frame)
        else:
            self._transport.send_threadsafe(frame)
        return mailbox

    def wait(self, mailbox: Mailbox, timeout: float | None) -> None:
        """Blocks until the mailbox is ready or `timeout` seconds have passed."""
        if threading.get_ident() == self._loop_thread:
            self._transport.wait_in_loop(mailbox.ready, timeout)
        else:
            wait_in_thread(mailbox, timeout)

    def on_reply(self, number: int, payload: bytes) -> None:
        """A REPLY frame has come; in the loop's thread."""
        take = self._waiting.get if payload[0] == _MORE else self._waiting.pop
        resolve = take(number, None)
        if resolve is not None:
            resolve(payload)

    def fail_all(self) -> None:
        """The Erlang side has gone: nobody will answer any more."""
        self._over = True
        waiting, self._waiting = self._waiting, {}
        for resolve in waiting.values():
            resolve(None)

    def _wait(self, number: int, resolve: Resolve) -> None:
        self._waiting[number] = resolve
        # Looked at after it is in the table, so that either this or fail_all sees the other.
        if self._over and self._waiting.pop(number, None) is not None:
            raise ConnectionError("the Erlang side has gone")


def _payload(operation: int, arguments: list[Any]) -> bytes:
    if operation in _TRACED and (parent := _trace.traceparent()) is not None:
        arguments = [*arguments, parent]
    try:
        packed = values.pack(arguments)
    except (TypeError, ValueError):
        # Once more, for an error that names the argument; and then as it was.
        for name, argument in zip(ARGUMENTS.get(operation, ()), arguments, strict=False):
            values.pack_argument(name, argument)
        raise
    if len(packed) > _LARGEST:
        raise ValueError(f"a call of {len(packed)} bytes; at most {_LARGEST} can travel at once")
    return _OPERATION[operation] + packed


def _settle(future: asyncio.Future[bytes | None], reply: bytes | None) -> None:
    if not future.done():
        future.set_result(reply)


def _settle_elsewhere(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[bytes | None], reply: bytes | None
) -> None:
    with contextlib.suppress(RuntimeError):  # that loop has been closed, and its awaits with it
        loop.call_soon_threadsafe(_settle, future, reply)


def _value(reply: bytes | None) -> Any:
    if reply is None:
        raise ConnectionError("the Erlang side has gone")
    status = reply[0]
    if status == _OK:
        return values.unpack(memoryview(reply)[1:])
    if status == _ABSENT_STATUS:
        return ABSENT
    _raise(reply)


def _service_value(reply: bytes | None) -> Any:
    if reply is not None and reply[0] == _OK:
        return service_calls.value(reply)
    return _value(reply)


def _hook_value(asked: HookRequest, reply: bytes | None) -> Any:
    return _value(reply) if asked.operation == "hook_start" else _service_value(reply)


def _raise(reply: bytes) -> NoReturn:
    kind, what = values.unpack(reply[1:])
    raise_error(kind, what)
