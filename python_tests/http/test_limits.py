"""Every limit of a request, and the status that it has."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam, wait_until
from http_client import H2, Raw, exchange, status_of, tls_context
from websockets.sync.client import connect

GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def small() -> Iterator[Hornbeam]:
    with Hornbeam(
        "http_messages:app",
        max_request_line=200,
        max_header_size=300,
        max_headers=10,
        max_head_size=1024,
        max_body_size=1000,
        header_timeout=400,
        keepalive_timeout=1200,
        timeout=400,
        max_keepalive=5,
    ) as server:
        yield server


def facts(server: Hornbeam) -> list[int]:
    """What the application has counted: pieces sent, disconnects, bytes taken."""
    return [int(number) for number in httpx.get(f"{server.url}/facts").text.split()]


@pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "in two"])
def test_request_line_414(small: Hornbeam, cut: bool) -> None:
    fits = b"/facts?" + b"a" * (200 - len(b"GET /facts? HTTP/1.1"))
    assert status_of(exchange(small, GET.replace(b"/ ", fits + b" ", 1) + b"\r\n")) == 200
    long = b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    with Raw(small) as connection:
        if cut:
            connection.send(long[:204])
            time.sleep(0.05)
            connection.send(long[204:])
        else:
            connection.send(long)
        assert status_of(connection.rest()) == 414


def test_one_header_431(small: Hornbeam) -> None:
    line = GET.replace(b"/", b"/facts", 1)
    assert status_of(exchange(small, line + b"X-A: " + b"a" * 300 + b"\r\n\r\n")) == 200
    assert status_of(exchange(small, line + b"X-A: " + b"a" * 301 + b"\r\n\r\n")) == 431
    name = b"X-" + b"a" * 300
    assert status_of(exchange(small, line + name + b": a\r\n\r\n")) == 431


def test_number_of_headers_431(small: Hornbeam) -> None:
    line = GET.replace(b"/", b"/facts", 1)
    fields = [b"X-%d: a\r\n" % number for number in range(9)]
    assert status_of(exchange(small, line + b"".join(fields[:8]) + b"\r\n")) == 200
    assert status_of(exchange(small, line + b"".join(fields) + b"\r\n")) == 431


def test_all_headers_431(small: Hornbeam) -> None:
    fields = [b"X-%d: %s\r\n" % (number, b"a" * 200) for number in range(6)]
    assert status_of(exchange(small, GET + b"".join(fields) + b"\r\n")) == 431


def test_a_field_without_end_431(small: Hornbeam) -> None:
    """Repeated fields become one, so counting them bounds nothing: their bytes are counted."""
    with Raw(small) as connection:
        connection.send(GET)
        try:
            for _ in range(2000):
                connection.send(b"X-A: a\r\n")
                time.sleep(0.0005)
        except OSError:
            pass
        data = connection.rest()
    assert not data or status_of(data) == 431
    small.wait_for_output("serving")


def test_http2_headers_431(small: Hornbeam) -> None:
    with H2(small) as client:
        for extra in (
            [("x-a", "a" * 301)],
            [(f"x-{number}", "a") for number in range(11)],
            [(f"x-{number}", "a" * 200) for number in range(6)],
        ):
            assert client.answer(client.request("/facts", extra=extra)).status == 431
        assert client.answer(client.request("/" + "a" * 200)).status == 414
        assert client.answer(client.request("/facts")).status == 200


def test_body_413(small: Hornbeam) -> None:
    head = b"POST /length HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    for size in (999, 1000):
        fits = exchange(small, head + b"Content-Length: %d\r\n\r\n" % size + b"a" * size)
        assert status_of(fits) == 200
    # By its declared length, before a byte of it is read
    assert status_of(exchange(small, head + b"Content-Length: 1001\r\n\r\n")) == 413
    with H2(small) as client:
        large = [("content-length", "1001")]
        stream = client.request("/length", method="POST", extra=large, end=False)
        assert client.answer(stream).status == 413
        assert client.answer(client.request("/facts")).status == 200


def test_the_default_for_a_body_is_a_gibibyte() -> None:
    """By what a client declares: one byte more is refused before a byte is read."""
    with Hornbeam("http_messages:app") as server:
        for size, status in ((2**30 - 1, 100), (2**30, 100), (2**30 + 1, 413)):
            with Raw(server) as connection:
                head = b"POST /length HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                connection.send(head + b"Content-Length: %d\r\n\r\n" % size)
                assert status_of(connection.sock.recv(1000)) == status


def test_chunked_body_413(small: Hornbeam) -> None:
    """The connection closes without reading on."""
    with Raw(small) as connection:
        head = b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"3e8\r\n" + b"a" * 1000 + b"\r\n")
        connection.send(b"1\r\na\r\n")
        assert status_of(connection.rest()) == 413
    with H2(small) as client:
        stream = client.request("/length", method="POST", end=False)
        client.connection.send_data(stream, b"a" * 1001)
        client.flush()
        assert client.answer(stream).status == 413


def test_head_read_time_408(small: Hornbeam) -> None:
    with Raw(small) as connection:
        begin = time.monotonic()
        connection.send(b"GET / HTTP/1.1\r\nHo")
        data = connection.rest()
        assert status_of(data) == 408
        assert time.monotonic() - begin > 0.3
    with Raw(small) as connection:  # a byte now and then does not help
        connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().status == 200
        connection.sock.settimeout(0.05)
        data = b""
        for _ in range(200):
            try:
                connection.send(b"G")
                if data := connection.sock.recv(1000):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert not data or status_of(data) == 408


def test_keepalive_time(small: Hornbeam) -> None:
    """An idle connection closes without a word, however far apart from the time for a head."""
    with Raw(small) as connection:
        connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().status == 200
        time.sleep(0.6)  # longer than header_timeout
        connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().status == 200
        begin = time.monotonic()
        assert connection.rest() == b""
        assert time.monotonic() - begin > 0.8
    with Raw(small) as connection:
        assert connection.rest() == b""
    with H2(small) as client:
        assert client.answer(client.request("/facts")).status == 200
        while not client.closed:
            client.step()
        assert client.goaway == 0


def test_requests_per_connection(small: Hornbeam) -> None:
    with Raw(small) as connection:
        for number in range(5):
            connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
            answer = connection.answer()
            closes = answer.header(b"connection") == b"close"
            assert closes == (number == 4)
        assert connection.rest() == b""
    with H2(small) as client:
        for _ in range(5):
            assert client.answer(client.request("/facts")).status == 200
        while not client.closed:
            client.step()
        assert client.goaway == 0


def test_no_response_504_and_the_application_is_told(small: Hornbeam) -> None:
    before = facts(small)[1]
    assert httpx.get(f"{small.url}/never").status_code == 504
    with H2(small) as client:
        assert client.answer(client.request("/never")).status == 504
    wait_until(lambda: facts(small)[1] == before + 2, 5, "the application was told twice")


def test_saturation_503() -> None:
    """One request runs, one waits, the third is refused at once; the second after queue_timeout."""
    with Hornbeam(
        "http_messages:app", max_concurrency=1, max_queue=1, queue_timeout=1500, timeout=4000
    ) as server:
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(httpx.get(f"{server.url}/never", timeout=20))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        with Raw(server) as first:
            first.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in first.sock.recv(1000)
            for thread in threads:
                thread.start()
            wait_until(lambda: answers, 10, "the third is refused")
            assert answers[0].status_code == 503
            assert answers[0].headers["retry-after"].isdigit()
            wait_until(lambda: len(answers) == 2, 10, "the second is refused")
            assert answers[1].status_code == 503
        for thread in threads:
            thread.join()
        assert httpx.get(f"{server.url}/facts").status_code == 200


@pytest.mark.parametrize("kind", ["clear", "tls"])
def test_the_times_of_requests_are_not_those_of_websockets(kind: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"keepalive_timeout": 300, "header_timeout": 300}
    context = None
    if kind == "tls":
        authority = Authority(tmp_path / "certificates").create()
        cert, key = authority.issue("localhost")
        options |= {"ssl": True, "certfile": str(cert), "keyfile": str(key)}
        context = tls_context(str(authority.cert))
    with Hornbeam("http_socket:app", **options) as server:
        url = server.url.replace("http", "ws", 1)
        with connect(url, ssl=context) as socket:
            socket.send("one")
            assert socket.recv() == "one"
            time.sleep(1)
            socket.send("two")
            assert socket.recv() == "two"
