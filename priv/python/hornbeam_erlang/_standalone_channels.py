"""The stand-in's channels: clients that join topics and send events, and what reaches them.

A client's calls return when the handler has. Payloads are JSON on the way, and assigns are packed,
as between a worker and Erlang. What is broadcast is delivered at once, but an event that a channel
intercepts when the client next does or is asked something, outside of the handler that sent it.
Handlers run in a loop of the stand-in's own, plain ones in threads. Topics keep no history here.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
from collections import deque
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from hornbeam_erlang._channel import Channels
from hornbeam_erlang._channel_messages import decode, encode
from hornbeam_erlang._channel_socket import Refused, Request
from hornbeam_erlang._standalone_presence import Tracked

__all__ = ["Answer", "ChannelClient", "Joined", "Rooms"]

T = TypeVar("T")

_NONE: Mapping[str, str] = {}
# A handler that takes longer has hung.
_PATIENCE = 30.0


class Answer:
    """The answer to an event that was pushed. `status` is None until there is one, which may come
    later (`hornbeam_erlang.channels.reply`)."""

    def __init__(self) -> None:
        self.status: str | None = None
        self.payload: Any = None

    def __repr__(self) -> str:
        return f"Answer({self.status!r}, {self.payload!r})"


class Joined:
    """A topic that a client has joined.

    response   what its on_join has answered
    ended      None; or why it is over: "leave", "closed", "replaced", "error", what stopped it
    """

    def __init__(self, client: ChannelClient, topic: str, join_ref: str) -> None:
        self.client = client
        self.topic = topic
        self.response: dict[str, Any] = {}
        self.ended: str | None = None
        self._join_ref = join_ref
        self._assigns = client._assigns
        self._flags: dict[str, Any] = {}
        self._received: list[tuple[str, Any]] = []
        self._waiting: deque[tuple[str, str | bytes]] = deque()
        self._answers: dict[str, Answer] = {}
        self._moved = False

    @property
    def received(self) -> list[tuple[str, Any]]:
        """What was broadcast and pushed to the client, in order: events and payloads."""
        self.client._rooms.settle()
        return list(self._received)

    @property
    def assigns(self) -> dict[str, Any]:
        """What the application keeps for this client and topic."""
        from hornbeam_worker import values

        assigns: dict[str, Any] = values.unpack(self._assigns)[1]
        return assigns

    def push(self, event: str, payload: Any = None) -> Answer:
        """Sends an event (without a payload, {}) and returns its answer. Raises what the handler
        raises, which ends the channel, as it does with a server."""
        if self.ended is not None:
            raise RuntimeError(f'"{self.topic}" is joined no more: {self.ended}')
        rooms = self.client._rooms
        ref = str(next(rooms.numbers))
        answer = self._answers[ref] = Answer()
        packed = encode("payload", {} if payload is None else payload)
        moved, self._moved = self._moved, False
        result = self._call("event", event, packed, ref=ref, moved=moved)
        match result:
            case ["noreply", assigns]:
                self._assigns = assigns
            case ["reply", status, response, assigns]:
                self._assigns = assigns
                answer.status, answer.payload = status, decode(response)
            case ["stop", reason, assigns, response]:
                self._assigns = assigns
                if response is not None:
                    answer.status, answer.payload = "ok", decode(response)
                rooms.end(self, reason)
        rooms.settle()
        return answer

    def leave(self) -> None:
        """Leaves the topic."""
        if self.ended is None:
            self.client._rooms.end(self, "leave")
            self.client._rooms.settle()

    def _call(self, kind: str, event: str, packed: str | bytes, **more: Any) -> list[Any]:
        token = self.client._token
        fields = [self.topic, self._join_ref, event, packed, self._assigns, token, *more.values()]
        try:
            return self.client._rooms.dispatch(kind, *fields)
        except BaseException:
            self.client._rooms.end(self, "error")
            raise

    def _deliver(self, event: str, packed: str | bytes, intercepted: bool = True) -> None:
        if intercepted and event in self._flags["intercepts"]:
            self._waiting.append((event, packed))
        else:
            self._received.append((event, decode(packed)))

    def _settle(self) -> None:
        """Runs what intercepts; without another event's place in the order of its own."""
        while self._waiting and self.ended is None:
            event, packed = self._waiting.popleft()
            result = self._call("intercept", event, packed)
            self._assigns = result[-1]
            if result[0] == "push":
                self._received.append((result[1], decode(result[2])))


