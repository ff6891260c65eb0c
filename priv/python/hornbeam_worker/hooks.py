"""The hooks that this worker handles, as `performance` runs them.

Called by `server` for a PERFORM frame whose target is "name NUL action"
(hornbeam_hook_run). Calls `hornbeam_erlang` for the handlers that the application has registered.
"""

from __future__ import annotations

import inspect
from functools import partial

from hornbeam_erlang._client import backend
from hornbeam_worker.performance import Method

__all__ = ["NotRegisteredError", "find"]


class NotRegisteredError(LookupError):
    """This process has just unregistered the hook; hornbeam_hook_run knows the name."""


def find(target: str) -> Method:
    """What a hook's call runs."""
    name, _, action = target.partition("\0")
    try:
        function = backend().hooks.find(name, action)
    except KeyError:
        raise NotRegisteredError(name) from None
    inner = function.func if isinstance(function, partial) else function
    if not inspect.isroutine(inner):
        inner = getattr(type(inner), "__call__", inner)  # noqa: B004  (its own __call__ is run)
    is_async = inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner)
    return Method(function, is_async, None)
