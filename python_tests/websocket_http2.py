"""A client for WebSockets over HTTP/2 (RFC 8441), made of h2."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from harness import Hornbeam


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
        stream = self.begin(path, **more)
        self.wait(lambda: stream in self.status)
        return stream

    def begin(self, path: str, **more: str) -> int:
        stream = int(self.h2.get_next_available_stream_id())
        headers = [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
            (":path", path), (":authority", "test"), ("sec-websocket-version", "13"),
            *((name.replace("_", "-"), value) for name, value in more.items()),
        ]  # fmt: skip
        self.h2.send_headers(stream, headers)
        self.data[stream] = b""
        self.flush()
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
