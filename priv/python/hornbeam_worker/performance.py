"""One call of a service's method, or of a function by its name, that may have many values.

Called by `server` for a PERFORM frame (hornbeam_call_stream makes them), also while the loop's
thread waits for a call of its own; so nothing of the application's runs in `start`. Calls
`envelope`, `credit`. `batches` runs those whose method is batched.

A plain method runs in a thread, an async one as a task in the loop. What it returns goes out in a
last RESULT frame. Where the caller wants a stream it is a generator or an iterator, plain or async:
each value is a RESULT frame that is not the last, and waits for credit before it is sent.

    made ──▶ in a thread ──▶ finished        a plain method, and its generator
      │          └─ an awaitable, an async iterator ─┐
      ├──▶ in the loop ◀──────────────────────────────┘ ──▶ finished
      └──▶ in a batch ──▶ finished

Not begun: a call whose time is over, or that Erlang has given up, before its turn came. A
DISCONNECT (the caller has gone, or waits no longer) cancels what is in the loop, and closes a plain
generator at its next value: its `finally` runs. A plain method runs to its end, as threads do.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from hornbeam_erlang import _deadline, _trace
from hornbeam_worker import credit, envelope, frames
from hornbeam_worker.host import Host
from hornbeam_worker.invocation import find, raised

__all__ = ["Batch", "GivenUpError", "Method", "Performance"]

# Flags of a PERFORM frame.
_STREAM: Final = 1
_FOR_ERLANG: Final = 2
# Flags of a RESULT frame.
_YIELDED: Final = 0
_RETURNED: Final = 1
_RAISED: Final = 3


class Batch(Protocol):
    """Calls of one method that run together."""

    def add(self, call: Performance) -> None:
        """Takes a call; in the loop's thread."""


class Method(NamedTuple):
    """A method as it is called. `is_async`: its call runs in the loop from the beginning."""

    function: Callable[..., Any]
    is_async: bool
    batch: Batch | None


class GivenUpError(Exception):
    """The caller has gone, or its time is over."""


