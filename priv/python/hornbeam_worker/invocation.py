"""One call of a Python function from Erlang (`hornbeam:call`); hornbeam_call has the form of the
frames.

Called by `server` for an INVOKE frame, also while the loop's thread waits for a call of its own; so
nothing of the application's runs in `start`. An async function whose module was imported before
runs in the loop, as a task that a DISCONNECT (Erlang has given up) cancels. Whatever else is called
in a thread, which imports the module too; what it returns to await is awaited in the loop. A
background task is a call of the function that it names (hornbeam_erlang._run).

    made ──▶ in the loop ──▶ finished
      └──▶ in a thread ──▶ finished
              └─ an awaitable ─▶ in the loop ──▶ finished
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

from hornbeam_erlang import _run
from hornbeam_erlang._names import find, known
from hornbeam_worker import frames, values
from hornbeam_worker.host import Host
from hornbeam_worker.loader import application_traceback

__all__ = ["Invocation", "find", "raised"]

# The first byte of a RESULT frame.
_RETURNED: Final = b"\x01"
_RAISED: Final = b"\x03"
# A longer text of an exception is cut.
_LONGEST: Final = 65_536
# A call of more bytes is unpacked in a thread.
_SMALL: Final = 65_536
_TASK: Final = f"{_run.__name__}:{_run.run.__name__}"


class Invocation:
    """Runs one function and sends what it returns or raises."""

    def __init__(self, server: Host, stream: int, payload: bytes) -> None:
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._stream = stream
        self._payload = payload
        self._call: Any = None  # [target, arguments, keyword arguments], once it is unpacked
        self._given_up = False

    def about(self) -> str:
        """As `Stream` has it."""
        return f"call of {self._call[0]}" if self._call else "call"

    def start(self) -> None:
        """Begins; in the loop's thread."""
        if len(self._payload) > _SMALL:
            self._server.threads.run(self._in_thread)
            return
        try:
            self._call = values.unpack(self._payload)
            coroutine = _coroutine(*self._call)
        except Exception as error:
            self._send_error(error)
            self._server.finished(self._stream)
            return
        if coroutine is None:
            self._server.threads.run(self._in_thread)
        else:
            self._await(coroutine)

    def on_frame(self, kind: int, _payload: bytes) -> None:
        """A frame of this stream."""
        if kind == frames.DISCONNECT:
            self.on_disconnect()

    def on_disconnect(self) -> None:
        """Erlang waits no longer. A thread goes on, and what it returns is dropped."""
        if self.task is not None:
            self.task.cancel()
        elif not self._given_up:
            self._given_up = True
            self._send_error(asyncio.CancelledError())
            self._server.finished(self._stream)

    def _in_thread(self) -> None:
        left: Awaitable[Any] | None = None
        try:
            target, arguments, keywords = self._call or values.unpack(self._payload)
            function = _run.run if target == _TASK else find(target)
            value = function(*arguments, **keywords)
            if inspect.isawaitable(value):
                left = value
            else:
                self._send(_RETURNED + values.pack_argument("the result", value))
        except BaseException as error:  # also SystemExit: it ends this call, not the thread
            self._send_error(error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker ends
            self._server.loop.call_soon_threadsafe(self._settle, left)

    def _settle(self, left: Awaitable[Any] | None) -> None:
        """The thread has finished: with None, or with what is left to await."""
        if self._given_up:
            if inspect.iscoroutine(left):
                left.close()  # it has not begun
        elif left is None:
            self._server.finished(self._stream)
        else:
            self._await(left)

    def _await(self, left: Awaitable[Any]) -> None:
        self.task = self._server.loop.create_task(self._in_loop(left))
        # Not in the task: one that is cancelled before it has begun never runs.
        self.task.add_done_callback(lambda _task: self._ended(left))

    def _ended(self, left: Awaitable[Any]) -> None:
        if inspect.iscoroutine(left):
            left.close()
        self._server.finished(self._stream)

    async def _in_loop(self, left: Awaitable[Any]) -> None:
        try:
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


def _coroutine(target: str, arguments: Any, keywords: Any) -> Coroutine[Any, Any, Any] | None:
    """The call of an async function; None for any other, and while its module is not imported."""
    if target == _TASK:
        return _run.coroutine(arguments)
    function = known(target)
    if inspect.iscoroutinefunction(function):
        coroutine: Coroutine[Any, Any, Any] = function(*arguments, **keywords)
        return coroutine
    return None


def raised(error: BaseException) -> bytes:
    """An exception as a RESULT frame has it: class, text and traceback."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    texts = [name, str(error), application_traceback(error)]
    clean = [text.encode("utf-8", "backslashreplace").decode()[:_LONGEST] for text in texts]
    return values.pack(clean)
