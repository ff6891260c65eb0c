"""Presence in Python, with the stand-in's clients."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import hornbeam_presence
from hornbeam_erlang.channels import Channel, Socket
from hornbeam_erlang.presence import Presence
from hornbeam_erlang.testing import channels, standalone


def room() -> Channel:
    made = Channel("room:*", presence=True)

    @made.on_join
    def join(topic: str, params: Any, socket: Socket) -> Socket:
        Presence(topic).track(socket, params["name"], {"status": "online"})
        return socket.assign("name", params["name"])

    @made.on("status")
    async def status(payload: Any, socket: Socket) -> Any:
        presence = Presence(socket.topic)
        return {"ref": await presence.aupdate(socket, socket.assigns["name"], payload)}

    @made.on("hide")
    def hide(payload: Any, socket: Socket) -> Any:
        presence = Presence(socket.topic)
        name = socket.assigns["name"]
        return {"was": [presence.untrack(socket, name), presence.untrack(socket, name)]}

    @made.on("state")
    def state(payload: Any, socket: Socket) -> Any:
        return {"there": Presence(socket.topic).push_state(socket)}

    return made


def names(topic: str) -> dict[str, int]:
    return {key: len(entry["metas"]) for key, entry in Presence(topic).list().items()}


def test_who_joins_is_there_until_he_leaves() -> None:
    with channels(room()) as clients:
        one, two = clients.connect(), clients.connect()
        lobby = one.join("room:1", {"name": "ann"})
        two.join("room:1", {"name": "ann"})
        two.join("room:2", {"name": "bob"})
        assert (names("room:1"), names("room:2")) == ({"ann": 2}, {"bob": 1})
        lobby.leave()
        assert (names("room:1"), names("room:2")) == ({"ann": 1}, {"bob": 1})
        two.close()
        assert (names("room:1"), names("room:2")) == ({}, {})
        assert Presence("room:1").get("ann") is None


def test_what_clients_hear_of_it() -> None:
    with channels(room()) as clients:
        first = clients.connect().join("room:1", {"name": "ann"})
        second = clients.connect().join("room:1", {"name": "bob"})
        ann = {"metas": [{"status": "online", "phx_ref": "ref1"}]}
        bob = {"metas": [{"status": "online", "phx_ref": "ref2"}]}
        assert first.received == [
            ("presence_state", {"ann": ann}),
            ("presence_diff", {"joins": {"bob": bob}, "leaves": {}}),
        ]
        assert second.received == [("presence_state", {"ann": ann, "bob": bob})]
        assert second.push("status", {"status": "away"}).payload == {"ref": "ref3"}
        away = {"metas": [{"status": "away", "phx_ref": "ref3", "phx_ref_prev": "ref2"}]}
        diff = {"joins": {"bob": away}, "leaves": {"bob": bob}}
        assert first.received[-1] == ("presence_diff", diff)
        assert Presence("room:1").get("bob") == away
        assert second.push("hide").payload == {"was": [True, False]}
        assert first.received[-1] == ("presence_diff", {"joins": {}, "leaves": {"bob": away}})
        assert second.push("state").payload == {"there": True}
        assert second.received[-1] == ("presence_state", {"ann": ann})


def test_what_is_not_tracked_is_not_updated() -> None:
    with channels(room()) as clients:
        joined = clients.connect().join("room:1", {"name": "ann"})
        joined.push("hide")
        with pytest.raises(ValueError, match="this is not tracked"):
            joined.push("status", {})


def test_to_track_a_key_again_is_an_update() -> None:
    with standalone():
        presence = Presence("t")
        first = presence.track(None, "k", {"n": 1})
        second = presence.track(None, "k", {"n": 2})
        (meta,) = presence.list()["k"]["metas"]
        assert meta == {"n": 2, "phx_ref": second, "phx_ref_prev": first}


def test_the_twins() -> None:
    async def main() -> list[Any]:
        presence = Presence("t")
        ref = await presence.atrack(None, "k", {"n": 1})
        got = [await presence.alist(), await presence.aget("k"), await presence.aget("none")]
        return [ref, *got, await presence.auntrack(None, "k"), await presence.alist()]

    with standalone():
        ref, listed, got, nobody, was, after = asyncio.run(main())
    assert got == {"metas": [{"n": 1, "phx_ref": ref}]}
    assert (listed, nobody, was, after) == ({"k": got}, None, True, {})


def test_a_client_that_has_gone_is_not_there() -> None:
    kept: list[Socket] = []
    made = Channel("room:*")
    made.on_join(lambda topic, params, socket: kept.append(socket))
    with channels(made) as clients:
        client = clients.connect()
        client.join("room:1")
        client.close()
        presence = Presence("room:1")
        assert (presence.track(kept[0], "k"), presence.update(kept[0], "k")) == (None, None)
        assert presence.push_state(kept[0]) is False
        assert presence.list() == {}


@pytest.mark.parametrize(
    ("topic", "key", "meta", "error"),
    [
        ("", "k", {}, ValueError),
        ("t*", "k", {}, ValueError),
        ("t" * 256, "k", {}, ValueError),
        ("t", "", {}, ValueError),
        ("t", "k" * 256, {}, ValueError),
        ("t", 1, {}, TypeError),
        ("t", "k", [1], TypeError),
        ("t", "k", {"x": object()}, TypeError),
    ],
)
def test_what_cannot_be_tracked(topic: Any, key: Any, meta: Any, error: type[Exception]) -> None:
    with standalone(), pytest.raises(error):
        Presence(topic).track(None, key, meta)


def test_another_topics_socket_is_told_nothing() -> None:
    with standalone(), pytest.raises(ValueError, match='one of "b"'):
        Presence("a").push_state(Socket("b"))


def test_the_originals_name() -> None:
    assert hornbeam_presence.Presence is Presence
    assert hornbeam_presence.__all__ == ["Presence"]
