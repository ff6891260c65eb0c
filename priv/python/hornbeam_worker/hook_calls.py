"""Calls of hooks from this worker: requests; their answers are those of services.

Called by `calls.Calls`, for `hornbeam_erlang`. Calls `envelope`, `service_calls`.

    CALL     operation:u8, msgpack [timeout in ms or nil, node or nil, name, action, envelope as a
             bin 32]
    REPLY    as of a service (`service_calls`); of hook_start the id

A function of Erlang's gets buffers as values that Erlang has. Only where there are any, it is asked
who handles the hook.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from hornbeam_erlang._backend import HookRequest
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker import envelope, service_calls

__all__ = ["frame"]

_NO_BUFFERS: Final = b"\0\0\0\0"


class Asker(Protocol):
    """What `calls.Calls` has for this."""

    def call(self, operation: int, arguments: list[Any]) -> Any: ...


def frame(calls: Asker, number: int, asked: HookRequest) -> list[Any]:
    """A CALL frame, in one part where none is large."""
    arguments = service_calls.arguments(asked.args, asked.kwargs)
    what = f'the hook "{asked.name}"'
    packed = envelope.pack(arguments, what)
    if packed[0][:4] != _NO_BUFFERS and asked.node is None and _is_erlangs(calls, asked.name):
        packed = [_NO_BUFFERS + envelope.pack_for_erlang(arguments, what)]
    head = [asked.timeout_ms, asked.node, asked.name, asked.action]
    return service_calls.framed(number, asked.operation, head, packed)


def _is_erlangs(calls: Asker, name: str) -> bool:
    return bool(calls.call(OPERATIONS["hook_language"], [name]) == "erlang")
