"""Runs one attempt of a task in a worker; what a task can say and know of itself.

Called by Erlang (`hornbeam_task`), through an invocation: a coroutine in the worker's loop, a plain
function in a thread.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from hornbeam_erlang._names import find, known
from hornbeam_erlang._trace import joined

__all__ = ["TaskContext", "coroutine", "current_task", "run"]


@dataclass(frozen=True)
class TaskContext:
    """The task that is running.

    attempt   1 at first; more after failures
    unique    the key that it was spawned with: with it, what the task does can be done once
    """

    id: str
    attempt: int
    unique: str | None
    queue: str


_current: contextvars.ContextVar[TaskContext | None] = contextvars.ContextVar(
    "hornbeam_task", default=None
)


def current_task() -> TaskContext | None:
    """The task that the caller runs in, or None."""
    return _current.get()


def run(
    function: str, task_id: str, attempt: int, unique: str | None, queue: str, body: bytes
) -> Any:
    """Calls the task's function; `body` is [function, arguments, keyword arguments], and the
    traceparent of who spawned it, where there is one."""
    context = TaskContext(task_id, attempt, unique, queue)
    arguments, keywords, parent = _unpacked(body)
    token = _current.set(context)
    try:
        if parent is None:
            value = find(function)(*arguments, **keywords)
        else:
            with joined(parent):
                value = find(function)(*arguments, **keywords)
    finally:
        _current.reset(token)
    return _awaited(value, context, parent) if inspect.isawaitable(value) else value


def coroutine(
    function: str, task_id: str, attempt: int, unique: str | None, queue: str, body: bytes
) -> Coroutine[Any, Any, Any] | None:
    """The same for an async function, without running anything of it; None for any other, and while
    its module is not imported."""
    found = known(function)
    if _is_plain(found) or not inspect.iscoroutinefunction(found):
        return None
    arguments, keywords, parent = _unpacked(body)
    context = TaskContext(task_id, attempt, unique, queue)
    return _awaited(found(*arguments, **keywords), context, parent)


def _is_plain(found: object) -> bool:
    """Whether it is a function of `def` and nothing else: seen at a glance, unlike the rest."""
    return (
        type(found) is FunctionType
        and not found.__code__.co_flags & inspect.CO_COROUTINE
        and not found.__dict__
    )


def _unpacked(body: bytes) -> tuple[list[Any], dict[str, Any], str | None]:
    _function, arguments, keywords, *parent = _unpack()(body)
    return arguments, keywords, parent[0] if parent else None


@functools.cache
def _unpack() -> Callable[[bytes], Any]:
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    return values.unpack


async def _awaited(value: Awaitable[Any], context: TaskContext, parent: str | None) -> Any:
    _current.set(context)
    with joined(parent):
        return await value
