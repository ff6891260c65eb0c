"""The subscriptions of this process: which mailbox gets what is published.

A worker gets each message once; here it is put into every mailbox that wants it, still packed, so
that each reader gets a value of its own. A mailbox holds `limit` messages: the next one pushes the
oldest out, and `dropped` counts. Everything here may be called from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

__all__ = ["QUEUE_SIZE", "Hub", "Mailbox", "ready", "wait_in_thread"]

QUEUE_SIZE = 1000


class Mailbox:
    """The queue of one subscription."""

    def __init__(self, limit: int = QUEUE_SIZE) -> None:
        if type(limit) is not int or limit < 1:
            raise ValueError(f"queue_size must be an int of at least 1, not {limit!r}")
        self.dropped = 0
        self.closed = False
        self._limit = limit
        self._items: deque[tuple[str, bytes]] = deque()
        self._wakers: dict[Callable[[], None], None] = {}
        self._lock = threading.Lock()

    def put(self, topic: str, packed: bytes, lost: int = 0) -> None:
        """Adds a message; `lost` were lost before it on the way."""
        with self._lock:
            self.dropped += lost
            if len(self._items) >= self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append((topic, packed))
            wakers, self._wakers = self._wakers, {}
        for wake in wakers:
            wake()

    def take(self) -> tuple[str, Any] | None:
        """The oldest message: topic and value."""
        from hornbeam_worker import (
            values,
        )  # needs msgpack, which an import of this package does not

        try:
            topic, packed = self._items.popleft()
        except IndexError:
            return None
        return topic, values.unpack(packed)

    def take_packed(self) -> bytes | None:
        """The oldest message as it came, without its topic."""
        try:
            return self._items.popleft()[1]
        except IndexError:
            return None

    def ready(self) -> bool:
        """Whether there is something to take, or never will be."""
        return bool(self._items) or self.closed

    def on_ready(self, wake: Callable[[], None]) -> bool:
        """Has `wake` called, once, when the mailbox is ready; False when it is so now."""
        with self._lock:
            if self._items or self.closed:
                return False
            self._wakers[wake] = None
            return True

    def forget(self, wake: Callable[[], None]) -> None:
        """Takes back `on_ready`."""
        with self._lock:
            self._wakers.pop(wake, None)

    def close(self) -> None:
        """Nothing more will come; what is there can still be taken."""
        with self._lock:
            self.closed = True
            wakers, self._wakers = self._wakers, {}
        for wake in wakers:
            wake()


class Hub:
    """Topics and patterns to the mailboxes that want them, each with how often it does.

    Each change costs the same however many topics and mailboxes there are. A message is looked up
    once for its topic and once for each length that patterns have, not once for each pattern.
    """

    def __init__(self) -> None:
        self._members: dict[str, dict[Mailbox, int]] = {}
        # The same, by mailbox: how often it has joined what.
        self._joined: dict[Mailbox, dict[str, int]] = {}
        # How many of the keys of `_members` are patterns, by their length.
        self._lengths: Counter[int] = Counter()
        self._lock = threading.Lock()

    def join(self, mailbox: Mailbox, topic: str) -> None:
        """The mailbox gets what is published to the topic, or matches the pattern, once more."""
        with self._lock:
            members = self._members.get(topic)
            if members is None:
                members = self._members[topic] = {}
                if topic.endswith("*"):
                    self._lengths[len(topic)] += 1
            joined = self._joined.setdefault(mailbox, {})
            members[mailbox] = joined[topic] = members.get(mailbox, 0) + 1

    def leave(self, mailbox: Mailbox, topic: str) -> bool:
        """Takes back one `join`; whether there was one."""
        with self._lock:
            joined = self._joined.get(mailbox, {})
            if topic not in joined:
                return False
            if joined[topic] > 1:
                joined[topic] -= 1
                self._members[topic][mailbox] -= 1
                return True
            del joined[topic]
            if not joined:
                del self._joined[mailbox]
            self._remove(mailbox, topic)
            return True

    def leave_all(self, mailbox: Mailbox) -> list[str]:
        """Takes back every `join` of a mailbox; the topics, each as often as it was joined."""
        left: list[str] = []
        with self._lock:
            for topic, count in self._joined.pop(mailbox, {}).items():
                self._remove(mailbox, topic)
                left += [topic] * count
        return left

    def deliver(self, topic: str, packed: bytes, lost: int = 0) -> int:
        """Puts a message into the mailboxes that want it; how many subscriptions matched."""
        with self._lock:
            found = dict(self._members.get(topic, ()))
            for length in self._lengths:
                if length <= len(topic) + 1:
                    for mailbox, count in self._members.get(topic[: length - 1] + "*", {}).items():
                        found[mailbox] = found.get(mailbox, 0) + count
        for mailbox in found:
            mailbox.put(topic, packed, lost)
        return sum(found.values())

    def _remove(self, mailbox: Mailbox, topic: str) -> None:
        members = self._members[topic]
        del members[mailbox]
        if not members:
            del self._members[topic]
            if topic.endswith("*"):
                self._lengths[len(topic)] -= 1
                if not self._lengths[len(topic)]:
                    del self._lengths[len(topic)]


def wait_in_thread(mailbox: Mailbox, timeout: float | None) -> None:
    """Blocks this thread until the mailbox is ready or `timeout` seconds have passed."""
    ready = threading.Event()
    if mailbox.on_ready(ready.set):
        try:
            ready.wait(timeout)
        finally:
            mailbox.forget(ready.set)


async def ready(mailbox: Mailbox, timeout: float | None = None) -> bool:
    """Waits, without blocking the loop, until there is something to take, or never will be; False
    after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    thread = threading.get_ident()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if threading.get_ident() == thread:
            _settle(future)
        else:
            loop.call_soon_threadsafe(_settle, future)

    if not mailbox.on_ready(wake):
        return True
    try:
        if timeout is None:
            await future
        else:
            await asyncio.wait([future], timeout=timeout)
    finally:
        mailbox.forget(wake)
    return future.done()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
