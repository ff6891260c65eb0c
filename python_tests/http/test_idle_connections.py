"""A stop does not wait for connections on which nothing is in progress."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import Authority
from harness import Hornbeam
from http_client import H2, Raw, frame, tls_context
from ops.faults import Faults, with_faults

pytestmark = pytest.mark.alone

APP = "http_messages:app"
GET = b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n"
# What each kind of idle connection used to cost is a second at least.
MORE = 0.7


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def alone() -> float:
    """How long a stop takes without connections."""
    with Hornbeam(APP) as server:
        return timed(server)


def timed(server: Hornbeam) -> float:
    begin = time.monotonic()
    assert server.stop() == 0
    return time.monotonic() - begin


def test_in_clear_text(alone: float) -> None:
    with Hornbeam(APP) as server, ExitStack() as stack:
        for _ in range(3):
            used = stack.enter_context(Raw(server))
            used.send(GET)
            assert used.answer().status == 200
        stack.enter_context(server.connect())
        begun = stack.enter_context(server.connect())
        begun.sendall(b"GET / HTTP/1.1\r\nHo")
        two = stack.enter_context(H2(server))
        stream = two.request("/facts")
        assert two.answer(stream).status == 200
        unused = stack.enter_context(H2(server))
        unused.step()
        assert timed(server) < alone + MORE
        assert used.rest() == b""
        for client in (two, unused):
            while not client.closed:
                client.step()
            assert client.goaway == 0
        assert "CRASH" not in server.output
        assert "unknown process" not in server.output


def test_over_tls(alone: float, authority: Authority) -> None:
    cert, key = authority.issue("localhost")
    with (
        Hornbeam(APP, ssl=True, certfile=str(cert), keyfile=str(key)) as server,
        ExitStack() as stack,
    ):

        def tls(*alpn: str) -> ssl.SSLSocket:
            context = tls_context(str(authority.cert), *alpn)
            return context.wrap_socket(server.connect(), server_hostname="localhost")

        used = stack.enter_context(Raw(server, tls()))
        used.send(GET)
        assert used.answer().status == 200
        stack.enter_context(tls())
        two = stack.enter_context(H2(server, tls("h2")))
        assert two.answer(two.request("/facts")).status == 200
        stack.enter_context(server.connect())  # its handshake has not begun
        half = stack.enter_context(server.connect())  # and this one's never ends
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        assert timed(server) < alone + MORE
        assert used.rest() == b""
        while not two.closed:
            two.step()
        assert two.goaway == 0
        assert "CRASH" not in server.output


def test_a_proxy_header_that_does_not_come(alone: float) -> None:
    with Hornbeam(APP, proxy_protocol=True) as server, server.connect():
        assert timed(server) < alone + MORE


def test_a_unix_socket(alone: float, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with Hornbeam(APP, bind=f"unix:{path}") as server, socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(GET)
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert timed(server) < alone + MORE


def test_what_is_in_progress_is_finished() -> None:
    """However long it takes, if graceful_timeout allows it."""
    with Hornbeam(APP) as server, H2(server) as two, Raw(server) as one:
        stream = two.request("/later?5000")
        one.send(b"GET /later?1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        begun = one.sock.recv(1, socket.MSG_PEEK)
        while stream not in two.answers:
            two.step()
        os.kill(server.pid, signal.SIGTERM)
        assert begun
        assert one.answer().body == b"now and later"
        assert one.rest() == b""
        rest = b""  # h2 itself takes nothing after GOAWAY
        while data := two.sock.recv(65_536):
            rest += data
        assert frame(0, 1, stream, b"later") in rest
        assert server.wait() == 0


def test_a_collection_of_a_calm_connection_is_a_whole_one(tmp_path: Path) -> None:
    """What its requests have left behind is not kept with what has lived longer. One that HTTP/2
    has taken over has OTP's ways again."""
    own = "proc_lib:translate_initial_call(P) =:= {hornbeam_connection, init, 4}"
    of = "element(2, lists:keyfind(fullsweep_after, 1, element(2, process_info(P, A))))"
    partly = f"[{of} || A <- [garbage_collection], P <- processes(), {own}]"
    with with_faults(APP, tmp_path) as server, Faults(server) as faults, ExitStack() as stack:
        calm = stack.enter_context(Raw(server))
        calm.send(GET)
        assert calm.answer().status == 200
        assert faults.run(partly) == "[0]"
        two = stack.enter_context(H2(server))
        assert two.answer(two.request("/facts")).status == 200
        assert faults.run(f"lists:sort({partly})") == "[0,65535]"
