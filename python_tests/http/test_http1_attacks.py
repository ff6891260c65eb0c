"""What clients do to HTTP/1 connections, in clear text and with TLS; nothing of it is left."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from harness import wait_until
from http1_requests import get, post
from http1_server import KINDS, Http1, read_all
from http_client import status_of
from websocket_client import TEXT, frame, handshake

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Http1]:
    with Http1(request.param, tmp_path_factory.mktemp("http1")) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left(server: Http1) -> Iterator[None]:
    """After each test the VM has what it had before."""
    before = server.usage()
    yield
    server.settles(before)


def reset(sock: socket.socket) -> None:
    """Ends a connection so that the other side is told of an error."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Bytes as they come


def test_single_octets(server: Http1) -> None:
    text = (
        b"\r\n" + get("hello?1", "X-A: \t b \t", "Cookie: a=1")
        + post("read", None) + b"5;a=b\r\nhello\r\n00\r\nX-Sum: 1\r\n\r\n"
        + post("read", 3) + b"abc" + get("hello?2")
    )  # fmt: skip
    with server.raw() as connection:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in text:
            connection.send(bytes([octet]))
        assert [connection.answer().body for _ in range(4)] == [b"1", b"5", b"3", b"2"]


def test_garbage(server: Http1) -> None:
    """It is refused, and the server serves on."""
    chance = random.Random(11)
    with contextlib.ExitStack() as stack:
        sent = []
        for number in range(60):
            garbage = chance.randbytes(chance.choice([1, 10, 100, 5000]))
            if number % 2:
                garbage = b"GET / HTTP/1.1\r\nHost: a\r\n" + garbage
            sock = stack.enter_context(contextlib.closing(server.connect()))
            sock.sendall(garbage + b"\r\n\r\n")
            sent.append((garbage, sock))
        for garbage, sock in sent:
            assert status_of(read_all(sock)) in (400, 414, 431, 501, 505), garbage
    assert server.ask("hello").text == "hello"


def test_tls_at_a_port_without_it_and_the_other_way_round(server: Http1) -> None:
    with socket.create_connection(server.server.address, 20) as sock:
        if server.kind == "clear":
            context = ssl.create_default_context()
            with pytest.raises(ssl.SSLError):
                context.wrap_socket(sock, server_hostname="localhost")
            return
        sock.sendall(get("hello"))
        with contextlib.suppress(ConnectionError):
            assert b"HTTP/1.1 200" not in read_all(sock)


# Clients that leave


@pytest.mark.parametrize("how", ["closes", "resets"])
def test_a_client_that_leaves(server: Http1, how: str) -> None:
    """In the head, in a body, before the response, in the response; the application is told."""
    gone, times = server.facts()["gone"], 5
    for text, answered in (
        (b"GET /hel", False),
        (post("read", 10) + b"hello", False),
        (post("read", None) + b"5\r\nhel", False),
        (get("wait"), False),
        (get("leave"), True),
    ):
        for _ in range(times):
            with server.raw() as connection:
                if b"/wait" in text:
                    wait_until(lambda: server.facts()["running"] == 0, 10, "nothing else runs")
                connection.send(text)
                if answered:
                    connection.sock.recv(1000)
                elif b"/wait" in text:
                    wait_until(lambda: server.facts()["running"] > 0, 10, "it runs")
                if how == "resets":
                    reset(connection.sock)
    # A request of which only a part of the head has come is none.
    wait_until(lambda: server.facts()["gone"] >= gone + 2 * times, 10, "the application is told")
    wait_until(lambda: server.facts()["running"] == 0, 10, "nothing runs any more")


