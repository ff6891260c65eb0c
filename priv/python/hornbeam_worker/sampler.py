"""Where a worker spends its time: a thread that looks at all others a hundred times a second.

Called by `diagnose`. The result is in the collapsed form that flame graphs are made from: a line
for each stack that was seen, its frames from the outermost inward with ";" between them, and how
often it was. The first frame is the thread's; that of the event loop has the task that was running
behind it.

A thread that waits (in `select`, for a lock, for work) is not counted among the stacks: what is
looked for is what keeps it from waiting. How often all of them did is said as well. A sample needs
the interpreter's lock, so a C function that holds it for long is seen only when it is over.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread
import queue
import selectors
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path, PurePath
from types import CodeType, FrameType
from typing import Final

__all__ = ["sample"]

_INTERVAL: Final = 0.01
_DEEPEST: Final = 200
_MOST_STACKS: Final = 20_000
_HERE: Final = Path(__file__).parent
# Where a thread stands that has nothing to do: file and function of its innermost frame. Below
# `run` uvloop waits.
_WAITS: Final = frozenset(
    (
        (selectors.__file__, "select"),
        *((threading.__file__, name) for name in ("wait", "_wait_for_tstate_lock", "join")),
        (queue.__file__, "get"),
        (concurrent.futures.thread.__file__, "_worker"),
        (socket.__file__, "accept"),
        (str(_HERE / "wsgi" / "crew.py"), "_work"),
        (str(_HERE / "allocations.py"), "grown"),
        (str(_HERE / "threads.py"), "_next"),
        (str(_HERE / "orphan.py"), "_wait"),
        (str(_HERE / "server.py"), "run"),
    )
)


def sample(seconds: float, loop: asyncio.AbstractEventLoop, loop_thread: int) -> dict[str, object]:
    """Samples for so long, in the calling thread. `stacks` is the text, `samples` how often it
    looked, `busy` how many of these found a thread that did something."""
    own = threading.get_ident()
    names = _Names()
    stacks: Counter[str] = Counter()
    looks = busy = 0
    begin = time.monotonic()
    due = begin
    while (now := time.monotonic()) < begin + seconds:
        looks += 1
        found = False
        for ident, frame in sys._current_frames().items():
            if ident != own and not _waits(frame):
                found = True
                root = names.thread(ident)
                if ident == loop_thread:
                    root += _task_name(loop)
                _count(stacks, names.stack(root, frame))
        busy += found
        due = max(due + _INTERVAL, now)
        time.sleep(max(0.001, due - time.monotonic()))
    text = "".join(f"{stack} {count}\n" for stack, count in stacks.most_common())
    return {"stacks": text, "samples": looks, "busy": busy}


def _count(stacks: Counter[str], stack: str) -> None:
    if stack in stacks or len(stacks) < _MOST_STACKS:
        stacks[stack] += 1
    else:
        stacks["(more stacks than are kept)"] += 1


def _waits(frame: FrameType) -> bool:
    code = frame.f_code
    return (code.co_filename, code.co_name) in _WAITS


def _task_name(loop: asyncio.AbstractEventLoop) -> str:
    task = asyncio.current_task(loop)
    if task is None:
        return ""
    coroutine = task.get_coro()
    return f";task {_clean(getattr(coroutine, '__qualname__', type(coroutine).__name__))}"


class _Names:
    """How frames are called, found once for each code object."""

    def __init__(self) -> None:
        self._codes: dict[CodeType, str] = {}

    def thread(self, ident: int) -> str:
        """The name of a thread."""
        for thread in threading.enumerate():
            if thread.ident == ident:
                return _clean(thread.name)
        return "thread of unknown name"

    def stack(self, root: str, frame: FrameType) -> str:
        """One line, without its count."""
        names: list[str] = []
        at: FrameType | None = frame
        while at is not None and len(names) < _DEEPEST:
            names.append(self._name(at.f_code))
            at = at.f_back
        return ";".join((root, *reversed(names)))

    def _name(self, code: CodeType) -> str:
        name = self._codes.get(code)
        if name is None:
            function = getattr(code, "co_qualname", code.co_name)
            path = PurePath(code.co_filename)
            where = "/".join(path.parts[-2:])
            name = self._codes[code] = _clean(f"{function} ({where}:{code.co_firstlineno})")
        return name


def _clean(text: str) -> str:
    return text.replace(";", ",").replace("\n", " ")
