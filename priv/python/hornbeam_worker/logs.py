"""Python's logging records, sent to the OTP logger.

The handler sits on the root logger, as `logging.basicConfig` would put one there; an application
that configures its own handlers keeps them. Records go out at once, from whatever thread. While
there is no room on the way to Erlang they are dropped and counted, and the next one says how many.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

import msgpack

from hornbeam_worker import frames

__all__ = ["install", "request_id"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# A longer message or traceback is cut: a log is no channel for data.
LONGEST: Final = 65_536


# The id of the request that the running task answers, when the option request_id is on.
request_id: ContextVar[str | None] = ContextVar("hornbeam_request_id", default=None)


class ErlangHandler(logging.Handler):
    """Sends each record as a LOG frame: level, logger, message and traceback."""

    def __init__(
        self, send: Callable[[bytes], None], has_room: Callable[[], bool] = lambda: True
    ) -> None:
        super().__init__()
        self._send = send
        self._has_room = has_room
        self._dropped = 0  # guarded by the handler's own lock, under which `emit` is called

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises (logging's own contract); what cannot be formatted goes to `handleError`."""
        if not self._has_room():
            self._dropped += 1
            return
        try:
            if self._dropped:
                self._tell_dropped()
            fields: dict[str, Any] = {
                "level": record.levelno,
                "logger": _text(record.name),
                "message": _text(self.format_message(record)),
            }
            if (request := request_id.get()) is not None:
                fields["request_id"] = request
            trace = _traceback(record)
            if trace:
                fields["traceback"] = _text(trace)
            self._send_fields(fields)
        except Exception:
            self.handleError(record)

    def _tell_dropped(self) -> None:
        text = f"{self._dropped} log records were dropped: the server did not take them in time"
        self._dropped = 0
        self._send_fields({"level": logging.WARNING, "logger": "hornbeam", "message": text})

    def _send_fields(self, fields: dict[str, Any]) -> None:
        self._send(frames.encode(frames.LOG, 0, msgpack.packb(fields)))

    def format_message(self, record: logging.LogRecord) -> str:
        """The message alone, or what a formatter set by the application makes of the record."""
        return self.format(record) if self.formatter else record.getMessage()


def _traceback(record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        parts.append("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    elif record.exc_text:
        parts.append(record.exc_text)
    if record.stack_info:
        parts.append(record.stack_info)
    return "\n".join(parts)


def _text(text: str) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return clean if len(clean) <= LONGEST else clean[:LONGEST] + " [cut]"


def install(level: str, send: Callable[[bytes], None], has_room: Callable[[], bool]) -> None:
    """Adds the handler to the root logger and sets its level."""
    root = logging.getLogger()
    root.addHandler(ErlangHandler(send, has_room))
    root.setLevel(LEVELS[level])
