"""What a worker does right now, as text: the stack of every thread and of every asyncio task.

Called by `diagnose`, in the loop's thread.

asyncio itself has of a task that waits the outermost frame only; here the stack goes down to what
is awaited, through coroutines, generators and what they wrap.
"""

from __future__ import annotations

import asyncio
import linecache
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final

from hornbeam_worker.host import Stream
from hornbeam_worker.logged import printable

__all__ = ["of_process", "of_stream"]

# Of one stack; what lies between is left out.
_DEEPEST: Final = 60
_MOST_TASKS: Final = 500
_MOST_LINES: Final = 20_000


def of_process(streams: Mapping[int, Stream], running: Sequence[tuple[int, Stream]]) -> str:
    """All threads, then all tasks. `running`: what threads of a WSGI application have, by ident."""
    lines: list[str] = []
    for line in (*_threads(dict(running)), *_tasks(streams)):
        if len(lines) == _MOST_LINES:
            lines.append("[cut]")
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def of_stream(stream: Stream, running: Sequence[tuple[int, Stream]]) -> str:
    """Where one stream is: its task, or the thread that has it; "" if it waits for either."""
    if stream.task is not None:
        return "\n".join(_task_lines(stream.task))
    current = sys._current_frames()
    frames = [current.get(ident) for ident, other in running if other is stream]
    return "\n".join(_lines(_outer_first(frame)) for frame in frames if frame is not None)


def _threads(running: dict[int, Stream]) -> Iterator[str]:
    own = threading.get_ident()
    current = sys._current_frames()
    known = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in sorted(current.items(), key=lambda item: item[0] != own):
        thread = known.get(ident)
        name = f'"{thread.name}"' if thread else "of unknown name"
        what = f": {printable(running[ident].about())}" if ident in running else ""
        if ident == own:
            yield f"thread {name}: the event loop, which answers this"
        else:
            yield f"thread {name}{what}"
            yield _lines(_outer_first(frame))
        yield ""


def _tasks(streams: Mapping[int, Stream]) -> Iterator[str]:
    abouts = {
        id(stream.task): printable(stream.about()) for stream in streams.values() if stream.task
    }
    tasks = asyncio.all_tasks()
    for number, task in enumerate(sorted(tasks, key=lambda task: id(task) not in abouts)):
        if number == _MOST_TASKS:
            yield f"and {len(tasks) - number} more tasks"
            return
        what = f": {abouts[id(task)]}" if id(task) in abouts else ""
        yield f'task "{task.get_name()}"{what}'
        yield from _task_lines(task)
        yield ""


def _task_lines(task: asyncio.Task[Any]) -> Iterator[str]:
    frames, last = _awaited(task.get_coro())
    if frames:
        yield _lines(frames)
    last = getattr(task, "_fut_waiter", None) or last
    if last is not None:
        yield f"  waits for {_shown(last)}"


def _awaited(awaitable: object) -> tuple[list[FrameType], object]:
    """The frames from the coroutine inward, and what is at the end, which has none."""
    frames: list[FrameType] = []
    at: object = awaitable
    while at is not None and len(frames) < 1000:
        frame, after = _inner(at)
        if frame is None and after is None:
            return frames, at
        if frame is not None:
            frames.append(frame)
        at = after
    return frames, None


def _inner(awaitable: object) -> tuple[FrameType | None, object]:
    for prefix, awaited in (("cr", "await"), ("gi", "yieldfrom"), ("ag", "await")):
        frame = getattr(awaitable, f"{prefix}_frame", None)
        if frame is not None:
            return frame, getattr(awaitable, f"{prefix}_{awaited}", None)
    return None, None


def _shown(awaitable: object) -> str:
    try:
        text = repr(awaitable)
    except Exception as error:  # of the application's
        text = f"{type(awaitable).__name__} (its repr: {type(error).__name__})"
    return text if len(text) <= 300 else text[:300] + " [cut]"


def _outer_first(frame: FrameType) -> list[FrameType]:
    frames: list[FrameType] = []
    at: FrameType | None = frame
    while at is not None:
        frames.append(at)
        at = at.f_back
    return frames[::-1]


def _lines(frames: list[FrameType]) -> str:
    if len(frames) > _DEEPEST:
        half = _DEEPEST // 2
        left = len(frames) - 2 * half
        parts = [*map(_line, frames[:half]), f"  [{left} more]", *map(_line, frames[-half:])]
        return "\n".join(parts)
    return "\n".join(map(_line, frames))


def _line(frame: FrameType) -> str:
    code = frame.f_code
    number = frame.f_lineno or code.co_firstlineno
    where = f'  File "{code.co_filename}", line {number}, in {code.co_name}'
    source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    return f"{where}\n    {source}" if source else where
