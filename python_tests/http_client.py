"""Raw clients for the HTTP tests: bytes out, and what comes back read by h11 or h2.

Nothing here shares code with the server: h11 and h2 judge what it sends.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import h11
from harness import Hornbeam

TIMEOUT = 20.0


@dataclass
class Answer:
    """One response as a client sees it. `complete` is False when the connection was cut in it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    informational: list[tuple[int, list[tuple[bytes, bytes]]]] = field(default_factory=list)
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False
    reset: int | None = None

    def header(self, name: bytes) -> bytes | None:
        """The value of a field that may be there once at most."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Raw:
    """One HTTP/1 connection."""

    def __init__(self, server: Hornbeam, sock: socket.socket | None = None) -> None:
        self.sock = sock or server.connect(TIMEOUT)
        self.parser = h11.Connection(h11.CLIENT)
        self.closed = False

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_about: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.sock.sendall(data)

    def answer(self, method: str = "GET") -> Answer:
        """Reads one response to a request with this method; h11 raises when it is not HTTP."""
        if self.parser.our_state is h11.DONE:
            self.parser.start_next_cycle()
        # What h11 is told of the request only decides how the response is framed.
        self.parser.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
        self.parser.send(h11.EndOfMessage())
        informational: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        answer: Answer | None = None
        while True:
            event = self.parser.next_event()
            if event is h11.NEED_DATA:
                data = self._read()
                self.closed = not data
                try:
                    self.parser.receive_data(data)
                    if not self.closed:
                        continue
                    event = self.parser.next_event()
                except h11.RemoteProtocolError:
                    if not self.closed or answer is None:
                        raise
                    return answer
            if isinstance(event, h11.InformationalResponse):
                informational.append((event.status_code, list(event.headers)))
            elif isinstance(event, h11.Response):
                headers = list(event.headers)
                answer = Answer(event.status_code, headers, informational=informational)
            elif isinstance(event, h11.Data):
                assert answer is not None
                answer.body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert answer is not None
                answer.trailers = list(event.headers)
                answer.complete = True
                return answer
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError("the server has closed the connection")

    def rest(self) -> bytes:
        """Everything until the server closes."""
        data = self.parser.trailing_data[0]
        while chunk := self._read():
            data += chunk
        return data

    def _read(self) -> bytes:
        try:
            return self.sock.recv(65_536)
        except ConnectionResetError:
            return b""


def exchange(server: Hornbeam, request: bytes) -> bytes:
    """Sends bytes and reads until the server closes."""
    with Raw(server) as connection:
        connection.send(request)
        return connection.rest()


def status_of(response: bytes) -> int:
    """The status of the first response in raw bytes."""
    assert response.startswith(b"HTTP/1.1 "), response[:80]
    return int(response[9:12])


class H2:
    """One HTTP/2 connection, in clear text with prior knowledge unless a socket is given.

    `window`: of each stream, in bytes. Without `acknowledge` no window is ever opened again.
    """

    def __init__(
        self, server: Hornbeam, sock: socket.socket | None = None, *, window: int = 65_535
    ) -> None:
        self.sock = sock or server.connect(TIMEOUT)
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self.connection.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
            },
        )
        self.connection.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.early: dict[int, list[tuple[int, list[tuple[bytes, bytes]]]]] = {}
        self.goaway: int | None = None
        self.closed = False
        self.acknowledge = True
        self.flush()

    def __enter__(self) -> H2:
        return self

    def __exit__(self, *_about: object) -> None:
        self.sock.close()

    def flush(self) -> None:
        """Writes what h2 has to say."""
        self.sock.sendall(self.connection.data_to_send())

    def request(
        self, path: str, *, method: str = "GET", extra: list[tuple[str, str]] | None = None,
        end: bool = True,
    ) -> int:  # fmt: skip
        """Sends the head of a request and returns its stream."""
        stream: int = self.connection.get_next_available_stream_id()
        headers = [
            (":method", method), (":scheme", "http"), (":authority", "a"), (":path", path),
            *(extra or []),
        ]  # fmt: skip
        self.connection.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def step(self) -> None:
        """Reads once and takes in what came."""
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.connection.receive_data(data):
            self._take(event)
        self.flush()

    def answer(self, stream: int) -> Answer:
        """Reads until the response on a stream is complete or reset."""
        while True:
            answer = self.answers.get(stream)
            if answer is not None and (answer.complete or answer.reset is not None):
                return answer
            if self.closed:
                raise EOFError(f"the server has closed the connection (GOAWAY {self.goaway})")
            self.step()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id] = Answer(*_split(event.headers))
            self.answers[event.stream_id].informational = self.early.pop(event.stream_id, [])
        elif isinstance(event, h2.events.InformationalResponseReceived):
            self.early.setdefault(event.stream_id, []).append(_split(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
            if self.acknowledge:
                self.connection.acknowledge_received_data(
                    event.flow_controlled_length, event.stream_id
                )
        elif isinstance(event, h2.events.TrailersReceived):
            self.answers[event.stream_id].trailers = _pairs(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.answers[event.stream_id].complete = True
        elif isinstance(event, h2.events.StreamReset):
            answer = self.answers.setdefault(event.stream_id, Answer(0, []))
            answer.reset = int(event.error_code or 0)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = int(event.error_code or 0)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2 as bytes (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def flooded(client: H2, data: bytes, times: int) -> int | None:
    """Sends bytes again and again until the server ends the connection; the code that it says."""
    with suppress(OSError):
        for _ in range(times):
            client.sock.sendall(data)
    with suppress(OSError):
        while not client.closed:
            client.step()
    return client.goaway


def _pairs(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in headers]


def _split(headers: Any) -> tuple[int, list[tuple[bytes, bytes]]]:
    pairs = _pairs(headers)
    status = next(int(value) for name, value in pairs if name == b":status")
    return status, [pair for pair in pairs if not pair[0].startswith(b":")]


def tls_context(authority: str, *alpn: str) -> ssl.SSLContext:
    """A client's TLS settings that trust one authority."""
    context = ssl.create_default_context(cafile=authority)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context
