"""Expect, pipelining, HEAD, OPTIONS *, absolute targets, closing: HTTP/1 as clients use it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from harness import Hornbeam
from http_client import H2, Raw


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app") as server:
        yield server


@pytest.fixture(scope="module")
def echo() -> Iterator[Hornbeam]:
    with Hornbeam("http_echo:app") as server:
        yield server


def test_100_is_sent_when_the_application_asks_for_the_body(server: Hornbeam) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with Raw(server) as connection:
        connection.send(head)
        assert connection.sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"hello")
        assert connection.answer().body == b"5"


def test_no_100_when_the_application_answers_at_once(server: Hornbeam) -> None:
    """Whether the body comes after that cannot be known: the connection closes (9110, 10.1.1)."""
    head = b"POST /no_body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    with Raw(server) as connection:
        connection.send(head)
        answer = connection.answer()
        assert (answer.status, answer.informational) == (401, [])
        assert answer.header(b"connection") == b"close"
        assert connection.rest() == b""


def test_no_100_for_http_1_0(server: Hornbeam) -> None:
    head = b"POST /length HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    with Raw(server) as connection:
        connection.send(head)
        answer = connection.answer()
        assert (answer.body, answer.informational) == (b"5", [])


def test_pipelined_requests_are_answered_in_order(server: Hornbeam) -> None:
    """Though the application is done with the last one first (RFC 9112, 9.3.2)."""
    with Raw(server) as connection:
        connection.send(
            b"".join(b"GET /ordered?%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(6))
        )
        data = b""
        while data.count(b"HTTP/1.1 200") < 6 or not data.endswith(b"\r\n\r\n5"):
            chunk = connection.sock.recv(65_536)
            assert chunk, data
            data += chunk
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"%d" % number for number in range(6)]


def test_pipelined_bodies(server: Hornbeam) -> None:
    post = b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
    with Raw(server) as connection:
        connection.send(b"".join(post % (size, b"x" * size) for size in (0, 1, 70_000, 3)))
        data = b""
        while data.count(b"HTTP/1.1 200") < 4:
            chunk = connection.sock.recv(65_536)
            assert chunk, data
            data += chunk
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"HTTP/1.1 ")[1:]]
    assert bodies[:3] == [b"0", b"1", b"70000"]


def test_head_keeps_the_connection_in_step(server: Hornbeam) -> None:
    with Raw(server) as connection:
        for path in (b"/big?text/plain&5000", b"/stream?3", b"/ordered?5"):
            connection.send(b"HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            answer = connection.answer("HEAD")
            assert (answer.status, answer.body) == (200, b"")
        connection.send(b"GET /ordered?5 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().body == b"5"


def test_options_of_the_server_as_a_whole(echo: Hornbeam) -> None:
    """RFC 9112, 3.2.4."""
    with Raw(echo) as connection:
        connection.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        scope = connection.answer().json()
        assert (scope["method"], scope["path"], scope["raw_path"]) == ("OPTIONS", "*", "*")
    with H2(echo) as client:
        scope = client.answer(client.request("*", method="OPTIONS")).json()
        assert (scope["method"], scope["path"]) == ("OPTIONS", "*")


def test_absolute_targets(echo: Hornbeam) -> None:
    """RFC 9112, 3.2.2."""
    with Raw(echo) as connection:
        for line, path, query in (
            (b"GET http://a/b%20c?d HTTP/1.1", "/b c", "d"),
            (b"GET HTTP://a HTTP/1.1", "/", ""),
            (b"GET https://a/b HTTP/1.1", "/b", ""),
        ):
            connection.send(line + b"\r\nHost: a\r\n\r\n")
            scope = connection.answer().json()
            assert (scope["path"], scope["query_string"]) == (path, query)
            # What counts is how the client came, not what it says.
            assert scope["scheme"] == "http"


def test_methods_are_upper_case(echo: Hornbeam) -> None:
    with Raw(echo) as connection:
        for method in (b"get", b"Delete", b"PROPFIND"):
            connection.send(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert connection.answer().json()["method"] == method.decode().upper()


def test_the_scheme_is_not_the_clients_to_say(echo: Hornbeam) -> None:
    with H2(echo) as client:
        stream = client.connection.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/")]
        client.connection.send_headers(stream, head, end_stream=True)
        client.flush()
        scope = client.answer(stream).json()
        assert (scope["scheme"], dict(scope["headers"])["host"]) == ("http", "a")


def test_the_application_closes(server: Hornbeam) -> None:
    with Raw(server) as connection:
        connection.send(b"GET /close HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = connection.answer()
        assert answer.header(b"connection") == b"close"
        assert connection.rest() == b""
    with H2(server) as client:
        answer = client.answer(client.request("/close"))
        assert answer.header(b"connection") is None
        assert client.answer(client.request("/facts")).status == 200


def test_http_1_0_closes_unless_asked_not_to(server: Hornbeam) -> None:
    with Raw(server) as connection:
        connection.send(b"GET /facts HTTP/1.0\r\n\r\n")
        assert connection.answer().status == 200
        assert connection.rest() == b""
    with Raw(server) as connection:
        for _ in range(2):
            connection.send(b"GET /facts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = connection.answer()
            assert answer.header(b"connection") == b"keep-alive"


def test_a_half_closed_client_gets_its_response() -> None:
    with Hornbeam("http_messages:app", half_close=True) as server:
        for path, body in (("/ordered?0", b"0"), ("/stream?30", b"x" * 30 * 65_536)):
            with Raw(server) as connection:
                connection.send(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())
                connection.sock.shutdown(socket.SHUT_WR)
                answer = connection.answer()
                assert (answer.status, answer.body, answer.complete) == (200, body, True)
                assert connection.rest() == b""
        with Raw(server) as connection:
            connection.send(b"POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            connection.send(b"x" * 100_000)
            connection.sock.shutdown(socket.SHUT_WR)
            assert connection.answer().body == b"100000"
        with Raw(server) as connection:  # one that has nothing in progress just ends
            connection.sock.shutdown(socket.SHUT_WR)
            assert connection.rest() == b""


def test_a_client_that_half_closes_is_gone(server: Hornbeam) -> None:
    """docs/http.md: its end of sending is taken for its end, so that a disconnect is noticed."""
    with Raw(server) as connection:
        connection.send(b"GET /ordered?0 HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.rest() == b""
