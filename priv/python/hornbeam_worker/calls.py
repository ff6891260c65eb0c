"""Calls from Python to Erlang: numbers them, sends them, and brings each reply to its caller.

Called by `hornbeam_erlang` (through its `_client`). A call is a frame {operation:u8, msgpack
array}; the reply is {status:u8, msgpack value}. In the loop's thread a synchronous call reads the
pipe until its reply has come; in any other thread it waits for the loop to bring it.
"""

from __future__ import annotations

import itertools
import threading
from typing import Any, Final

from hornbeam_erlang._client import ABSENT
from hornbeam_worker import frames, values
from hornbeam_worker.transport import Transport

__all__ = ["Calls"]

_OK: Final = 0
_ABSENT_STATUS: Final = 2


class _Call:
    """A call that waits for its reply; other threads than the loop's wait for `event`."""

    __slots__ = ("event", "reply")

    def __init__(self, event: threading.Event | None) -> None:
        self.event = event
        self.reply: bytes | None = None


class Calls:
    """The calls of one worker that wait for a reply."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._loop_thread = threading.get_ident()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Call] = {}

    def call(self, operation: int, arguments: list[Any]) -> Any:
        """Sends a call and returns its value or ABSENT. For the loop's thread and any other."""
        packed = values.pack(arguments)
        number = next(self._numbers) & 0xFFFFFFFF
        frame = frames.encode(frames.CALL, number, bytes([operation]) + packed)
        if threading.get_ident() == self._loop_thread:
            call = _Call(None)
            self._waiting[number] = call
            self._transport.send(frame)
            self._transport.wait_in_loop(lambda: call.reply is not None)
        else:
            call = _Call(threading.Event())
            self._waiting[number] = call
            self._transport.send_threadsafe(frame)
            assert call.event is not None
            call.event.wait()
        return _value(call.reply)

    def on_reply(self, number: int, payload: bytes) -> None:
        """A REPLY frame has come; in the loop's thread."""
        call = self._waiting.pop(number, None)
        if call is not None:
            call.reply = payload
            if call.event is not None:
                call.event.set()

    def fail_all(self) -> None:
        """The Erlang side has gone: nobody will answer any more."""
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            if call.event is not None:
                call.event.set()


def _value(reply: bytes | None) -> Any:
    if reply is None:
        raise ConnectionError("the Erlang side has gone")
    status = reply[0]
    if status == _OK:
        return values.unpack(reply[1:])
    if status == _ABSENT_STATUS:
        return ABSENT
    kind, text = values.unpack(reply[1:])
    if kind == "type_error":
        raise TypeError(text)
    raise RuntimeError(text)
