"""Python's logging records, sent to the OTP logger.

The handler sits on the root logger, as `logging.basicConfig` would put one there; an application
that configures its own handlers keeps them. Records go out at once, from whatever thread.
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

    def __init__(self, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises (logging's own contract); what cannot be formatted goes to `handleError`."""
        try:
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
            self._send(frames.encode(frames.LOG, 0, msgpack.packb(fields)))
        except Exception:
            self.handleError(record)

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


def install(level: str, send: Callable[[bytes], None]) -> None:
    """Adds the handler to the root logger and sets its level."""
    root = logging.getLogger()
    root.addHandler(ErlangHandler(send))
    root.setLevel(LEVELS[level])
