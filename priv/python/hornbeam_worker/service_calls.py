"""Calls of services from this worker: requests and their answers, one or many.

Called by `hornbeam_erlang` (`_services`), through `calls.Calls`; by `hook_calls`. Calls `envelope`;
`calls` has the numbers and the ways to wait.

    CALL     operation:u8, msgpack [timeout in ms or nil, service, method, envelope as a bin 32]
    REPLY    status:u8 (0 the value, or the end of a stream; 3 a value of a stream; 1 an error),
             envelope as a bin 32

What is long goes out in parts and is not copied. Values of a stream are taken by `taken` calls, a
quarter of a window at a time (`credit`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from hornbeam_erlang import _trace
from hornbeam_erlang._backend import END, NOTHING, ServiceRequest
from hornbeam_erlang._hub import Mailbox
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker import credit, envelope, frames, values

__all__ = ["Asker", "Feed", "arguments", "frame", "framed", "value"]

_STATUS_MORE: Final = 3
# Of a stream: no limit but the window's.
_UNBOUNDED: Final = 1 << 62


class Asker(Protocol):
    """What `calls.Calls` has for this."""

    window: int

    def drop(self, number: int) -> None: ...
    def post(self, operation: int, arguments: list[Any]) -> None: ...


def frame(number: int, operation: str, asked: ServiceRequest) -> list[envelope.Part]:
    """A CALL frame, in one part where none is large."""
    packed = envelope.pack(arguments(asked.args, asked.kwargs), f"{asked.service}.{asked.method}()")
    return framed(number, operation, [asked.timeout_ms, asked.service, asked.method], packed)


def arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """What a call is made with, and where something is traced, of which span it is a child."""
    parent = _trace.traceparent()
    return [list(args), kwargs] if parent is None else [list(args), kwargs, parent]


def framed(
    number: int, operation: str, names: list[Any], packed: list[envelope.Part]
) -> list[envelope.Part]:
    """The CALL frame of an operation whose last argument is an envelope."""
    size = sum(map(len, packed))
    array = bytes([0x91 + len(names)]) + b"".join(map(values.pack, names))
    front = bytes([OPERATIONS[operation]]) + array + b"\xc6" + size.to_bytes(4, "big")
    head = frames.call_head(number, len(front) + size) + front
    return [head + packed[0], *packed[1:]]


def value(payload: bytes) -> Any:
    """Of a reply without an error."""
    return envelope.unpack(memoryview(payload)[frames.ENVELOPE_AT :])


class Feed:
    """The values of one stream, as they come."""

    def __init__(self, calls: Asker, error: Any) -> None:
        self.mailbox = Mailbox(_UNBOUNDED)
        self.number = 0
        self._calls = calls
        self._error = error
        self._taken = 0
        self._over = False

    def take(self) -> Any:
        """The next value; NOTHING if none is there yet, END behind the last one; or raises why
        there is none."""
        payload = self.mailbox.take_packed()
        if payload is None:
            if self.mailbox.closed and not self._over:
                self._over = True
                raise ConnectionError("the Erlang side has gone")
            return END if self._over else NOTHING
        if payload[0] == _STATUS_MORE:
            self._took(len(payload) - frames.ENVELOPE_AT)
            return value(payload)
        self._over = True
        if payload[0]:
            self._calls.drop(self.number)  # it may have been an answer that was dropped
            self._error(payload)
        return END

    def close(self) -> None:
        """Nobody wants more. Takes no lock, so a finalizer may call it."""
        if not self._over:
            self._over = True
            self._calls.drop(self.number)

    def _took(self, size: int) -> None:
        self._taken += credit.message(size)
        if credit.is_due(self._taken, self._calls.window):
            self._calls.post(OPERATIONS["taken"], [self.number, self._taken])
            self._taken = 0
