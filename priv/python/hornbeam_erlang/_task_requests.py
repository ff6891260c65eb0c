"""What the functions of tasks and schedules send, checked, and what their answers mean. Shared by
those that wait and their twins in `aio`."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TypedDict

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._errors import (
    TaskCancelledError,
    TaskFailedError,
    TaskNotFinishedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from hornbeam_erlang._names import path_of
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang._run import current_task
from hornbeam_erlang._trace import traceparent

Request = tuple[int, list[Any]]
Function = str | Callable[..., Any]
# Seconds, a text such as "1h30m", or a timedelta.
Duration = float | str | timedelta

FINAL: Final = frozenset(["done", "failed", "cancelled"])
_STATES: Final = ("pending", "running", "retrying", "done", "failed", "cancelled")
_MAX_MS: Final = 0xFFFFFFFF
_SPAWN: Final = OPERATIONS["task_spawn"]
_TEXT: Final = re.compile(
    r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?", re.ASCII
)
_UNITS: Final = (86_400_000, 3_600_000, 60_000, 1000, 1)


class TaskOptions(TypedDict, total=False):
    """What `spawn` takes besides the function and what it is called with."""

    retries: int
    backoff: Duration | Sequence[Duration]
    timeout: Duration | None
    unique: str | None
    delay: Duration
    priority: int
    queue: str
    durable: bool


class TaskInfo(TypedDict):
    """What there is to know of a task. Times are seconds since 1970.

    error   what the last attempt raised: the class's name, its text, the traceback
    """

    id: str
    function: str
    queue: str
    state: str
    priority: int
    unique: str | None
    durable: bool
    attempts: int
    retries: int
    created: float
    due: float
    started: float | None
    finished: float | None
    progress: Any
    error: tuple[str, str, str] | None


class TaskEvent(TypedDict):
    """A change of a task, as `task_events` tells it."""

    id: str
    state: str
    attempts: int
    progress: Any
    error: tuple[str, str, str] | None


def milliseconds(what: str, given: Duration) -> int:
    """A duration in milliseconds; errors call it `what`."""
    if isinstance(given, timedelta):
        given = given.total_seconds()
    if isinstance(given, str):
        match = _TEXT.fullmatch(given)
        if not given or match is None:
            raise ValueError(f'{what} must be like "90s", "5m" or "1h30m", not {given!r}')
        parts = zip(match.groups(), _UNITS, strict=True)
        return round(sum(float(part) * unit for part, unit in parts if part))
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"{what} must be seconds, a text or a timedelta, not {given!r}")
    if not (given >= 0 and math.isfinite(given)):
        raise ValueError(f"{what} must be 0 seconds or more, not {given!r}")
    return round(given * 1000)


def options(given: TaskOptions) -> dict[str, Any]:
    """Those options of a task that are given, as they travel; TypeError, ValueError for those that
    cannot be."""
    sent: dict[str, Any] = {}
    for name, value in given.items():
        if name not in _CHECKS:
            unknown = given.keys() - _CHECKS.keys()
            raise TypeError(f"a task takes no {', '.join(sorted(unknown))}")
        if (checked := _CHECKS[name](name, value)) is not None:
            sent[name] = checked
    return sent


def _whole(least: int, most: int) -> Callable[[str, Any], int]:
    def check(what: str, given: Any) -> int:
        if type(given) is not int:
            raise TypeError(f"{what} must be an int, not {given!r}")
        if not least <= given <= most:
            raise ValueError(f"{what} must be from {least} to {most}, not {given!r}")
        return given

    return check


def _text(what: str, given: Any) -> str | None:
    if given is not None and type(given) is not str:
        raise TypeError(f"{what} must be a str, not {given!r}")
    return given


def _name(what: str, given: Any) -> str:
    if not (text := _text(what, given)):
        raise ValueError(f"{what} must have a name")
    return text


def _backoff(what: str, given: Any) -> int | list[int]:
    if isinstance(given, (list, tuple)):
        return [milliseconds(what, time) for time in given]
    if not isinstance(given, (int, float, str, timedelta)):
        raise TypeError(f"{what} must be a duration or a list of them, not {given!r}")
    return milliseconds(what, given)


_CHECKS: Final[dict[str, Callable[[str, Any], Any]]] = {
    "retries": _whole(0, 1000),
    "priority": _whole(-100, 100),
    "unique": _text,
    "queue": _name,
    "backoff": _backoff,
    "timeout": lambda what, given: None if given is None else max(1, milliseconds(what, given)),
    "delay": milliseconds,
    "durable": lambda _what, given: True if given else None,
}


def body(path: str, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> bytes:
    """Function and arguments, and the traceparent where there is one; TypeError for what cannot
    travel."""
    whole: list[Any] = [path, list(args), dict(kwargs or {})]
    if (parent := traceparent()) is not None:
        whole.append(parent)
    return _pack()("args", whole)


@functools.cache
def _pack() -> Callable[[str, object], bytes]:
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    return values.pack_argument


def spawn(
    function: Function, args: Sequence[Any], kwargs: Mapping[str, Any] | None, given: TaskOptions
) -> Request:
    path = path_of(function)
    return _SPAWN, [path, body(path, args, kwargs), options(given)]


def spawned(answer: Any) -> str:
    """The id; TaskRefusedError."""
    accepted, *rest = answer
    if accepted:
        return str(rest[0])
    kind, text = rest
    if kind == "wrong":
        raise ValueError(text)
    raise TaskRefusedError(kind, text)


def of_id(operation: str, task: str, *rest: Any) -> Request:
    if type(task) is not str:
        raise TypeError(f"the id of a task is a str, not {task!r}")
    return OPERATIONS[operation], [task, *rest]


def wait(task: str, timeout: Duration | None) -> Request:
    limit = _MAX_MS if timeout is None else min(_MAX_MS, milliseconds("timeout", timeout))
    return of_id("task_await", task, limit)


def listing(state: str | None, queue: str | None, limit: int) -> Request:
    if state is not None and state not in _STATES:
        raise ValueError(f"state must be one of {', '.join(_STATES)}, not {state!r}")
    if type(limit) is not int or not 0 < limit <= 10_000:
        raise ValueError(f"limit must be an int from 1 to 10000, not {limit!r}")
    return OPERATIONS["task_list"], [state, queue, limit]


def progress(value: Any) -> Request:
    running = current_task()
    if running is None:
        raise RuntimeError("task_progress works in a task; this is none")
    return OPERATIONS["task_progress"], [running.id, value]


def info(answer: Any, task: str) -> TaskInfo:
    """TaskNotFoundError when there is no answer."""
    if answer is ABSENT:
        raise TaskNotFoundError(f"there is no task {task!r}, or it is forgotten")
    return _told(answer)


def infos(answer: Any) -> list[TaskInfo]:
    return [_told(each) for each in answer]


def _told(answer: Any) -> TaskInfo:
    if answer["error"] is not None:
        answer["error"] = tuple(answer["error"])
    told: TaskInfo = answer
    return told


def found(answer: Any, task: str) -> bool:
    if answer is ABSENT:
        raise TaskNotFoundError(f"there is no task {task!r}, or it is forgotten")
    return bool(answer)


def arguments(answer: Any, task: str) -> tuple[list[Any], dict[str, Any]]:
    if answer is ABSENT:
        raise TaskNotFoundError(f"there is no task {task!r}, or it is forgotten")
    _function, args, kwargs = answer
    return args, kwargs


def result(answer: Any, task: str) -> Any:
    """What the task returned, or an exception that says what became of it."""
    if answer is ABSENT:
        raise TaskNotFoundError(f"there is no task {task!r}, or it is forgotten")
    state, value = answer
    if state == "done":
        return value
    if state == "failed":
        raise TaskFailedError(*value)
    if state == "cancelled":
        raise TaskCancelledError(f"the task {task} was cancelled")
    raise TaskNotFinishedError(f"the task {task} is not over: it is {state}")


def event(told: Mapping[str, Any]) -> TaskEvent:
    error = told["error"]
    return {
        "id": told["id"],
        "state": told["state"],
        "attempts": told["attempts"],
        "progress": told["progress"],
        "error": None if error is None else (error[0], error[1], error[2]),
    }
