"""The object of a service pool: made, its methods found by name, ended.

Called by `server`, in a worker that is told to run a service. Calls `loader` (the only code that
imports applications), `batches`.

The object is made by calling the target, a class or a factory, with nothing; an async factory is
awaited. If it is a context manager (`__aenter__`, else `__enter__`) it is entered, and what that
returns is the service; left at the end. Otherwise `aclose()`, else `close()`, is called at the end,
and is no method of the service. What raises at the start is why the worker does not start.

Methods: what can be called of the object, without an underscore in front. They are looked up once.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, Final

from hornbeam_erlang._batched import batching
from hornbeam_worker import loader
from hornbeam_worker.batches import Batcher
from hornbeam_worker.failure import FailureKind, StartFailure
from hornbeam_worker.host import Host
from hornbeam_worker.performance import Method

__all__ = ["Service", "start"]

logger = logging.getLogger("hornbeam.service")

_ENDS: Final = ("aclose", "close")


class Service:
    """A service that runs."""

    def __init__(self, server: Host, made: Any, end: Callable[[], Any] | None, limit: int) -> None:
        self._end = end
        self._methods = {
            name: _method(server, function, limit)
            for name, function in _public(made)
            if end is None or getattr(end, "__name__", "") != name
        }

    def find(self, name: str) -> Method:
        """The method with that name; AttributeError."""
        try:
            return self._methods[name]
        except KeyError:
            known = ", ".join(sorted(self._methods)) or "none"
            raise AttributeError(f'no method "{name}"; there are: {known}') from None

    async def close(self) -> None:
        """Ends the object."""
        if self._end is not None:
            try:
                ended = self._end()
                if inspect.isawaitable(ended):
                    await ended
            except Exception:
                logger.exception("the service could not be ended")


async def start(server: Host, target: str, concurrency: int) -> Service:
    """Makes the object; StartFailure."""
    made = loader.make(target)
    try:
        if inspect.isawaitable(made):
            made = await made
        kind = type(made)
        if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
            manager, made = made, await made.__aenter__()
            return Service(server, made, lambda: manager.__aexit__(None, None, None), concurrency)
        if hasattr(kind, "__enter__") and hasattr(kind, "__exit__"):
            manager, made = made, made.__enter__()
            return Service(server, made, lambda: manager.__exit__(None, None, None), concurrency)
    except BaseException as error:  # SystemExit and KeyboardInterrupt of the application, too
        text = loader.application_traceback(error)
        raise StartFailure(FailureKind.FACTORY_FAILED, text) from None
    ends = (getattr(made, name, None) for name in _ENDS)
    return Service(server, made, next(filter(callable, ends), None), concurrency)


def _public(made: Any) -> list[tuple[str, Callable[..., Any]]]:
    """Without a look at properties, which would run code."""
    names = [name for name in dir(made) if not name.startswith("_")]
    plain = [n for n in names if not isinstance(inspect.getattr_static(made, n), property)]
    found = [(name, getattr(made, name)) for name in plain]
    return [(name, function) for name, function in found if callable(function)]


def _method(server: Host, function: Callable[..., Any], limit: int) -> Method:
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    wanted = batching(function)
    if wanted is None:
        return Method(function, is_async, None)
    size = min(wanted.max_size, limit)
    wait = wanted.max_wait_ms / 1000
    batcher = Batcher(server, function, is_async=is_async, max_size=size, max_wait=wait)
    return Method(function, is_async, batcher)
