"""The last request of an HTTP/1 connection, the server's stop, and binds of other kinds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

import pytest
from harness import Hornbeam, wait_until
from http1_requests import get, post
from http1_server import KINDS, WAYS, Http1, leave, read_all
from http_client import Raw, status_of
from websocket_client import TEXT, frame, handshake

MIB = 1024 * 1024


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_of_max_keepalive_says_so(kind: str, tmp_path: Path) -> None:
    """What is pipelined behind it is not answered, and takes none of the answers with it."""
    most = 4
    with Http1(kind, tmp_path, max_keepalive=most) as server:
        for count in (most - 1, most, most + 1, most + 200):
            with server.raw() as connection:
                connection.send(b"".join(get(f"hello?{number}") for number in range(count)))
                answers = [connection.answer() for _ in range(min(most, count))]
                assert [answer.body for answer in answers] == [b"0", b"1", b"2", b"3"][:count]
                closes = [answer.header(b"connection") for answer in answers]
                assert closes == [None, None, None, b"close"][:count]
                if count >= most:
                    assert connection.rest() == b""


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop(kind: str, tmp_path: Path) -> None:
    """What is in progress is answered and says close; who is idle is closed at once."""
    with Http1(kind, tmp_path, graceful_timeout=20_000) as server:
        with contextlib.ExitStack() as stack:
            new, idle, head, slow, streaming, body = (
                stack.enter_context(server.raw()) for _ in range(6)
            )
            idle.send(get("hello"))
            assert idle.answer().body == b"hello"
            head.send(b"GET /hello HTTP/1.1\r\nHos")
            slow.send(get("sleep?1500") + get("hello?never"))
            streaming.send(get("big?64"))
            assert b"200 OK" in streaming.sock.recv(1000)
            body.send(post("read", 10) + b"hello")
            wait_until(lambda: server.facts()["running"] == 3, 10, "three are in progress")
            os.kill(server.server.pid, signal.SIGTERM)
            for closed in (idle, head, new):
                assert closed.rest() == b""
            # What is in progress goes on, whichever side it waits for.
            body.send(b"world")
            answer = body.answer()
            assert (answer.body, answer.header(b"connection")) == (b"10", b"close")
            answer = slow.answer()
            assert (answer.body, answer.header(b"connection")) == (b"slept", b"close")
            assert slow.rest() == b""
            assert read_all(streaming.sock).endswith(b"\r\n0\r\n\r\n")
        assert server.server.wait(20) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_a_stop_does_not_wait_for_clients_that_have_gone(
    kind: str, way: str, tmp_path: Path
) -> None:
    """Nor for those that go then; what they have pipelined hides it from nobody."""
    with (
        Http1(kind, tmp_path, graceful_timeout=600_000) as server,
        server.raw() as gone,
        server.raw() as going,
    ):
        for connection in (gone, going):
            connection.send(get("wait") + get("hello") * 100)
        wait_until(lambda: server.facts()["running"] == 2, 10, "both run")
        leave(gone, way)
        os.kill(server.server.pid, signal.SIGTERM)
        server.server.wait_for_output("stopping|drain|SIGTERM")
        leave(going, way)
        assert server.server.wait(60) == 0


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "hornbeam.sock"
    with Hornbeam("http1_app:app", bind=f"unix:{path}") as server:

        def connect() -> Raw:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(20)
            sock.connect(str(path))
            return Raw(server, sock)

        with connect() as connection:
            connection.send(get("hello?1") + post("read", None) + b"1\r\na\r\n0\r\n\r\n")
            assert [connection.answer().body for _ in range(2)] == [b"1", b"1"]
            connection.send(post("read", 3 * MIB) + bytes(3 * MIB))
            assert connection.answer().body == b"%d" % (3 * MIB)
            connection.send(b"G@")
            assert status_of(connection.rest()) == 400
        with connect() as connection:
            connection.send(handshake("/socket") + frame(TEXT, b"one"))
            data = b""
            while not data.endswith(b"\x81\x03one"):
                data += connection.sock.recv(1000)


def test_the_proxy_protocol() -> None:
    """Its header and requests in one segment, and those in single octets; both versions.

    A proxy sends the header at once (the protocol's 2.1 and 2.2 ask for it), and Ranch expects it.
    """
    one = b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n"
    addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2")
    two = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack(">H", 12) + addresses
    two += struct.pack(">HH", 1234, 80)
    with Hornbeam("http_echo:app", proxy_protocol=True) as server:
        for header in (one, two):
            data = get("a") + get("b")
            for pieces in ([header + data], [header, *(bytes([octet]) for octet in data)]):
                with Raw(server) as connection:
                    for piece in pieces:
                        connection.send(piece)
                    scopes = [connection.answer().json() for _ in range(2)]
                    assert [scope["path"] for scope in scopes] == ["/a", "/b"]
                    assert scopes[0]["client"] == ["192.0.2.1", 1234]
        with Raw(server) as connection:
            connection.send(get("a"))
            assert connection.rest() == b""
