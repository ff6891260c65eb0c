"""The replicated state in the stand-in: a cluster of one, in this process alone. Called by:
`_standalone`, with its lock held."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._cluster_changes import KEYS

__all__ = ["Cluster"]

_NEVER: Final = math.inf


class _Entry:
    """A value, its revision, and when it expires (seconds of the stand-in's clock)."""

    __slots__ = ("ends", "revision", "value")

    def __init__(self, value: Any, revision: int, ends: float) -> None:
        self.value = value
        self.revision = revision
        self.ends = ends


class Cluster:
    """Keys by their packed form, which compares exactly."""

    def __init__(
        self,
        pack: Callable[[Any], bytes],
        unpack: Callable[[bytes], Any],
        now: Callable[[], float],
        tell: Callable[[str, Any], object],
    ) -> None:
        self._pack = pack
        self._unpack = unpack
        self._now = now
        self._tell = tell
        self._entries: dict[bytes, _Entry] = {}
        self._revision = 0

    def _find(self, key: Any) -> _Entry | None:
        packed = self._pack(key)
        entry = self._entries.get(packed)
        if entry is not None and entry.ends <= self._now():
            self._remove(key)
            return None
        return entry

    def _put(self, key: Any, value: Any, ends: float) -> None:
        self._revision += 1
        self._entries[self._pack(key)] = _Entry(value, self._revision, ends)
        if isinstance(key, str):
            self._tell(KEYS + key, ["put", key, value, self._revision])

    def _remove(self, key: Any) -> None:
        self._revision += 1
        del self._entries[self._pack(key)]
        if isinstance(key, str):
            self._tell(KEYS + key, ["delete", key, None, self._revision])

    def _ends(self, ttl: int | None) -> float:
        return _NEVER if ttl is None else self._now() + ttl / 1000

    def on_cluster_get(self, key: Any, _local: bool) -> Any:
        entry = self._find(key)
        return ABSENT if entry is None else entry.value

    def on_cluster_read(self, key: Any) -> Any:
        entry = self._find(key)
        return ABSENT if entry is None else [entry.value, entry.revision]

    def on_cluster_get_multi(self, keys: list[Any], _local: bool) -> list[Any]:
        return [None if entry is None else entry.value for entry in map(self._find, keys)]

    def on_cluster_set(self, key: Any, value: Any, ttl: int | None) -> None:
        self._put(key, value, self._ends(ttl))

    def on_cluster_add(self, key: Any, value: Any, ttl: int | None) -> bool:
        if self._find(key) is not None:
            return False
        self._put(key, value, self._ends(ttl))
        return True

    def on_cluster_cas(self, key: Any, old: Any, new: Any) -> bool:
        entry = self._find(key)
        if entry is None or self._pack(entry.value) != self._pack(old):
            return False
        self._put(key, new, entry.ends)
        return True

    def on_cluster_replace(self, key: Any, revision: int, value: Any, ttl: int | None) -> bool:
        entry = self._find(key)
        if (0 if entry is None else entry.revision) != revision:
            return False
        kept = _NEVER if entry is None else entry.ends
        self._put(key, value, kept if ttl is None else self._ends(ttl))
        return True

    def on_cluster_incr(self, key: Any, delta: float, ttl: int | None) -> float:
        entry = self._find(key)
        if entry is None:
            self._put(key, delta, self._ends(ttl))
            return delta
        if type(entry.value) not in (int, float):
            raise TypeError("the stored value is not a number")
        try:
            total: float = entry.value + delta
            in_range = type(total) is int or math.isfinite(total)
        except OverflowError:
            in_range = False
        if not in_range:
            raise ValueError("the sum is out of the range of a float")
        self._put(key, total, entry.ends)
        return total

    def on_cluster_pop(self, key: Any) -> Any:
        entry = self._find(key)
        if entry is None:
            return ABSENT
        self._remove(key)
        return entry.value

    def on_cluster_delete(self, key: Any) -> bool:
        return self.on_cluster_pop(key) is not ABSENT

    def on_cluster_touch(self, key: Any, ttl: int | None) -> bool:
        entry = self._find(key)
        if entry is None:
            return False
        entry.ends = self._ends(ttl)
        return True

    def on_cluster_page(
        self, prefix: str | bytes | None, after: list[Any], limit: int, _local: bool
    ) -> list[Any]:
        keys = sorted(map(self._unpack, list(self._entries)), key=_order)
        found: list[list[Any]] = []
        for key in keys:
            if after and _order(key) <= _order(after[0]):
                continue
            if _begins(key, prefix):
                entry = self._find(key)
                if entry is not None and len(found) == limit:
                    return [found, [found[-1][0]]]
                if entry is not None:
                    found.append([key, entry.value, entry.revision])
        return [found, []]

    def on_cluster_info(self) -> dict[str, Any]:
        node = "nonode@nohost"
        members = [node]
        return {
            "node": node, "phase": "founded", "id": "STANDIN0", "members": members,
            "leader": node, "quorum": True,
        }  # fmt: skip


def _begins(key: Any, prefix: str | bytes | None) -> bool:
    if isinstance(prefix, str):
        return isinstance(key, str) and key.startswith(prefix)
    return prefix is None or (isinstance(key, bytes) and key.startswith(prefix))


def _order(key: Any) -> tuple[int, bytes]:
    """As Erlang's members order keys: others, bytes, texts."""
    if isinstance(key, str):
        return 2, key.encode("utf-8", "surrogatepass")
    if isinstance(key, bytes):
        return 0, key
    return 1, repr(key).encode()
