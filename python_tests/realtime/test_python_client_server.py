"""hornbeam_client against the server: what suites and scripts do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from channels_fake import until
from harness import Hornbeam

from hornbeam_client import Channel, ConnectError, Presence, PushError, connect

pytestmark = pytest.mark.anyio
SOON = (0.05,)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with _server() as running:
        yield running


def _server(**options: Any) -> Hornbeam:
    return Hornbeam("channels_page:app", channels="channels_page:channels", workers=2, **options)


def url(server: Hornbeam) -> str:
    return f"{server.url}/socket"


async def heard(channel: Channel, count: int) -> list[Any]:
    """The next events, but for those of presence."""
    found: list[Any] = []
    while len(found) < count:
        event, payload = await asyncio.wait_for(channel.__anext__(), 10)
        if not event.startswith("presence_"):
            found.append((event, payload))
    return found


@pytest.mark.parametrize("flavour", ["hornbeam", "phoenix"])
async def test_join_push_reply_broadcast_and_leave(server: Hornbeam, flavour: str) -> None:
    async with connect(url(server), {"token": "ada"}, flavour=flavour, heartbeat=0.05) as socket:
        room, other = socket.channel("room:1", {"name": "Ada"}), socket.channel("room:2")
        joined, _ = await asyncio.gather(room.join(), other.join())
        assert (joined["user"], joined["params"]) == ("ada", {"name": "Ada"})
        assert await room.push("echo", {"é": [1, None]}) == {"é": [1, None]}
        assert await room.push("echo", b"\x00\xff") == b"\x00\xff"
        await room.send("say", {"n": 1})
        await room.send("say", b"\x01")
        assert await heard(room, 2) == [("said", {"n": 1}), ("said", b"\x01")]
        await room.leave()
        assert room.state == "closed"
        assert await other.push("count") == {"n": 1, "pid": joined["pid"]}
        assert socket.connects == 1


async def test_refusals_have_their_reasons(server: Hornbeam) -> None:
    with pytest.raises(ConnectError, match="403") as refused:
        async with connect(url(server), {"refuse": "now"}):
            pass
    assert refused.value.response == {"reason": "bad token", "given": "now"}
    async with connect(url(server)) as socket:
        for topic, reason in (("room:forbidden", "forbidden"), ("nowhere", "unmatched topic")):
            with pytest.raises(PushError) as failed:
                await socket.channel(topic).join()
            assert failed.value.response == {"reason": reason}


async def test_what_was_missed_arrives_in_order_and_once(server: Hornbeam) -> None:
    async with connect(url(server)) as socket:
        writer = socket.channel("lobby:python")
        await writer.join()
        last_id = await read_one(server, writer)
        # As many as the topic keeps, and one more.
        for count in (4, 6):
            for n in range(count):
                await writer.push("say", {"n": n})
            async with connect(url(server)) as back:
                reader = back.channel("lobby:python")
                reader.last_id = last_id
                await reader.join()
                kept = [("said", {"n": n}) for n in range(count)][-5:]
                missed = [("hb_missed", {"last_id": last_id})] if count > 5 else []
                assert await heard(reader, len(missed + kept)) == missed + kept
            last_id = await read_one(server, writer)


async def read_one(server: Hornbeam, writer: Channel) -> str:
    """The id of the last message that a client has seen before it went."""
    async with connect(url(server)) as socket:
        reader = socket.channel(writer.topic)
        await reader.join()
        await writer.push("say", {"n": -1})
        assert await heard(reader, 1) == [("said", {"n": -1})]
        assert reader.last_id is not None
        return reader.last_id


async def test_a_worker_that_dies_costs_a_rejoin(server: Hornbeam) -> None:
    async with connect(url(server), backoff=SOON) as socket:
        room = socket.channel("room:1")
        pid = (await room.join())["pid"]
        with pytest.raises(PushError, match="broken off"):
            await room.push("exit")
        assert (await room.push("count", timeout=20))["pid"] != pid
        assert (room.joins, socket.connects) == (2, 1)


async def test_presence_of_two(server: Hornbeam) -> None:
    async with connect(url(server)) as socket:
        lobby = socket.channel("lobby:python-presence", {"name": "Ada"})
        presence = Presence(lobby)
        await lobby.join()
        async with connect(url(server)) as other:
            await other.channel("lobby:python-presence", {"name": "Bob"}).join()
            await until(lambda: sorted(presence.list()) == ["Ada", "Bob"])
        await until(lambda: presence.list() == ["Ada"])
        assert presence.state["Ada"]["metas"][0]["status"] == "here"


async def test_a_server_that_restarts() -> None:
    with _server() as first:
        port = first.address[1]
        async with connect(url(first), backoff=SOON) as socket:
            lobby = socket.channel("lobby:1")
            await lobby.join()
            await lobby.push("say", {"n": 0})
            assert await heard(lobby, 1) == [("said", {"n": 0})]
            assert await asyncio.to_thread(first.stop) == 0
            await until(lambda: not socket.is_connected())
            with _server(bind=f"127.0.0.1:{port}"):
                await lobby.push("say", {"n": 1}, timeout=20)
                missed, said = await heard(lobby, 2)
                assert (missed[0], said) == ("hb_missed", ("said", {"n": 1}))
                assert socket.connects == 2
