"""Channel layer, cache and sessions of hornbeam_erlang.django over two workers: django_chat
from the outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from websockets.sync.client import ClientConnection, connect

EXAMPLE = str(ROOT / "examples" / "django_chat")


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("chat.asgi:application", pythonpath=EXAMPLE, workers=2) as server:
        yield server


def joined(server: Hornbeam, room: str) -> tuple[ClientConnection, int]:
    """A socket in the room, and its worker."""
    url = f"ws{server.url.removeprefix('http')}/ws/{room}/"
    socket = connect(url, additional_headers={"Origin": server.url})
    return socket, json.loads(socket.recv(timeout=20))["worker"]


def test_all_messages_cross_two_workers(server: Hornbeam) -> None:
    sockets: dict[int, ClientConnection] = {}
    others: list[ClientConnection] = []

    def both() -> bool:
        socket, worker = joined(server, "crossing")
        if worker in sockets:
            others.append(socket)
        sockets.setdefault(worker, socket)
        return len(sockets) == 2

    wait_until(both, 20, "a socket on each worker")
    one, other = sockets.values()
    for number in range(10):
        one.send(json.dumps({"text": str(number)}))
    for socket in (one, other):
        said = [json.loads(socket.recv(timeout=20))["text"] for _ in range(10)]
        assert said == [str(number) for number in range(10)]
    for socket in [one, other, *others]:
        socket.close()


def test_rooms_do_not_meet(server: Hornbeam) -> None:
    (one, _), (other, _) = joined(server, "one"), joined(server, "other")
    with one, other:
        one.send(json.dumps({"text": "of one"}))
        assert json.loads(one.recv(timeout=20)) == {"text": "of one"}
        other.send(json.dumps({"text": "of other"}))
        assert json.loads(other.recv(timeout=20)) == {"text": "of other"}


def test_a_login_persists_over_workers(server: Hornbeam) -> None:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        first: dict[str, Any] = client.get("/login/ada/").raise_for_status().json()
        cookies = dict(client.cookies)

    def elsewhere() -> bool:
        # A connection of its own each time: any worker may have it.
        asked = httpx.get(f"{server.url}/who/", cookies=cookies, timeout=30).json()
        assert asked["user"] == "ada"
        return bool(asked["worker"] != first["worker"])

    wait_until(elsewhere, 20, "the other worker knows her")


def test_the_page(server: Hornbeam) -> None:
    page = httpx.get(f"{server.url}/room/lobby/", timeout=30)
    assert (page.status_code, "<h1>lobby</h1>" in page.text) == (200, True)
