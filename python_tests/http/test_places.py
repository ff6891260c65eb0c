"""What one client, and one connection, can have in progress at once."""

from __future__ import annotations

import http.client
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from harness import Hornbeam, wait_until
from http_client import H2, Raw
from ops.faults import Faults, with_faults
from websocket_client import handshake
from websocket_http2 import Http2

MOST = 5
WAIT = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "http_messages:app", max_client_requests=MOST, forwarded_allow_ips="127.0.0.9"
    ) as server:
        yield server


def ask(server: Hornbeam, address: str = "127.0.0.1", **fields: str) -> tuple[int, str | None]:
    """The status and retry-after of a request from an address."""
    connection = http.client.HTTPConnection(*server.address, 20, (address, 0))
    try:
        connection.request("GET", "/facts", headers=fields)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("retry-after")
    finally:
        connection.close()


def hold(server: Hornbeam, address: str = "127.0.0.1", fields: bytes = b"") -> Raw:
    """A connection whose request stays in progress."""
    sock = socket.create_connection(server.address, 20, (address, 0))
    connection = Raw(server, sock)
    connection.send(WAIT[:-2] + fields + b"\r\n")
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def test_requests_of_one_client(server: Hornbeam) -> None:
    """At N - 1 in progress one more comes in, at N none; from another address they do."""
    with ExitStack() as stack:
        for _ in range(MOST - 1):
            stack.enter_context(hold(server))
        assert ask(server) == (200, None)
        last = stack.enter_context(hold(server))
        for _ in range(3):
            assert ask(server) == (429, "1")
        assert ask(server, "127.0.0.2") == (200, None)
        last.sock.close()
        wait_until(lambda: ask(server)[0] == 200, 5, "a client that leaves gives its place back")
    server.wait_for_output("127.0.0.1 has 5 requests in progress .max_client_requests.")
    assert server.output.count("max_client_requests") == 1


def test_requests_of_one_client_over_http2(server: Hornbeam) -> None:
    with H2(server) as client:
        streams = [client.request("/wait") for _ in range(MOST + 2)]
        answers = [client.answer(stream) for stream in streams[MOST:]]
        assert [answer.status for answer in answers] == [429, 429]
        assert [answer.header(b"retry-after") for answer in answers] == [b"1", b"1"]
        client.connection.reset_stream(streams[0], 8)
        client.flush()
        assert client.answer(client.request("/facts")).status == 200
    wait_until(lambda: ask(server)[0] == 200, 5, "all places are given back")


def test_a_refused_request_costs_its_connection_nothing(server: Hornbeam) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(hold(server)) for _ in range(MOST)]
        with Raw(server) as connection:
            for status in (429, 429):
                connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
                assert connection.answer().status == status
            held[0].sock.close()

            def again() -> bool:
                connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
                return connection.answer().status == 200

            wait_until(again, 5, "the same connection is served")


def test_a_client_is_whom_a_trusted_proxy_names(server: Hornbeam) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(hold(server, "127.0.0.9", b"X-Forwarded-For: 192.0.2.1\r\n"))
        assert ask(server, "127.0.0.9", **{"X-Forwarded-For": "192.0.2.1"})[0] == 429
        assert ask(server, "127.0.0.9", **{"X-Forwarded-For": "192.0.2.2"})[0] == 200
        # Only a trusted proxy can say so.
        assert ask(server, "127.0.0.8", **{"X-Forwarded-For": "192.0.2.1"})[0] == 200
        # The proxy itself is no client.
        for _ in range(MOST + 2):
            stack.enter_context(hold(server, "127.0.0.9"))


def test_networks_of_ipv6(server: Hornbeam) -> None:
    """A client with IPv6 has a /64 for itself."""
    with ExitStack() as stack:
        for number in range(MOST):
            field = b"X-Forwarded-For: 2001:db8::%d\r\n" % number
            stack.enter_context(hold(server, "127.0.0.9", field))
        assert ask(server, "127.0.0.9", **{"X-Forwarded-For": "2001:db8::99"})[0] == 429
        assert ask(server, "127.0.0.9", **{"X-Forwarded-For": "2001:db8:0:1::1"})[0] == 200
        assert ask(server, "127.0.0.9", **{"X-Forwarded-For": "::ffff:192.0.2.7"})[0] == 200


