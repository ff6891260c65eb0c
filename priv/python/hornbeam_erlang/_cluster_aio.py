"""The replicated state to await: the twin of `_cluster_state`, with `watch`."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Any

from hornbeam_erlang import _cluster_requests as requests
from hornbeam_erlang import _pubsub
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import acall
from hornbeam_erlang._cluster_changes import Change, Versioned, change_of
from hornbeam_erlang._hub import QUEUE_SIZE

__all__ = ["AsyncClusterState", "Watch", "cluster_info", "cluster_state"]


async def cluster_info() -> dict[str, Any]:
    """This node in its cluster."""
    info: dict[str, Any] = await acall(*requests.info())
    return info


class Watch:
    """Changes of a key, or of all keys of a pattern: made by `cluster_state.watch`."""

    def __init__(self, watched: str, initial: bool, queue_size: int) -> None:
        self._watched = watched
        self._initial = initial
        self._events = _pubsub.Subscription(requests.topics(watched), queue_size)
        self._ready: deque[Change] = deque()
        self._seen: dict[str, int] = {}
        self._dropped = 0

    async def __aenter__(self) -> Watch:
        await self._events.__aenter__()
        if self._initial:
            try:
                await self._read()
            except BaseException:
                self._events.close()
                raise
        return self

    async def _read(self) -> None:
        """What is there: changes that come meanwhile are newer, or are known by their revision."""
        prefix, after, more = self._watched.removesuffix("*"), list[Any](), True
        exact = prefix == self._watched
        while more:
            entries, after = await acall(*requests.page(prefix, after, False))
            more = bool(after) and not exact
            for key, value, revision in entries:
                if not exact or key == prefix:
                    self._seen[key] = revision
                    self._ready.append(Change("put", key, value, revision))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.close()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> Change:
        while not self._ready:
            message = await self._events.receive()
            if message is None:
                raise StopAsyncIteration
            self._take(change_of(message[1]))
        return self._ready.popleft()

    def _take(self, change: Change) -> None:
        if self._events.dropped > self._dropped:
            self._dropped = self._events.dropped
            self._ready.append(Change("missed", None, None, 0))
        if change.key is None or self._seen.pop(change.key, 0) < change.revision:
            self._ready.append(change)


class AsyncClusterState:
    """See `hornbeam_erlang.ClusterState`: the same methods, to await; and `watch`."""

    __slots__ = ()

    async def get(self, key: Any, default: Any = None, *, local: bool = False) -> Any:
        """The value of a key, or `default`."""
        value = await acall(*requests.get(key, local))
        return default if value is ABSENT else value

    async def get_multi(self, keys: Iterable[Any], *, local: bool = False) -> dict[Any, Any]:
        """The values of several keys at one moment; None for those that are missing."""
        wanted = list(keys)
        return dict(zip(wanted, await acall(*requests.get_multi(wanted, local)), strict=True))

    async def read(self, key: Any) -> Versioned:
        """The value of a key with its revision, for `replace`."""
        found = await acall(*requests.read(key))
        return Versioned(None, 0) if found is ABSENT else Versioned(*found)

    async def set(self, key: Any, value: Any, ttl: float | None = None) -> None:
        """Stores a value; with `ttl` it expires after so many seconds, or a little later."""
        await acall(*requests.set_(key, value, ttl))

    put = set

    async def add(self, key: Any, value: Any, ttl: float | None = None) -> bool:
        """Stores a value unless the key has one; whether it did."""
        return bool(await acall(*requests.add(key, value, ttl)))

    async def cas(self, key: Any, old: Any, new: Any) -> bool:
        """Stores `new` if the value is exactly `old`; whether it did."""
        return bool(await acall(*requests.cas(key, old, new)))

    async def replace(self, key: Any, revision: int, value: Any, ttl: float | None = None) -> bool:
        """Stores a value if the key has had this revision since; whether it did."""
        return bool(await acall(*requests.replace(key, revision, value, ttl)))

    async def update(
        self,
        key: Any,
        function: Callable[[Any], Any],
        default: Any = None,
        ttl: float | None = None,
    ) -> Any:
        """Stores `function(value)` and returns it; called again when another was faster."""
        while True:
            value, revision = await self.read(key)
            new = function(value if revision else default)
            if await self.replace(key, revision, new, ttl):
                return new

    async def incr(self, key: Any, delta: float = 1, ttl: float | None = None) -> Any:
        """Adds to a number and returns the sum."""
        return await acall(*requests.incr(key, delta, ttl))

    async def decr(self, key: Any, delta: float = 1) -> Any:
        """Subtracts from a number and returns the difference."""
        return await self.incr(key, -delta)

    async def pop(self, key: Any, default: Any = None) -> Any:
        """Removes a key and returns its value, or `default`."""
        value = await acall(*requests.pop(key))
        return default if value is ABSENT else value

    async def delete(self, key: Any) -> bool:
        """Deletes a key; whether there was one."""
        return bool(await acall(*requests.delete(key)))

    async def touch(self, key: Any, ttl: float | None) -> bool:
        """Has a value expire after `ttl` seconds from now; False without one."""
        return bool(await acall(*requests.touch(key, ttl)))

    async def scan(
        self, prefix: str | bytes | None = None, *, local: bool = False
    ) -> AsyncIterator[tuple[Any, Any]]:
        """Keys and values in the order of the keys, page by page."""
        after: list[Any] = []
        while True:
            entries, after = await acall(*requests.page(prefix, after, local))
            for key, value, _ in entries:
                yield key, value
            if not after:
                return

    async def items(self, prefix: str | bytes | None = None, *, local: bool = False) -> list[Any]:
        """The pairs of `scan` as a list."""
        return [pair async for pair in self.scan(prefix, local=local)]

    async def keys(self, prefix: str | bytes | None = None, *, local: bool = False) -> list[Any]:
        """The keys of `scan`."""
        return [key async for key, _ in self.scan(prefix, local=local)]

    def watch(self, watched: str, *, initial: bool = False, queue_size: int = QUEUE_SIZE) -> Watch:
        """Changes of a key, or with a "*" at the end of all keys that begin with what is before it.

            async with aio.cluster_state.watch("user:*") as changes:
                async for kind, key, value, revision in changes: ...

        Each change of the cluster comes once, in order, as this node hears of it; or "missed" in
        its place: after the queue of `queue_size` was full, after this node has caught up by a
        snapshot. With `initial` the values that are there come first, as "put".
        """
        return Watch(watched, initial, queue_size)


cluster_state = AsyncClusterState()
