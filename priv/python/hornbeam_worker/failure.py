"""Why a worker cannot start: the kinds that `hornbeam_frame:failure/2` knows."""

from __future__ import annotations

import enum
from typing import Final

from hornbeam_worker import frames

__all__ = ["FAILED", "FailureKind", "StartFailure"]

# The exit status of a worker that has said why it cannot start.
FAILED: Final = 3
# Of a text, its end: a traceback's last line says what happened.
LONGEST: Final = 65_536


class FailureKind(enum.IntEnum):
    """The first byte of a `failed` frame; each is an error of `hornbeam:start/2` of its own."""

    MSGPACK_MISSING = 1
    MODULE_NOT_FOUND = 2
    ATTRIBUTE_MISSING = 3
    IMPORT_FAILED = 4
    LIFESPAN_FAILED = 5
    NOT_CALLABLE = 6
    WORKER_FAILED = 7
    PYTHON_UNSUPPORTED = 8
    FACTORY_FAILED = 9
    NOT_ASGI = 10
    LOG_CONFIG_FAILED = 11
    CHANNELS_FAILED = 12


class StartFailure(Exception):
    """The worker cannot start; `text` is for a person."""

    def __init__(self, kind: FailureKind, text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text

    def frame(self) -> bytes:
        """The `failed` frame that says so."""
        text = self.text[-LONGEST:].encode("utf-8", "backslashreplace")
        return frames.encode(frames.FAILED, 0, bytes([self.kind]) + text)
