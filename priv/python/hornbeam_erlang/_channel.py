"""Channels as an application writes them: patterns of topics, and the handlers of what happens
there. Their forms are told apart here, when they are registered, by what they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from hornbeam_erlang._channel_socket import Request, Socket
from hornbeam_erlang._channel_topics import Pattern, check_name

__all__ = [
    "MAX_MESSAGES", "MAX_SECONDS", "Channel", "Channels", "Handler", "History", "channels_of",
    "history_of", "serve", "takes",
]  # fmt: skip

# What each decorator takes, and gives back as it is. Each may be async as well.
_Join = Callable[[str, Any, Socket], Any]
_JoinWithParts = Callable[[str, dict[str, str], Any, Socket], Any]
_Leave = Callable[[str, Socket], Any]
_LeaveWithReason = Callable[[str, str, Socket], Any]

JoinHandler = TypeVar("JoinHandler", bound=_Join | _JoinWithParts)
EventHandler = TypeVar("EventHandler", bound=Callable[[Any, Socket], Any])
LeaveHandler = TypeVar("LeaveHandler", bound=_Leave | _LeaveWithReason)
RejoinHandler = TypeVar("RejoinHandler", bound=_Leave)
Interceptor = TypeVar("Interceptor", bound=Callable[[str, Any, Socket], Any])
Authorizer = TypeVar("Authorizer", bound=Callable[[str, Request], Any])
Function = TypeVar("Function", bound=Callable[..., Any])

MAX_MESSAGES: Final = 1_000_000
# The longest time that Erlang's timers take, about 49 days.
MAX_SECONDS: Final = 0xFFFFFFFF // 1000


@dataclass(frozen=True)
class History:
    """What a topic keeps of its broadcasts for clients that come back: the last `messages`, those
    of the last `seconds`, or with both bounds those within both."""

    messages: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        messages, seconds = self.messages, self.seconds
        if messages is None and seconds is None:
            raise ValueError("history: messages, seconds or both")
        is_count = type(messages) is int and 0 < messages <= MAX_MESSAGES
        if messages is not None and not is_count:
            text = f"history: messages must be an int from 1 to {MAX_MESSAGES}, not {messages!r}"
            raise ValueError(text)
        is_number = type(seconds) in (int, float)
        if seconds is not None and not (is_number and 0.001 <= seconds <= MAX_SECONDS):
            text = f"history: seconds must be a number from 0.001 to {MAX_SECONDS}, not {seconds!r}"
            raise ValueError(text)

    @property
    def bounds(self) -> list[int | None]:
        """As Erlang has them: messages, milliseconds."""
        return [self.messages, None if self.seconds is None else round(self.seconds * 1000)]


class Handler(NamedTuple):
    """A function of the application's, and how many arguments it takes of those it could get."""

    function: Callable[..., Any]
    arity: int
    is_async: bool


