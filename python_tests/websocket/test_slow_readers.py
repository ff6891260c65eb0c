"""Clients that do not read, over every kind of socket: what waits for them is bounded, whoever
sends it, and they are cut off in the end."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam, memory, wait_until
from websocket_client import Client
from websocket_http2 import Http2

MIB = 1 << 20

# Opens a WebSocket of which nothing is read any more, after what the last argument is long.
Silent = Callable[[Hornbeam, str, int], AbstractContextManager[None]]


@contextmanager
def clear(server: Hornbeam, path: str, size: int) -> Iterator[None]:
    with Client(server.connect(), path) as client:
        if size:
            assert len(client.read().payload) == size
        yield


@contextmanager
def over_tls(server: Hornbeam, path: str, size: int) -> Iterator[None]:
    context = ssl._create_unverified_context()
    with Client(context.wrap_socket(server.connect()), path) as client:
        if size:
            assert len(client.read().payload) == size
        yield


@contextmanager
def over_http2(server: Hornbeam, path: str, size: int) -> Iterator[None]:
    with Http2(server) as client:
        # A window as large as can be, so that it is the socket that fills up.
        client.h2.increment_flow_control_window(1 << 30)
        stream = client.open(path)
        client.h2.increment_flow_control_window(1 << 30, stream)
        client.flush()
        if size:
            assert len(client.read(stream)[1]) == size
        yield


each_way = pytest.mark.parametrize(
    "silent", [clear, over_tls, over_http2], ids=["clear", "TLS", "HTTP/2"]
)


@pytest.fixture
def options(tmp_path: Path, silent: Silent) -> dict[str, Any]:
    if silent is not over_tls:
        return {}
    cert, key = Authority(tmp_path / "ca").create().issue("localhost")
    return {"ssl": True, "certfile": str(cert), "keyfile": str(key)}


@each_way
def test_what_is_published_does_not_pile_up(silent: Silent, options: dict[str, Any]) -> None:
    with (
        Hornbeam("websocket_fastapi:app", **options) as server,
        httpx.Client(base_url=server.url, verify=False, timeout=20) as publisher,
        silent(server, "/rooms/s", len("joined")),
    ):
        before = memory(server.beam())
        for _ in range(200):
            assert publisher.get("/publish/s/500000").json() == 1
        assert memory(server.beam()) - before < 40 * MIB


@each_way
def test_it_is_cut_off(silent: Silent, options: dict[str, Any]) -> None:
    with (
        Hornbeam("websocket_app:app", send_timeout=500, **options) as server,
        httpx.Client(base_url=server.url, verify=False, timeout=20) as other,
        silent(server, "/flood?silent", 0),
    ):
        wait_until(
            lambda: "ClientDisconnected" in other.get("/").json()["seen"].get("silent", []),
            20,
            "send() raises",
        )
