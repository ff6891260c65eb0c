"""The trace of what runs now (W3C Trace Context): taken on by calls on its behalf and by log lines.

Set by `hornbeam_worker` for a request, a call of a service's or a hook's, a task; read by what
makes such calls, and by `hornbeam_worker.logs`. It holds for the thread, or the task and what it
starts.

Where the application uses OpenTelemetry its current span is what counts, and what comes here from
another process is its parent. OpenTelemetry is not imported for that: where nobody has imported it
there is none.
"""

from __future__ import annotations

import contextvars
import sys
from types import ModuleType, TracebackType
from typing import Any, Final, NamedTuple

__all__ = ["LENGTH", "TraceIds", "current", "joined", "trace_ids", "traceparent"]

# As the field traceparent has it, of the server's form: well-formed. Most requests never ask, so
# they have the very object that their headers have.
current: contextvars.ContextVar[bytes | None] = contextvars.ContextVar(
    "hornbeam_traceparent", default=None
)
LENGTH: Final = 55


def traceparent() -> str | None:
    """What a request to another server says of its parent, in the header `traceparent`; None
    where nothing is traced."""
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        span = api.get_current_span().get_span_context()
        if span.is_valid:
            return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags) & 3:02x}"
    parent = current.get()
    return None if parent is None else parent.decode("latin-1")


class TraceIds(NamedTuple):
    """What a traceparent says: hexadecimal digits, and whether spans are sent."""

    trace_id: str
    span_id: str
    sampled: bool


def trace_ids() -> TraceIds | None:
    """The ids of the trace and of the span that `traceparent()` names; None where nothing is
    traced."""
    parent = traceparent()
    if parent is None:
        return None
    # The last digit of the flags is odd.
    return TraceIds(parent[3:35], parent[36:52], parent[54] in "13579bdf")


class joined:
    """For the length of a `with` what runs is a part of that trace; None: of the one it is in."""

    __slots__ = ("_attached", "_parent", "_token")

    def __init__(self, parent: object) -> None:
        fits = isinstance(parent, str) and len(parent) == LENGTH
        self._parent = parent if fits and isinstance(parent, str) else None
        self._token: contextvars.Token[bytes | None] | None = None
        self._attached: Any = None

    def __enter__(self) -> None:
        if self._parent is not None:
            self._token = current.set(self._parent.encode("latin-1"))
            if (api := sys.modules.get("opentelemetry.trace")) is not None:
                self._attached = _attach(api, self._parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._attached is not None:
            sys.modules["opentelemetry.context"].detach(self._attached)
        if self._token is not None:
            current.reset(self._token)


def _attach(api: ModuleType, parent: str) -> Any:
    """As the remote parent of spans."""
    remote = api.SpanContext(
        int(parent[3:35], 16), int(parent[36:52], 16), True, api.TraceFlags(int(parent[53:55], 16))
    )
    span = api.set_span_in_context(api.NonRecordingSpan(remote))
    return sys.modules["opentelemetry.context"].attach(span)
