"""What a worker allocates and keeps: tracemalloc for some seconds.

Called by `diagnose`, in a thread of its own. tracemalloc makes each allocation dearer while it
runs; what the process had before is not known to it, so only what is new is told.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import Final

__all__ = ["grown"]

_FRAMES: Final = 10
_MOST: Final = 25
_SHOWN_FRAMES: Final = 5


def grown(seconds: float) -> str:
    """What was allocated meanwhile and is still there, the largest first."""
    is_own = not tracemalloc.is_tracing()
    if is_own:
        tracemalloc.start(_FRAMES)
    try:
        before = tracemalloc.take_snapshot()
        time.sleep(seconds)
        after = tracemalloc.take_snapshot()
    finally:
        if is_own:
            tracemalloc.stop()
    own = (tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, __file__))
    rows = after.filter_traces(own).compare_to(before.filter_traces(own), "traceback")
    rows = [row for row in rows if row.size_diff > 0]
    rows.sort(key=lambda row: row.size_diff, reverse=True)
    total = sum(row.size_diff for row in rows)
    lines = [
        f"{_size(total)} more than {seconds:g} s ago, of {len(rows)} places; "
        "the largest, the innermost line first:"
    ]
    for row in rows[:_MOST]:
        lines.append(f"\n{_size(row.size_diff)} in {row.count_diff:+d} objects")
        frames = list(reversed(row.traceback))[:_SHOWN_FRAMES]
        lines += [f'  File "{frame.filename}", line {frame.lineno}' for frame in frames]
    return "\n".join(lines) + "\n"


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count} bytes"
    return f"{count / 1000:.1f} kB" if count < 10_000_000 else f"{count / 1_000_000:.1f} MB"
