"""A cache back end for Django on Erlang's shared state: one for all workers of the node.

int, float, str and bytes are kept as they are, of exactly these types; of everything else Django's
way is taken, a pickle, which is marked as one and read by this class alone. See docs/django.md.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from hornbeam_erlang import _requests as requests
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import acall, call
from hornbeam_erlang._operations import OPERATIONS
from hornbeam_erlang._requests import Request

__all__ = ["Cache"]

_PLAIN: Final = (int, float, str, bytes)
_PICKLE: Final = "pickle"


class Cache(BaseCache):  # type: ignore[misc]
    """`LOCATION` is the name: caches of one name are one. MAX_ENTRIES has no meaning here: the
    state's limits hold (state_max_bytes, state_max_entries)."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._prefix = f"django.cache:{location}:"

    # How a key, a value and a time are said to Erlang

    def _key(self, key: Any, version: int | None) -> str:
        return self._prefix + str(self.make_and_validate_key(key, version=version))

    def _ttl(self, timeout: Any) -> float | None:
        """Seconds from now, None for ever; 0 or less: it has expired already."""
        expires = self.get_backend_timeout(timeout)
        if expires is None:
            return None
        left = expires - time.time()
        # As long as Erlang's timers count; less than a millisecond is one.
        return 0.0 if left <= 0 else min(max(left, 0.001), 4_000_000.0)

    def _written(
        self, operation: str, key: Any, value: Any, timeout: Any, version: int | None
    ) -> tuple[str, Request | None]:
        """The key, and what is asked; None where the value would be gone at once."""
        made, ttl = self._key(key, version), self._ttl(timeout)
        packed = _pack(value)
        if ttl is not None and ttl <= 0:
            return made, None
        return made, getattr(requests, operation)(made, packed, ttl)

    def _touched(self, key: Any, timeout: Any, version: int | None) -> Request:
        made, ttl = self._key(key, version), self._ttl(timeout)
        if ttl is not None and ttl <= 0:
            return requests.state_delete(made)
        return OPERATIONS["state_touch"], [made, None if ttl is None else max(1, int(ttl * 1000))]

    # What waits

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return _value(call(*requests.state_get(self._key(key, version))), default)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        made, request = self._written("state_set", key, value, timeout, version)
        call(*(request or requests.state_delete(made)))

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        made, request = self._written("state_add", key, value, timeout, version)
        if request is None:
            return call(*requests.state_get(made)) is ABSENT
        return bool(call(*request))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(call(*self._touched(key, timeout, version)))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return bool(call(*requests.state_delete(self._key(key, version))))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return call(*requests.state_get(self._key(key, version))) is not ABSENT

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        """Exact over all workers; the time of expiry stays. ValueError where there is none."""
        made = self._key(key, version)
        while (before := call(*requests.state_get(made))) is not ABSENT:
            new = _value(before, None) + delta
            if call(*requests.state_cas(made, before, _pack(new))):
                return new
        raise ValueError(f"Key '{key}' not found")

    def get_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        made = {self._key(key, version): key for key in keys}
        return _found(made, call(*requests.state_get_multi(made)))

    def clear(self) -> None:
        """All that is in this cache, of every version and KEY_PREFIX; other state stays."""
        for key in call(*requests.state_keys(self._prefix)):
            call(*requests.state_delete(key))

    # The awaitable twins; those that are not here run the ones above in a thread

    async def aget(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return _value(await acall(*requests.state_get(self._key(key, version))), default)

    async def aset(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        made, request = self._written("state_set", key, value, timeout, version)
        await acall(*(request or requests.state_delete(made)))

    async def aadd(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        made, request = self._written("state_add", key, value, timeout, version)
        if request is None:
            return await acall(*requests.state_get(made)) is ABSENT
        return bool(await acall(*request))

    async def atouch(
        self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return bool(await acall(*self._touched(key, timeout, version)))

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        return bool(await acall(*requests.state_delete(self._key(key, version))))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        return await acall(*requests.state_get(self._key(key, version))) is not ABSENT

    async def aincr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        made = self._key(key, version)
        while (before := await acall(*requests.state_get(made))) is not ABSENT:
            new = _value(before, None) + delta
            if await acall(*requests.state_cas(made, before, _pack(new))):
                return new
        raise ValueError(f"Key '{key}' not found")

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        made = {self._key(key, version): key for key in keys}
        return _found(made, await acall(*requests.state_get_multi(made)))


def _pack(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    return (_PICKLE, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))


def _value(kept: Any, default: Any) -> Any:
    if kept is ABSENT:
        return default
    return pickle.loads(kept[1]) if type(kept) is tuple else kept


def _found(made: Mapping[str, Any], values: list[Any]) -> dict[Any, Any]:
    """None stands for what is not there: a None that is kept is a pickle."""
    pairs = zip(made.values(), values, strict=True)
    return {key: _value(value, None) for key, value in pairs if value is not None}
