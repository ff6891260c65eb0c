"""Channels of two connected nodes: a topic is the same on both."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from channel_client import PATH, Channels, started
from harness import Hornbeam, wait_until
from services.test_rpc import distributed

A, B = "ca@127.0.0.1", "cb@127.0.0.2"


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Hornbeam, Hornbeam]]:
    """Two servers on nodes of their own, connected."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def made(name: str) -> Hornbeam:
        env = {"HORNBEAM_ERL_FLAGS": distributed(name, port)}
        return started(cluster_node=[A, B], env=env, channel_rate="infinity", workers=1)

    with made(A) as one, made(B) as other:
        assert httpx.get(f"{one.url}/connect/{B}").json() is True
        with Channels(one) as here, Channels(other) as there:
            here.join("room:ready")
            there.join("room:ready")

            def reaches() -> bool:
                here.push("room:ready", "say_others", {})
                return there.socket.has_more(0.1)

            wait_until(reaches, 20, "what is said on one node is heard on the other")
        yield one, other


def test_all_of_both_nodes_hear_a_broadcast(nodes: tuple[Hornbeam, Hornbeam]) -> None:
    with (
        Channels(nodes[0]) as sender,
        Channels(nodes[0]) as here,
        Channels(nodes[1]) as there,
        Channels(nodes[1]) as named,
    ):
        everybody = {"sender": sender, "here": here, "there": there, "named": named}
        for name, client in everybody.items():
            client.join("room:both", {"name": name})
        for event, payload in (("say", {"x": 1}), ("say", b"\x01")):
            sender.push("room:both", event, payload)
            for client in everybody.values():
                assert client.event("said").payload == payload
        sender.push("room:both", "say_others", {"x": 2})
        for client in (here, there, named):
            assert client.event("said").payload == {"x": 2}
        sender.push("room:both", "say_filtered", {"not": ["named", "sender"]})
        for client in (here, there):
            assert client.event("filtered").payload["for"] in ("here", "there")
        sender.push("room:both", "say", {"x": 3})
        for client in everybody.values():
            assert client.event("said").payload == {"x": 3}
            assert client.before == []


def test_an_id_names_connections_of_both_nodes(nodes: tuple[Hornbeam, Hornbeam]) -> None:
    """Another node may hear only a moment later that there are connections of this name."""
    clients = [Channels(server, f"{PATH}&token=mallory") for server in (*nodes, *nodes)]

    def all_hear() -> bool:
        assert httpx.get(f"{nodes[0].url}/disconnect/user:mallory").status_code == 200
        return all(client.socket.has_more(0.1) for client in clients)

    wait_until(all_hear, 20, "connections of both nodes are told to close")
    for client in clients:
        assert client.closed().code == 1008
