"""Messages to all who have joined a topic, whatever their worker; and to one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
from channel_client import PATH, Channels
from harness import Hornbeam, wait_until
from websocket_client import Client


@pytest.fixture
def members(channels_server: Hornbeam) -> Iterator[list[Channels]]:
    """Members of "room:all", named m0, m1, ..., on both workers."""
    with ExitStack() as stack:
        found: list[Channels] = []
        pids: set[int] = set()

        def both_workers() -> bool:
            client = stack.enter_context(Channels(channels_server))
            pids.add(client.join("room:all", {"name": f"m{len(found)}"})["pid"])
            found.append(client)
            return len(pids) == 2 and len(found) >= 4

        wait_until(both_workers, 20, "there are members on both workers")
        yield found


def get(server: Hornbeam, path: str) -> None:
    assert httpx.get(server.url + path).status_code == 200


def none_but(members: list[Channels], marker: str) -> None:
    """Nothing comes before a last message."""
    members[0].push("room:all", "say", {"marker": marker})
    for member in members:
        assert member.event("said").payload == {"marker": marker}
        assert member.before == []


def test_all_get_a_broadcast(members: list[Channels]) -> None:
    for event in ("say", "say_plain"):
        members[0].push("room:all", event, {"x": event})
        for member in members:
            message = member.read()
            assert message == (None, None, "room:all", "said", {"x": event})
    none_but(members, "end")


def test_all_but_the_sender(members: list[Channels]) -> None:
    members[1].push("room:all", "say_others", {"x": 1})
    for member in members:
        if member is not members[1]:
            assert member.read().payload == {"x": 1}
    none_but(members, "end")


def test_only_those_who_have_joined(members: list[Channels], channels_server: Hornbeam) -> None:
    with Channels(channels_server) as stranger:
        stranger.join("room:al")
        stranger.join("room:all:more")
        members[0].push("room:all", "say", {"x": 1})
        members[0].event("said")
        assert stranger.call("room:al", "echo", 1) == 1
        assert stranger.before == []


def test_the_order_of_a_sender_is_kept(members: list[Channels]) -> None:
    for number in range(300):
        members[0].push("room:all", "say", {"n": number})
    for member in members:
        assert [member.event("said").payload["n"] for _ in range(300)] == list(range(300))


def test_an_http_request_may_broadcast(members: list[Channels], channels_server: Hornbeam) -> None:
    get(channels_server, "/broadcast/room:all/news")
    for member in members:
        assert member.read() == (None, None, "room:all", "news", {"from": "http"})
    none_but(members, "end")


def test_each_sees_first_what_its_channel_intercepts(members: list[Channels]) -> None:
    members[0].push("room:all", "say_filtered", {"not": ["m1"], "x": 1})
    for number, member in enumerate(members):
        if number != 1:
            message = member.event("filtered")
            assert message.payload == {"not": ["m1"], "x": 1, "for": f"m{number}"}
            assert message.join_ref == member.join_refs["room:all"]
    none_but(members, "end")


def test_what_is_published_to_a_topic_of_that_name_reaches_no_channel(
    members: list[Channels], channels_server: Hornbeam
) -> None:
    get(channels_server, "/publish/channel:room:all")
    none_but(members, "end")


def test_a_plain_subscriber_of_everything_does_not_hear_channels() -> None:
    with (
        Hornbeam("websocket_fastapi:app", channels="channel_protocol:channels") as server,
        Client(server.connect(), "/all") as plain,
        Channels(server) as client,
    ):
        assert plain.read().payload == b"joined"
        # A pattern, to which each topic of publish/subscribe belongs.
        client.join("room:1")
        client.push("room:1", "say", {"x": 1})
        client.event("said")
        assert httpx.get(f"{server.url}/publish/x/7").status_code == 200
        assert len(plain.read().payload) == 7


def test_connections_are_closed_by_their_id(channels_server: Hornbeam) -> None:
    with ExitStack() as stack:

        def connected(token: str) -> Channels:
            client = stack.enter_context(Channels(channels_server, f"{PATH}&token={token}"))
            client.join("room:1")
            return client

        eve = [connected("eve") for _ in range(3)]
        others = [connected("eve2"), connected("*"), connected("e*")]
        get(channels_server, "/disconnect/user:eve")
        for client in eve:
            closed = client.closed()
            assert (closed.code, closed.reason) == (1008, "disconnected")
        for client in others:
            assert client.call("room:1", "echo", 1) == 1