class ChannelClient:
    """A client that is connected. `closed`: the application has disconnected it, or it has left."""

    def __init__(self, rooms: Rooms, assigns: bytes, id: str | None) -> None:
        self.id = id
        self.closed = False
        self._rooms = rooms
        self._assigns = assigns
        self._token = secrets.token_bytes(16)
        self._joined: dict[str, Joined] = {}

    def join(self, topic: str, params: Any = None) -> Joined:
        """Joins a topic, with params ({} where there are none). Raises Refused with the response
        when on_join refuses, and what on_join raises otherwise."""
        if self.closed:
            raise RuntimeError("the client is connected no more")
        rooms = self._rooms
        if (before := self._joined.get(topic)) is not None:
            rooms.end(before, "replaced")
        joined = Joined(self, topic, str(next(rooms.numbers)))
        packed = encode("params", {} if params is None else params)
        self._joined[topic] = joined
        joined._flags = {"intercepts": []}
        try:
            fields = [topic, joined._join_ref, packed, self._assigns, self._token]
            result = rooms.dispatch("join", *fields)
            if result[0] == "error":
                raise Refused(decode(result[1]))
        except BaseException:
            rooms.forget(joined, "error")
            raise
        _, response, joined._assigns, joined._flags = result
        joined.response = decode(response)
        rooms.joined(joined)
        rooms.settle()
        return joined

    def close(self) -> None:
        """Ends the connection, and with it the topics that it has joined."""
        self._rooms.close(self)
        self._rooms.settle()

    def __enter__(self) -> ChannelClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Rooms(Tracked):
    """The channels of one application, and their clients: what a server would hold."""

    def __init__(self, served: Channels) -> None:
        from hornbeam_worker.channels import Dispatcher
        from hornbeam_worker.threads import Threads

        super().__init__()
        self.numbers = itertools.count(1)
        self._dispatcher = Dispatcher(served, Threads())
        self._clients: dict[bytes, ChannelClient] = {}
        self._ends: deque[tuple[Joined, str]] = deque()
        self._members: dict[str, list[Joined]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def connect(
        self,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/socket/websocket",
        client: tuple[str, int] | None = ("127.0.0.1", 40000),
        scheme: str = "ws",
    ) -> ChannelClient:
        """A client connects: what `connect` of Channels gets is a Request with these parts, the
        names of headers in lower case. Raises Refused when it refuses."""
        request = Request(path, dict(query or {}), dict(headers or {}), client, scheme)
        assigns, id = self._run(self._dispatcher.connect(request))
        made = ChannelClient(self, assigns, id)
        self._clients[made._token] = made
        return made

    def authorize(self, topic: str, query: str = "", headers: Mapping[str, str] = _NONE) -> None:
        """A client asks for a topic's server-sent events. Raises Refused when it may not."""
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        head = {"path": f"/events/{topic}", "scheme": "http", "query": query, "headers": fields}
        result = self.dispatch("authorize", topic, head)
        if result[0] == "unmatched":
            raise Refused("unmatched topic")
        if result[0] == "refused":
            raise Refused(decode(result[1]))

    def move(self) -> None:
        """All clients come to another worker: their next event is preceded by on_rejoin."""
        for client in self._clients.values():
            for joined in client._joined.values():
                joined._moved = True

    def stop(self) -> None:
        """All clients leave, and the loop ends in which handlers run."""
        for client in list(self._clients.values()):
            self.close(client)
        self.settle()
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()
            self._loop = None

    def dispatch(self, kind: str, *fields: Any) -> list[Any]:
        """What Erlang asks a worker."""
        return self._run(self._dispatcher.dispatch(kind, *fields))

    def joined(self, joined: Joined) -> None:
        """It gets what is broadcast from now on."""
        self._members.setdefault(joined.topic, []).append(joined)
        if joined._flags["presence"]:
            joined._deliver("presence_state", self.listed(joined.topic), intercepted=False)

    def forget(self, joined: Joined, reason: str) -> bool:
        """It is over; whether it was not before."""
        if joined.ended is not None:
            return False
        joined.ended = reason
        client = joined.client
        if client._joined.get(joined.topic) is joined:
            del client._joined[joined.topic]
        members = self._members.get(joined.topic, [])
        if joined in members:
            members.remove(joined)
        self.gone(joined.topic, client._token)
        return True

    def end(self, joined: Joined, reason: str) -> None:
        """It is over, and its on_leave is due."""
        if self.forget(joined, reason) and joined._flags.get("leave"):
            self._ends.append((joined, reason))

    def close(self, client: ChannelClient) -> None:
        """The connection has ended."""
        client.closed = True
        self._clients.pop(client._token, None)
        for joined in list(client._joined.values()):
            self.end(joined, "closed")
        self.vanished(client._token)

    def settle(self) -> None:
        """Runs what is due outside of handlers: interceptions, on_leave."""
        while self._ends:
            joined, reason = self._ends.popleft()
            fields = [joined.topic, joined._join_ref, reason]
            self.dispatch("leave", *fields, joined._assigns, joined.client._token)
        for client in list(self._clients.values()):
            for joined in list(client._joined.values()):
                joined._settle()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("a handler is no place to connect, join or push as a client")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
            self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    # The operations of hornbeam_erlang.channels

    def on_channel_broadcast(
        self, topic: str, event: str, packed: str | bytes, token: bytes | None, _history: Any
    ) -> bool:
        for joined in list(self._members.get(topic, [])):
            if joined.client._token != token:
                joined._deliver(event, packed)
        return True

    def on_channel_push(
        self, token: bytes, topic: str, join_ref: str | None, event: str, packed: str | bytes
    ) -> bool:
        joined = self._of(token, topic, join_ref)
        if joined is not None:
            joined._deliver(event, packed, intercepted=False)
        return token in self._clients

    def on_channel_reply(
        self, token: bytes, topic: str, join_ref: str | None, ref: str, status: str, packed: Any
    ) -> bool:
        joined = self._of(token, topic, join_ref)
        if joined is not None and (answer := joined._answers.get(ref)) is not None:
            answer.status, answer.payload = status, decode(packed)
        return token in self._clients

    def on_channel_history(self, topic: str, last_id: str, limit: int) -> list[Any]:
        return [last_id == "", []]

    def on_presence_push(self, token: bytes, topic: str, join_ref: str | None) -> bool:
        listed = self.listed(topic)
        return self.on_channel_push(token, topic, join_ref, "presence_state", listed)

    def is_there(self, token: bytes) -> bool:
        return token in self._clients

    def on_channel_disconnect(self, id: str) -> bool:
        for client in list(self._clients.values()):
            if client.id == id:
                self.close(client)
        return True

    def _of(self, token: bytes, topic: str, join_ref: str | None) -> Joined | None:
        client = self._clients.get(token)
        joined = None if client is None else client._joined.get(topic)
        return joined if joined is not None and joined._join_ref == join_ref else None
