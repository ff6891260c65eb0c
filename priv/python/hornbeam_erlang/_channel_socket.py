"""What handlers of channels get and give: the socket of one client, the request it came with, and
the answers that are more than a dict. All of them are immutable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

__all__ = ["Connected", "Refused", "Reply", "Request", "Socket", "Stop"]

Response: TypeAlias = "Mapping[str, Any] | str"

_NO_ASSIGNS: Final[Mapping[str, Any]] = MappingProxyType({})
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})
_NOTHING: Final = object()


@dataclass(frozen=True)
class Socket:
    """One client in one topic. It never changes: `assign` returns a new one, which a handler hands
    on by returning it.

    topic      the topic that the client has joined, "room:lobby"
    assigns    what the application keeps for this client and topic, by names; Erlang holds it, so
               it outlives workers. Values: None, bool, int, float, str, bytes, list, tuple, dict
    id         what `connect` has named the connection, for `disconnect`; None
    join_ref   of this joining of the topic
    ref        of the message that is handled, for a `reply` later; None: its client waits for none
    """

    topic: str
    assigns: Mapping[str, Any] = field(default_factory=lambda: _NO_ASSIGNS)
    id: str | None = None
    join_ref: str | None = None
    ref: str | None = None
    token: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if type(self.assigns) is not MappingProxyType:
            object.__setattr__(self, "assigns", MappingProxyType(dict(self.assigns)))

    def assign(self, key: str = "", value: Any = _NOTHING, /, **assigns: Any) -> Socket:
        """A socket with one more value, or several: `assign("name", name)`, `assign(name=name)`.

        TypeError for what cannot travel to Erlang and back.
        """
        if value is not _NOTHING:
            assigns = {key: value, **assigns}
        elif key != "":
            raise TypeError(f"assign({key!r}): its value is missing")
        return self.merge_assigns(assigns)

    def merge_assigns(self, assigns: Mapping[str, Any]) -> Socket:
        """A socket with all of these values besides its own."""
        merged = MappingProxyType({**self.assigns, **check_assigns(assigns)})
        return Socket(self.topic, merged, self.id, self.join_ref, self.ref, self.token)


def check_assigns(assigns: Mapping[str, Any]) -> dict[str, Any]:
    """As a dict, when they can travel; else a TypeError that says which cannot."""
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    for key, value in assigns.items():
        if type(key) is not str:
            raise TypeError(f"the names of assigns are str, not {key!r}")
        if type(value) not in _PLAIN or type(value) is str:
            values.pack_argument(f"assigns[{key!r}]", value)
    return dict(assigns)


@dataclass(frozen=True)
class Request:
    """The request by which a client connects, or asks for the events of a topic.

    path       "/socket/websocket"
    query      its parameters by their names: those that the JavaScript client calls `params`, too
    headers    by their names in lower case; the values of one that is repeated are joined by ", "
    client     host and port of the peer; None
    scheme     "ws", "wss", "http" or "https"
    """

    path: str = "/"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    client: tuple[str, int] | None = None
    scheme: str = "ws"


class Refused(Exception):
    """Raised by a handler: the client gets the answer "error" with this response, a dict or the
    text of its "reason".

        raise Refused("wrong password")     # {"reason": "wrong password"}
    """

    def __init__(self, response: Response = "refused") -> None:
        super().__init__(response)
        self.response = response_of(response)


@dataclass(frozen=True)
class Reply:
    """What an event's handler returns to answer it: a payload (bytes: a binary one), "ok" or
    another status, and the socket to go on with, where that has changed."""

    payload: Any = field(default_factory=dict)
    status: str = "ok"
    socket: Socket | None = None


@dataclass(frozen=True)
class Stop:
    """What an event's handler returns to end the channel, with an answer unless that is None."""

    reason: str = "normal"
    payload: Any = None
    socket: Socket | None = None


@dataclass(frozen=True)
class Connected:
    """What `connect` returns to name a connection, "user:7": `disconnect("user:7")` ends it."""

    assigns: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None


def response_of(response: object) -> dict[str, Any]:
    """What a client is told: a text is the reason."""
    if isinstance(response, str):
        return {"reason": response}
    if isinstance(response, Mapping):
        return dict(response)
    raise TypeError(f"a response is a dict or a text, not {response!r}")
