"""The end of a request: http.disconnect, clients that leave, mistakes of applications."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from raw_http import Incomplete, RawClient, request


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_http:app") as running:
        yield running


def report(server: Hornbeam, key: str) -> Any:
    """What a behaviour has reported under a key, once it has."""
    return wait_until(
        lambda: httpx.get(f"{server.url}/report").json().get(key), 20, f"a report of {key}"
    )


def assert_quiet(server: Hornbeam, path: str) -> None:
    """Nothing has been printed about a path: no error was logged."""
    assert httpx.get(f"{server.url}/hello").text == "hello"
    assert path not in server.output


# http.disconnect


def test_receive_after_the_response_is_disconnect_each_time(server: Hornbeam) -> None:
    assert httpx.get(f"{server.url}/after_response").text == "complete"
    assert report(server, "after_response") == ["http.disconnect"] * 3
    assert_quiet(server, "after_response")


def test_a_client_that_leaves_before_the_response(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/wait_for_leaver"))
        report(server, "leaver_waits")
    assert report(server, "leaver") == [["http.disconnect"] * 3, "OSError"]
    assert_quiet(server, "wait_for_leaver")


@pytest.mark.parametrize("how", ["caught", "raised", "other"])
def test_a_client_that_leaves_in_a_stream(server: Hornbeam, how: str) -> None:
    word = {"caught": "catch", "raised": "raise", "other": "other"}[how]
    with RawClient(server.connect()) as client:
        client.send(request(f"/stream_to_leaver?how={word}"))
        client.read(200_000)
    assert report(server, f"stream_{how}") == ["http.disconnect"] * 2
    # Nor is an error that the disconnect has caused (`from None` hides that from people only).
    assert_quiet(server, "stream_to_leaver")


def test_a_listener_for_the_disconnect_hears_it(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/ticks"))
        client.read(300)
    assert report(server, "ticks") > 1
    assert_quiet(server, "/ticks")


# Mistakes of applications


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("body_first", "RuntimeError: unexpected ASGI message 'http.response.body' before"),
        ("second_start", "RuntimeError: unexpected ASGI message 'http.response.start' after"),
        ("unknown_message", "RuntimeError: unexpected ASGI message 'http.response.nonsense'"),
        ("bad_status", "an HTTP status from 200 to 999 is needed, not '200'"),
        ("bad_body", "TypeError: memoryview: a bytes-like object is required, not 'str'"),
        ("raises", "LookupError: raised before the start"),
        ("raises_after_start", "LookupError: raised after the start"),
        ("returns", "the application returned without completing its response"),
        ("returns_after_start", "the application returned without completing its response"),
        ("bad_headers", "header names and values must be bytes"),
    ],
)
def test_a_mistake_before_anything_was_sent_is_500(server: Hornbeam, path: str, text: str) -> None:
    with RawClient(server.connect()) as client:
        answer = client.get(f"/{path}")
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert answer.value("content-type") == "text/plain; charset=utf-8"
        # The connection is as good as before.
        assert client.get("/hello").body == b"hello"
    server.wait_for_output(re.escape(text))

    def lines() -> list[str]:
        output = server.output.splitlines()
        return [line for line in output if line.endswith(f" /{path}") or f" /{path}: " in line]

    wait_until(lines, 10, f"a line about {path}")
    assert len(lines()) == 1, server.output


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("raises_in_body", "LookupError: raised in the body"),
        ("raises_in_body?length=1", "LookupError: raised in the body"),
        ("second_start_in_body", "unexpected ASGI message 'http.response.start' while the resp"),
        ("returns_in_body", "the application returned without completing its response"),
    ],
)
def test_a_mistake_in_the_body_cuts_the_connection(server: Hornbeam, path: str, text: str) -> None:
    with RawClient(server.connect()) as client:
        client.send(request(f"/{path}") + request("/hello"))
        with pytest.raises(Incomplete, match="closed after"):
            client.response()
    server.wait_for_output(text)


def test_a_mistake_in_a_body_that_ends_with_the_connection_resets_it(server: Hornbeam) -> None:
    """HTTP/1.0 without a length: only a reset tells the client that there should be more."""
    with RawClient(server.connect()) as client:
        client.send(request("/raises_in_body", version="1.0"))
        with pytest.raises((ConnectionResetError, Incomplete)):
            client.response()


def test_an_exception_after_the_response_is_logged_and_harms_nothing(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        assert client.get("/raises_after_end").body == b"complete"
        assert client.get("/hello").body == b"hello"
    server.wait_for_output("LookupError: raised after the end")


def test_a_traceback_is_logged_whole_and_once_with_the_workers_number() -> None:
    with Hornbeam("core_http:app", workers=2) as own:
        httpx.get(f"{own.url}/raises")
        own.wait_for_output("LookupError: raised before the start")
        output = own.output
    assert output.count("Traceback (most recent call last)") == 1
    assert output.count("LookupError: raised before the start") == 1
    assert 'core_http.py", line' in output
    line = next(line for line in output.splitlines() if "exception in the application" in line)
    assert "worker 1" in line or "worker 2" in line
    assert line.endswith("exception in the application: GET /raises")


def test_an_application_that_cancels_itself(server: Hornbeam) -> None:
    assert httpx.get(f"{server.url}/cancels_itself").status_code == 500
    assert httpx.get(f"{server.url}/hello").text == "hello"


def test_nothing_stays_in_progress() -> None:
    """After all of the above every place on the worker has been given back: `max_concurrency` 1."""
    with Hornbeam("core_http:app", max_concurrency=1, queue_timeout=5000) as own:
        for path in ("raises", "returns", "raises_after_start", "hello", "bad_headers"):
            httpx.get(f"{own.url}/{path}")
        for path in ("raises_in_body", "stream_to_leaver?how=catch", "wait_for_leaver"):
            with RawClient(own.connect()) as client:
                client.send(request(f"/{path}"))
                if "wait" not in path:
                    client.read(60)
        assert httpx.get(f"{own.url}/hello").text == "hello"


# The timeout of a response


def test_an_application_that_does_not_answer_in_time_is_504() -> None:
    with Hornbeam("core_http:app", timeout=300) as server:
        began = time.monotonic()
        with RawClient(server.connect()) as client:
            answer = client.get("/wait_for_leaver")
            assert (answer.status, answer.body) == (504, b"Gateway Timeout")
            assert time.monotonic() - began > 0.25
            # Its late answer does not reach the next request of the connection.
            assert client.get("/hello").body == b"hello"
        # To the application the client has gone.
        assert report(server, "leaver") == [["http.disconnect"] * 3, "OSError"]
        server.wait_for_output("GET /wait_for_leaver: ")


def test_a_stream_may_take_longer_than_the_timeout() -> None:
    with Hornbeam("core_http:app", timeout=200) as server, RawClient(server.connect()) as client:
        client.send(request("/ticks"))
        began = time.monotonic()
        while time.monotonic() - began < 0.6:
            client.read(100)


# Connections


def test_requests_in_a_pipeline_are_answered_in_order(server: Hornbeam) -> None:
    targets = ["/hello", "/stream?count=2&size=3", "/scope?n=1", "/status/404", "/hello"]
    with RawClient(server.connect()) as client:
        client.send(
            b"".join(map(request, targets)) + request("/digest", method="POST", body=b"abc")
        )
        assert client.response().body == b"hello"
        assert client.response().body == b"AAABBB"
        assert json.loads(client.response().body)["scope"]["query_string"] == "n=1"
        assert client.response().status == 404
        assert client.response().body == b"hello"
        assert json.loads(client.response().body)["size"] == 3


def test_a_long_pipeline(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        client.send(request("/hello") * 200)
        assert [client.response().body for _ in range(200)] == [b"hello"] * 200


def test_a_slow_request_does_not_hold_up_other_connections(server: Hornbeam) -> None:
    with RawClient(server.connect()) as slow, RawClient(server.connect()) as quick:
        slow.send(request("/wait_for_leaver"))
        assert quick.get("/hello").body == b"hello"


def test_connection_close_and_keep_alive(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        for _ in range(3):
            assert client.get("/hello").value("connection") is None
        answer = client.get("/hello", headers=[("connection", "close")])
        assert (answer.value("connection"), answer.body) == ("close", b"hello")
        assert client.closed()
    with RawClient(server.connect()) as client:
        answer = client.get("/hello", version="1.0")
        assert answer.body == b"hello"
        assert client.closed()
    with RawClient(server.connect()) as client:
        for _ in range(2):
            headers = [("connection", "keep-alive")]
            answer = client.get("/hello", version="1.0", headers=headers)
            assert (answer.value("connection"), answer.body) == ("keep-alive", b"hello")


def test_an_idle_connection_is_closed_after_keepalive_timeout() -> None:
    options: dict[str, Any] = {"keepalive_timeout": 300}
    with Hornbeam("core_http:app", **options) as server, RawClient(server.connect()) as client:
        assert client.get("/hello").body == b"hello"
        assert client.closed()


def test_the_rest_of_an_unread_body_is_waited_for_no_longer_than_that() -> None:
    options: dict[str, Any] = {"keepalive_timeout": 500}
    with Hornbeam("core_http:app", **options) as server, RawClient(server.connect()) as client:
        client.send(request("/unread", method="POST", headers=[("content-length", "1000")]))
        client.send(b"half")
        assert client.response().body == b"not read"
        assert client.closed()


@pytest.mark.parametrize(
    "garbage",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", b"GET\r\n\r\n", b"GET / HTTP/3.7\r\n\r\n"],
)
def test_what_is_no_http_is_refused(server: Hornbeam, garbage: bytes) -> None:
    with RawClient(server.connect()) as client:
        client.send(garbage + b"\r\n\r\n")
        rest = client.rest()
        assert rest == b"" or rest.startswith((b"HTTP/1.1 400", b"HTTP/1.1 505"))
    assert httpx.get(f"{server.url}/hello").text == "hello"
