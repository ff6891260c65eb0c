"""What locks, semaphores and elections send, checked. Called by: `_locks`, `_leader`."""

from __future__ import annotations

import itertools
import math
from typing import Final

from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang._requests import Request

__all__ = ["Asked", "holders", "leave", "lost", "release"]

# hornbeam_cluster_leases: bytes of a name. hornbeam_lock: seconds of a lease, places.
_MAX_NAME: Final = 512
_MIN_TTL: Final = 1
_MAX_TTL: Final = 86400
_MAX_LIMIT: Final = 1_000_000
_MAX_MS: Final = 0xFFFFFFFF

# Each tells one claim of this process from the others.
_numbers: Final = itertools.count(1)


class Asked:
    """A claim as it is asked for, any number of times."""

    __slots__ = ("kind", "limit", "name", "timeout", "ttl")

    def __init__(self, kind: str, name: str, limit: int, ttl: float, timeout: float | None) -> None:
        self.kind = kind
        self.name = _name(name)
        self.limit = _limit(limit)
        self.ttl = _ttl(ttl)
        self.timeout = _timeout(timeout)

    def acquire(self) -> tuple[int, Request]:
        """The number of a new claim, and what asks for it."""
        number = next(_numbers)
        arguments = [self.kind, self.name, self.limit, self.ttl, self.timeout, number]
        return number, (OPERATIONS["lock_acquire"], arguments)


def release(number: int) -> Request:
    return OPERATIONS["lock_release"], [number]


def leave(number: int) -> Request:
    return OPERATIONS["lock_leave"], [number]


def lost(number: int) -> Request:
    return OPERATIONS["lock_lost"], [number]


def holders(asked: Asked) -> Request:
    return OPERATIONS["lock_holders"], [asked.kind, asked.name]


def _name(name: str) -> str:
    if type(name) is not str:
        raise TypeError(f"name must be a str, not {name!r}")
    size = len(name.encode("utf-8", "surrogatepass"))
    if not 0 < size <= _MAX_NAME:
        raise ValueError(f"name must have 1 to {_MAX_NAME} bytes, not {size}")
    return name


def _limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise TypeError(f"limit must be an int, not {limit!r}")
    if not 1 <= limit <= _MAX_LIMIT:
        raise ValueError(f"limit must be from 1 to {_MAX_LIMIT}, not {limit}")
    return limit


def _number(what: str, seconds: float) -> float:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, not {seconds!r}")
    return seconds


def _ttl(ttl: float) -> int:
    if not _MIN_TTL <= _number("ttl", ttl) <= _MAX_TTL:
        raise ValueError(f"ttl must be from {_MIN_TTL} to {_MAX_TTL} seconds, not {ttl!r}")
    return round(ttl * 1000)


def _timeout(timeout: float | None) -> int | None:
    if timeout is None:
        return None
    if not (_number("timeout", timeout) >= 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
    return min(_MAX_MS, math.ceil(timeout * 1000))
