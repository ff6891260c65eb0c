"""WebSocket over HTTP/2 (RFC 8441), with h2 as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from harness import Hornbeam, wait_until
from websocket_client import CLOSE, PING, PONG, TEXT, frame


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("websocket_app:app", websocket_compress=True) as running:
        yield running


class Http2:
    """One connection with prior knowledge, with as many WebSockets as streams."""

    def __init__(self, server: Hornbeam) -> None:
        self.socket = server.connect()
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.status: dict[int, dict[str, str]] = {}
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.flush()
        self.wait(lambda: self.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1)

    def open(self, path: str, **more: str) -> int:
        stream = int(self.h2.get_next_available_stream_id())
        headers = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":path", path), (":authority", "test"), ("sec-websocket-version", "13"),
            *((name.replace("_", "-"), value) for name, value in more.items()),
        ]  # fmt: skip
        self.h2.send_headers(stream, headers)
        self.data[stream] = b""
        self.flush()
        self.wait(lambda: stream in self.status)
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        while data:
            self.wait(lambda: self.h2.local_flow_control_window(stream) > 0)
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            self.h2.send_data(stream, data[:size])
            data = data[size:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def take(self, stream: int, size: int) -> bytes:
        self.wait(lambda: len(self.data[stream]) >= size)
        data, self.data[stream] = self.data[stream][:size], self.data[stream][size:]
        return data

    def read(self, stream: int) -> tuple[int, bytes]:
        first, size = self.take(stream, 2)
        if size == 126:
            size = int.from_bytes(self.take(stream, 2), "big")
        elif size == 127:
            size = int.from_bytes(self.take(stream, 8), "big")
        return first & 15, self.take(stream, size)

    def wait(self, condition: object) -> None:
        assert callable(condition)
        while not condition():
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            for event in self.h2.receive_data(data):
                self.handle(event)
            self.flush()

    def handle(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            assert event.stream_id is not None and event.headers is not None
            self.status[event.stream_id] = {str(n): str(v) for n, v in event.headers}
        elif isinstance(event, DataReceived):
            assert event.stream_id is not None and event.data is not None
            self.data[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
        elif isinstance(event, (StreamEnded, StreamReset)):
            assert event.stream_id is not None
            self.ended.add(event.stream_id)

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


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
