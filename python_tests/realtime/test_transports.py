"""The same over each kind of socket: TLS, HTTP/2, with compression."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from channel_client import PATH, started
from harness import Hornbeam
from websocket_client import BINARY, CLOSE, TEXT, frame
from websocket_http2 import Http2
from websockets.sync.client import connect


def test_http2_streams_are_connections_of_their_own(channels_server: Hornbeam) -> None:
    with Http2(channels_server) as client:
        streams = [client.open(PATH) for _ in range(3)]
        assert {client.status[stream][":status"] for stream in streams} == {"200"}

        def say(stream: int, *message: Any) -> None:
            client.send(stream, frame(TEXT, json.dumps(message).encode()))

        def hear(stream: int) -> Any:
            opcode, payload = client.read(stream)
            assert opcode == TEXT
            return json.loads(payload)

        for stream in streams:
            say(stream, "1", "1", "room:h2", "phx_join", {})
            assert hear(stream)[4]["status"] == "ok"
        say(streams[0], "1", "2", "room:h2", "say_others", {"x": 1})
        for stream in streams[1:]:
            assert hear(stream) == [None, None, "room:h2", "said", {"x": 1}]
        client.send(streams[1], frame(BINARY, b"\x00\x01\x01\x07\x0413room:h2echo!"))
        assert client.read(streams[1]) == (BINARY, b"\x01\x01\x01\x07\x0213room:h2ok!")
        client.send(streams[2], frame(TEXT, b"no message"))
        opcode, payload = client.read(streams[2])
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xef")
        say(streams[0], "1", "4", "room:h2", "count", {})
        assert hear(streams[0])[4]["response"]["n"] == 1


def test_http2_refusals(channels_server: Hornbeam) -> None:
    with Http2(channels_server) as client:
        assert client.status[client.open(f"{PATH}&refuse=1")][":status"] == "403"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    """With TLS and compression."""
    folder: Path = tmp_path_factory.mktemp("ca")
    cert, key = Authority(folder).create().issue("localhost")
    with started(
        ssl=True, certfile=str(cert), keyfile=str(key), websocket_compress=True
    ) as running:
        yield running


def test_tls_and_compression(secure: Hornbeam) -> None:
    address = secure.url.replace("https", "wss") + PATH
    context = ssl._create_unverified_context()
    with connect(address, ssl=context) as one, connect(address, ssl=context) as two:
        for client in (one, two):
            client.send(json.dumps(["1", "1", "room:tls", "phx_join", {}]))
            assert json.loads(client.recv(timeout=10))[4]["status"] == "ok"
        one.send(json.dumps(["1", "2", "room:tls", "echo", "x" * 50000]))
        assert json.loads(one.recv(timeout=10))[4]["response"] == "x" * 50000
        one.send(json.dumps(["1", "3", "room:tls", "say", "y" * 50000]))
        for client in (one, two):
            assert json.loads(client.recv(timeout=10)) == [
                None,
                None,
                "room:tls",
                "said",
                "y" * 50000,
            ]


def test_a_compressed_message_is_limited_as_it_is_written(secure: Hornbeam) -> None:
    address = secure.url.replace("https", "wss") + PATH
    with connect(address, ssl=ssl._create_unverified_context()) as client:
        client.send(json.dumps(["1", "1", "room:tls", "phx_join", "x" * 70000]))
        with pytest.raises(Exception, match="1009"):
            client.recv(timeout=10)
