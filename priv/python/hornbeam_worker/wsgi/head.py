"""From what `start_response` is called with to what a RESPONSE frame has. Pure.

Called by `cycle`. Source: PEP 3333, "The start_response() Callable". Which bytes may stand in a
name and in a value is checked where all responses are (hornbeam_headers).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

import msgpack

from hornbeam_worker.asgi.http import MAX_HEAD

__all__ = ["Fields", "pack", "pairs", "status_code"]

logger = logging.getLogger("hornbeam.wsgi")

Fields = Iterable[tuple[str, str]]

# What is between two neighbours and not an application's to say (PEP 3333; RFC 9110, 7.6.1).
_HOP_BY_HOP: Final = frozenset(
    (
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization"),
        *("proxy-connection", "te", "trailer", "trailers", "transfer-encoding", "upgrade"),
    )
)
_told: set[str] = set()

# Names as they were met: lower case and bytes, None for those that are left out; only so many.
_names: dict[str, bytes | None] = {}
_NAMES_MOST: Final = 1000


def status_code(status: str) -> int:
    """The number that "200 OK" begins with."""
    if not isinstance(status, str):
        raise TypeError(f"a status is a str, not {type(status).__name__}")
    number = status[:3]
    if not (len(number) == 3 and number.isdecimal() and number.isascii()):
        raise ValueError(f'a status begins with three digits, like "200 OK": {status!r}')
    if status[3:4] not in ("", " ") or number < "200":
        raise ValueError(f'a final status, like "200 OK", is needed, not {status!r}')
    return int(number)


def pairs(fields: Fields) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """The fields as bytes, and what content-length says."""
    done: list[tuple[bytes, bytes]] = []
    length: int | None = None
    for name, value in fields:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"a field is two str, not {name!r}: {value!r}")
        known = _names[name] if name in _names else _name(name)
        if known is not None:
            done.append((known, value.encode("latin-1")))
            if known == b"content-length":
                length = _length(value)
    return done, length


def pack(fields: list[tuple[bytes, bytes]]) -> bytes:
    """As they stand in a frame."""
    packed: bytes = msgpack.packb(fields)
    if len(packed) > MAX_HEAD:
        raise ValueError(f"headers of {len(packed)} bytes; {MAX_HEAD} is the most")
    return packed


def _name(name: str) -> bytes | None:
    lower = name.lower()
    known = None if lower in _HOP_BY_HOP else lower.encode("latin-1")
    if known is None and lower not in _told:
        _told.add(lower)
        logger.warning("the response's field %s is the server's to say and is left out", lower)
    if len(_names) < _NAMES_MOST and len(name) < 100:
        _names[name] = known
    return known


def _length(value: str) -> int:
    text = value.strip()
    if not (text.isdecimal() and text.isascii()) or len(text) > 18:
        raise ValueError(f"content-length is a number, not {value!r}")
    return int(text)