class Performance:
    """Runs one method and sends what it returns, yields or raises."""

    def __init__(
        self, server: Host, stream: int, payload: bytes, find: Callable[[str], Method]
    ) -> None:
        flags, left, self._target, self._envelope = frames.perform(payload)
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._stream = stream
        self._find = find
        self._wants_stream = bool(flags & _STREAM)
        self._for_erlang = bool(flags & _FOR_ERLANG)
        self._deadline = time.monotonic() + left / 1000 if left else None
        self.parent: str | None = None  # the traceparent of its caller's span
        self._flow = _Flow(server)
        # Settled when the thread, or the batch, has finished: with None, or with what is left for
        # the loop to await.
        self._left: asyncio.Future[Awaitable[Any] | None] = server.loop.create_future()

    # In the loop's thread

    def about(self) -> str:
        """As `Stream` has it."""
        return f"call of {self._name()}"

    def start(self) -> None:
        """Begins."""
        self.task = self._server.loop.create_task(self._in_loop())
        self.task.add_done_callback(self._ended)
        try:
            method = self._method()
        except Exception as error:
            self.fail(error)
            self._settle(None)
            return
        if method.batch is not None:
            method.batch.add(self)
        elif method.is_async:
            self._settle(self._call_in_loop(method))
        else:
            self._server.threads.run(lambda: self._in_thread(method))

    def _method(self) -> Method:
        if "\0" in self._target:  # a hook: its name may have any character
            return self._find(self._target)
        return _by_name(self._target) if ":" in self._target else self._find(self._target)

    def on_frame(self, kind: int, payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.CREDIT:
            self._flow.credit(int.from_bytes(payload, "big"))
        elif kind == frames.DISCONNECT:
            self.on_disconnect()

    def on_disconnect(self) -> None:
        """Nobody waits any longer."""
        self._flow.close()
        if self.task is not None and self._left.done():
            self.task.cancel()

    def settled(self) -> None:
        """The batch has dealt with it."""
        self._settle(None)

    def _settle(self, left: Awaitable[Any] | None) -> None:
        if self._left.done():  # the worker ends: the task was cancelled
            if inspect.iscoroutine(left):
                left.close()
            return
        self._left.set_result(left)
        if left is not None and self._flow.closed and self.task is not None:
            self.task.cancel()

    async def _in_loop(self) -> None:
        try:
            left = await self._left
            if left is not None:
                await left
        except asyncio.CancelledError as error:
            self.fail(error)
            raise
        except (Exception, SystemExit) as error:  # which ends this call, not the process
            self.fail(error)

    def _ended(self, _task: asyncio.Task[None]) -> None:
        """Also of a task that was cancelled before it began, and with it what it was to await."""
        left = None if self._left.cancelled() or not self._left.done() else self._left.result()
        if inspect.iscoroutine(left):
            left.close()
        self._server.finished(self._stream)

    async def _call_in_loop(self, method: Method) -> None:
        positional, keywords = self.arguments()
        with _deadline.until(self._deadline), _trace.joined(self.parent):
            await self._await(method.function(*positional, **keywords))

    async def _await(self, value: Any) -> None:
        """What a call has made that only the loop can finish."""
        with _deadline.until(self._deadline), _trace.joined(self.parent):
            if inspect.isawaitable(value):
                value = await value
            if not self._wants_stream:
                self.give(value)
            elif isinstance(value, AsyncIterator):
                await self._send_each(value)
            else:
                raise self._no_stream(value)

    async def _send_each(self, source: AsyncIterator[Any]) -> None:
        try:
            async for value in source:
                parts = self._packed(value)
                if not await self._flow.wait(_counted(parts)):
                    return
                self._send(_YIELDED, parts)
        finally:
            if isinstance(source, _AsyncClosable):
                await source.aclose()
        self._send(_RETURNED, envelope.pack(None, "the end"))

    # In a thread

    def _in_thread(self, method: Method) -> None:
        left: Awaitable[Any] | None = None
        try:
            positional, keywords = self.arguments()
            with _deadline.until(self._deadline), _trace.joined(self.parent):
                value = method.function(*positional, **keywords)
                if inspect.isawaitable(value) or isinstance(value, AsyncIterator):
                    left = self._await(value)
                elif self._wants_stream:
                    self._send_all(value)
                else:
                    self.give(value)
        except BaseException as error:  # also SystemExit: it ends this call, not the thread
            self.fail(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
            self._server.loop.call_soon_threadsafe(self._settle, left)

    def _send_all(self, source: Any) -> None:
        if not isinstance(source, Iterator):
            raise self._no_stream(source)
        try:
            for value in source:
                parts = self._packed(value)
                if not self._flow.wait_in_thread(_counted(parts)):
                    return
                self._send(_YIELDED, parts)
        finally:
            if isinstance(source, _Closable):
                source.close()
        self._send(_RETURNED, envelope.pack(None, "the end"))

    # Wherever it runs

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Its arguments, if it is still to run."""
        if self._flow.closed:
            raise GivenUpError("the caller has gone")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise GivenUpError("the time of this call was over before its turn came")
        positional, keywords, *parent = envelope.unpack(self._envelope)
        self.parent = parent[0] if parent else None
        self._envelope = memoryview(b"")
        return positional, keywords

    def give(self, value: Any) -> None:
        """Its value."""
        if isinstance(value, (Iterator, AsyncIterator)):
            if isinstance(value, _Closable):
                value.close()
            raise TypeError(f"{self._name()} has a stream of values: iterate over it")
        self._send(_RETURNED, self._packed(value))

    def fail(self, error: BaseException) -> None:
        """What it raised instead."""
        self._send(_RAISED, [raised(error)])

    def _packed(self, value: Any) -> list[envelope.Part]:
        if self._for_erlang:
            return [envelope.pack_for_erlang(value, "the result")]
        return envelope.pack(value, "the result")

    def _no_stream(self, value: Any) -> TypeError:
        kind = type(value).__qualname__
        return TypeError(f"{self._name()} has no stream of values but a {kind}: await it")

    def _name(self) -> str:
        return self._target.replace("\0", ".")

    def _send(self, flags: int, parts: list[envelope.Part]) -> None:
        """RESULT frame; a large buffer in it is not copied."""
        if self._flow.closed:
            return
        size = sum(map(len, parts))
        head = frames.flagged_head(frames.RESULT, self._stream, flags, size)
        self._server.transport.send_threadsafe(head, *parts)


def _counted(parts: list[envelope.Part]) -> int:
    return credit.message(sum(map(len, parts)))


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> object: ...


@runtime_checkable
class _AsyncClosable(Protocol):
    def aclose(self) -> Awaitable[object]: ...


def _by_name(target: str) -> Method:
    """A function as "module:function", which is imported where it runs."""

    def function(*positional: Any, **keywords: Any) -> Any:
        return find(target)(*positional, **keywords)

    return Method(function, False, None)


class _Flow:
    """The credit of one stream, for a sender in a thread or in the loop."""

    def __init__(self, server: Host) -> None:
        self.closed = False
        self._server = server
        self._uncredited = 0
        self._changed = threading.Condition()
        self._waiter: asyncio.Future[None] | None = None

    def wait_in_thread(self, count: int) -> bool:
        """Returns when what counts so much may be sent; it then counts. False: nobody wants it."""
        with self._changed:
            self._changed.wait_for(self._is_ready)
            return self._take(count)

    async def wait(self, count: int) -> bool:
        """As `wait_in_thread`, without blocking the loop."""
        while True:
            with self._changed:  # held by others for a moment only
                if self._is_ready():
                    return self._take(count)
                waiter = self._waiter = self._server.loop.create_future()
            await waiter

    def credit(self, count: int) -> None:
        """The other side has taken what counts so much; in the loop's thread."""
        with self._changed:
            self._uncredited -= count
        self._wake()

    def close(self) -> None:
        """Nobody wants anything more; in the loop's thread."""
        with self._changed:
            self.closed = True
        self._wake()

    def _is_ready(self) -> bool:
        return self.closed or credit.may_send(self._uncredited, self._server.window)

    def _take(self, count: int) -> bool:
        self._uncredited += count
        return not self.closed

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
            waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
