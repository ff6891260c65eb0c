"""`wsgi.errors`: what is written goes to the server's log, as records of "hornbeam.wsgi".

Each thread of `crew` has one. A record is what was written until `flush`, or until the request
ends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

__all__ = ["Errors"]

logger = logging.getLogger("hornbeam.wsgi")

# As much as a record of a log may be.
MOST: Final = 65_536


class Errors:
    """A stream of text, to write to."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def write(self, text: str) -> int:
        """Keeps it until `flush`, unless it is much."""
        if not isinstance(text, str):
            raise TypeError(f"wsgi.errors takes str, not {type(text).__name__}")
        self._parts.append(text)
        self._size += len(text)
        if self._size >= MOST:
            self.flush()
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As `write`, of each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Logs what was written."""
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            text = "".join(parts).rstrip("\n")
            if text:
                logger.error("%s", text)
