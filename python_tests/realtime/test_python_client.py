"""hornbeam_client, with a server that the test speaks for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from channels_fake import FakeServer, fake_server, until

from hornbeam_client import (
    Channel,
    ChannelError,
    ConnectError,
    Presence,
    PushError,
    Socket,
    connect,
)
from hornbeam_client.backoff import DELAYS, Backoff
from hornbeam_client.channel import MAX_EVENTS
from hornbeam_client.codec import MAX_NAME, Message, decode, encode

pytestmark = pytest.mark.anyio
SOON = (0.01,)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextlib.asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[FakeServer, Socket]]:
    options = {"backoff": SOON, **options}
    async with fake_server() as server, connect(server.url, **options) as socket:
        yield server, socket


@contextlib.asynccontextmanager
async def joined(**options: Any) -> AsyncIterator[tuple[FakeServer, Socket, Channel]]:
    async with connected(**options) as (server, socket):
        channel = socket.channel("room:1", {"as": "Ada"})
        await asyncio.gather(channel.join(), server.accept())
        yield server, socket, channel


# The wire


def test_binary_messages_have_names_of_at_most_255_bytes() -> None:
    name = "é" * 127 + "e"
    assert len(name.encode()) == MAX_NAME
    frame = encode(Message("1", "2", "t", name, b"\x00\x01"))
    assert frame == bytes([0, 1, 1, 1, 255]) + b"12t" + name.encode() + b"\x00\x01"
    with pytest.raises(ValueError, match="at most 255 bytes, not 256"):
        encode(Message("1", "2", "t", name + "e", b""))


def test_frames_that_are_none() -> None:
    for frame in (b"", b"\x03\x01", b"\x01\x01", "[1]", "no json"):
        with pytest.raises(ValueError):
            decode(frame)
    with pytest.raises(ValueError):
        encode(Message(None, None, "t", "e", float("nan")))


def test_the_delays_grow_and_begin_anew() -> None:
    backoff = Backoff(DELAYS)
    for expected in (1, 2, 5, 10, 10):
        assert 0.75 * expected <= backoff.next() <= 1.25 * expected
    backoff.reset()
    assert backoff.next() <= 1.25


# The connection


async def test_the_address_has_the_path_the_version_and_the_parameters() -> None:
    numbers = iter(range(1, 9))
    async with connected(params=lambda: {"n": next(numbers)}) as (server, socket):
        assert server.paths == ["/socket/websocket?n=1&vsn=2.0.0"]
        socket.break_off()
        await until(lambda: socket.connects == 2)
        assert server.paths[1] == "/socket/websocket?n=2&vsn=2.0.0"


async def test_a_refused_connection_says_with_what() -> None:
    async with fake_server() as server:
        for body, response in (('{"reason":"no"}', {"reason": "no"}), ("plain", "plain")):
            server.refusal = body
            with pytest.raises(ConnectError) as refused:
                async with connect(server.url):
                    pass
            assert (refused.value.status, refused.value.response) == (403, response)


async def test_a_server_that_is_not_there() -> None:
    async with fake_server() as server:
        url = server.url
    with pytest.raises(ConnectError, match="cannot connect to ws://127") as failed:
        async with connect(url):
            pass
    assert failed.value.status is None
    with pytest.raises(ChannelError, match="is no address like"):
        async with connect("room:1"):
            pass

    def params() -> dict[str, Any]:
        raise LookupError("no token")

    with pytest.raises(LookupError, match="no token"):
        async with connect(url, params):
            pass


async def test_a_heartbeat_without_an_answer_ends_the_connection() -> None:
    async with connected(heartbeat=0.01, timeout=0.3) as (server, socket):
        beat = await server.read()
        assert beat[2:] == ["hornbeam", "heartbeat", {}]
        await server.reply(beat)
        await server.read("heartbeat")
        assert socket.connects == 1
        await until(lambda: socket.connects == 2)


# Joining


async def test_a_join_gives_the_response() -> None:
    async with connected() as (server, socket):
        channel = socket.channel("room:1", {"as": "Ada"})
        response, join = await asyncio.gather(channel.join(), server.accept(response={"n": 3}))
        assert response == {"n": 3}
        assert join[2:] == ["room:1", "hb_join", {"as": "Ada"}]
        assert join[0] == join[1]
        with pytest.raises(ChannelError, match="room:1 is joined: it is joined once"):
            await channel.join()


async def test_a_refused_join_raises_and_can_be_tried_anew() -> None:
    async with connected() as (server, socket):
        channel = socket.channel("room:1")
        refusal = {"reason": "members only"}
        outcome, _ = await asyncio.gather(
            channel.join(), server.accept(status="error", response=refusal), return_exceptions=True
        )
        assert isinstance(outcome, PushError)
        assert (outcome.status, outcome.response) == ("error", refusal)
        assert channel.state == "closed"
        await asyncio.gather(channel.join(), server.accept())
        assert channel.joins == 1


async def test_a_join_without_an_answer_times_out() -> None:
    async with connected() as (server, socket):
        channel = socket.channel("room:1")
        with pytest.raises(PushError, match="timeout"):
            await channel.join(timeout=0.05)
        assert channel.state == "closed"
        await server.read("hb_join")


async def test_phoenix_flavour() -> None:
    async with connected(flavour="phoenix", heartbeat=0.01) as (server, socket):
        assert (await server.read())[2] == "phoenix"
        joining = asyncio.create_task(socket.channel("room:1").join())
        join = await server.read("phx_join")
        await server.send(*join[:3], "phx_reply", {"status": "ok", "response": {"n": 1}})
        assert await joining == {"n": 1}


async def test_leave_is_asked_for_and_ends_the_iteration() -> None:
    async with joined() as (server, _, channel):
        reading = asyncio.create_task(anext_or_none(channel))
        leaving = asyncio.create_task(channel.leave())
        await server.reply(await server.read("hb_leave"))
        await leaving
        assert await reading is None
        with pytest.raises(ChannelError, match="closed: join it first"):
            await channel.push("say")


async def anext_or_none(channel: Channel) -> tuple[str, Any] | None:
    async for item in channel:
        return item
    return None


async def test_the_server_closes_a_channel() -> None:
    for event in ("hb_close", "phx_close"):
        async with joined() as (server, _, channel):
            closed: list[Any] = []
            channel.on("hb_close", closed.append)
            await server.send(None, "#M-1", "room:1", "last", {})
            await server.send(channel.join_ref, None, "room:1", event, {"reason": "stop"})
            assert [item async for item in channel] == [("last", {})]
            assert closed == [{"reason": "stop"}]


# Sending and hearing


async def test_a_push_has_its_answer_an_error_or_none_in_time() -> None:
    async with joined() as (server, _, channel):
        pushing = asyncio.create_task(channel.push("say", {"n": 1}))
        push = await server.read()
        assert push[0] == channel.join_ref and push[2:] == ["room:1", "say", {"n": 1}]
        await server.reply(push, response={"n": 2})
        assert await pushing == {"n": 2}
        pushing = asyncio.create_task(channel.push("say"))
        await server.reply(await server.read(), "error", {"reason": "no"})
        with pytest.raises(PushError) as failed:
            await pushing
        assert failed.value.response == {"reason": "no"}
        with pytest.raises(PushError, match="timeout"):
            await channel.push("say", timeout=0.01)
        await server.read()
        await channel.send("say", {"n": 3})
        assert (await server.read())[4] == {"n": 3}


async def test_bytes_both_ways() -> None:
    async with joined() as (server, _, channel):
        pushing = asyncio.create_task(channel.push("cat", b"\x00\xff"))
        frame = await server.read()
        join_ref, ref = channel.join_ref or "", str(int(channel.join_ref or "") + 1)
        names = join_ref + ref
        assert frame == bytes([0, 1, 1, 6, 3]) + f"{names}room:1cat".encode() + b"\x00\xff"
        await server.send_bytes(bytes([1, 1, 1, 6, 2]) + f"{names}room:1ok".encode() + b"\x07")
        assert await pushing == b"\x07"
        await server.send_bytes(bytes([0, 1, 6, 3]) + f"{join_ref}room:1cat".encode() + b"one")
        await server.send_bytes(bytes([2, 6, 3]) + b"room:1cat")
        assert [await channel.__anext__() for _ in range(2)] == [("cat", b"one"), ("cat", b"")]


async def test_events_of_another_topic_or_an_earlier_join_are_not_heard() -> None:
    async with joined() as (server, _, channel):
        heard: list[Any] = []
        end = channel.on("msg", heard.append)
        await server.send(None, None, "room:2", "msg", 1)
        await server.send("0", None, "room:1", "msg", 2)
        await server.send(channel.join_ref, None, "room:1", "msg", 3)
        assert await channel.__anext__() == ("msg", 3)
        end()
        await server.send(None, None, "room:1", "msg", 4)
        assert await channel.__anext__() == ("msg", 4)
        assert heard == [3]


async def test_what_fails_on_the_way_is_reported_and_costs_nothing_else() -> None:
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["message"])
    )
    async with joined() as (server, socket, channel):
        channel.on("msg", lambda payload: payload["not there"])
        await server.send_bytes(b"\x07")
        await server.send(None, None, "room:1", "msg", {})
        assert await channel.__anext__() == ("msg", {})
        assert socket.connects == 1
    assert [message.partition(": ")[2] for message in reported] == [
        "a frame that is no message", "a callback of msg on room:1",
    ]  # fmt: skip


async def test_so_many_events_wait_and_one_more_drops_the_oldest() -> None:
    async with joined() as (_server, _, channel):
        for number in range(MAX_EVENTS):
            channel.receive(Message(None, None, "room:1", "n", number))
        assert channel.dropped == 0
        channel.receive(Message(None, None, "room:1", "n", MAX_EVENTS))
        assert channel.dropped == 1
        assert await channel.__anext__() == ("n", 1)


# Breaks


async def test_a_lost_connection_is_opened_and_its_topic_joined_from_the_last_id() -> None:
    async with joined() as (server, _, channel):
        errors: list[Any] = []
        channel.on("hb_error", errors.append)
        await server.send(None, "#M-17", "room:1", "msg", 1)
        assert await channel.__anext__() == ("msg", 1)
        pushing = asyncio.create_task(channel.push("say"))
        await server.read("say")
        server.drop()
        with pytest.raises(PushError, match="disconnected"):
            await pushing
        assert errors == [{"reason": "disconnected"}]
        later = asyncio.create_task(channel.push("later"))
        join = await server.accept()
        assert join[4] == {"as": "Ada", "hb_last_id": "M-17"}
        await server.send(join[0], None, "room:1", "hb_missed", {"last_id": "M-17"})
        assert await channel.__anext__() == ("hb_missed", {"last_id": "M-17"})
        await server.reply(await server.read("later"), response=5)
        assert await later == 5
        assert channel.joins == 2


async def test_after_an_error_or_a_refused_rejoin_it_is_joined_again() -> None:
    async with joined() as (server, socket, channel):
        await server.send(channel.join_ref, None, "room:1", "hb_error", {})
        await server.accept(status="error", response={"reason": "not yet"})
        await server.accept()
        await channel.joined()
        assert (channel.joins, socket.connects) == (2, 1)


async def test_a_rejoin_without_an_answer_is_tried_again() -> None:
    async with joined(timeout=0.5) as (server, _, channel):
        await server.send(channel.join_ref, None, "room:1", "hb_error", {})
        await server.read("hb_join")
        await server.accept()
        await until(lambda: channel.joins == 2)


# Presence


def entry(*refs: str) -> dict[str, Any]:
    return {"metas": [{"phx_ref": ref} for ref in refs]}


async def test_presence_follows_states_and_diffs() -> None:
    async with connected() as (_, socket):
        channel = socket.channel("room:1")
        presence, heard = Presence(channel), []
        presence.on_join = lambda key, before, come: heard.append(("join", key, len(come["metas"])))
        presence.on_leave = lambda key, rest, gone: heard.append(("leave", key, len(rest["metas"])))

        def receive(event: str, payload: Any) -> None:
            channel.receive(Message(None, None, "room:1", event, payload))

        channel.join_ref = "1"
        receive("presence_diff", {"joins": {"eve": entry("9")}, "leaves": {}})
        assert presence.list() == []
        receive("presence_state", {"ada": entry("1"), "bob": entry("2")})
        assert presence.list() == ["ada", "bob", "eve"]
        receive("presence_diff", {"joins": {"ada": entry("3")}, "leaves": {"ada": entry("1")}})
        assert presence.state["ada"] == entry("3")
        heard.clear()
        channel.join_ref = "2"
        receive("presence_state", {"ada": entry("3", "4")})
        assert heard == [("join", "ada", 1), ("leave", "bob", 0), ("leave", "eve", 0)]
        assert presence.state == {"ada": entry("3", "4")}
