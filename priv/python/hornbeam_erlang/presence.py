"""Presence: who is there, in a topic of channels, over all connected nodes.

    from hornbeam_erlang.presence import Presence

    @room.on_join
    def join(topic, params, socket):
        Presence(topic).track(socket, params["name"], {"status": "online"})
        return socket.assign("name", params["name"])

Each key has as many metas as there are connections that track it. They end with the channel, its
connection or its node. Clients hear of each change by the event "presence_diff"; of all there is,
by "presence_state", when they join a channel with `presence=True`, or by `push_state`. The methods
with an `a` in front are the same to await.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any, TypedDict

from hornbeam_erlang import _channel_messages as messages
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._channel_socket import Socket
from hornbeam_erlang._client import acall, call

__all__ = ["Entry", "Presence"]

Meta = Mapping[str, Any]


class Entry(TypedDict):
    """Who is there by a key: a meta for each connection, with its `phx_ref`, and the one before
    (`phx_ref_prev`) once it was updated."""

    metas: builtins.list[dict[str, Any]]


class Presence:
    """Who is there in a topic."""

    def __init__(self, topic: str) -> None:
        self._list = messages.presence_list(topic)
        self.topic = topic

    def __repr__(self) -> str:
        return f"Presence({self.topic!r})"

    def track(self, socket: Socket | None, key: str, meta: Meta | None = None) -> str | None:
        """From now on the socket's client is there, by that key; returns the ref of the meta, a
        dict of what JSON can say, up to 16 KiB of it. A socket has a key once: once more is an
        update. None for the socket: until this worker ends. Returns None, and does nothing, when
        the client has gone."""
        return _ref(call(*self._set("presence_track", socket, key, meta)))

    def update(self, socket: Socket | None, key: str, meta: Meta | None = None) -> str | None:
        """Puts another meta in the place of the socket's own; returns its ref, or None when the
        client has gone. ValueError where the socket does not track the key."""
        return _ref(call(*self._set("presence_update", socket, key, meta)))

    def untrack(self, socket: Socket | None, key: str) -> bool:
        """The socket's client is there no longer, by that key; whether it was."""
        return _was(call(*messages.presence_untrack(self.topic, key, _token(socket))))

    def list(self) -> dict[str, Entry]:
        """All who are there, by their keys."""
        return _listed(call(*self._list))

    def get(self, key: str) -> Entry | None:
        """Who is there by that key; None for nobody."""
        return _got(call(*messages.presence_get(self.topic, key)))

    def push_state(self, socket: Socket) -> bool:
        """Tells one client who is there: the event "presence_state"."""
        return _was(call(*self._push(socket)))

    async def atrack(self, socket: Socket | None, key: str, meta: Meta | None = None) -> str | None:
        """As `track`, without blocking the loop."""
        return _ref(await acall(*self._set("presence_track", socket, key, meta)))

    async def aupdate(
        self, socket: Socket | None, key: str, meta: Meta | None = None
    ) -> str | None:
        """As `update`, without blocking the loop."""
        return _ref(await acall(*self._set("presence_update", socket, key, meta)))

    async def auntrack(self, socket: Socket | None, key: str) -> bool:
        """As `untrack`, without blocking the loop."""
        return _was(await acall(*messages.presence_untrack(self.topic, key, _token(socket))))

    async def alist(self) -> dict[str, Entry]:
        """As `list`, without blocking the loop."""
        return _listed(await acall(*self._list))

    async def aget(self, key: str) -> Entry | None:
        """As `get`, without blocking the loop."""
        return _got(await acall(*messages.presence_get(self.topic, key)))

    async def apush_state(self, socket: Socket) -> bool:
        """As `push_state`, without blocking the loop."""
        return _was(await acall(*self._push(socket)))

    def _push(self, socket: Socket) -> messages.Request:
        if socket.topic != self.topic:
            raise ValueError(f'the socket is one of "{socket.topic}", and not of "{self.topic}"')
        return messages.presence_push(socket.token, self.topic, socket.join_ref)

    def _set(
        self, how: str, socket: Socket | None, key: str, meta: Meta | None
    ) -> messages.Request:
        return messages.presence_set(how, self.topic, key, meta, _token(socket))


def _token(socket: Socket | None) -> bytes | None:
    return None if socket is None else socket.token


# There is no value where the client has gone.


def _ref(ref: object) -> str | None:
    return None if ref is ABSENT else str(ref)


def _was(known: object) -> bool:
    return known is not ABSENT and bool(known)


def _listed(text: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = messages.decode(text)
    return entries


def _got(text: Any) -> Entry | None:
    entry: Entry | None = None if text is ABSENT else messages.decode(text)
    return entry
