"""One call of a Python function from Erlang (`hornbeam:call`); hornbeam_call has the form of the
frames.

Called by `server` for an INVOKE frame, also while the loop's thread waits for a call of its own; so
nothing of the application's runs in `start`. A plain function runs in a thread, which imports its
module too. An async one runs in the loop, as a task that a DISCONNECT (Erlang has given up)
cancels.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable
from typing import Any, Final

from hornbeam_erlang._names import find
from hornbeam_worker import frames, values
from hornbeam_worker.host import Host
from hornbeam_worker.loader import application_traceback

__all__ = ["Invocation", "find", "raised"]

# The first byte of a RESULT frame.
_RETURNED: Final = b"\x01"
_RAISED: Final = b"\x03"
# A longer text of an exception is cut.
_LONGEST: Final = 65_536


class Invocation:
    """Runs one function and sends what it returns or raises."""

    def __init__(self, server: Host, stream: int, payload: bytes) -> None:
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._stream = stream
        self._payload = payload
        # Settled when the thread has finished: with None, or with what is left for the loop to
        # await.
        self._left: asyncio.Future[Awaitable[Any] | None] = server.loop.create_future()

    def start(self) -> None:
        """Begins; in the loop's thread."""
        self._server.threads.run(self._in_thread)
        self.task = self._server.loop.create_task(self._in_loop())
        # Not in the task: one that is cancelled before it has begun never runs.
        self.task.add_done_callback(lambda _task: self._server.finished(self._stream))

    def on_frame(self, kind: int, _payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.DISCONNECT:
            self.on_disconnect()

    def on_disconnect(self) -> None:
        """Erlang waits no longer."""
        if self.task is not None:
            self.task.cancel()

    def _in_thread(self) -> None:
        left: Awaitable[Any] | None = None
        try:
            target, arguments, keywords = values.unpack(self._payload)
            value = find(target)(*arguments, **keywords)
            if inspect.isawaitable(value):
                left = value
            else:
                self._send(_RETURNED + values.pack_argument("the result", value))
        except BaseException as error:  # also SystemExit: it ends this call, not the thread
            self._send_error(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
            self._server.loop.call_soon_threadsafe(self._settle, left)

    def _settle(self, left: Awaitable[Any] | None) -> None:
        if not self._left.done():
            self._left.set_result(left)
        elif inspect.iscoroutine(left):
            left.close()  # cancelled meanwhile; it has not begun

    async def _in_loop(self) -> None:
        try:
            left = await self._left
            if left is not None:
                self._send(_RETURNED + values.pack_argument("the result", await left))
        except asyncio.CancelledError as error:
            self._send_error(error)
            raise
        except Exception as error:
            self._send_error(error)

    def _send_error(self, error: BaseException) -> None:
        self._send(_RAISED + raised(error))

    def _send(self, result: bytes) -> None:
        if len(result) > frames.MAX_SIZE - 64:
            raise ValueError(f"a result of {len(result)} bytes cannot travel at once")
        frame = frames.encode(frames.RESULT, self._stream, result)
        self._server.transport.send_threadsafe(frame)


def raised(error: BaseException) -> bytes:
    """An exception as a RESULT frame has it: class, text and traceback."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    texts = [name, str(error), application_traceback(error)]
    clean = [text.encode("utf-8", "backslashreplace").decode()[:_LONGEST] for text in texts]
    return values.pack(clean)
