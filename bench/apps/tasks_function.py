"""The task of bench/tasks.py: it notes how long after it was spawned it began."""

from __future__ import annotations

import functools
import os
import time


@functools.cache
def _file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(path: str, spawned: float) -> None:
    """A line in one write, so lines of several processes do not mix."""
    os.write(_file(path), f"{time.time() - spawned:.6f}\n".encode())
