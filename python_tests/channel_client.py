"""A client of channels without opinions: it sends any message, and shows those that come back.

The messages are Phoenix's, in the serialisation V2.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple

from harness import Hornbeam
from websocket_client import BINARY, CLOSE, TEXT, Client, Frame, frame

PATH = "/socket/websocket?vsn=2.0.0"


def started(**options: Any) -> Hornbeam:
    """A server of channel_protocol with two workers, to be entered."""
    target = "channel_protocol:channels"
    return Hornbeam("channel_protocol:app", **{"channels": target, "workers": 2, **options})


class Message(NamedTuple):
    """What the server says. A binary payload is bytes; a reply's is {"status", "response"}."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


class Closed(Exception):
    """The server has closed: `code` and `reason`."""

    def __init__(self, close: Frame) -> None:
        super().__init__(f"{close.code} {close.reason}")
        self.code = close.code
        self.reason = close.reason


class Refused(Exception):
    """The handshake was refused: `status` and the head."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.head)
        self.status = client.status


class Channels:
    """One connection. Topics that it joins have their own join_ref; refs are numbers."""

    def __init__(
        self, server: Hornbeam, path: str = PATH, *, flavour: str = "phx", **headers: str
    ) -> None:
        self.socket = Client(server.connect(), path, **headers)
        if self.socket.status != 101:
            raise Refused(self.socket)
        self.flavour = flavour
        self.join_refs: dict[str, str] = {}
        self.before: list[Message] = []
        self._refs = count(1)

    # To the server

    def send(self, message: list[Any] | str | bytes) -> None:
        """A message as it is: a list is encoded, bytes are a binary message."""
        if isinstance(message, bytes):
            self.socket.send(frame(BINARY, message))
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self.socket.send(frame(TEXT, text.encode()))

    def push(
        self, topic: str, event: str, payload: Any = None, *, join_ref: str | None = None
    ) -> str:
        """Sends an event to a topic, and returns its ref."""
        ref = str(next(self._refs))
        join_ref = join_ref or self.join_refs.get(topic)
        if isinstance(payload, bytes):
            parts = [part.encode() for part in (join_ref or "", ref, topic, event)]
            self.send(bytes([0, *map(len, parts)]) + b"".join(parts) + payload)
        else:
            self.send([join_ref, ref, topic, event, {} if payload is None else payload])
        return ref

    def begin_join(self, topic: str, params: Any = None) -> str:
        """Asks to join, and returns the ref."""
        ref = str(next(self._refs))
        self.join_refs[topic] = ref
        self.send([ref, ref, topic, f"{self.flavour}_join", {} if params is None else params])
        return ref

    def join(self, topic: str, params: Any = None) -> Any:
        """Joins; the response. AssertionError when it is refused."""
        return self.ok(self.begin_join(topic, params))

    def call(self, topic: str, event: str, payload: Any = None) -> Any:
        """Sends an event and waits for its answer "ok": the response."""
        return self.ok(self.push(topic, event, payload))

    def leave(self, topic: str) -> None:
        """Leaves, and waits for the answer."""
        self.ok(self.push(topic, f"{self.flavour}_leave"))

    # From the server

    def read(self) -> Message:
        """The next message; Closed when it is a close frame."""
        got = self.socket.read()
        if got.opcode == CLOSE:
            raise Closed(got)
        if got.opcode == TEXT:
            return Message(*json.loads(got.payload))
        assert got.opcode == BINARY, got
        return binary(got.payload)

    def until(self, condition: Callable[[Message], bool]) -> Message:
        """The first one of which the condition is true; those that came before are in `before`."""
        self.before = []
        while not condition(message := self.read()):
            self.before.append(message)
        return message

    def reply(self, ref: str) -> Message:
        """The answer to a message."""
        return self.until(lambda message: message.ref == ref)

    def ok(self, ref: str) -> Any:
        """The response of an answer "ok"."""
        message = self.reply(ref)
        assert message.event == f"{self.flavour}_reply", message
        assert message.payload["status"] == "ok", message
        return message.payload["response"]

    def refused(self, ref: str) -> Any:
        """The response of an answer "error"."""
        message = self.reply(ref)
        assert message.payload["status"] == "error", message
        return message.payload["response"]

    def event(self, event: str) -> Message:
        """The next message with this event."""
        return self.until(lambda message: message.event == event)

    def closed(self) -> Closed:
        """Reads until the server closes, and answers that."""
        try:
            while True:
                self.read()
        except Closed as close:
            self.socket.send(frame(CLOSE, close.code.to_bytes(2, "big")))
            return close

    def close(self) -> None:
        """Goes away without a word."""
        self.socket.close()

    def __enter__(self) -> Channels:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def binary(data: bytes) -> Message:
    """A binary message of the server: a push, a reply, or a broadcast."""
    kind, names = data[0], {0: 3, 1: 4, 2: 2}
    sizes, rest = data[1 : 1 + names[kind]], data[1 + names[kind] :]
    parts = []
    for size in sizes:
        parts.append(rest[:size].decode())
        rest = rest[size:]
    if kind == 0:
        return Message(parts[0] or None, None, parts[1], parts[2], rest)
    if kind == 1:
        response = {"status": parts[3], "response": rest}
        return Message(parts[0] or None, parts[1], parts[2], "phx_reply", response)
    return Message(None, None, parts[0], parts[1], rest)
