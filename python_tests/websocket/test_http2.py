"""WebSocket over HTTP/2 (RFC 8441), with h2 as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, wait_until
from ops.faults import Faults, with_faults
from websocket_client import CLOSE, PING, PONG, TEXT, frame
from websocket_http2 import Http2


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("websocket_app:app", websocket_compress=True) as running:
        yield running


def test_echo_on_many_streams(server: Hornbeam) -> None:
    with Http2(server) as client:
        streams = [client.open("/echo") for _ in range(10)]
        for stream in streams:
            assert client.status[stream][":status"] == "200"
            client.send(stream, frame(TEXT, f"hello {stream}".encode()))
        for stream in reversed(streams):
            assert client.read(stream) == (TEXT, f"hello {stream}".encode())


def test_long_messages_and_pings(server: Hornbeam) -> None:
    with Http2(server) as client:
        stream = client.open("/echo")
        client.send(stream, frame(2, b"x" * 1_000_000))
        assert client.read(stream) == (2, b"x" * 1_000_000)
        client.send(stream, frame(PING, b"p"))
        assert client.read(stream) == (PONG, b"p")


def test_the_scope_and_the_answer(server: Hornbeam) -> None:
    with Http2(server) as client:
        stream = client.open("/scope?q=1", sec_websocket_protocol="a, b")
        scope = json.loads(client.read(stream)[1])
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "2")
        assert scope["subprotocols"] == ["a", "b"]
        assert ["host", "test"] in scope["headers"]
        assert not [name for name, _ in scope["headers"] if name.startswith(":")]
        negotiated = client.open("/negotiate", sec_websocket_protocol="chat.v2")
        assert client.status[negotiated]["sec-websocket-protocol"] == "chat.v2"
        assert client.status[negotiated]["x-one"] == "1"


def test_it_keeps_the_small_reads_of_its_connection(tmp_path: Path) -> None:
    buffers = (
        "[Size || Port <- erlang:ports(), {{ok, {{_, {}}}}} <- [inet:sockname(Port)],"
        " {{ok, _}} <- [inet:peername(Port)],"
        " {{ok, [{{_, Size}}]}} <- [inet:getopts(Port, [buffer])]]"
    )
    with (
        with_faults("websocket_app:app", tmp_path) as server,
        Faults(server) as faults,
        Http2(server) as client,
    ):
        stream = client.open("/echo")
        client.send(stream, frame(TEXT, b"hello"))
        assert client.read(stream) == (TEXT, b"hello")
        assert faults.run(buffers.format(server.address[1])) == "[1460]"


def test_refusals(server: Hornbeam) -> None:
    with Http2(server) as client:
        assert client.status[client.open("/refuse")][":status"] == "403"
        denied = client.open("/deny")
        assert client.status[denied][":status"] == "401"
        assert client.take(denied, 9) == b"no ticket"
        assert client.status[client.open("/raises")][":status"] == "500"


def test_closes_both_ways(server: Hornbeam) -> None:
    with Http2(server) as client:
        stream = client.open("/echo?h2-close")
        client.send(stream, frame(CLOSE, (4001).to_bytes(2, "big") + b"bye"))
        assert client.read(stream) == (CLOSE, (4001).to_bytes(2, "big"))
        client.wait(lambda: stream in client.ended)
        goodbye = client.open("/goodbye")
        opcode, payload = client.read(goodbye)
        assert (opcode, payload[:2]) == (CLOSE, (4321).to_bytes(2, "big"))
        client.send(goodbye, frame(CLOSE, payload[:2]), end=True)
        client.wait(lambda: goodbye in client.ended)
        vanishing = client.open("/echo?h2-gone")
        client.h2.reset_stream(vanishing)
        client.flush()
        other = client.open("/echo")
        client.send(other, frame(TEXT, b"alive"))
        assert client.read(other) == (TEXT, b"alive")
        wanted = {"h2-close": [[4001, "bye"]], "h2-gone": [[1006, ""]]}
        wait_until(
            lambda: wanted.items() <= httpx.get(server.url).json()["seen"].items(), 10, "noted"
        )


def test_a_wrong_frame_and_compression(server: Hornbeam) -> None:
    with Http2(server) as client:
        stream = client.open("/echo", sec_websocket_extensions="permessage-deflate")
        assert "permessage-deflate" in client.status[stream]["sec-websocket-extensions"]
        client.send(stream, b"\x81\x01a")
        assert client.read(stream)[1][:2] == (1002).to_bytes(2, "big")


def test_a_slow_stream_does_not_stop_the_others(server: Hornbeam) -> None:
    with Http2(server) as client:
        flood = client.open("/flood?h2-flood")
        # This client gives no window to the flood's stream, and reads the other one.
        client.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        client.wait(lambda: len(client.data[flood]) >= 65_000)
        client.h2.increment_flow_control_window(1_000_000)
        client.flush()
        wait_until(lambda: httpx.get(server.url).json()["seen"].get("h2-flood"), 20, "send() waits")
        other = client.open("/echo")
        client.send(other, frame(TEXT, b"quick"))
        assert client.read(other) == (TEXT, b"quick")


def test_a_stream_that_never_reads_is_cut_off() -> None:
    with Hornbeam("websocket_app:app", send_timeout=500) as server, Http2(server) as client:
        client.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        flood = client.open("/flood?h2-never")
        client.wait(lambda: flood in client.ended)
        wait_until(
            lambda: (
                "ClientDisconnected" in httpx.get(server.url).json()["seen"].get("h2-never", [])
            ),
            10,
            "send() raises",
        )