class Channel:
    """The topics of one pattern, and who handles what happens there.

        room = Channel("room:*")

        @room.on_join
        def join(topic, params, socket):
            return socket.assign("name", params["name"])

        @room.on("new_msg")
        async def new_msg(payload, socket):
            broadcast(socket.topic, "new_msg", payload)

    Handlers are plain functions, which run in threads, or async ones, which run in the loop. Where
    there is none for a join, everybody may.

    pattern    "room:lobby", or with "*" for a segment, at the end for the rest ("room:*")
    history    how many of its broadcasts each topic keeps for clients that come back, or a History
    presence   whether a client that joins is told who is there (the event "presence_state")
    """

    def __init__(
        self, pattern: str, *, history: int | History | None = None, presence: bool = False
    ) -> None:
        self._pattern = Pattern(pattern)
        self.history = (
            history if history is None or isinstance(history, History) else History(history)
        )
        self.presence = bool(presence)
        self._handlers: dict[tuple[str, str], Handler] = {}

    @property
    def pattern(self) -> str:
        return self._pattern.text

    def __repr__(self) -> str:
        return f"Channel({self.pattern!r})"

    def on_join(self, handler: JoinHandler) -> JoinHandler:
        """`handler(topic, params, socket)`, or with the parts of the topic,
        `(topic, topic_params, params, socket)`. Returns None, the response (a dict), a socket, or
        both, `(response, socket)`; raises Refused."""
        return self._add("on_join", "", handler, (3, 4))

    def on(self, event: str) -> Callable[[EventHandler], EventHandler]:
        """`handler(payload, socket)` for an event that a client sends. Returns None, a socket, a
        dict (the answer), `(dict, socket)`, Reply or Stop; raises Refused."""
        check_name("event", event)
        return lambda handler: self._add("on", event, handler, (2,))

    def on_leave(self, handler: LeaveHandler) -> LeaveHandler:
        """`handler(topic, socket)` or `(topic, reason, socket)`, when a channel has ended: "leave",
        "closed" (its connection), "replaced" (joined once more), or what stopped it."""
        return self._add("on_leave", "", handler, (2, 3))

    def on_rejoin(self, handler: RejoinHandler) -> RejoinHandler:
        """`handler(topic, socket)`, in a worker that a channel comes to from another one, before
        its next event. Returns None or a socket."""
        return self._add("on_rejoin", "", handler, (2,))

    def intercept(self, event: str) -> Callable[[Interceptor], Interceptor]:
        """`handler(event, payload, socket)` for each client that is to get a broadcast of this
        event. Returns the payload that it gets, None for nothing, or `(payload, socket)`."""
        check_name("event", event)
        return lambda handler: self._add("intercept", event, handler, (3,))

    def authorize(self, handler: Authorizer) -> Authorizer:
        """`handler(topic, request)`: whether a client may have the topic's broadcasts as
        server-sent events. Returns None or True for yes, False for no; or raises Refused."""
        return self._add("authorize", "", handler, (2,))

    def handler(self, kind: str, event: str = "") -> Handler | None:
        """Who handles it; None: nobody."""
        return self._handlers.get((kind, event))

    def events(self, kind: str) -> list[str]:
        """The events that handlers of this kind are for."""
        return sorted(event for found, event in self._handlers if found == kind)

    def match(self, topic: str) -> dict[str, str] | None:
        """The parts of a topic that the pattern's stars stand for; None for others' topics."""
        return self._pattern.match(topic)

    @property
    def rank(self) -> tuple[int, ...]:
        """Which of two that fit a topic has it: the smaller one."""
        return self._pattern.rank

    def _add(self, kind: str, event: str, handler: Function, counts: tuple[int, ...]) -> Function:
        name = f'{kind}("{event}")' if event else kind
        if (kind, event) in self._handlers:
            raise ValueError(f"{name} of {self.pattern} has a handler")
        if not callable(handler):
            raise TypeError(f"{name} of {self.pattern}: a function, not {handler!r}")
        fitting = [count for count in counts if takes(handler, count)]
        if not fitting:
            wanted = " or ".join(map(str, counts))
            raise TypeError(f"{name} of {self.pattern}: its handler takes {wanted} arguments")
        self._handlers[kind, event] = _handler(handler, fitting[0])
        return handler


class Channels:
    """Several channels, and who may connect.

        channels = Channels(room, user, connect=authenticate)

    `connect(request)`, plain or async, is called for each connection. It returns None, a dict of
    assigns with which every channel of the connection begins, or Connected; or raises Refused: the
    handshake is answered with 403 and the response.
    """

    def __init__(self, *channels: Channel, connect: Callable[[Request], Any] | None = None) -> None:
        patterns: set[str] = set()
        for channel in channels:
            if not isinstance(channel, Channel):
                raise TypeError(f"a Channel, not {channel!r}")
            if channel.pattern in patterns:
                raise ValueError(f"two channels have the pattern {channel.pattern}")
            patterns.add(channel.pattern)
        if connect is not None and not (callable(connect) and takes(connect, 1)):
            raise TypeError(f"connect: a function that takes the request, not {connect!r}")
        self.connect = None if connect is None else _handler(connect, 1)
        self._channels = sorted(channels, key=lambda channel: channel.rank)

    def __iter__(self) -> Iterator[Channel]:
        return iter(self._channels)

    def find(self, topic: str) -> tuple[Channel, dict[str, str]] | None:
        """The channel of a topic, and the parts of the topic."""
        for channel in self._channels:
            if (parts := channel.match(topic)) is not None:
                return channel, parts
        return None


def channels_of(found: object) -> Channels:
    """What an application serves: Channels, a Channel or a list of them; TypeError, ValueError."""
    if isinstance(found, Channels):
        return found
    if isinstance(found, Channel):
        return Channels(found)
    if isinstance(found, (list, tuple)):
        return Channels(*found)
    raise TypeError(f"a Channel, a list of them or Channels, not {found!r}")


_served = Channels()


def serve(channels: Channels) -> Channels:
    """This process serves these channels from now on; returns those before."""
    global _served
    before, _served = _served, channels
    return before


def history_of(topic: str) -> list[int | None] | None:
    """The bounds of what a topic keeps, where its channel is one of this process."""
    found = _served.find(topic)
    history = None if found is None else found[0].history
    return None if history is None else history.bounds


def _handler(function: Callable[..., Any], count: int) -> Handler:
    # An object's __call__ may be the async function.
    call = getattr(type(function), "__call__", None)  # noqa: B004
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
    return Handler(function, count, is_async)


def takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments; yes where nobody knows."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # one that is written in C
        return True
    return True
