"""What the functions of the replicated state send, and what their answers mean. Called by:
`_cluster_state`, `_cluster_aio`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hornbeam_erlang import _requests as requests
from hornbeam_erlang._cluster_changes import KEYS, MISSED
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang._requests import Request

__all__ = [
    "PAGE", "add", "cas", "delete", "get", "get_multi", "incr", "info", "page", "pop", "read",
    "replace", "set_", "topics", "touch",
]  # fmt: skip

# hornbeam_cluster_watch
_MAX_WATCHED: Final = 1024
# Entries of one page, which is no longer than a MiB or so.
PAGE: Final = 500


def get(key: Any, local: bool) -> Request:
    return OPERATIONS["cluster_get"], [key, bool(local)]


def get_multi(keys: Iterable[Any], local: bool) -> Request:
    return OPERATIONS["cluster_get_multi"], [list(keys), bool(local)]


def read(key: Any) -> Request:
    return OPERATIONS["cluster_read"], [key]


def set_(key: Any, value: Any, ttl: float | None) -> Request:
    return OPERATIONS["cluster_set"], [key, value, requests.ttl_ms(ttl)]


def add(key: Any, value: Any, ttl: float | None) -> Request:
    return OPERATIONS["cluster_add"], [key, value, requests.ttl_ms(ttl)]


def cas(key: Any, old: Any, new: Any) -> Request:
    return OPERATIONS["cluster_cas"], [key, old, new]


def replace(key: Any, revision: int, value: Any, ttl: float | None) -> Request:
    if isinstance(revision, bool) or not isinstance(revision, int):
        raise TypeError(f"revision must be an int, not {revision!r}")
    if revision < 0:
        raise ValueError(f"revision must not be less than 0, not {revision}")
    return OPERATIONS["cluster_replace"], [key, revision, value, requests.ttl_ms(ttl)]


def incr(key: Any, delta: float, ttl: float | None) -> Request:
    _, arguments = requests.state_incr(key, delta, ttl)
    return OPERATIONS["cluster_incr"], arguments


def pop(key: Any) -> Request:
    return OPERATIONS["cluster_pop"], [key]


def delete(key: Any) -> Request:
    return OPERATIONS["cluster_delete"], [key]


def touch(key: Any, ttl: float | None) -> Request:
    return OPERATIONS["cluster_touch"], [key, requests.ttl_ms(ttl)]


def page(prefix: str | bytes | None, after: list[Any], local: bool) -> Request:
    _, [checked] = requests.state_keys(prefix)
    return OPERATIONS["cluster_page"], [checked, after, PAGE, bool(local)]


def info() -> Request:
    return OPERATIONS["cluster_info"], []


def topics(watched: str) -> tuple[str, str]:
    """What a watcher of a key, or of a pattern, subscribes to."""
    if type(watched) is not str:
        raise TypeError(f"what is watched must be a str, not {watched!r}")
    size = len(watched.encode("utf-8", "surrogatepass"))
    if size > _MAX_WATCHED:
        raise ValueError(f"a key of {size} bytes: those of {_MAX_WATCHED} at most can be watched")
    requests.subscribe(KEYS + watched)
    return KEYS + watched, MISSED
