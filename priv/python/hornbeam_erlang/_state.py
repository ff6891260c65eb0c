"""The shared state: keys and values in Erlang's memory (ETS), the same for all workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hornbeam_erlang._client import ABSENT, call

__all__ = [
    "state_decr", "state_delete", "state_get", "state_get_multi", "state_incr", "state_keys",
    "state_set",
]  # fmt: skip


def state_get(key: Any, default: Any = None) -> Any:
    """The value of a key, or `default` when there is none or it has expired."""
    value = call("state_get", key)
    return default if value is ABSENT else value


def state_set(key: Any, value: Any, ttl: float | None = None) -> None:
    """Stores a value; with `ttl` it expires after so many seconds. TypeError for what cannot
    travel.
    """
    call("state_set", key, value, _milliseconds(ttl))


def state_delete(key: Any) -> bool:
    """Deletes a key; whether there was one."""
    return bool(call("state_delete", key))


def state_incr(key: Any, delta: int = 1, ttl: float | None = None) -> int:
    """Adds to a counter (0 where there is none) and returns the sum; exact whoever else counts.

    `ttl`, in seconds, holds when this call makes the counter. TypeError when the value is not an
    integer.
    """
    value: int = call("state_incr", key, delta, _milliseconds(ttl))
    return value


def state_decr(key: Any, delta: int = 1) -> int:
    """Subtracts from a counter and returns the difference."""
    return state_incr(key, -delta)


def state_get_multi(keys: Iterable[Any]) -> dict[Any, Any]:
    """The values of several keys in one call; None for those that are missing."""
    values: dict[Any, Any] = call("state_get_multi", list(keys))
    return values


def state_keys(prefix: str | None = None) -> list[Any]:
    """All keys, or the str keys that begin with `prefix`. Walks the whole table."""
    keys: list[Any] = call("state_keys", prefix)
    return keys


def _milliseconds(ttl: float | None) -> int | None:
    if ttl is None:
        return None
    if ttl <= 0:
        raise ValueError(f"ttl must be more than 0 seconds, not {ttl!r}")
    return max(1, round(ttl * 1000))
