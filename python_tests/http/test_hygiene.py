"""Requests as raw bytes: what is malformed is refused, closes, never reaches the application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam
from http_client import H2, Raw, exchange, status_of
from http_hygiene_cases import Case, cases, strict_targets

CASES = cases()


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_echo:app", timeout=1500) as server:
        yield server


def seen(server: Hornbeam) -> int:
    """How many requests have reached the application, this one not counted."""
    return int(httpx.get(f"{server.url}/seen").text)


def test_the_table_is_large() -> None:
    assert len(CASES) > 500
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_case(server: Hornbeam, case: Case) -> None:
    response = exchange(server, case.request)
    assert status_of(response) in case.statuses, response[:200]
    assert response.count(b"HTTP/1.1 ") == 1


def test_no_malformed_head_reaches_the_application(server: Hornbeam) -> None:
    before = seen(server)
    for case in CASES:
        # What is wrong with a chunk comes after the head.
        if 200 not in case.statuses and "chunk:" not in case.name:
            exchange(server, case.request)
    assert seen(server) == before


def test_what_follows_a_malformed_request_is_not_read(server: Hornbeam) -> None:
    """A smuggled request behind a bad one on the same connection."""
    before = seen(server)
    good = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    for bad in (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        response = exchange(server, bad + good + good)
        assert status_of(response) == 400
        assert response.count(b"HTTP/1.1 ") == 1
    assert seen(server) == before


def test_what_follows_a_chunked_body_is_no_request(server: Hornbeam) -> None:
    """Trailers, and what stands behind a size that is none, are not taken for the next request."""
    before = seen(server)
    head = b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    for body in (b"0\r\n" + smuggled, b" 0\r\n" + smuggled, b";\r\n" + smuggled):
        response = exchange(server, head + body)
        assert status_of(response) == 400
        assert response.count(b"HTTP/1.1 ") == 1
    # The application may have begun with each of the first requests, and with no other.
    assert seen(server) <= before + 3


def test_trailers_are_read_and_dropped(server: Hornbeam) -> None:
    """The request is answered, its scope knows nothing of them, and the next one is read."""
    head = (
        b"POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    )
    body = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n"
    with Raw(server) as connection:
        connection.send(head + body + b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n")
        first = connection.answer().json()
        assert (first["path"], first["body"]) == ("/first", "hello")
        assert not {"x-sum", "content-length"} & {name for name, _ in first["headers"]}
        assert connection.answer().json()["path"] == "/second"


@pytest.mark.parametrize("line", [b"g", b"1;a"])
def test_a_size_line_that_never_ends(server: Hornbeam, line: bytes) -> None:
    """It is not kept in memory: it is refused and the connection ends."""
    with Raw(server) as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + line)
        connection.send(b"g" * 20_000)
        assert status_of(connection.rest()) == 400
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(4000):
                connection.send(b"g" * 65_536)


def test_a_malformed_request_behind_one_in_progress(server: Hornbeam) -> None:
    """Its 400 comes after the answer to the first (RFC 9112, 9.3.2)."""
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    for bad in (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", b" nonsense\r\n\r\n"):
        with Raw(server) as connection:
            connection.send(slow + bad)
            first = connection.answer()
            assert (first.status, first.json()["path"]) == (200, "/slow")
            assert connection.answer().status == 400
            assert connection.rest() == b""


def test_http2_heads_are_held_to_the_same_rules(server: Hornbeam) -> None:
    before = seen(server)
    with H2(server) as client:
        client.connection.config.validate_outbound_headers = False
        client.connection.config.normalize_outbound_headers = False
        for path, extra in (
            ("/\x01", []),
            ("/a b", []),
            ("/a?b\x7f", []),
            ("/", [("x-a", "a\x01b")]),
            ("/", [("host", "b")]),
            ("/", [("x(y", "a")]),
        ):
            answer = client.answer(client.request(path, extra=extra))
            assert answer.status == 400 or answer.reset is not None
        assert client.answer(client.request("/ok")).status == 200
    assert seen(server) == before + 1


def test_underscores_are_kept_unless_told_otherwise(server: Hornbeam) -> None:
    fields = {"x_user": "a", "x-user": "b"}
    names = {name for name, _ in httpx.get(server.url, headers=fields).json()["headers"]}
    assert {"x_user", "x-user"} <= names
    with Hornbeam("http_echo:app", drop_underscore_headers=True) as dropping:
        names = {name for name, _ in httpx.get(dropping.url, headers=fields).json()["headers"]}
        assert "x-user" in names and "x_user" not in names


def test_strict_targets() -> None:
    with Hornbeam("http_echo:app", strict_target=True) as server:
        for case in strict_targets():
            assert status_of(exchange(server, case.request)) in case.statuses, case.name


def test_what_browsers_send_reaches_the_application(server: Hornbeam) -> None:
    """As it was sent in raw_path and query_string, decoded in path (ASGI, HTTP scope)."""
    query = b'q=a|b{c}"^`\\<>\xc3\xa4'
    path = b'/a|{}"^`\\<>\xc3\xa4'
    with Raw(server) as connection:
        connection.send(b"GET " + path + b"?" + query + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        scope = connection.answer().json()
    assert scope["raw_path"].encode("latin-1") == path
    assert scope["path"] == path.decode()  # UTF-8, percent-encoded or not
    assert scope["query_string"].encode("latin-1") == query
