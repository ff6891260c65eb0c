"""Channels in Python: the forms of handlers and what they return, sockets, and what they ask of
Erlang; with the clients of `testing.channels`."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hornbeam_channels
import hornbeam_erlang.channels as public
from hornbeam_erlang import _channel_messages as messages
from hornbeam_erlang._channel import MAX_MESSAGES, MAX_SECONDS
from hornbeam_erlang.channels import (
    Channel,
    Channels,
    Connected,
    History,
    Refused,
    Reply,
    Request,
    Socket,
    Stop,
    abroadcast,
    abroadcast_from,
    adisconnect,
    apush,
    areply,
    broadcast,
    broadcast_from,
    disconnect,
    push,
    reply,
)
from hornbeam_erlang.testing import channels
from hornbeam_worker import loader
from hornbeam_worker.channels import load
from hornbeam_worker.failure import FailureKind, StartFailure


def room() -> Channel:
    return Channel("room:*")


# Joining


@pytest.mark.parametrize(
    ("returns", "response", "assigns"),
    [
        (lambda _socket: None, {}, {}),
        (lambda _socket: {"a": 1}, {"a": 1}, {}),
        (lambda socket: socket.assign("n", 1), {}, {"n": 1}),
        (lambda socket: ({"a": 1}, socket.assign(n=1)), {"a": 1}, {"n": 1}),
        (lambda socket: ("ok", {"a": 1}, socket.assign(n=1)), {"a": 1}, {"n": 1}),
        (lambda socket: ("ok", None, socket.assign(n=1)), {}, {"n": 1}),
        (lambda socket: ("ok", socket.assign(n=1)), {}, {"n": 1}),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("with_parts", [False, True])
def test_every_form_of_a_join(
    returns: Callable[[Socket], Any],
    response: Any,
    assigns: Any,
    is_async: bool,
    with_parts: bool,
) -> None:
    seen: list[Any] = []

    def handled(topic: str, params: Any, socket: Socket, parts: Any = None) -> Any:
        seen.append((topic, params, socket.topic, parts, threading.current_thread().name))
        return returns(socket)

    async def ahandled(topic: str, params: Any, socket: Socket, parts: Any = None) -> Any:
        await asyncio.sleep(0)
        return handled(topic, params, socket, parts)

    made = room()
    function: Callable[..., Any] = ahandled if is_async else handled
    if with_parts:
        if is_async:

            @made.on_join
            async def ajoin(topic: str, topic_params: Any, params: Any, socket: Socket) -> Any:
                return await ahandled(topic, params, socket, topic_params)
        else:

            @made.on_join
            def join(topic: str, topic_params: Any, params: Any, socket: Socket) -> Any:
                return handled(topic, params, socket, topic_params)
    else:
        made.on_join(function)
    with channels(made) as clients:
        joined = clients.connect().join("room:1", {"x": [1]})
    topic, params, of_socket, parts, thread = seen[0]
    assert (topic, params, of_socket) == ("room:1", {"x": [1]}, "room:1")
    assert parts == ({"room_id": "1"} if with_parts else None)
    assert (thread == "hornbeam-call") != is_async
    assert (joined.response, joined.assigns) == (response, assigns)


@pytest.mark.parametrize(
    ("refusal", "response"),
    [
        (lambda: ("error", {"reason": "no", "n": 1}), {"reason": "no", "n": 1}),
        (lambda: ("error", "no"), {"reason": "no"}),
    ],
)
def test_a_join_is_refused(refusal: Callable[[], Any], response: Any) -> None:
    returning, raising = Channel("a:*"), Channel("b:*")
    returning.on_join(lambda topic, params, socket: refusal())

    @raising.on_join
    def join(topic: str, params: Any, socket: Socket) -> None:
        raise Refused(refusal()[1])

    with channels([returning, raising]) as clients:
        for topic in ("a:1", "b:1"):
            with pytest.raises(Refused) as refused:
                clients.connect().join(topic)
            assert refused.value.response == response


def test_who_has_no_handler_lets_everybody_join_and_unknown_topics_are_refused() -> None:
    with channels(room()) as clients:
        client = clients.connect()
        assert client.join("room:1").response == {}
        with pytest.raises(Refused) as refused:
            client.join("hall:1")
        assert refused.value.response == {"reason": "unmatched topic"}


@pytest.mark.parametrize(
    "wrong", [1, "ok", ("ok", 1), ("error", 1), ("noreply",), [], (None, None), True]
)
def test_what_a_join_may_not_return_is_an_error_that_says_what_it_may(wrong: Any) -> None:
    made = room()
    made.on_join(lambda topic, params, socket: wrong)
    with (
        channels(made) as clients,
        pytest.raises(TypeError, match=r"on_join returned .*; it returns"),
    ):
        clients.connect().join("room:1")


def test_joined_once_more_the_first_one_ends() -> None:
    left: list[str] = []
    made = room()
    made.on_leave(lambda topic, reason, socket: left.append(reason))
    with channels(made) as clients:
        client = clients.connect()
        first, second = client.join("room:1"), client.join("room:1")
        assert (first.ended, second.ended, left) == ("replaced", None, ["replaced"])
        with pytest.raises(RuntimeError, match="joined no more: replaced"):
            first.push("x")


# Events


@pytest.mark.parametrize(
    ("returns", "answer", "assigns", "ended"),
    [
        (lambda _s: None, (None, None), {}, None),
        (lambda s: s.assign(n=1), (None, None), {"n": 1}, None),
        (lambda _s: {"a": 1}, ("ok", {"a": 1}), {}, None),
        (lambda s: ({"a": 1}, s.assign(n=1)), ("ok", {"a": 1}), {"n": 1}, None),
        (lambda _s: Reply({"a": 1}), ("ok", {"a": 1}), {}, None),
        (lambda _s: Reply(), ("ok", {}), {}, None),
        (lambda _s: Reply(b"\x00\xff"), ("ok", b"\x00\xff"), {}, None),
        (lambda s: Reply([1], "later", s.assign(n=1)), ("later", [1]), {"n": 1}, None),
        (lambda _s: Stop(), (None, None), {}, "normal"),
        (lambda s: Stop("bye", {"a": 1}, s.assign(n=1)), ("ok", {"a": 1}), {"n": 1}, "bye"),
        (lambda s: ("reply", {"a": 1}, s.assign(n=1)), ("ok", {"a": 1}), {"n": 1}, None),
        (lambda s: ("noreply", s.assign(n=1)), (None, None), {"n": 1}, None),
        (lambda s: ("stop", "bye", s.assign(n=1)), (None, None), {"n": 1}, "bye"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_every_form_of_an_event(
    returns: Callable[[Socket], Any], answer: Any, assigns: Any, ended: Any, is_async: bool
) -> None:
    made = room()
    if is_async:

        @made.on("do")
        async def ado(payload: Any, socket: Socket) -> Any:
            assert payload == {"x": 1}
            return returns(socket)
    else:

        @made.on("do")
        def do(payload: Any, socket: Socket) -> Any:
            assert payload == {"x": 1}
            return returns(socket)

    with channels(made) as clients:
        joined = clients.connect().join("room:1")
        got = joined.push("do", {"x": 1})
        assert (got.status, got.payload) == answer
        assert (joined.assigns, joined.ended) == (assigns, ended)


@pytest.mark.parametrize("wrong", [1, "reply", ("reply", {}), ("noreply", 1), (1, 2, 3), [], True])
def test_what_an_event_may_not_return_ends_its_channel(wrong: Any) -> None:
    made = room()
    made.on("do")(lambda payload, socket: wrong)
    with channels(made) as clients:
        joined = clients.connect().join("room:1")
        with pytest.raises(TypeError, match=r'on\("do"\) returned'):
            joined.push("do")
        assert joined.ended == "error"


def test_an_event_is_refused_or_nobodys() -> None:
    made = room()

    @made.on("do")
    def do(payload: Any, socket: Socket) -> None:
        raise Refused("not you")

    with channels(made) as clients:
        joined = clients.connect().join("room:1")
        refused, unknown = joined.push("do"), joined.push("other")
        assert (refused.status, refused.payload) == ("error", {"reason": "not you"})
        assert (unknown.status, unknown.payload) == ("error", {"reason": "unmatched event"})
        assert joined.ended is None


def test_what_a_handler_raises_is_the_tests_and_the_others_stay() -> None:
    made, left = room(), []
    made.on_leave(lambda topic, socket: left.append(topic))

    @made.on("do")
    async def do(payload: Any, socket: Socket) -> None:
        raise KeyError("x")

    @made.on("exit")
    def leave(payload: Any, socket: Socket) -> None:
        raise SystemExit(1)

    with channels(made) as clients:
        client = clients.connect()
        one, two, three = (client.join(f"room:{number}") for number in range(3))
        with pytest.raises(KeyError):
            one.push("do")
        with pytest.raises(RuntimeError, match="a handler raised SystemExit: 1"):
            two.push("exit")
        assert (one.ended, two.ended, three.ended) == ("error", "error", None)
        three.leave()
        assert three.ended == "leave"
        assert left == ["room:0", "room:1", "room:2"]


def test_assigns_are_kept_from_event_to_event_and_each_channel_has_its_own() -> None:
    made = room()
    made.on_join(lambda topic, params, socket: socket.assign(n=params["from"]))

    @made.on("add")
    def add(payload: Any, socket: Socket) -> Any:
        after = socket.merge_assigns({"n": socket.assigns["n"] + payload["by"]})
        return {"n": after.assigns["n"]}, after

    with channels(made) as clients:
        client = clients.connect()
        one, two = client.join("room:1", {"from": 10}), client.join("room:2", {"from": 20})
        assert [one.push("add", {"by": 1}).payload for _ in range(2)] == [{"n": 11}, {"n": 12}]
        assert two.push("add", {"by": 1}).payload == {"n": 21}
        assert (one.assigns, two.assigns) == ({"n": 12}, {"n": 21})


def test_a_channel_comes_to_another_worker() -> None:
    made = room()
    made.on_join(lambda topic, params, socket: socket.assign(moves=0))

    @made.on_rejoin
    def rejoin(topic: str, socket: Socket) -> Socket:
        return socket.assign(moves=socket.assigns["moves"] + 1)

    made.on("moves")(lambda payload, socket: {"moves": socket.assigns["moves"]})
    with channels(made) as clients:
        joined = clients.connect().join("room:1")
        assert joined.push("moves").payload == {"moves": 0}
        clients.move()
        assert [joined.push("moves").payload for _ in range(2)] == [{"moves": 1}] * 2


# Messages


def shouting() -> Channel:
    made = room()

    @made.on("all")
    def to_all(payload: Any, socket: Socket) -> None:
        broadcast(socket.topic, "said", payload)

    @made.on("others")
    async def to_others(payload: Any, socket: Socket) -> None:
        await abroadcast_from(socket, "said", payload)
        broadcast_from(socket, "said", payload)

    @made.on("me")
    async def to_me(payload: Any, socket: Socket) -> Any:
        return {"there": [push(socket, "own", payload), await apush(socket, "own", payload)]}

    @made.on("later")
    def later(payload: Any, socket: Socket) -> Any:
        return socket.assign(ref=socket.ref)

    return made


def test_who_gets_what_is_broadcast_and_pushed() -> None:
    with channels(shouting()) as clients:
        one, two = clients.connect().join("room:1"), clients.connect().join("room:1")
        other = clients.connect().join("room:2")
        one.push("all", {"n": 1})
        one.push("others", {"n": 2})
        assert one.push("me", {"n": 3}).payload == {"there": [True, True]}
        broadcast("room:1", "bytes", b"\x00")
        asyncio.run(abroadcast("room:1", "text", "é\ud800"))
        last = [("bytes", b"\x00"), ("text", "é\ud800")]
        assert one.received == [("said", {"n": 1}), ("own", {"n": 3}), ("own", {"n": 3}), *last]
        assert two.received == [("said", {"n": 1}), ("said", {"n": 2}), ("said", {"n": 2}), *last]
        assert other.received == []


def test_an_answer_comes_later() -> None:
    kept: list[Socket] = []
    made = room()
    made.on("ask")(lambda payload, socket: kept.append(socket))
    with channels(made) as clients:
        client = clients.connect()
        joined = client.join("room:1")
        first, second = joined.push("ask"), joined.push("ask")
        assert (first.status, second.status) == (None, None)
        assert reply(kept[1], {"n": 2}) is True
        assert asyncio.run(areply(kept[0], {"n": 1}, "error")) is True
        assert (first.status, first.payload) == ("error", {"n": 1})
        assert (second.status, second.payload) == ("ok", {"n": 2})
        client.close()
        assert (reply(kept[0], {}), push(kept[0], "x", {})) == (False, False)
    with pytest.raises(ValueError, match="waits for no answer"):
        reply(Socket("room:1"), {})


def test_a_broadcast_is_seen_by_whoever_intercepts_it_for_each_client() -> None:
    made = room()
    made.on_join(lambda topic, params, socket: socket.assign(name=params["name"]))

    @made.intercept("said")
    def said(event: str, payload: Any, socket: Socket) -> Any:
        if payload["by"] == socket.assigns["name"]:
            return None
        return {**payload, "to": socket.assigns["name"]}, socket.assign(heard=payload["by"])

    @made.on("say")
    async def say(payload: Any, socket: Socket) -> None:
        broadcast(socket.topic, "said", {"by": socket.assigns["name"]})
        broadcast(socket.topic, "plain", {})

    with channels(made) as clients:
        ann = clients.connect().join("room:1", {"name": "Ann"})
        bob = clients.connect().join("room:1", {"name": "Bob"})
        ann.push("say")
        assert ann.received == [("plain", {})]
        assert sorted(bob.received) == [("plain", {}), ("said", {"by": "Ann", "to": "Bob"})]
        assert bob.assigns == {"name": "Bob", "heard": "Ann"}


@pytest.mark.parametrize(
    "call",
    [
        lambda: broadcast("room:1", "x", {"x": object()}),
        lambda: broadcast("room:1", "x", {"x": {1, 2}}),
        lambda: push(Socket("room:1"), "x", object()),
        lambda: broadcast(1, "x", {}),  # type: ignore[arg-type]
        lambda: broadcast("room:1", b"x", {}),  # type: ignore[arg-type]
        lambda: disconnect(1),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_sent_is_a_type_error(call: Callable[[], Any]) -> None:
    with channels(room()), pytest.raises(TypeError):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: broadcast("room:1", "x", {"x": float("nan")}),
        lambda: broadcast("room:*", "x", {}),
        lambda: broadcast("", "x", {}),
        lambda: broadcast("t" * 256, "x", {}),
        lambda: broadcast("room:1", "e" * 256, {}),
        lambda: broadcast("room:1", "", {}),
        lambda: disconnect(""),
    ],
)
def test_what_cannot_be_sent_is_a_value_error(call: Callable[[], Any]) -> None:
    with channels(room()), pytest.raises(ValueError):
        call()


def test_names_have_up_to_255_bytes() -> None:
    with channels(Channel("*")) as clients:
        joined = clients.connect().join("t" * 255)
        broadcast("t" * 255, "e" * 255, {})
        assert joined.received == [("e" * 255, {})]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(json_values)
def test_a_payload_comes_back_as_it_was(payload: Any) -> None:
    packed = messages.encode("payload", payload)
    assert isinstance(packed, str)
    packed.encode()  # it can travel
    assert messages.decode(packed) == payload == json.loads(packed)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "-Infinity", "[" * 100_000, "1 2"])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        messages.decode(text)


# Connecting


def test_who_connects_is_known_to_every_channel() -> None:
    seen: list[Request] = []

    async def authenticate(request: Request) -> Connected:
        seen.append(request)
        if request.query.get("token") != "good":
            raise Refused({"reason": "who are you?"})
        return Connected({"user": 7}, id="user:7")

    made = room()
    made.on_join(lambda topic, params, socket: {"user": socket.assigns["user"], "id": socket.id})
    with channels(Channels(made, connect=authenticate)) as clients:
        with pytest.raises(Refused) as refused:
            clients.connect()
        assert refused.value.response == {"reason": "who are you?"}
        client = clients.connect({"token": "good"}, {"cookie": "a=b"})
        assert client.join("room:1").response == {"user": 7, "id": "user:7"}
        assert client.id == "user:7"
    assert (seen[1].headers, seen[1].scheme) == ({"cookie": "a=b"}, "ws")


@pytest.mark.parametrize(
    ("returned", "assigns"),
    [(None, {}), ({"a": (1,)}, {"a": (1,)}), (Connected({"a": 1}), {"a": 1})],
)
def test_what_connect_may_return(returned: Any, assigns: Any) -> None:
    with channels(Channels(room(), connect=lambda request: returned)) as clients:
        assert clients.connect().join("room:1").assigns == assigns


@pytest.mark.parametrize("returned", [1, "x", True, {"a": object()}, {1: 1}, Connected({}, id=1)])  # type: ignore[arg-type]
def test_what_connect_may_not_return(returned: Any) -> None:
    with (
        channels(Channels(room(), connect=lambda request: returned)) as clients,
        pytest.raises(TypeError),
    ):
        clients.connect()


def test_connections_of_an_id_are_ended() -> None:
    left: list[Any] = []
    made = room()
    made.on_leave(lambda topic, reason, socket: left.append((topic, reason, socket.id)))

    @made.on("out")
    async def out(payload: Any, socket: Socket) -> None:
        await adisconnect(payload["id"])

    def connect(request: Request) -> Connected:
        return Connected(id=request.query["id"])

    with channels(Channels(made, connect=connect)) as clients:
        one, two = clients.connect({"id": "1"}), clients.connect({"id": "2"})
        first, second = one.join("room:1"), two.join("room:1")
        second.push("out", {"id": "1"})
        assert (one.closed, two.closed) == (True, False)
        assert (first.ended, second.ended) == ("closed", None)
        assert left == [("room:1", "closed", "1")]
        disconnect("2")
        assert two.closed
        with pytest.raises(RuntimeError, match="connected no more"):
            two.join("room:2")


def test_who_may_have_the_events_of_a_topic() -> None:
    open_, closed, own = Channel("open:*"), Channel("closed:*"), Channel("own:*")
    open_.authorize(lambda topic, request: None)
    closed.authorize(lambda topic, request: False)

    @own.authorize
    async def authorize(topic: str, request: Request) -> bool:
        if request.headers.get("x-user") != "me":
            raise Refused("not yours")
        return request.query == {"a": "1"}

    with channels([open_, closed, own, room()]) as clients:
        clients.authorize("open:1")
        clients.authorize("own:1", "a=1", {"x-user": "me"})
        for topic, reason in [
            ("closed:1", "unauthorized"), ("own:1", "not yours"), ("room:1", "unmatched topic"),
            ("none", "unmatched topic"),
        ]:  # fmt: skip
            with pytest.raises(Refused) as refused:
                clients.authorize(topic)
            assert refused.value.response == {"reason": reason}


# Sockets


def test_a_socket_never_changes() -> None:
    socket = Socket("room:1", {"a": 1})
    more = socket.assign("b", None).assign(c=3, key=4).merge_assigns({"a": 5})
    assert dict(socket.assigns) == {"a": 1}
    assert dict(more.assigns) == {"a": 5, "b": None, "c": 3, "key": 4}
    for change in (
        lambda: setattr(socket, "topic", "x"),
        lambda: socket.assigns.__setitem__("a", 2),  # type: ignore[index]
    ):
        with pytest.raises((AttributeError, TypeError)):
            change()
    with pytest.raises(TypeError, match="its value is missing"):
        socket.assign("a")
    assert socket == Socket("room:1", {"a": 1})
    assert "token" not in repr(Socket("room:1", token=b"secret"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (object(), r"assigns\['x'\]"),
        ({"deep": [{1}]}, r"assigns\['x'\]\['deep'\]\[0\]"),
        ("\ud800", "x"),
    ],
)
def test_what_cannot_be_an_assign_says_where_it_is(value: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=text):
        Socket("room:1").assign("x", value)
    with pytest.raises(TypeError, match="names of assigns"):
        Socket("room:1").merge_assigns({1: 2})  # type: ignore[dict-item]


def test_a_handler_cannot_hand_on_another_topics_socket() -> None:
    made = room()
    made.on("do")(lambda payload, socket: Socket("room:2"))
    with channels(made) as clients:
        joined = clients.connect().join("room:1")
        with pytest.raises(ValueError, match='returned the socket of "room:2"'):
            joined.push("do")


# What is said when it is written

# Of no form, which a checker of types does not see.
any_: Any = lambda: 1  # noqa: E731


@pytest.mark.parametrize(
    ("register", "text"),
    [
        (lambda c: c.on_join(lambda a: 1), "on_join of room:.*takes 3 or 4 arguments"),
        (lambda c: c.on("x")(lambda a: 1), r'on\("x"\) of room:.*takes 2 arguments'),
        (lambda c: c.on_leave(lambda: 1), "on_leave of room:.*takes 2 or 3 arguments"),
        (lambda c: c.on_rejoin(lambda: 1), "on_rejoin"),
        (lambda c: c.intercept("x")(lambda a, b: 1), r'intercept\("x"\)'),
        (lambda c: c.authorize(lambda a: 1), "authorize"),
        (lambda c: c.on_join("x"), "a function, not 'x'"),
        (lambda c: Channels(*[c, "x"]), "a Channel, not 'x'"),
        (lambda c: Channels(c, connect=any_), "connect: a function"),
        (lambda c: c.on(1), "event must be a str"),
    ],
)
def test_a_handler_of_the_wrong_form_is_refused_where_it_is_written(
    register: Callable[[Any], Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        register(room())


def test_a_checker_of_types_says_so_too() -> None:
    """mypy --strict counts what is ignored here and need not be."""
    with pytest.raises(TypeError):
        room().on_join(lambda topic: None)  # type: ignore[type-var]

    def event(payload: str, socket: Request) -> None: ...

    assert room().on("x")(event) is event  # type: ignore[type-var]
    with pytest.raises(TypeError):
        Channels(connect=lambda: None)  # type: ignore[arg-type, misc]


def test_one_event_has_one_handler() -> None:
    made = room()
    made.on("x")(lambda payload, socket: None)
    made.intercept("x")(lambda event, payload, socket: None)
    with pytest.raises(ValueError, match=r'on\("x"\) of room:\* has a handler'):
        made.on("x")(lambda payload, socket: None)


@pytest.mark.parametrize(
    ("history", "bounds"),
    [
        (1, [1, None]),
        (MAX_MESSAGES, [MAX_MESSAGES, None]),
        (History(seconds=0.001), [None, 1]),
        (History(5, 1.5), [5, 1500]),
        (History(seconds=MAX_SECONDS), [None, MAX_SECONDS * 1000]),
    ],
)
def test_what_a_topic_keeps(history: Any, bounds: Any) -> None:
    made = Channel("room:*", history=history).history
    assert made is not None
    assert made.bounds == bounds


@pytest.mark.parametrize("history", [0, MAX_MESSAGES + 1, True, "x"])
def test_what_no_topic_keeps(history: Any) -> None:
    with pytest.raises(ValueError):
        Channel("room:*", history=history)


@pytest.mark.parametrize("seconds", [0.0009, MAX_SECONDS + 1, True, "x", float("nan")])
def test_how_long_no_topic_keeps_it(seconds: Any) -> None:
    with pytest.raises(ValueError):
        History(seconds=seconds)
    with pytest.raises(ValueError, match="messages, seconds or both"):
        History()


# The option


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (1, "a Channel, a list of them or Channels, not 1"),
        ([1], "a Channel, not 1"),
        ([Channel("a"), Channel("a")], "two channels have the pattern a"),
    ],
)
def test_what_the_option_may_not_name(
    found: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "attribute", lambda _target: found)
    with pytest.raises(StartFailure) as failure:
        load("app:channels")
    assert failure.value.kind is FailureKind.CHANNELS_FAILED
    assert failure.value.text == f'"app:channels": {text}'


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("no_such_module:x", 'no module "no_such_module"'),
        ("json:nothing", '"nothing" in module "json"'),
        ("json", 'not of the form "module:attribute"'),
    ],
)
def test_what_is_not_there(target: str, text: str) -> None:
    with pytest.raises(StartFailure) as failure:
        load(target)
    assert failure.value.kind is FailureKind.CHANNELS_FAILED
    assert text in failure.value.text


# The original's names


def test_an_application_of_the_original() -> None:
    made = hornbeam_channels.channel("room:*")

    @made.on_join
    def join_room(topic: str, topic_params: Any, params: Any, socket: Socket) -> Any:
        if not params.get("username"):
            return ("error", {"reason": "username required"})
        socket = socket.assign("room_id", topic_params.get("room_id", "unknown"))
        socket = socket.assign("username", params["username"])
        return ("ok", {"room_id": socket.assigns["room_id"]}, socket)

    @made.on("new_msg")
    def new_msg(payload: Any, socket: Socket) -> Any:
        if not payload.get("body"):
            return ("reply", {"status": "error", "reason": "empty message"}, socket)
        hornbeam_channels.broadcast_from(socket, "new_msg", payload)
        return ("noreply", socket)

    with channels(made) as clients:
        with pytest.raises(Refused) as refused:
            clients.connect().join("room:1")
        assert refused.value.response == {"reason": "username required"}
        ann = clients.connect().join("room:1", {"username": "Ann"})
        bob = clients.connect().join("room:1", {"username": "Bob"})
        assert ann.response == {"room_id": "1"}
        assert ann.push("new_msg").payload == {"status": "error", "reason": "empty message"}
        ann.push("new_msg", {"body": "hi"})
        assert (ann.received, bob.received) == ([], [("new_msg", {"body": "hi"})])


def test_all_is_what_can_be_imported() -> None:
    for module in (public, hornbeam_channels):
        for name in module.__all__:
            assert getattr(module, name).__doc__
        assert module.__all__ == sorted(
            module.__all__, key=lambda name: (not name[0].isupper(), name)
        )


def test_a_handler_is_no_client() -> None:
    made = room()
    with channels(made) as clients:
        made.on("do")(_joins(lambda: clients.connect().join("room:2")))
        joined = clients.connect().join("room:1")
        with pytest.raises(RuntimeError, match="no place to connect"):
            joined.push("do")


def _joins(join: Callable[[], Any]) -> Callable[..., Any]:
    async def handler(payload: Any, socket: Socket) -> None:
        join()

    return handler


def test_the_examples_of_the_page_run(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "channels.md").read_text()
    section = page.partition("\n## Python\n")[2].partition("\n## ")[0]
    application, counting, tests = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    realtime = types.ModuleType("realtime")
    exec(application, realtime.__dict__)
    monkeypatch.setitem(sys.modules, "realtime", realtime)
    names: dict[str, Any] = {}
    exec(tests, names)
    ran = [name for name in names if name.startswith("test_")]
    for name in ran:
        names[name]()
    assert len(ran) == 2
    exec(counting, names)
    with channels(names["counter"]) as clients:
        joined = clients.connect().join("counter:1")
        assert [joined.push("add", {"by": 2}).payload for _ in range(2)] == [
            {"count": 2},
            {"count": 4},
        ]
