"""The lifespan protocol: once per worker, in the loop that serves its requests.

Source: ASGI, Lifespan protocol 2.0. `auto`: an exception (or a return) before the application has
answered the start-up means that it does not support lifespan, and the worker goes on without; `on`:
that is a start-up error; `startup.failed` is one in both.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Literal

from hornbeam_worker import logged
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.loader import application_traceback

__all__ = ["Lifespan"]

logger = logging.getLogger("hornbeam.asgi")

Mode = Literal["auto", "on", "off"]


class Lifespan:
    """Runs the application's lifespan; `state` is what it put into `scope["state"]`."""

    def __init__(self, app: Callable[..., Any], mode: Mode) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[str | None] | None = None  # None, or the failure's message
        self._stopped: asyncio.Future[str | None] | None = None

    async def startup(self) -> None:
        """Returns when the application is ready; StartFailure when it says that it cannot be."""
        if self._mode == "off":
            return
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._task = loop.create_task(self._run(), name="hornbeam-lifespan")
        self._events.put_nowait({"type": "lifespan.startup"})
        await _either(self._task, self._started)
        if self._started.done():
            message = self._started.result()
            if message is not None:
                raise StartFailure(FailureKind.LIFESPAN_FAILED, message or "(no message)")
            return
        self._unsupported(self._task)

    def _unsupported(self, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if self._mode == "on":
            text = application_traceback(error) if error else "it returned without an answer"
            raise StartFailure(FailureKind.LIFESPAN_FAILED, text)
        logger.debug("the application does not support lifespan", exc_info=error)
        self._task = None

    async def shutdown(self) -> None:
        """Tells the application that the worker ends; waits for its answer. Errors are logged."""
        if self._task is None or self._task.done() or self._stopped is None:
            return
        self._events.put_nowait({"type": "lifespan.shutdown"})
        await _either(self._task, self._stopped)
        if self._stopped.done() and (message := self._stopped.result()) is not None:
            logger.error("the application's lifespan shutdown failed: %s", message)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._events.get, self._send)
        except Exception as error:
            if self._started is None or not self._started.done():
                raise  # startup() decides what it means
            logged.error(logger, "exception in the application's lifespan", of=error)

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        failure = str(message.get("message", ""))
        if kind == "lifespan.startup.complete":
            self._answer(self._started, None, kind)
        elif kind == "lifespan.startup.failed":
            self._answer(self._started, failure, kind)
        elif kind == "lifespan.shutdown.complete":
            self._answer(self._stopped, None, kind)
        elif kind == "lifespan.shutdown.failed":
            self._answer(self._stopped, failure, kind)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r} in lifespan")

    def _answer(
        self, future: asyncio.Future[str | None] | None, result: str | None, kind: str
    ) -> None:
        if future is None or future.done():
            raise RuntimeError(f"unexpected ASGI message {kind!r}: it was sent before")
        future.set_result(result)


async def _either(task: asyncio.Task[None], answer: asyncio.Future[str | None]) -> None:
    both: list[asyncio.Future[Any]] = [task, answer]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
