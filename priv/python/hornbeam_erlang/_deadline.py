"""Until when the caller of what runs now waits: calls that are made on its behalf wait no longer.

Set by `hornbeam_worker.performance` around a service's method; read by `_services`. It holds for
the thread, or the task and what it starts.
"""

from __future__ import annotations

import contextvars
import time
from types import TracebackType

__all__ = ["limit_ms", "remaining", "until"]

# The longest time that Erlang's timers take.
_MAX_MS = 0xFFFFFFFF
# Monotonic seconds.
_deadline: contextvars.ContextVar[float | None] = contextvars.ContextVar(
    "hornbeam_deadline", default=None
)


class until:
    """For the length of a `with` this is the deadline; None: none."""

    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._token: contextvars.Token[float | None] | None = None

    def __enter__(self) -> None:
        self._token = _deadline.set(self._deadline)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            _deadline.reset(self._token)


def remaining() -> float | None:
    """How many seconds are left, 0 or more; None without a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def limit_ms(timeout: float | None, what: str) -> int | None:
    """How long a call may take that is made now, in ms: `timeout` seconds, and no longer than what
    is left. TimeoutError when nothing is; `what` names the call. None: no limit."""
    times = [t for t in (timeout, remaining()) if t is not None]
    if times and min(times) <= 0:
        raise TimeoutError(f"the time of the call that {what} is made for is over")
    return min(_MAX_MS, max(1, round(min(times) * 1000))) if times else None
