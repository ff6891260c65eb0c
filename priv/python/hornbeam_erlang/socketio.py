"""python-socketio's client managers on Hornbeam's publish and subscribe: rooms, broadcasts,
callbacks and disconnects reach clients whichever worker they are connected to.

    sio = socketio.AsyncServer(async_mode="asgi", client_manager=AsyncManager())

Both are what python-socketio documents for back ends of one's own: subclasses of its PubSubManager
and AsyncPubSubManager with `_publish` and `_listen`. What they exchange is JSON, or a dict of the
same form that Erlang publishes; bytes are never given to it, which versions before 5.14 would take
for a pickle. Reference: docs/socketio.md.
"""

from __future__ import annotations

import itertools
import json as standard_json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from socketio.async_pubsub_manager import AsyncPubSubManager
from socketio.pubsub_manager import PubSubManager

from hornbeam_erlang import _requests as requests
from hornbeam_erlang._backend import Backend
from hornbeam_erlang._client import acall, backend, call
from hornbeam_erlang._hub import Mailbox
from hornbeam_erlang._pubsub import get

__all__ = ["MOST_CALLBACKS", "QUEUE_SIZE", "AsyncManager", "Manager"]

# Messages of other workers that one holds before it drops the oldest.
QUEUE_SIZE: Final = 10_000
# Callbacks that wait for an answer: what a client of another worker never answers is not known to
# have ended, so the oldest are forgotten.
MOST_CALLBACKS: Final = 100_000


class _Feed:
    """What other workers publish, from the moment on when it is made."""

    def __init__(self, topic: str, queue_size: int) -> None:
        self.mailbox = Mailbox(queue_size)
        self.backend: Backend = backend()
        self._told = 0
        request = requests.subscribe(topic)
        self.backend.hub.join(self.mailbox, topic)
        try:
            call(*request)
        except BaseException:
            self.backend.hub.leave(self.mailbox, topic)
            raise

    def look(self, logger: logging.Logger) -> None:
        """Says once of each that messages were lost."""
        if (dropped := self.mailbox.dropped) > self._told:
            logger.warning(
                "%d messages of other workers were lost: this worker is too slow for what is "
                "emitted (queue_size)",
                dropped - self._told,
            )
            self._told = dropped


class _OnPubSub:
    """What both managers have in common."""

    name = "hornbeam"
    channel: str
    write_only: bool
    # python-socketio before 5.14 has no module of the server's here.
    json: Any = standard_json
    callbacks: dict[str, dict[int, Any]]
    _feed: _Feed | None = None

    def __init__(
        self,
        channel: str = "socketio",
        write_only: bool = False,
        logger: logging.Logger | None = None,
        json: Any = None,
        queue_size: int = QUEUE_SIZE,
    ) -> None:
        Mailbox(queue_size)
        requests.publish(channel, None)
        self._queue_size = queue_size
        self._ids = itertools.count(1)
        self._asked: OrderedDict[tuple[str, int], None] = OrderedDict()
        super().__init__(channel=channel, write_only=write_only, logger=logger)  # type: ignore[call-arg]
        if json is not None:
            self.json = json

    @property
    def dropped(self) -> int:
        """How many messages of other workers this one has lost because it was too slow."""
        return 0 if self._feed is None else self._feed.mailbox.dropped

    def initialize(self) -> None:
        """Called with the server's first request: subscribes before that is answered, so that no
        client is ever connected that would not hear what is emitted."""
        if not self.write_only:
            self._feed = _Feed(self.channel, self._queue_size)
        super().initialize()  # type: ignore[misc]

    def _generate_ack_id(self, sid: str, callback: Any) -> int:
        # One row of numbers for all, so that none comes again when a client's callbacks are gone.
        self.callbacks.setdefault(sid, {0: self._ids})
        number: int = super()._generate_ack_id(sid, callback)  # type: ignore[misc]
        self._asked[sid, number] = None
        if len(self._asked) > MOST_CALLBACKS:
            self._forget(*self._asked.popitem(last=False)[0])
        return number

    def _forget(self, sid: str, number: int) -> None:
        """A callback has been called, or never will be."""
        self._asked.pop((sid, number), None)
        if waiting := self.callbacks.get(sid):
            waiting.pop(number, None)
            if len(waiting) == 1:
                self.callbacks.pop(sid, None)

    def _packed(self, message: dict[str, Any]) -> requests.Request:
        try:
            text = self.json.dumps(message)
        except TypeError:
            # Bytes that are no base64: in a callback's answer, before 5.14 in events, too. A value
            # may have them; what cannot travel is a TypeError that names it.
            return requests.publish(self.channel, message)
        return requests.publish(self.channel, text if isinstance(text, str) else text.decode())


class Manager(_OnPubSub, PubSubManager):  # type: ignore[misc]
    """For `socketio.Server`: WSGI applications, threads.

    channel     the topic; servers of other applications on this node need another one
    write_only  for code that only emits: no server, nothing is received
    queue_size  messages of other workers that are held; the next one pushes out the oldest
    dropped     how many were
    """

    def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        super().trigger_callback(sid, id, data)
        self._forget(sid, id)

    def _publish(self, data: dict[str, Any]) -> None:
        call(*self._packed(data))

    def _listen(self) -> Iterator[Any]:
        feed = self._feed
        assert feed is not None
        while not feed.mailbox.closed:
            message = feed.mailbox.take()
            if message is None:
                feed.backend.wait(feed.mailbox, None)
            elif isinstance(message[1], (str, dict)):
                feed.look(self._get_logger())
                yield message[1]


class AsyncManager(_OnPubSub, AsyncPubSubManager):  # type: ignore[misc]
    """For `socketio.AsyncServer`; arguments and attributes are those of `Manager`."""

    async def trigger_callback(self, sid: str, id: int, data: Any) -> None:
        await super().trigger_callback(sid, id, data)
        self._forget(sid, id)

    async def _publish(self, data: dict[str, Any]) -> None:
        await acall(*self._packed(data))

    async def _listen(self) -> AsyncIterator[Any]:
        feed = self._feed
        assert feed is not None
        while (message := await get(feed.mailbox, None)) is not None:
            if isinstance(message[1], (str, dict)):
                feed.look(self._get_logger())
                yield message[1]
