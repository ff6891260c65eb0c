"""Rate limits over two workers, from the outside (docs/rate-limits.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("limits_app:app", workers=2, forwarded_allow_ips="127.0.0.1") as server:
        yield server


def client(server: Hornbeam, address: str, **fields: str) -> httpx.Client:
    """Whose address a trusted proxy says."""
    return httpx.Client(
        base_url=server.url, headers={"x-forwarded-for": address} | fields, timeout=30
    )


def test_exactly_as_many_pass_as_may(server: Hornbeam) -> None:
    async def all_at_once() -> list[httpx.Response]:
        fields = {"x-forwarded-for": "192.0.2.1"}
        limits = httpx.Limits(max_connections=80)
        async with httpx.AsyncClient(
            base_url=server.url, headers=fields, limits=limits, timeout=30
        ) as client:
            return await asyncio.gather(*(client.get("/depends") for _ in range(80)))

    responses = asyncio.run(all_at_once())
    passed = [response for response in responses if response.status_code == 200]
    refused = [response for response in responses if response.status_code == 429]
    assert (len(passed), len(refused)) == (20, 60)
    workers = {int(response.headers["x-worker"]) for response in responses}
    assert workers == set(server.workers())
    left = {int(response.headers["ratelimit-remaining"]) for response in passed}
    assert left == set(range(20))
    for response in refused:
        wait = int(response.headers["retry-after"])
        assert 170 <= wait <= 180
        detail = f"Too many requests: try again in {wait} s"
        assert response.json() == {"detail": detail}
        assert response.headers["ratelimit-limit"] == "20"
        assert response.headers["ratelimit-remaining"] == "0"
        assert response.headers["ratelimit-policy"] == "20;w=3600"
        assert 3590 <= int(response.headers["ratelimit-reset"]) <= 3600
    with client(server, "192.0.2.2") as other:
        assert other.get("/depends").status_code == 200


def test_who_names_no_proxy_is_the_connection(server: Hornbeam) -> None:
    """An address of IPv6 counts with its first 64 bits."""
    with client(server, "2001:db8::1") as one, client(server, "2001:db8::2:0:0:1") as same:
        assert one.get("/path/1").status_code == 200
        assert same.get("/path/1").status_code == 200
        with client(server, "2001:db8:0:1::1") as other:
            # Whatever stands in the path, the endpoint is one.
            statuses = [other.get(f"/path/{number}").status_code for number in range(5)]
            assert statuses == [200, 200, 200, 200, 429]
        assert [one.get(f"/path/{number}").status_code for number in range(3)] == [200, 200, 429]


def test_a_header_is_the_key(server: Hornbeam) -> None:
    with client(server, "192.0.2.3", **{"x-api-key": "secret"}) as one:
        assert [one.get("/header").json() for _ in range(2)] == [1, 0]
        refused = one.get("/header")
        assert refused.status_code == 429
        assert refused.headers["ratelimit-policy"] == '"0";q=2;w=3600'
        assert refused.headers["ratelimit"].startswith('"0";r=0;t=')
    with client(server, "192.0.2.4", **{"x-api-key": "secret"}) as same:
        assert same.get("/header").status_code == 429
    with client(server, "192.0.2.3") as none:
        assert none.get("/header").json() == 1


def test_messages_of_a_websocket(server: Hornbeam) -> None:
    url = server.url.replace("http", "ws")
    with connect(f"{url}/messages") as one, connect(f"{url}/messages") as other:
        said = []
        for socket in (one, other, one, other):
            socket.send("user:7")
            said.append(json.loads(socket.recv(timeout=20)))
    assert [message[:2] for message in said] == [[True, 2], [True, 1], [True, 0], [False, 0]]
    assert said[2][2] == 0
    assert 1190 < said[3][2] <= 1200


def test_a_handshake_is_refused(server: Hornbeam) -> None:
    fields = {"x-forwarded-for": "192.0.2.5"}
    url = server.url.replace("http", "ws") + "/handshake"
    with connect(url, additional_headers=fields):
        pass
    with pytest.raises(InvalidStatus) as refused:
        connect(url, additional_headers=fields)
    assert refused.value.response.status_code == 403
