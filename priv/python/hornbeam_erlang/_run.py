"""Runs one attempt of a task in a worker; what a task can say and know of itself.

Called by Erlang (`hornbeam_task`), through an invocation: a coroutine in the worker's loop, a plain
function in a thread.
"""

from __future__ import annotations

import contextvars
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


# Of the task that runs: what a TaskContext is made of.
_current: contextvars.ContextVar[tuple[str, int, str | None, str] | None] = contextvars.ContextVar(
    "hornbeam_task", default=None
)


def current_task() -> TaskContext | None:
    """The task that the caller runs in, or None."""
    known = _current.get()
    return None if known is None else TaskContext(*known)


def run(
    function: str,
    task_id: str,
    attempt: int,
    unique: str | None,
    queue: str,
    call: list[Any],
    found: Callable[..., Any] | None = None,
) -> Any:
    """Calls the task's function, which is `found` where that is known; `call` is [function,
    arguments, keyword arguments], and the traceparent of who spawned it, where there is one."""
    _function, arguments, keywords, *rest = call
    context = (task_id, attempt, unique, queue)
    token = _current.set(context)
    try:
        if found is None:
            found = find(function)
        if rest:
            with joined(rest[0]):
                value = found(*arguments, **keywords)
        else:
            value = found(*arguments, **keywords)
    finally:
        _current.reset(token)
    return _awaited(value, context, rest) if inspect.isawaitable(value) else value


def coroutine(asked: list[Any]) -> Coroutine[Any, Any, Any] | None:
    """The same for an async function, without running anything of it; None for any other, which is
    added to what `run` is `asked`, and while its module is not imported."""
    function, task_id, attempt, unique, queue, call = asked
    found = known(function)
    if _is_plain(found):
        asked.append(found)
        return None
    if not inspect.iscoroutinefunction(found):
        return None
    _function, arguments, keywords, *rest = call
    return _awaited(found(*arguments, **keywords), (task_id, attempt, unique, queue), rest)


def _is_plain(found: object) -> bool:
    """Whether it is a function of `def` and nothing else: seen at a glance, unlike the rest."""
    return (
        type(found) is FunctionType
        and not found.__code__.co_flags & inspect.CO_COROUTINE
        and not found.__dict__
    )


async def _awaited(
    value: Awaitable[Any], context: tuple[str, int, str | None, str], rest: list[Any]
) -> Any:
    _current.set(context)
    with joined(rest[0] if rest else None):
        return await value
