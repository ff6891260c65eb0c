"""The stand-in's services: objects that a test registers, called as if they were elsewhere.

Used by `_standalone`. Arguments and results make the same journey as between workers (packed and
unpacked); a method runs in a thread, an async one in a loop of its own there; what it raises is a
ServiceError. A batched method gets a list of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import threading
import traceback
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, Final

from hornbeam_erlang._backend import END, NOTHING, ServiceRequest
from hornbeam_erlang._batched import batching
from hornbeam_erlang._errors import HookNotFoundError, NoSuchServiceError, ServiceError
from hornbeam_erlang._hub import Mailbox

__all__ = ["Feed", "Services", "travelled"]

# Values that a generator is ahead of who takes them.
_AHEAD: Final = 16
_VALUE, _ERROR, _END = b"v", b"e", b""


class Services:
    """The registered objects by their names."""

    error: type[ServiceError] = ServiceError

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}

    def call(self, asked: ServiceRequest) -> Any:
        """Runs a method in a thread, for as long as the caller waits."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        start = self._prepared(asked)

        def run() -> None:
            try:
                value = start()
                if inspect.isawaitable(value):
                    value = asyncio.run(_awaited(value))
                if isinstance(value, (Iterator, AsyncIterator)):
                    text = f"{asked.method} has a stream of values: iterate over it"
                    raise TypeError(text)
                answers.put((travelled(value, "the result"), None))
            except Exception as error:
                answers.put((None, _remote(error, self.error)))

        threading.Thread(target=run, name="hornbeam-standalone", daemon=True).start()
        try:
            value, error = answers.get(timeout=_seconds(asked))
        except queue.Empty:
            raise TimeoutError("the service has not answered in time") from None
        if error is not None:
            raise error
        return value

    def stream(self, asked: ServiceRequest) -> Feed:
        """Begins to take values of a generator, in a thread."""
        return Feed(self._prepared(asked), asked.method, self.error)

    def _prepared(self, asked: ServiceRequest) -> Any:
        """What makes the call, with arguments that have travelled."""
        if asked.service not in self.objects:
            raise NoSuchServiceError(f'there is no service "{asked.service}"')
        name = f"{asked.service}.{asked.method}()"
        positional, keywords = travelled([list(asked.args), asked.kwargs], name)
        made = self.objects[asked.service]

        def start() -> Any:
            method = getattr(made, asked.method)
            if batching(method) is None:
                return method(*positional, **keywords)
            if len(positional) != 1 or keywords:
                raise TypeError("a batched method is called with one argument, by position")
            return _one(method(positional))

        return start


def _one(results: Any) -> Any:
    """Of a batch of one, its result."""
    if inspect.isawaitable(results):

        async def awaited() -> Any:
            return _one(await results)

        return awaited()
    given = list(results)
    if len(given) != 1:
        raise ValueError(f"{len(given)} results of a batched method for 1 items")
    if isinstance(given[0], BaseException):
        raise given[0]
    return given[0]


class Feed:
    """The values of one generator (`_backend.ServiceFeed`)."""

    def __init__(self, start: Any, name: str, error: type[ServiceError] = ServiceError) -> None:
        self._kind = error
        self.mailbox = Mailbox(1 << 62)
        self._room = threading.Semaphore(_AHEAD)
        self._closed = threading.Event()
        self._error: BaseException | None = None
        self._start = start
        self._name = name
        threading.Thread(target=self._run, name="hornbeam-standalone", daemon=True).start()

    def take(self) -> Any:
        packed = self.mailbox.take_packed()
        if packed is None:
            return NOTHING
        if packed[:1] == _VALUE:
            self._room.release()
            return _unpacked(packed[1:])
        self.mailbox.put("", packed)  # whoever asks again
        if packed == _ERROR and self._error is not None:
            raise self._error
        return END

    def close(self) -> None:
        self._closed.set()
        self._room.release()

    def _run(self) -> None:
        last = _END
        try:
            made = self._start()
            if isinstance(made, AsyncIterator) or inspect.isawaitable(made):
                asyncio.run(self._take_async(made))
            else:
                self._take(made)
        except BaseException as error:
            self._error = _remote(error, self._kind)
            last = _ERROR
        self.mailbox.put("", last)

    def _take(self, source: Any) -> None:
        if not isinstance(source, Iterator):
            kind = type(source).__qualname__
            raise TypeError(f"{self._name} has no stream of values but a {kind}: await it")
        try:
            for value in source:
                if not self._put(value):
                    return
        finally:
            if isinstance(source, Generator):
                source.close()

    async def _take_async(self, source: Any) -> None:
        if inspect.isawaitable(source):
            source = await source
        async with contextlib.aclosing(source):
            async for value in source:
                # The loop is this stream's own.
                if not self._put(value):
                    return

    def _put(self, value: Any) -> bool:
        self._room.acquire()
        if self._closed.is_set():
            return False
        self.mailbox.put("", _VALUE + _packed(value, "the result"))
        return True


async def _awaited(value: Any) -> Any:
    return await value


def _seconds(asked: ServiceRequest) -> float | None:
    return None if asked.timeout_ms is None else asked.timeout_ms / 1000


def _remote(error: BaseException, remote: type[ServiceError]) -> Exception:
    if isinstance(error, HookNotFoundError):
        return error
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return remote(name, str(error), "".join(traceback.format_exception(error)))


def travelled(value: Any, name: str) -> Any:
    """A value as it arrives elsewhere."""
    return _unpacked(_packed(value, name))


def _packed(value: Any, name: str) -> bytes:
    # Needs msgpack, which an import of this package does not.
    from hornbeam_worker import envelope

    return envelope.join(envelope.pack(value, name))


def _unpacked(packed: bytes) -> Any:
    from hornbeam_worker import envelope

    return envelope.unpack(memoryview(packed))
