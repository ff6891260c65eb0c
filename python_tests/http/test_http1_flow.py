"""HTTP/1 connections under pressure: one request at a time, bounded memory, times, refusals."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import time
from collections.abc import Iterator

import pytest
from harness import memory, wait_until
from http1_requests import Sender, get, post
from http1_server import KINDS, WAYS, Http1, leave, read_all
from http_client import status_of

MIB = 1024 * 1024


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Http1]:
    folder = tmp_path_factory.mktemp("http1")
    with Http1(request.param, folder, max_body_size=20 * MIB) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left(server: Http1) -> Iterator[None]:
    """After each test the VM has what it had before."""
    before = server.usage()
    yield
    server.settles(before)


# One at a time


def test_the_second_response_waits_for_the_first_in_the_application(server: Http1) -> None:
    """It would be buffered in the VM: 43 MiB became 2.8 GiB in ten seconds."""
    before = memory(server.beam())
    begun = server.facts()["begun"].get("big", 0)
    with server.raw() as connection:
        connection.send(get("sleep?1500") + get("big?128"))
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            assert memory(server.beam()) - before < 64 * MIB
            assert server.facts()["begun"].get("big", 0) == begun
        assert connection.answer().body == b"slept"
        # Now it runs, as fast as it is read.
        for number in range(128 * 16):
            connection.sock.recv(65_536, socket.MSG_WAITALL if server.kind == "clear" else 0)
            assert number % 64 or memory(server.beam()) - before < 64 * MIB


def test_pipelined_requests_take_one_place(server: Http1) -> None:
    """25,000 of them took the places of all workers: everybody else got 503."""

    def begun() -> int:
        return int(server.facts()["begun"].get("sleep", 0))

    already = begun()
    with server.raw() as connection:
        request = get("sleep?400")
        sender = Sender(connection.sock, lambda: iter([request * 500] * 50))
        wait_until(lambda: begun() > already, 10, "the first runs")
        before = memory(server.beam())
        for _ in range(50):
            facts = server.facts()
            # None runs in the moment between two of them.
            assert facts["running"] <= 1
            assert facts["most"] == 1
            assert server.ask("hello").status_code == 200
        assert memory(server.beam()) - before < 64 * MIB
        wait_until(lambda: begun() > already + 2, 10, "others run after the first")
        # Shut down rather than closed: the sender is still in it.
        connection.sock.shutdown(socket.SHUT_RDWR)
        sender.join()


def test_what_is_sent_behind_a_request_is_not_read(server: Http1) -> None:
    """The client's own kernel holds it, not the server."""
    with server.raw() as connection:
        connection.send(get("sleep?2500"))
        before = memory(server.beam())
        sender = Sender(connection.sock, lambda: (bytes(MIB) for _ in range(500)))
        wait_until(lambda: sender.sent > 0 or server.facts()["running"] == 1, 10, "it runs")
        for _ in range(50):
            server.ask("hello")
            assert memory(server.beam()) - before < 64 * MIB
        assert sender.sent < 64 * MIB
        connection.sock.shutdown(socket.SHUT_RDWR)
        sender.join()


def test_thousands_in_a_pipeline_are_answered_in_order(server: Http1) -> None:
    count = 3000
    with server.raw() as connection:
        numbers = range(count)
        sender = Sender(connection.sock, lambda: (get(f"hello?{number}") for number in numbers))
        answers = [connection.answer().body for _ in numbers]
        sender.join()
    assert answers == [b"%d" % number for number in numbers]
    assert server.facts()["most"] == 1


# Fairness


