"""Publish and subscribe, over all connected nodes.

A topic is a str. One that ends with "*" is a pattern: "user:*" gets what is published to every
topic that begins with "user:". Delivery is at most once, in the order of each publisher. A
subscription has a bounded queue: when it is full the oldest message is dropped and counted.
"""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
import weakref
from collections.abc import Generator
from types import TracebackType
from typing import Any

from hornbeam_erlang import _requests as requests
from hornbeam_erlang._client import acall, backend, call
from hornbeam_erlang._hub import QUEUE_SIZE, Mailbox, ready
from hornbeam_erlang._operations import OPERATIONS

__all__ = [
    "Subscribing", "Subscription", "close_mailbox", "get", "join", "mailbox_of_caller", "publish",
    "receive_pubsub", "subscribe", "subscription", "unsubscribe",
]  # fmt: skip


def publish(topic: str, message: Any) -> int:
    """Sends a message to every subscriber on all connected nodes; how many subscriptions it
    reached.

    TypeError for what cannot travel, ValueError for a topic that is a pattern.
    """
    return int(call(*requests.publish(topic, message)))


def subscribe(topic: str) -> None:
    """Subscribes the current task, or the current thread where there is none; see `receive_pubsub`.

    The subscription ends with the task or the thread. Its queue holds 1000 messages.
    """
    request = requests.subscribe(topic)
    mailbox = mailbox_of_caller()
    backend().hub.join(mailbox, topic)
    try:
        call(*request)
    except BaseException:
        backend().hub.leave(mailbox, topic)
        raise


def unsubscribe(topic: str) -> bool:
    """Takes back one `subscribe` of the current task or thread; whether there was one."""
    request = requests.unsubscribe(topic)
    return backend().hub.leave(mailbox_of_caller(), topic) and bool(call(*request))


def receive_pubsub(timeout: float | None = None) -> tuple[str, Any] | None:
    """The next message for the current task's or thread's `subscribe`: topic and value.

    Waits for it up to `timeout` seconds (None: as long as it takes; 0: not at all) and returns None
    when there is none. In the event loop's thread this blocks the loop: there, `aio.receive_pubsub`
    is better.
    """
    mailbox = mailbox_of_caller()
    deadline = None if timeout is None else time.monotonic() + timeout
    while (message := mailbox.take()) is None:
        left = None if deadline is None else deadline - time.monotonic()
        if (left is not None and left <= 0) or mailbox.closed:
            return None
        backend().wait(mailbox, left)
    return message


class Subscription:
    """Topics and patterns to iterate over; made by `subscription(...)`.

    dropped   messages that its full queue pushed out, or that were lost while this worker was too
              slow for what was published to it
    """

    def __init__(self, topics: tuple[str, ...], queue_size: int) -> None:
        if not topics:
            raise ValueError("a subscription needs at least one topic")
        self.topics = topics
        self._requests = [requests.subscribe(topic) for topic in topics]
        self._mailbox = Mailbox(queue_size)
        self._task: asyncio.Task[Any] | None = None
        self._entered = False

    @property
    def dropped(self) -> int:
        return self._mailbox.dropped

    async def __aenter__(self) -> Subscription:
        if self._entered:
            raise RuntimeError("a subscription can be entered once")
        self._entered = True
        self._task = asyncio.current_task()
        if self._task is not None:
            self._task.add_done_callback(self._on_done)
        try:
            for topic, request in zip(self.topics, self._requests, strict=True):
                await join(self._mailbox, topic, request)
        except BaseException:
            self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> tuple[str, Any]:
        message = await self.receive()
        if message is None:
            raise StopAsyncIteration
        return message

    async def receive(self, timeout: float | None = None) -> tuple[str, Any] | None:
        """The next message, topic and value; None after `timeout` seconds or when it has ended."""
        return await get(self._mailbox, timeout)

    def close(self) -> None:
        """Ends the subscription; what is in its queue can still be received."""
        if self._task is not None:
            self._task.remove_done_callback(self._on_done)
            self._task = None
        close_mailbox(self._mailbox)

    def _on_done(self, _task: asyncio.Task[Any]) -> None:
        self.close()


def subscription(*topics: str, queue_size: int = QUEUE_SIZE) -> Subscription:
    """Subscribes to topics and patterns for the length of an `async with`, and iterates over what
    comes.

        async with subscription("chat:1", "user:*") as messages:
            async for topic, message in messages: ...

    It ends with the block, with the task that entered it, or with the worker. Its queue holds
    `queue_size` messages; the next one pushes out the oldest, and `messages.dropped` counts.
    """
    return Subscription(topics, queue_size)


class Subscribing:
    """What `aio.subscribe(topic)` returns: awaited, it subscribes the current task
    (`receive_pubsub`); entered, it is a subscription of its own, as `subscription(topic)` is."""

    def __init__(self, topic: str) -> None:
        self._subscription = Subscription((topic,), QUEUE_SIZE)
        self._used = False

    def __await__(self) -> Generator[Any, None, None]:
        self._used = True
        (topic,) = self._subscription.topics
        return join(mailbox_of_caller(), topic, requests.subscribe(topic)).__await__()

    async def __aenter__(self) -> Subscription:
        self._used = True
        return await self._subscription.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._subscription.close()

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            text = "aio.subscribe(...) was never awaited or entered"
            warnings.warn(text, RuntimeWarning, stacklevel=2)


async def join(mailbox: Mailbox, topic: str, request: requests.Request) -> None:
    """Subscribes a mailbox, in both places or in none."""
    here = backend()
    here.hub.join(mailbox, topic)
    try:
        await acall(*request)
    except asyncio.CancelledError:
        # The request is on its way, so this follows it.
        if here.hub.leave(mailbox, topic):
            here.post(OPERATIONS["unsubscribe"], [topic])
        raise
    except Exception:
        here.hub.leave(mailbox, topic)
        raise


async def get(mailbox: Mailbox, timeout: float | None) -> tuple[str, Any] | None:
    """Takes a message without blocking the loop; None after `timeout` seconds or at the end."""
    message = mailbox.take()
    if message is not None or timeout == 0:
        return message
    deadline = None if timeout is None else time.monotonic() + timeout
    while (message := mailbox.take()) is None and not mailbox.closed:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not await ready(mailbox, left):
            return mailbox.take()
    return message


def close_mailbox(mailbox: Mailbox) -> None:
    """Ends a mailbox's subscriptions without waiting for anything."""
    here = backend()
    for topic in here.hub.leave_all(mailbox):
        here.post(OPERATIONS["unsubscribe"], [topic])
    mailbox.close()


class _OfThread(threading.local):
    """The mailbox of a thread; it ends when the thread's own data do."""

    holder: _Holder | None = None


class _Holder:
    def __init__(self) -> None:
        self.mailbox = Mailbox()
        weakref.finalize(self, close_mailbox, self.mailbox).atexit = False


_of_thread = _OfThread()
_of_task: weakref.WeakKeyDictionary[asyncio.Task[Any], Mailbox] = weakref.WeakKeyDictionary()


def mailbox_of_caller() -> Mailbox:
    """The mailbox of the current task, or of the current thread where there is none."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    if task is None:
        if _of_thread.holder is None:
            _of_thread.holder = _Holder()
        return _of_thread.holder.mailbox
    mailbox = _of_task.get(task)
    if mailbox is None:
        mailbox = _of_task[task] = Mailbox()
        made = mailbox
        task.add_done_callback(lambda _task: close_mailbox(made))
    return mailbox
