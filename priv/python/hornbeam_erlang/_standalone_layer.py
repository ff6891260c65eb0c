"""Channel layers in the stand-in: what `hornbeam_layer` does in Erlang, in this process alone.
Called by: `_standalone`, with its lock held, except `until_told`."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from hornbeam_erlang._backend import ABSENT

__all__ = ["Layers"]

Key = tuple[str, str]
Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[bool]"]


class Layers:
    """The queues of channels, who waits for one, the members of groups."""

    def __init__(self) -> None:
        self._queues: dict[Key, deque[tuple[float, bytes]]] = {}
        self._groups: dict[Key, dict[str, tuple[float, int]]] = {}
        self._waiting: dict[Key, list[Waiter]] = {}

    def on_layer_send(
        self, layer: str, channel: str, message: bytes, capacity: int, expiry: int
    ) -> bool:
        queue = self._fresh((layer, channel))
        if len(queue) >= capacity:
            return False
        queue.append((time.monotonic() + expiry / 1000, message))
        for loop, future in self._waiting.pop((layer, channel), []):
            if not loop.is_closed():
                loop.call_soon_threadsafe(_tell, future)
        return True

    def on_layer_take(self, layer: str, channel: str) -> object:
        queue = self._fresh((layer, channel))
        return queue.popleft()[1] if queue else ABSENT

    def wait(self, layer: str, channel: str) -> asyncio.Future[bool]:
        """Done when there is a message."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        if self._fresh((layer, channel)):
            future.set_result(True)
        else:
            self._waiting.setdefault((layer, channel), []).append((loop, future))
        return future

    def on_layer_forget(self, layer: str, channel: str, _token: int) -> None:
        waiting = self._waiting.get((layer, channel), [])
        waiting[:] = [(loop, future) for loop, future in waiting if not future.done()]

    def on_layer_group_add(
        self, layer: str, group: str, channel: str, expiry: int, capacity: int
    ) -> None:
        until = time.monotonic() + expiry / 1000
        self._groups.setdefault((layer, group), {})[channel] = (until, capacity)

    def on_layer_group_discard(self, layer: str, group: str, channel: str) -> None:
        self._groups.get((layer, group), {}).pop(channel, None)

    def on_layer_group_send(
        self, layer: str, group: str, message: bytes, expiry: int
    ) -> tuple[int, int]:
        now = time.monotonic()
        members = self._groups.get((layer, group), {})
        current = {name: capacity for name, (until, capacity) in members.items() if until > now}
        sent = [
            self.on_layer_send(layer, name, message, capacity, expiry)
            for name, capacity in current.items()
        ]
        return len(sent), sent.count(False)

    def on_layer_flush(self, layer: str) -> None:
        self._queues = {key: queue for key, queue in self._queues.items() if key[0] != layer}
        self._groups = {key: group for key, group in self._groups.items() if key[0] != layer}

    def on_layer_own(self, _layer: str, _prefix: str) -> None:
        return None

    def _fresh(self, key: Key) -> deque[tuple[float, bytes]]:
        queue = self._queues.setdefault(key, deque())
        while queue and queue[0][0] <= time.monotonic():
            queue.popleft()
        return queue


def _tell(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(True)