def test_a_pipeline_takes_turns_with_other_connections(server: Http1) -> None:
    """Both are in the server's hands, so neither the clients nor the machine have a part in it."""
    with server.raw() as crowd, server.raw() as other:
        sender = Sender(crowd.sock, lambda: iter([get("turn") * 20_000]))
        assert crowd.answer().status == 200
        other.send(get("turn") * 20)
        turns = [int(other.answer().body) for _ in range(20)]
        assert turns[-1] < 20_000 + 20 - 1, "the crowd was through before"
        between = sorted(later - turn - 1 for turn, later in itertools.pairwise(turns))
        assert between[len(between) // 2] <= 10
        crowd.sock.shutdown(socket.SHUT_RDWR)
        sender.join()


# Clients that leave what they have sent unread


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_leaves_a_pipeline_behind_is_noticed(
    server: Http1, way: str, count: int
) -> None:
    """Its requests are not read while one runs, and its end lies behind them."""
    gone = server.facts()["gone"]
    with server.raw() as connection:
        connection.send(get("wait") + get("hello") * count)
        wait_until(lambda: server.facts()["running"] == 1, 10, "it runs")
        leave(connection, way)
        wait_until(lambda: server.facts()["gone"] == gone + 1, 10, "the application is told")


@pytest.mark.parametrize("way", WAYS)
def test_a_client_that_leaves_a_body_behind_is_noticed(server: Http1, way: str) -> None:
    """The application does not receive it, so that it is not read."""
    before = server.usage()
    with server.raw() as connection:
        sender = Sender(connection.sock, lambda: iter([post("sleep?5000", MIB), bytes(100_000)]))
        wait_until(lambda: server.facts()["running"] == 1, 10, "it runs")
        sender.join()
        leave(connection, way)
        server.settles(before)
        assert server.facts()["running"] == 1, "the application ended by itself"
    wait_until(lambda: server.facts()["running"] == 0, 10, "it ends")


# Refusals


LARGE = 10_000_000
REFUSALS = {
    "413 by its length": (413, post("read", 30_000_000), b"x"),
    "413 by what comes": (413, post("read", None) + b"%x\r\n" % 30_000_000, b"x"),
    "414": (414, b"GET /", b"x"),
    "431": (431, b"GET / HTTP/1.1\r\nX: ", b"x"),
    "431 by number": (431, b"GET / HTTP/1.1\r\n", b"X: a\r\n"),
    "400": (400, b"GET / HTTP/1.1\r\nX\x01: ", b"x"),
    "400 in a chunk": (400, post("read", None) + b"g", b"x"),
    "417": (417, b"POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n", b"X: a\r\n"),
    "501": (501, b"TRACE / HTTP/1.1\r\n", b"x"),
    "505": (505, b"GET / HTTP/3.0\r\n", b"x"),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_who_is_refused_while_sending_reads_why(
    server: Http1, refusal: tuple[int, bytes, bytes]
) -> None:
    """A reset would take the response from it (RFC 9112, 9.6)."""
    status, begin, unit = refusal
    rest = (unit * (24_000_000 // len(unit)))[
        : 24_000_000 if b"30000000" in begin or status == 413 else LARGE
    ]
    with contextlib.closing(server.connect()) as sock:
        sock.sendall(begin)
        sock.sendall(rest)
        response = read_all(sock)
    assert status_of(response) == status
    assert response.count(b"HTTP/1.1 ") == 1
    length = re.search(rb"content-length: (\d+)", response)
    assert length is not None and b"connection: close" in response
    assert len(response.partition(b"\r\n\r\n")[2]) == int(length[1])


def test_who_is_refused_may_pause_while_sending(server: Http1) -> None:
    """As long as a network takes that has lost a packet."""
    with contextlib.closing(server.connect()) as sock:
        sock.sendall(post("read", 30_000_000) + bytes(1000))
        time.sleep(1.2)
        for _ in range(100):
            sock.sendall(bytes(65536))
        assert status_of(read_all(sock)) == 413


def test_an_early_answer_to_a_large_body_is_read(server: Http1) -> None:
    """Of a body that is too large to be drained the client is told, and gets to read it."""
    with contextlib.closing(server.connect()) as sock:
        sock.sendall(post("unread", LARGE))
        sock.sendall(bytes(LARGE))
        response = read_all(sock)
    assert status_of(response) == 200
    assert response.endswith(b"unread")
    assert b"connection: close" in response
