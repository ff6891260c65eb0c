"""Presence from the outside, with two workers: what a client hears when others join, change and end
in any way, and that the state it was told and the changes add up to what there is. Over nodes and
nets that split: test/hornbeam_presence_SUITE.erl."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from channel_client import Channels, Message
from harness import Hornbeam


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    target = "presence_app:channels"
    with Hornbeam(
        "presence_app:app", channels=target, workers=2, channel_rate="infinity"
    ) as running:
        yield running


def refs(entries: dict[str, Any]) -> set[tuple[str, str]]:
    return {(key, meta["phx_ref"]) for key, entry in entries.items() for meta in entry["metas"]}


class Room:
    """Who is there, as a client of Phoenix's follows it: the state, then joins before leaves."""

    def __init__(self, client: Channels, topic: str) -> None:
        self.client = client
        self.topic = topic
        self.there: set[tuple[str, str]] = set()

    def hear(self, message: Message) -> None:
        if message.topic == self.topic and message.event == "presence_state":
            self.there = refs(message.payload)
        elif message.topic == self.topic and message.event == "presence_diff":
            self.there |= refs(message.payload["joins"])
            self.there -= refs(message.payload["leaves"])

    def names(self) -> list[str]:
        return sorted(key for key, _ in self.there)

    def until(self, names: list[str]) -> None:
        while self.names() != sorted(names):
            self.hear(self.client.read())


def joined(stack: ExitStack, server: Hornbeam, topic: str, name: str, **meta: Any) -> Room:
    client = stack.enter_context(Channels(server))
    made = Room(client, topic)
    client.begin_join(topic, {"name": name, "meta": meta})
    made.hear(client.event("presence_state"))
    return made


def test_joins_updates_and_sockets_that_close_are_told(server: Hornbeam) -> None:
    with ExitStack() as stack:
        one = joined(stack, server, "room:1", "ada", device="phone")
        assert one.names() == ["ada"]
        two = joined(stack, server, "room:1", "bob")
        assert two.names() == ["ada", "bob"]
        one.until(["ada", "bob"])
        ref = two.client.call("room:1", "status", {"away": True})["ref"]
        while ("bob", ref) not in one.there:
            diff = one.client.event("presence_diff")
            one.hear(diff)
        (new,) = diff.payload["joins"]["bob"]["metas"]
        (old,) = diff.payload["leaves"]["bob"]["metas"]
        assert new == {"phx_ref": ref, "phx_ref_prev": old["phx_ref"], "away": True}
        assert one.names() == ["ada", "bob"]
        two.client.close()
        one.until(["ada"])


def test_one_key_has_a_meta_for_each_connection(server: Hornbeam) -> None:
    with ExitStack() as stack:
        one = joined(stack, server, "room:2", "ada")
        other = joined(stack, server, "room:2", "ada")
        one.until(["ada", "ada"])
        other.client.close()
        one.until(["ada"])


def test_a_killed_worker_costs_nobody_its_place(server: Hornbeam) -> None:
    with ExitStack() as stack:
        rooms = [joined(stack, server, "room:3", str(n)) for n in range(4)]
        names = [str(n) for n in range(4)]
        rooms[0].until(names)
        answer = rooms[0].client.push("room:3", "worker")
        reply = rooms[0].client.reply(answer)
        for message in (*rooms[0].client.before, reply):
            rooms[0].hear(message)
        rooms[0].until([*names, "worker"])
        before = {each for each in rooms[0].there if each[0] != "worker"}
        os.kill(reply.payload["response"]["pid"], signal.SIGKILL)
        rooms[0].until(names)
        assert rooms[0].there == before
        new = joined(stack, server, "room:3", "new")
        assert new.there >= before


def test_state_and_changes_add_up_for_each_of_many_who_join_at_once(server: Hornbeam) -> None:
    names = [f"n{n}" for n in range(40)]
    with ExitStack() as stack:
        rooms = []
        for name in names:
            client = stack.enter_context(Channels(server))
            client.begin_join("room:4", {"name": name, "meta": {}})
            rooms.append(Room(client, "room:4"))
        for each in rooms:
            each.until(names)
        for each in rooms[20:]:
            each.client.close()
        for each in rooms[:20]:
            each.until(names[:20])


def test_the_state_is_told_again(server: Hornbeam) -> None:
    with ExitStack() as stack:
        one = joined(stack, server, "room:5", "ada")
        client = one.client
        client.push("room:5", "state")
        assert refs(client.event("presence_state").payload) == one.there


def test_mistakes_say_what_is_wrong(server: Hornbeam) -> None:
    with ExitStack() as stack:
        client = joined(stack, server, "room:6", "ada").client

        def answer(key: str, meta: Any) -> Any:
            return client.call("room:6", "track", {"key": key, "meta": meta})

        size = 16384 - len('{"a":""}')
        assert set(answer("a" * 255, {"a": "x" * size})) == {"ref"}
        assert answer("a", {"a": "x" * (size + 1)}) == {
            "error": "a meta of presence is a JSON object of 16 KiB at most"
        }
        assert "255" in answer("a" * 256, {})["error"]
