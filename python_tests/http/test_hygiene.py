"""Requests as raw bytes: what is malformed is refused, closes, never reaches the application."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam
from http_client import H2, Raw, exchange, status_of
from http_hygiene_cases import Case, cases

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
        assert b"/smuggled" not in response
    assert seen(server) <= before + 3


def test_a_size_line_that_never_ends() -> None:
    """It is not kept in memory: the connection ends."""
    with Hornbeam("http_echo:app") as patient, Raw(patient) as connection:
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises((ConnectionError, TimeoutError)):
            for _ in range(4000):
                connection.send(b"g" * 65_536)


def test_a_malformed_request_behind_one_in_progress(server: Hornbeam) -> None:
    """Its 400 is never taken for the answer to the first (RFC 9112, 9.3.2)."""
    slow = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
    for bad in (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", b" nonsense\r\n\r\n"):
        with Raw(server) as connection:
            connection.send(slow + bad)
            data = connection.rest()
        if data:
            assert status_of(data) == 200
            assert b"/slow" in data


def test_http2_heads_are_held_to_the_same_rules(server: Hornbeam) -> None:
    before = seen(server)
    with H2(server) as client:
        client.connection.config.validate_outbound_headers = False
        client.connection.config.normalize_outbound_headers = False
        for path, extra in (
            ("/\x01", []),
            ("/a#b", []),
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


def test_relaxed_targets() -> None:
    with Hornbeam("http_echo:app", relaxed_target=True) as server:
        for byte in b'"<>\\^`{|}':
            line = (
                b"GET /a?b=" + bytes([byte]) + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            assert status_of(exchange(server, line)) == 200
        for byte in (0x00, 0x1F, 0x7F, 0x80):
            line = (
                b"GET /a?b=" + bytes([byte]) + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            assert status_of(exchange(server, line)) == 400
