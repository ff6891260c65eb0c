"""The times of the body and the head of an HTTP/1 request: what is a pause, and what is none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from harness import wait_until
from http1_requests import Sender, get, post
from http1_server import KINDS, Http1
from http_client import status_of

MIB = 1024 * 1024
BODY_MS = 1000


@pytest.fixture(scope="module", params=KINDS)
def timed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Http1]:
    folder = tmp_path_factory.mktemp("timed")
    options = {"body_timeout": BODY_MS, "header_timeout": 3 * BODY_MS, "body_prefetch": 1000}
    with Http1(request.param, folder, timeout=4 * BODY_MS, **options) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left(timed: Http1) -> Iterator[None]:
    """After each test the VM has what it had before."""
    before = timed.usage()
    yield
    timed.settles(before)


STALLS = {
    "length": post("read", 10) + b"hello",
    "length, nothing of it": post("read", 10),
    "a size": post("read", None) + b"1",
    "an extension": post("read", None) + b"5;a",
    "data": post("read", None) + b"5\r\nhel",
    "data's end": post("read", None) + b"5\r\nhello\r",
    "trailers": post("read", None) + b"5\r\nhello\r\n0\r\nX: ",
}


def test_a_body_that_stops_is_408(timed: Http1) -> None:
    """RFC 9110, 15.5.9, wherever it stops. The application is told that the client has gone."""
    gone = timed.facts()["gone"]
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        connections = {name: stack.enter_context(timed.raw()) for name in STALLS}
        for name, connection in connections.items():
            connection.send(STALLS[name])
        for name, connection in connections.items():
            answer = connection.answer()
            assert (answer.status, answer.body) == (408, b"Request Timeout"), name
            assert answer.header(b"connection") == b"close"
            assert connection.rest() == b""
    assert time.monotonic() - begin > BODY_MS / 1000 - 0.1
    wait_until(lambda: timed.facts()["gone"] == gone + len(STALLS), 5, "the application is told")


@pytest.mark.parametrize("length", ["", "10"])
def test_a_body_that_stops_in_the_response_cuts_it(timed: Http1, length: str) -> None:
    with timed.raw() as connection:
        connection.send(post(f"early?{length}", 10) + b"hello")
        answer = connection.answer()
        assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)


def test_a_slow_body_has_all_the_time(timed: Http1) -> None:
    """Only a pause counts, and a piece of a chunk's size ends one."""
    with timed.raw() as connection:
        connection.send(post("read", None))
        for octet in b"1;abcdefgh\r\nx\r\n0\r\nX: a\r\n\r\n":
            connection.send(bytes([octet]))
            time.sleep(BODY_MS / 1000 / 12)
        assert connection.answer().body == b"1"


def test_what_the_application_does_not_ask_for_is_not_waited_for(timed: Http1) -> None:
    """The server does not read, so the client cannot send: that is no pause of its own."""
    size = 8 * MIB
    with timed.raw() as connection:
        sender = Sender(
            connection.sock, lambda: iter([post(f"later?{2 * BODY_MS}", size), bytes(size)])
        )
        assert connection.answer().body == b"%d" % size
        sender.join()


def test_a_client_that_waits_for_100_does_not_pause(timed: Http1) -> None:
    """RFC 9110, 10.1.1: it is the server's turn until the application asks for the body."""
    head = post(f"later?{2 * BODY_MS}", 5).replace(b"Host: a", b"Host: a\r\nExpect: 100-continue")
    with timed.raw() as connection:
        connection.send(head)
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"hello")
        assert connection.answer().body == b"5"
    with timed.raw() as connection:
        connection.send(head.replace(b"later?%d" % (2 * BODY_MS), b"read"))
        assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        # From here on it is the client's.
        assert connection.answer().status == 408


def test_the_time_of_a_body_ends_with_its_request(timed: Http1) -> None:
    """A body that was not complete when its response was is no part of what follows."""
    with timed.raw() as connection:
        connection.send(post("unread", 10) + b"hello")
        assert connection.answer().body == b"unread"
        connection.send(b"world")
        # A head may take longer than a pause in a body.
        connection.send(b"GET /hel")
        time.sleep(1.5 * BODY_MS / 1000)
        connection.send(b"lo HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().body == b"hello"
    with timed.raw() as connection:
        connection.send(post("unread", 10) + b"hello")
        assert connection.answer().body == b"unread"
        # And the time limit of the next request holds all the same.
        connection.send(b"world" + get("wait"))
        assert connection.answer().status == 504


def test_a_complete_body_has_no_time(timed: Http1) -> None:
    with timed.raw() as connection:
        connection.send(post(f"later?{int(1.5 * BODY_MS)}", 5) + b"hello")
        assert connection.answer().body == b"5"


def test_a_head_that_stops_is_408(timed: Http1) -> None:
    with timed.raw() as connection:
        begin = time.monotonic()
        connection.send(b"GET /hello HTTP/1.1\r\nHo")
        time.sleep(BODY_MS / 1000)
        connection.send(b"st: a\r\nX")
        assert status_of(connection.rest()) == 408
        assert time.monotonic() - begin > 3 * BODY_MS / 1000 - 0.1
