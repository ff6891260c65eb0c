"""The hooks that this process handles: what each name and action leads to.

A handler is a function, which is called with the action and the arguments; a class, of which one
object is made when it is registered; or an object, whose method has the action's name. An object
that has no such method but can be called itself is a function. Everything here may be called from
any thread.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any

from hornbeam_erlang._batched import batching

__all__ = ["Handlers"]


class Handlers:
    """The handlers of one process, by their names."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def add(self, name: str, handler: Any) -> Callable[[], None]:
        """Has a hook handled, from now on by this handler; returns what takes that back."""
        made = handler() if inspect.isclass(handler) else handler
        with self._lock:
            had, before = name in self._made, self._made.get(name)
            self._made[name] = made

        def take_back() -> None:
            with self._lock:
                if had:
                    self._made[name] = before
                else:
                    self._made.pop(name, None)

        return take_back

    def remove(self, name: str) -> bool:
        """The hook is handled no longer; whether it was."""
        with self._lock:
            had = name in self._made
            self._made.pop(name, None)
        return had

    def find(self, name: str, action: str) -> Callable[..., Any]:
        """What is called with the arguments; KeyError without a handler, AttributeError without
        such an action. Runs no property."""
        made = self._made[name]
        if inspect.isroutine(made) or isinstance(made, functools.partial):
            return functools.partial(made, action)
        found: Callable[..., Any] | None = None
        if not action.startswith("_"):
            static = inspect.getattr_static(made, action, None)
            found = None if isinstance(static, property) else getattr(made, action, None)
        if found is not None and callable(found):
            if batching(found) is not None:
                raise TypeError("batched methods are those of services (option services)")
            return found
        if callable(made):
            return functools.partial(made, action)
        raise AttributeError(f'the hook "{name}" has no action "{action}"')