# Responses that are not complete


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("length", ["", "length"])
def test_a_response_that_fails_is_seen_to_be_incomplete(
    server: Http1, version: str, length: str
) -> None:
    """Also where the end of the connection would be the end of the body (RFC 9112, 8)."""
    with server.raw() as connection:
        connection.send(f"GET /fails?{length} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        if version == "1.0" and not length:
            with pytest.raises((ConnectionResetError, ssl.SSLError)):
                read_all(connection.sock)
        else:
            answer = connection.answer()
            assert (answer.body, answer.complete) == (b"begun", False)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_file_that_shrinks_is_seen_to_be_incomplete(
    server: Http1, tmp_path: Path, version: str
) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    with server.raw(buffer=65_536) as connection:
        connection.send(f"GET /file?{path} HTTP/{version}\r\nHost: a\r\n\r\n".encode())
        head = connection.sock.recv(1000)
        assert b"content-length: %d" % (64 * MIB) in head
        with path.open("r+b") as file:
            file.truncate(MIB)
        size = 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := connection.sock.recv(65_536):
                size += len(data)
        assert size < 64 * MIB


# Versions and framings


def test_http_1_0(server: Http1) -> None:
    with server.raw() as connection:
        for number in range(3):
            text = f"GET /hello?{number} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            connection.send(text.encode())
            answer = connection.answer()
            assert (answer.body, answer.header(b"connection")) == (b"%d" % number, b"keep-alive")
        # Of a length that is not known: the end of the connection is that of the body.
        connection.send(b"GET /big?1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = read_all(connection.sock).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head and b"content-length" not in head
        assert len(body) == MIB
    with server.raw() as connection:
        connection.send(b"POST /read HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello")
        response = read_all(connection.sock)
        assert response.endswith(b"\r\n\r\n5")
        assert b"connection: close" in response
    with server.raw() as connection:
        # Nothing of HTTP/1.1's own.
        connection.send(b"GET /hints HTTP/1.0\r\nTE: trailers\r\n\r\n")
        response = read_all(connection.sock)
        assert (status_of(response), response.count(b"HTTP/1.1 ")) == (200, 1)
        assert response.endswith(b"\r\n\r\nhinted")


def test_hints_trailers_and_heads_keep_the_connection_in_step(server: Http1) -> None:
    with server.raw() as connection:
        for method in ("GET", "HEAD", "GET"):
            text = f"{method} /hints HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
            connection.send(text.encode())
            answer = connection.answer(method)
            assert [status for status, _ in answer.informational] == [103]
            assert answer.body == (b"" if method == "HEAD" else b"hinted")
            assert answer.trailers == ([] if method == "HEAD" else [(b"x-sum", b"1")])
        connection.send(b"HEAD /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + get("hello"))
        assert connection.answer("HEAD").status == 500
        assert connection.answer().body == b"hello"


def test_a_method_that_is_not_head_gets_no_response_to_head(server: Http1) -> None:
    """Its length without its body would swallow the next response (RFC 9110, 9.1)."""
    with server.raw() as connection:
        connection.send(b"head /hello HTTP/1.1\r\nHost: a\r\n\r\n" + get("hello"))
        answer = connection.answer()
        assert (answer.status, answer.body) == (501, b"Not Implemented")
        assert connection.rest() == b""


# Other protocols


def test_an_offer_of_http2_is_ignored(server: Http1) -> None:
    """RFC 9110, 7.8. With it a client could pass by the rules of a proxy that does not know it."""
    offer = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    )
    with server.raw() as connection:
        for _ in range(2):
            connection.send(get("hello", *offer))
            answer = connection.answer()
            assert (answer.status, answer.body, answer.informational) == (200, b"hello", [])


@pytest.mark.parametrize("cut", ["whole", "single", "in the preface", "behind the preface"])
def test_http2_with_prior_knowledge(server: Http1, cut: str) -> None:
    """RFC 9113, 3.3: the preface may come in pieces, and frames together with it."""
    if server.kind == "tls":
        pytest.skip("ALPN decides")
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/hello")]
    client.send_headers(1, head, end_stream=True)
    data = client.data_to_send()
    pieces = {
        "whole": [data],
        "single": [data[i : i + 1] for i in range(len(data))],
        "in the preface": [data[:20], data[20:]],
        "behind the preface": [data[:24], data[24:]],
    }[cut]
    with contextlib.closing(server.connect()) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
        body, ended = b"", False
        while not ended:
            for event in client.receive_data(sock.recv(65_536)):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                ended = ended or isinstance(event, h2.events.StreamEnded)
        assert body == b"hello"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        # A method like any other.
        (b"PRI /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        (b"PUT /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 200),
        (b"PRI * HTTP/2.0\r\n\r\nXX", 505),
        (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ],
)
def test_what_begins_like_the_preface_and_is_none(server: Http1, text: bytes, status: int) -> None:
    for pieces in ([text], [text[i : i + 1] for i in range(len(text))]):
        with contextlib.closing(server.connect()) as sock:
            for piece in pieces:
                sock.sendall(piece)
            assert status_of(read_all(sock)) == status


@pytest.mark.parametrize("cut", ["together", "single octets", "behind a request"])
def test_frames_that_come_with_the_handshake_reach_the_websocket(server: Http1, cut: str) -> None:
    data = handshake("/socket") + frame(TEXT, b"one") + frame(TEXT, b"two")
    with server.raw() as connection:
        if cut == "behind a request":
            data = get("sleep?100") + data
        if cut == "single octets":
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in data:
                connection.send(bytes([octet]))
        else:
            connection.send(data)
        if cut == "behind a request":
            assert connection.answer().body == b"slept"
        data = connection.parser.trailing_data[0]
        while data.count(b"\x81\x03") < 2:
            more = connection.sock.recv(65_536)
            assert more, data
            data += more
        head, _, frames = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert frames == b"\x81\x03one\x81\x03two"


def test_a_handshake_with_a_body_is_refused_and_the_next_request_read(server: Http1) -> None:
    text = handshake("/socket").replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\nhello")
    with server.raw() as connection:
        connection.send(text + get("hello"))
        assert connection.answer().status == 400
        assert connection.answer().body == b"hello"
