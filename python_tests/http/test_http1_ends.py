"""HTTP/1 clients that do not read, and those that half-close."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from harness import wait_until
from http1_requests import Sender, get, post
from http1_server import KINDS, Http1, leave
from http_client import Raw
from websocket_client import TEXT, frame, handshake

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=KINDS)
def limited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Http1]:
    options = {"send_timeout": 1000, "half_close": True, "body_prefetch": 100}
    with Http1(request.param, tmp_path_factory.mktemp("http1"), **options) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left(limited: Http1) -> Iterator[None]:
    """After each test the VM has what it had before."""
    before = limited.usage()
    yield
    limited.settles(before)


def test_a_client_that_does_not_read_is_left(limited: Http1) -> None:
    """send_timeout: one write blocks no longer. The application is told."""
    gone = limited.facts()["gone"]
    with limited.raw(buffer=65_536) as connection:
        connection.send(get("leave"))
        wait_until(lambda: limited.facts()["gone"] == gone + 1, 15, "the application is told")
        with contextlib.suppress(OSError):
            while connection.sock.recv(65_536):
                pass


def shut(connection: Raw) -> None:
    """Half-closes a connection in clear text."""
    connection.sock.shutdown(socket.SHUT_WR)


def test_half_closed_clients(limited: Http1) -> None:
    """They get the response in progress (RFC 9112, 9.6 leaves it to the server)."""
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    for text, body in (
        (get("hello"), b"hello"),
        (get("sleep?200"), b"slept"),
        (post("read", 5) + b"hello", b"5"),
        (post("read", None) + b"5\r\nhello\r\n0\r\n\r\n", b"5"),
        # More of it than is read ahead, and the application takes its time.
        (post("later?300", 20_000) + bytes(20_000), b"20000"),
        (post("later?300", 3 * MIB) + bytes(3 * MIB), b"%d" % (3 * MIB)),
        (get("big?8"), bytes(8 * MIB)),
        # What is left of a body that nobody reads is no reason to wait, when as much as is read
        # ahead has come.
        (post("unread", 5_000) + bytes(400), b"unread"),
    ):
        with limited.raw() as connection:
            sender = Sender(connection.sock, lambda text=text: iter([text]))  # type: ignore[misc]
            sender.join()
            shut(connection)
            answer = connection.answer()
            assert (answer.status, answer.complete) == (200, True), text[:40]
            assert answer.body == body
            assert connection.rest() == b""


def test_all_that_a_half_closed_client_has_asked_for_is_answered(limited: Http1) -> None:
    """Whenever its end is heard of: with the first of the requests, or behind the last."""
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    for count, more in ((2, b""), (300, b""), (3, b"GET /hel"), (3, post("read", 5) + b"he")):
        for first in (b"", get("sleep?100")):
            with limited.raw() as connection:
                text = b"".join(get(f"hello?{number}") for number in range(count))
                connection.send(first + text + more)
                shut(connection)
                answers = [connection.answer() for _ in range(count + bool(first))]
                assert [a.body for a in answers][-count:] == [b"%d" % n for n in range(count)]
                assert connection.rest() == b""


def test_a_half_close_that_is_heard_of_early_costs_no_answer(limited: Http1) -> None:
    """While the server waits for it to read, its further requests and its end have come."""
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    with limited.raw(buffer=65_536) as connection:
        connection.send(get("big?8"))
        connection.sock.recv(1, socket.MSG_PEEK)
        connection.send(b"".join(get(f"hello?{number}") for number in range(300)))
        shut(connection)
        assert len(connection.answer().body) == 8 * MIB
        assert [connection.answer().body for _ in range(300)] == [b"%d" % n for n in range(300)]
        assert connection.rest() == b""


def test_a_half_closed_client_whose_body_is_not_complete_is_gone(limited: Http1) -> None:
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    for text in (
        post("read", 10) + b"hello",
        post("read", None) + b"5\r\nhel",
        post("later?200", 20_000) + bytes(10_000),
    ):
        gone = limited.facts()["gone"]
        with limited.raw() as connection:
            connection.send(text)
            wait_until(lambda: limited.facts()["running"] == 1, 10, "it runs")
            shut(connection)
            assert connection.rest() == b""
        wait_until(lambda n=gone: limited.facts()["gone"] == n + 1, 10, "it is told")  # type: ignore[misc]


def test_a_half_closed_client_that_resets_is_noticed(limited: Http1) -> None:
    """That one waits for no response, whatever it has pipelined."""
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    for more in (b"", get("hello") * 100):
        gone = limited.facts()["gone"]
        with limited.raw() as connection:
            connection.send(get("wait") + more)
            wait_until(lambda: limited.facts()["running"] == 1, 10, "it runs")
            shut(connection)
            assert limited.facts()["gone"] == gone
            leave(connection, "reset")
            wait_until(lambda n=gone: limited.facts()["gone"] == n + 1, 10, "it is told")  # type: ignore[misc]


def test_a_websocket_whose_client_half_closes_before_its_answer_ends(limited: Http1) -> None:
    """Its end came before the WebSocket's process was there to hear of it; its messages, too."""
    if limited.kind == "tls":
        pytest.skip("Erlang's ssl closes the whole connection")
    for before, answers in ((b"", []), (get("sleep?300"), [b"slept"])):
        for texts in (0, 1):
            facts = limited.facts()
            with limited.raw() as connection:
                connection.send(before + handshake("/socket?300") + frame(TEXT, b"one") * texts)
                shut(connection)
                assert [connection.answer().body for _ in answers] == answers
                head, _, frames = connection.rest().partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 101 ")
                # Not by a ping that is not answered.
                assert frames in (b"", b"\x81\x03one"[: 5 * texts])
            wait_until(lambda n=facts["gone"]: limited.facts()["gone"] == n + 1, 10, "it is told")  # type: ignore[misc]
            assert limited.facts()["texts"] == facts["texts"] + texts
