"""Published messages from Erlang to the mailboxes of this worker.

Called by `server` for each EVENT frame (hornbeam_events has its form). Says from time to time how
much it has taken, so that Erlang stops sending to a worker whose loop is blocked.
"""

from __future__ import annotations

import struct
from typing import Final

from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker.calls import Calls

__all__ = ["Events"]

# Far below what Erlang sends without hearing of it (hornbeam_events), far above one at a time.
_TELL_COUNT: Final = 512
_TELL_BYTES: Final = 1_048_576
_HEAD: Final = struct.Struct(">IH")


class Events:
    """Takes EVENT frames."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._count = 0
        self._bytes = 0

    def on_event(self, payload: bytes) -> None:
        """Puts a message into the mailboxes that want it."""
        lost, size = _HEAD.unpack_from(payload)
        start = _HEAD.size + size
        topic = payload[_HEAD.size : start].decode("utf-8", "backslashreplace")
        self._calls.hub.deliver(topic, payload[start:], lost)
        self._count += 1
        self._bytes += len(payload)
        if self._count >= _TELL_COUNT or self._bytes >= _TELL_BYTES:
            self._calls.post(OPERATIONS["events_taken"], [self._count, self._bytes])
            self._count = self._bytes = 0
