"""Bodies of requests, of every size and shape (RFC 9112, 6 and 7; ASGI, "Request")."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam
from raw_http import RawClient, request


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_http:app") as running:
        yield running


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


def digest_of(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def without_largest(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "largest"}


CHUNKED_HEAD = request("/digest", method="POST", headers=[("transfer-encoding", "chunked")])


def test_no_body_is_one_empty_event(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        assert json.loads(client.get("/events").body) == [["http.request", 0, False]]
        empty = client.get("/events", method="POST", headers=[("content-length", "0")])
        assert json.loads(empty.body) == [["http.request", 0, False]]


def test_a_small_body_is_one_event(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        for size in (1, 100, 1000):
            answer = client.get("/events", method="POST", body=b"x" * size)
            assert json.loads(answer.body) == [["http.request", size, False]]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262144, 1_000_000, 5_000_000])
def test_sizes_with_content_length(server: Hornbeam, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    answer = httpx.post(f"{server.url}/digest", content=data).json()
    assert without_largest(answer) == digest_of(data)


@pytest.mark.parametrize("size", [1, 65536, 1_000_000])
def test_sizes_in_chunks(server: Hornbeam, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        for at in range(0, size, 10_000):
            yield data[at : at + 10_000]

    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    answer = httpx.post(f"{server.url}/digest", content=pieces()).json()
    assert without_largest(answer) == digest_of(data)


def test_an_empty_chunked_body(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(CHUNKED_HEAD + chunked())
        assert json.loads(client.response().body)["size"] == 0
        assert client.get("/hello").body == b"hello"


def test_chunk_extensions_are_ignored(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(CHUNKED_HEAD + b"3;name=value\r\nabc\r\n0\r\n\r\n")
        assert without_largest(json.loads(client.response().body)) == digest_of(b"abc")


@pytest.mark.parametrize("where", ["length", "chunks"])
def test_a_body_byte_by_byte(server: Hornbeam, where: str) -> None:
    if where == "length":
        data = request("/digest", method="POST", body=b"trickled")
    else:
        data = CHUNKED_HEAD + chunked(b"tric", b"kled")
    with RawClient(server.connect()) as client:
        for byte in data:
            client.send(bytes([byte]))
        assert without_largest(json.loads(client.response().body)) == digest_of(b"trickled")


def test_the_application_runs_before_the_body_is_there(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/echo", method="POST", headers=[("transfer-encoding", "chunked")]))
        client.send(b"5\r\nfirst\r\n")
        head = client._until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert client.read(10) == b"5\r\nfirst\r\n"
        client.send(b"6\r\nsecond\r\n")
        assert client.read(11) == b"6\r\nsecond\r\n"
        client.send(b"0\r\n\r\n")
        assert client.read(5) == b"0\r\n\r\n"


def test_a_body_that_nobody_reads_does_not_disturb_the_next_request(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        for size in (10, 70_000, 500_000):
            client.send(request("/unread", method="POST", body=b"x" * size) + request("/hello"))
            assert client.response().body == b"not read"
            assert client.response().body == b"hello"


def test_a_large_body_that_nobody_reads_is_answered(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/unread", method="POST", headers=[("content-length", "100000000")]))
        assert client.response().body == b"not read"


def test_a_client_that_leaves_in_its_body_disturbs_nobody(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/wait_for_leaver", method="POST", headers=[("content-length", "9")]))
        client.send(b"half")
    assert httpx.get(f"{server.url}/hello").text == "hello"


def test_a_body_without_prefetch() -> None:
    """`body_prefetch` 0: nothing is read before the application asks."""
    with Hornbeam("core_http:app", body_prefetch=0) as server:
        for size in (5, 300_000):
            answer = httpx.post(f"{server.url}/digest", content=b"x" * size).json()
            assert without_largest(answer) == digest_of(b"x" * size)
        with RawClient(server.connect()) as client:
            client.send(CHUNKED_HEAD + chunked(b"abc", b"def"))
            assert json.loads(client.response().body)["size"] == 6


def test_a_body_beyond_max_body_size_is_413() -> None:
    with Hornbeam("core_http:app", max_body_size=1000) as server:
        assert httpx.post(f"{server.url}/digest", content=b"x" * 1000).json()["size"] == 1000
        with RawClient(server.connect()) as client:
            client.send(request("/digest", method="POST", body=b"x" * 1001))
            answer = client.response()
            assert (answer.status, answer.value("connection")) == (413, "close")
        with RawClient(server.connect()) as client:
            client.send(CHUNKED_HEAD + b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            client.send(b"1\r\nx\r\n")
            assert client.response().status == 413


# Expect: 100-continue (RFC 9110, 10.1.1)

EXPECT = [("expect", "100-continue")]


def test_100_is_sent_when_the_application_asks_for_the_body(server: Hornbeam) -> None:
    head = request("/ask_first", method="POST", headers=[*EXPECT, ("content-length", "4")])
    with RawClient(server.connect()) as client:
        client.send(head)
        assert client.response().status == 100
        client.send(b"body")
        assert without_largest(json.loads(client.response().body)) == digest_of(b"body")
        assert client.get("/hello").body == b"hello"


def test_100_is_not_sent_when_the_application_does_not_ask(server: Hornbeam) -> None:
    head = request("/ask_first?refuse=1", method="POST", headers=[*EXPECT, ("content-length", "4")])
    with RawClient(server.connect()) as client:
        client.send(head)
        assert client.response().status == 417


def test_100_is_not_sent_when_the_body_is_already_there(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/ask_first", method="POST", headers=EXPECT, body=b"body"))
        answer = client.response()
        assert answer.status == 200
        assert json.loads(answer.body)["size"] == 4
