"""The shared state: keys and values in Erlang's memory (ETS), the same for all workers of the node.

Keys and values are None, bool, int, float, str, bytes, list, tuple and dict, nested as one likes,
and come back equal in value and type. Keys are compared exactly: 1, 1.0 and True are three keys.
Whatever cannot travel is a TypeError that names the part, and nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hornbeam_erlang import _requests as requests
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import call

__all__ = [
    "state_add", "state_cas", "state_decr", "state_delete", "state_get", "state_get_multi",
    "state_incr", "state_items", "state_keys", "state_pop", "state_set",
]  # fmt: skip


def state_get(key: Any, default: Any = None) -> Any:
    """The value of a key, or `default` when there is none or it has expired."""
    value = call(*requests.state_get(key))
    return default if value is ABSENT else value


def state_set(key: Any, value: Any, ttl: float | None = None) -> None:
    """Stores a value; with `ttl` it expires after so many seconds.

    TypeError for what cannot travel, ValueError for a ttl that is not more than 0 and for a value
    that is larger than the option `state_max_bytes`.
    """
    call(*requests.state_set(key, value, ttl))


def state_delete(key: Any) -> bool:
    """Deletes a key; whether there was one."""
    return bool(call(*requests.state_delete(key)))


def state_incr(key: Any, delta: float = 1, ttl: float | None = None) -> Any:
    """Adds to a number (0 where there is none) and returns the sum; exact whoever else counts.

    `ttl`, in seconds, holds when this call makes the number; later calls do not prolong it. An int
    and an int give an int, else the sum is a float. TypeError when the value is not a number,
    ValueError when the sum is out of the range of a float.
    """
    return call(*requests.state_incr(key, delta, ttl))


def state_decr(key: Any, delta: float = 1) -> Any:
    """Subtracts from a number and returns the difference; see `state_incr`."""
    return call(*requests.state_incr(key, -delta, None))


def state_get_multi(keys: Iterable[Any]) -> dict[Any, Any]:
    """The values of several keys in one call; None for those that are missing."""
    wanted = list(keys)
    return dict(zip(wanted, call(*requests.state_get_multi(wanted)), strict=True))


def state_keys(prefix: str | bytes | None = None) -> list[Any]:
    """All keys, or those str (bytes) keys that begin with `prefix`, in no order. Walks the whole
    table."""
    keys: list[Any] = call(*requests.state_keys(prefix))
    return keys


def state_items(prefix: str | bytes | None = None) -> list[tuple[Any, Any]]:
    """Keys and values of `state_keys(prefix)`, as pairs. Walks the whole table."""
    items: list[tuple[Any, Any]] = call(*requests.state_items(prefix))
    return items


def state_add(key: Any, value: Any, ttl: float | None = None) -> bool:
    """Stores a value unless the key has one; whether it did. Of many who try exactly one
    succeeds."""
    return bool(call(*requests.state_add(key, value, ttl)))


def state_cas(key: Any, old: Any, new: Any) -> bool:
    """Compare and set: stores `new` if the value is exactly `old` (1 is not 1.0); whether it did.

    Of many who try with the same `old` exactly one succeeds. The time of expiry stays. A missing
    key equals nothing, not even None: see `state_add`.
    """
    return bool(call(*requests.state_cas(key, old, new)))


def state_pop(key: Any, default: Any = None) -> Any:
    """Removes a key and returns its value, or `default`. Of many who try one gets the value."""
    value = call(*requests.state_pop(key))
    return default if value is ABSENT else value
