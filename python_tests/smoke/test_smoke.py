"""One request per protocol, in clear text and over TLS: what `make quick` knows of the whole."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca")).create()


@pytest.fixture(scope="module")
def cert(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("localhost")


@pytest.fixture(scope="module", params=["clear", "tls"])
def server(request: pytest.FixtureRequest, cert: tuple[Path, Path]) -> Iterator[Hornbeam]:
    options: dict[str, Any] = {}
    if request.param == "tls":
        options = {"certfile": cert[0], "keyfile": cert[1]}
    with Hornbeam("websocket_app:app", **options) as server:
        yield server


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.cert)


def test_http1(server: Hornbeam, trust: ssl.SSLContext) -> None:
    answer = httpx.get(server.url, verify=trust)
    assert (answer.http_version, answer.status_code) == ("HTTP/1.1", 200)
    assert answer.json()["pid"] in server.workers()


def test_http2(server: Hornbeam, trust: ssl.SSLContext) -> None:
    # In clear text with prior knowledge (RFC 9113, 3.3), else by ALPN.
    clear = server.url.startswith("http:")
    with httpx.Client(http1=not clear, http2=True, verify=trust) as client:
        answer = client.get(server.url)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert answer.json()["pid"] in server.workers()


def test_websocket(server: Hornbeam, trust: ssl.SSLContext) -> None:
    clear = server.url.startswith("http:")
    address = server.url.replace("http", "ws", 1) + "/echo"
    with connect(address, ssl=None if clear else trust) as client:
        client.send("hello")
        assert client.recv() == "hello"