def test_unix_sockets_are_not_counted(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        Hornbeam("http_messages:app", bind=f"unix:{path}", max_client_requests=1) as server,
        ExitStack() as stack,
    ):
        for _ in range(4):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.settimeout(20)
            sock.connect(path)
            sock.sendall(WAIT)
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.workers()


def test_the_default_is_above_what_a_load_generator_has_in_progress() -> None:
    """And below the places of one worker."""
    with Hornbeam("http_messages:app", workers=2) as server, H2(server) as client:
        streams = [client.request("/crowd") for _ in range(100)]
        assert {client.answer(stream).status for stream in streams} == {200}


# Pipelining


def test_one_connection_takes_one_place(server: Hornbeam) -> None:
    """However many requests it sends at once; each has its answer."""
    with Raw(server) as connection, Raw(server) as another:
        connection.send(b"GET /crowd HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
        another.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert another.answer().status == 200
        answers = [connection.answer() for _ in range(50)]
        assert {(answer.status, answer.body) for answer in answers} == {(200, b"1")}


def test_a_long_pipeline_waits_in_the_kernel(server: Hornbeam) -> None:
    """25,000 requests on one connection: one is in progress, and others are served meanwhile."""
    with Raw(server) as connection:
        connection.sock.setblocking(False)
        data = b"GET /later?3000 HTTP/1.1\r\nHost: a\r\n\r\n" * 25_000
        with suppress(BlockingIOError):
            while data:
                data = data[connection.sock.send(data) :]
        for _ in range(MOST + 1):
            assert ask(server) == (200, None)


# Whatever ends it


def holds(server: Hornbeam, version: str, stack: ExitStack) -> None:
    """All places of the client, and not one more."""
    if version == "HTTP/2":
        client = stack.enter_context(H2(server))
        streams = [client.request("/wait") for _ in range(MOST + 1)]
        assert client.answer(streams[MOST]).status == 429
    else:
        for _ in range(MOST):
            stack.enter_context(hold(server))
        assert ask(server)[0] == 429


def test_a_connection_that_crashes_gives_its_places_back(tmp_path: Path) -> None:
    """Also when the process that watches connections does."""
    connections = (
        "[exit(P, kill) || {R, _} <- maps:to_list(ranch:info()), P <- ranch:procs(R, connections)]"
    )
    watch = "exit(whereis(hornbeam_connections), kill)"
    server = with_faults("http_messages:app", tmp_path, max_client_requests=MOST)
    with server, Faults(server) as faults:
        for version in ("HTTP/1.1", "HTTP/2"):
            for what in (connections, f"{watch}, {connections}", f"{connections}, {watch}"):
                with ExitStack() as stack:
                    holds(server, version, stack)
                    faults.run(what)
                    wait_until(lambda: ask(server)[0] == 200, 10, "there is room")
        with ExitStack() as stack:
            holds(server, "HTTP/1.1", stack)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
def test_a_websocket_takes_a_place_until_its_handshake_is_done(version: str) -> None:
    """Then it is no request any more: websocket_max_connections counts it."""
    with (
        Hornbeam("websocket_app:app", max_client_requests=MOST) as server,
        ExitStack() as stack,
    ):
        if version == "HTTP/2":
            client = Http2(server)
            stack.enter_context(client.socket)
            for _ in range(MOST + 1):
                assert client.status[client.open("/echo")][":status"] == "200"
            streams = [client.begin("/hang") for _ in range(MOST)]
            assert client.status[client.open("/hang")][":status"] == "429"
            assert not client.status.keys() & set(streams)
        else:
            socks = [stack.enter_context(server.connect(20)) for _ in range(2 * (MOST + 1))]
            for sock in socks[: MOST + 1]:
                sock.sendall(handshake("/echo"))
                assert sock.recv(12)[9:] == b"101"
            for sock in socks[MOST + 1 :]:
                sock.sendall(handshake("/hang"))
            refused, _, _ = select.select(socks[MOST + 1 :], [], [], 20)
            assert [sock.recv(12)[9:] for sock in refused] == [b"429"]
        assert ask(server)[0] == 429
