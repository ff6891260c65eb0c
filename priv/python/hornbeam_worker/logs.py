"""Python's logging records, sent to the OTP logger.

Two places have a handler of ours, and neither is the root logger, so that `logging.basicConfig` of
an application does what it does anywhere, and no record is shown by two handlers:

- the logger "hornbeam", for the server's own records. They go no further up, and a configuration
  that disables loggers that are there (dictConfig's default) leaves them. One that names the logger
  "hornbeam" is obeyed.
- `logging.lastResort`, for records that meet no handler at all: those of an application that
  configures nothing. As in Python's own, WARNING and up.

An application that wants its records in the server's log as well takes `handler()`, in a
configuration `"()": "hornbeam_worker.logs.handler"`. Records go out at once, from whatever thread.

How much may be on its way is bounded by a window (`Window`; the rule is `credit`'s), since the BEAM
reads whatever is written. Where an application logs faster than the BEAM takes it, whoever logs
waits, as it would for a terminal; not longer than `PATIENCE`, after which records are dropped and
counted until the BEAM goes on, and the next one says how many.

A forked child has the pipe of its parent, which must not hear two voices: it logs to standard
error. One that becomes a worker (`preload`) installs its own pipe.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, Protocol

import msgpack

from hornbeam_erlang import _trace
from hornbeam_worker import credit, frames

__all__ = ["Window", "handler", "install", "request_id"]

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
# The server's own loggers are this one and those below it.
OWN: Final = "hornbeam"
# A longer message or traceback is cut: a log is no channel for data.
LONGEST: Final = 65_536
# How long a record waits for the BEAM to take those before it, seconds.
PATIENCE: Final = 1.0

# The id of the request that the running task answers, when the option request_id is on.
request_id: ContextVar[str | None] = ContextVar("hornbeam_request_id", default=None)


class WaitInLoop(Protocol):
    """`Transport.wait_in_loop`."""

    def __call__(self, done: Callable[[], object], timeout: float | None = None) -> None: ...


class Window:
    """What of the records that were sent the BEAM has not taken yet. For any thread; made in the
    loop's, which alone reads the credit and reads it by itself while it waits."""

    def __init__(self, wait_in_loop: WaitInLoop, patience: float = PATIENCE) -> None:
        self._wait_in_loop = wait_in_loop
        self._patience = patience
        self._loop_thread = threading.get_ident()
        self._changed = threading.Condition()
        self._uncredited = 0
        self._in_vain = False  # somebody has waited, and there has been no credit since
        self._loop_waits = False

    def is_open(self) -> bool:
        """Whether a record may be sent."""
        return credit.may_send(self._uncredited, credit.log_window())

    def wait(self) -> bool:
        """Whether the next record may be sent; if not yet, returns when it may, or waiting is no
        use. Each of several threads may be told so of the same room: a record each is too much."""
        if self.is_open():
            return True
        if self._in_vain:
            return False
        if threading.get_ident() != self._loop_thread:
            with self._changed:
                self._in_vain = not self._changed.wait_for(self.is_open, self._patience)
            return not self._in_vain
        if self._loop_waits:  # what is read meanwhile logs as well
            return False
        self._loop_waits = True
        try:
            self._wait_in_loop(self.is_open, self._patience)
        except ConnectionError:
            pass  # the BEAM has gone; the loop hears of it
        finally:
            self._loop_waits = False
        self._in_vain = not self.is_open()
        return not self._in_vain

    def take(self, size: int) -> None:
        """A record of so many bytes goes out."""
        with self._changed:
            self._uncredited += credit.message(size)

    def on_credit(self, payload: bytes) -> None:
        """The BEAM has taken records that count so much."""
        with self._changed:
            self._uncredited -= int.from_bytes(payload, "big")
            self._in_vain = False
            self._changed.notify_all()


_handlers: list[ErlangHandler] = []


