"""Nothing hangs, whatever the sizes: messages and bodies around the window, after something small
and after something large, over every protocol and in both directions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam, memory, wait_until
from websocket_client import BINARY, TEXT, Client, frame
from websocket_http2 import Http2

WINDOW = 262_144
# A message counts 64 bytes more, so both are edges.
EDGES = [WINDOW + edge + more for edge in (0, -64) for more in (-1, 0, 1)]
QUARTERS = [WINDOW // 4 + more for more in (-65, -64, -63, -1, 0, 1)]
ROWS = [
    *([before, edge] for edge in EDGES for before in (1, 100, WINDOW // 4 - 65, 2 * WINDOW)),
    [*QUARTERS, *EDGES, 0, 1, 4 * WINDOW, 0, *QUARTERS[::-1]],
    [size for at in range(20) for size in (at, 2**at)],
]
IDS = [f"{row[0]}-{row[1]}-{len(row)}" for row in ROWS]


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("flow_sizes:app", window=WINDOW) as running:
        yield running


@pytest.fixture(scope="module")
def small() -> Iterator[Hornbeam]:
    """With the smallest window, and nothing of a body read ahead."""
    with Hornbeam("flow_sizes:app", window=1024, body_prefetch=0) as running:
        yield running


def path(*tasks: list[int]) -> str:
    return "/" + ";".join(",".join(map(str, row)) for row in tasks)


def messages(server: Hornbeam, target: str, over: str) -> list[bytes]:
    """What the application sends, without "done"."""
    got = []
    if over == "HTTP/1.1":
        with Client(server.connect(), target) as client:
            while (one := client.read()).opcode == BINARY:
                got.append(one.payload)
            assert one.payload == b"done"
    else:
        with Http2(server) as many:
            stream = many.open(target)
            while (two := many.read(stream))[0] == BINARY:
                got.append(two[1])
            assert two[1] == b"done"
    return got


@pytest.mark.parametrize("over", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_websocket_messages_of_any_size(server: Hornbeam, row: list[int], over: str) -> None:
    assert list(map(len, messages(server, path(row), over))) == row


@pytest.mark.parametrize("over", ["HTTP/1.1", "HTTP/2"])
def test_websocket_messages_with_a_small_window(small: Hornbeam, over: str) -> None:
    row = [*range(0, 1100, 7), 100_000, 255, 256, 257, 1023, 1024, 1025, 10_000, 191, 192, 193]
    assert list(map(len, messages(small, path(row), over))) == row


@pytest.mark.parametrize("over", ["HTTP/1.1", "HTTP/2"])
def test_several_tasks_send_in_turn(small: Hornbeam, over: str) -> None:
    """One that sends large messages does not keep those with small ones from sending."""
    greedy, modest = [5000] * 60, [100] * 20
    got = messages(small, path(greedy, modest, modest), over)
    marks = [tuple(map(int, each.split(b" ", 1)[0].split(b"."))) for each in got]
    for task, row in enumerate((greedy, modest, modest)):
        assert [number for of, number in marks if of == task] == list(range(len(row)))
    # Each of the modest has its turn once for every message of the greedy one, at least.
    last_modest = max(at for at, (of, _) in enumerate(marks) if of > 0)
    assert sum(1 for of, _ in marks[:last_modest] if of == 0) <= len(modest) + 2


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("query", ["", "?ends"], ids=["empty last", "ends"])
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_response_parts_of_any_size(
    server: Hornbeam, row: list[int], query: str, http2: bool
) -> None:
    with httpx.Client(http1=not http2, http2=http2, timeout=20) as client:
        assert len(client.get(server.url + path(row) + query).content) == sum(row)


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_response_parts_with_a_small_window(small: Hornbeam, http2: bool) -> None:
    with httpx.Client(http1=not http2, http2=http2, timeout=20) as client:
        for row in ([1, 1023], [1, 1024], [1023, 1025, 1], [257, 100_000, 0, 1024, 5, 768, 256]):
            for query in ("", "?ends"):
                assert len(client.get(small.url + path(row) + query).content) == sum(row)


@pytest.mark.parametrize("late", ["", "?late"], ids=["at once", "late"])
@pytest.mark.parametrize("which", ["server", "small"])
def test_websocket_messages_to_the_application(
    request: pytest.FixtureRequest, which: str, late: str
) -> None:
    server: Hornbeam = request.getfixturevalue(which)
    window = WINDOW if which == "server" else 1024
    row = [1, window - 1, window, window - 64, window + 1, 0, 0, window // 4 - 64, 3 * window, 1]
    with Client(server.connect(), "/take" + late) as client:
        sending = threading.Thread(
            target=client.send,
            args=(b"".join(frame(BINARY, b"x" * n) for n in row) + frame(TEXT, b"end"),),
        )
        sending.start()
        if late:
            httpx.get(server.url + "/release")
        assert client.read().payload == str(len(row)).encode()
        sending.join()
    assert httpx.get(server.url + "/received").text == ",".join(map(str, row))


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_request_bodies_of_any_size(server: Hornbeam, small: Hornbeam, http2: bool) -> None:
    with httpx.Client(http1=not http2, http2=http2, timeout=20) as client:
        for running in (server, small):
            for size in (0, 1, 65_535, 65_536, 65_537, 200_000):
                assert client.post(running.url + "/take", content=b"x" * size).text == str(size)


def test_nothing_read_ahead_of_an_application_that_does_not_receive() -> None:
    """With a body_prefetch of 0 the client is stopped too."""
    with Hornbeam("flow_sizes:app", body_prefetch=0) as server, server.connect() as client:
        before = memory(server.beam()) + memory(server.workers()[0])
        client.sendall(b"POST /hold HTTP/1.1\r\nhost: a\r\ncontent-length: 60000000\r\n\r\n")
        client.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 60_000_000:
                sent += client.send(b"x" * 1_000_000)
        assert sent < 30_000_000
        assert memory(server.beam()) + memory(server.workers()[0]) - before < 20_000_000
        client.settimeout(20)
        sending = threading.Thread(target=finish, args=(client, 60_000_000 - sent))
        sending.start()
        assert httpx.get(server.url + "/release").status_code == 200
        sending.join()
        wait_until(lambda: client.recv(65_536).endswith(b"60000000"), 20, "the answer")


def finish(client: socket.socket, left: int) -> None:
    while left:
        left -= client.send(b"x" * min(left, 1_000_000))