class ErlangHandler(logging.Handler):
    """Sends each record as a LOG frame: level, logger, message and traceback."""

    def __init__(self, send: Callable[[bytes], None], window: Window) -> None:
        super().__init__()
        self._send = send
        self._window = window
        self._dropped = 0  # guarded by the handler's own lock
        self._in_child: logging.Handler | None = None
        _handlers.append(self)
        os.register_at_fork(after_in_child=self._on_fork)

    def reconnect(self, send: Callable[[bytes], None], window: Window) -> None:
        """This process is a worker now, forked when its application had been imported."""
        self._send, self._window, self._in_child = send, window, None

    def another(self) -> ErlangHandler:
        """One more to the same place."""
        return ErlangHandler(self._send, self._window)

    def _on_fork(self) -> None:
        self._in_child = logging.StreamHandler()
        self._in_child.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def handle(self, record: logging.LogRecord) -> Any:
        """As in logging, where its type differs between versions of Python. Waits before the
        handler's lock is taken: the loop's thread, which reads the credit, may want that too."""
        if self._in_child is not None:
            return self._in_child.handle(record)
        if self._window.wait():
            return super().handle(record)
        self.acquire()
        self._dropped += 1
        self.release()
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises (logging's own contract); what cannot be formatted goes to `handleError`."""
        try:
            if self._dropped:
                self._tell_dropped()
            fields: dict[str, Any] = {
                "level": record.levelno,
                "logger": _text(record.name),
                "message": _text(self.format_message(record)),
                "pid": record.process or os.getpid(),
                "place": _text(f"{record.filename}:{record.lineno}"),
            }
            if (request := request_id.get()) is not None:
                fields["request_id"] = request
            if (trace := _trace.trace_ids()) is not None:
                fields["trace"] = trace[:2]
            if text := _traceback(record):
                fields["traceback"] = _text(text)
            self._send_fields(fields)
        except Exception:
            self.handleError(record)

    def _tell_dropped(self) -> None:
        text = f"{self._dropped} log records were dropped: the server did not take them in time"
        self._dropped = 0
        self._send_fields({"level": logging.WARNING, "logger": "hornbeam", "message": text})

    def _send_fields(self, fields: dict[str, Any]) -> None:
        payload = msgpack.packb(fields)
        self._window.take(len(payload))
        self._send(frames.encode(frames.LOG, 0, payload))

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


class OwnLogger(logging.Logger):
    """One of the server's: what disables the loggers that are there does not mean this one."""

    @property
    def disabled(self) -> bool:
        """Never."""
        return False

    @disabled.setter
    def disabled(self, _value: object) -> None:
        pass


class LastResort(logging.Handler):
    """Hands on what has met no handler, as Python's own prints it: WARNING and up."""

    def __init__(self, target: ErlangHandler) -> None:
        super().__init__(logging.WARNING)
        self._target = target

    def handle(self, record: logging.LogRecord) -> Any:
        """Without a lock of its own: `ErlangHandler.handle` says why."""
        return self._target.handle(record)


_installed: ErlangHandler | None = None


def handler() -> logging.Handler:
    """A new handler whose records go to the server's log, for an application's configuration."""
    if _installed is None:
        raise RuntimeError("only a worker of Hornbeam has a log to send records to")
    return _installed.another()


def install(level: str, send: Callable[[bytes], None], window: Window) -> None:
    """From now on; `level` is that of the logger "hornbeam"."""
    global _installed
    if _installed is not None:
        for one in _handlers:
            one.reconnect(send, window)
        return
    _installed = ErlangHandler(send, window)
    own = logging.getLogger(OWN)
    names = [name for name in logging.Logger.manager.loggerDict if name.startswith(f"{OWN}.")]
    for logger in (own, *map(logging.getLogger, names)):
        logger.__class__ = OwnLogger
    own.addHandler(_installed)
    own.setLevel(LEVELS[level])
    own.propagate = False
    logging.lastResort = LastResort(_installed)
