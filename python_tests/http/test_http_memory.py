"""Flow control: bodies of 200 MB pass in both directions, and nobody's memory grows with them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam, memory, wait_until
from raw_http import RawClient, request

pytestmark = pytest.mark.alone

MB = 1_000_000
SIZE = 200 * MB
GROWTH = 32 * 1024 * 1024
# A reader's socket buffer and the server's, the window, the pieces on their way: far below SIZE.
IN_BETWEEN = 16 * MB


class Peak:
    """The largest memory of the VM and of the worker while the block runs, beyond that before."""

    def __init__(self, server: Hornbeam) -> None:
        self._pids = {"BEAM": server.beam(), "worker": server.workers()[0]}
        self._before = {name: memory(pid) for name, pid in self._pids.items()}
        self._most = dict(self._before)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for name, pid in self._pids.items():
                self._most[name] = max(self._most[name], memory(pid))

    def check(self) -> None:
        growth = {name: most - self._before[name] for name, most in self._most.items()}
        print(
            {
                name: f"{size / MB:.1f} MB more than {self._before[name] / MB:.1f} MB"
                for name, size in growth.items()
            }
        )
        assert max(growth.values()) < GROWTH, growth


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_flow:app", send_timeout=60_000) as running:
        warm(running)
        yield running


def warm(server: Hornbeam) -> None:
    """Once through both ways, so that what is measured later is the body and not first use."""
    httpx.post(f"{server.url}/upload", content=bytes(MB))
    httpx.get(f"{server.url}/download?{MB}")


def progress(server: Hornbeam) -> dict[str, Any]:
    return dict(httpx.get(f"{server.url}/progress", timeout=20).json())


def settled(server: Hornbeam, key: str) -> int:
    """How far the application has got when it gets no further."""
    seen = {"value": -1, "since": time.monotonic()}

    def unchanged() -> bool:
        value = progress(server)[key]
        if value != seen["value"]:
            seen.update(value=value, since=time.monotonic())
        return time.monotonic() - seen["since"] > 0.5

    wait_until(unchanged, 30, f"the application stops to make progress in {key}")
    return int(seen["value"])


def test_an_upload_that_is_read_chunk_by_chunk(server: Hornbeam) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(SIZE // MB):
            yield bytes(MB)

    with Peak(server) as peak:
        answer = httpx.post(
            f"{server.url}/upload",
            content=pieces(),
            headers={"content-length": str(SIZE)},
            timeout=60,
        )
    assert answer.json()["received"] == SIZE
    assert answer.json()["largest"] < 2 * MB
    peak.check()


def test_a_download_to_a_client_that_stops_reading(server: Hornbeam) -> None:
    with Peak(server) as peak, RawClient(slow_socket(server)) as client:
        client.send(request(f"/download?{SIZE}", version="1.0"))
        client.read(MB)
        # The client does not read: the application's send() waits.
        stuck = settled(server, "sent")
        assert MB < stuck < MB + IN_BETWEEN
        # It reads at about 1 MB/s for a while: the application goes on as slowly.
        for _ in range(4):
            client.read(MB // 4)
            time.sleep(0.25)
        assert stuck <= progress(server)["sent"] < 2 * MB + IN_BETWEEN
        # It reads the rest as fast as it comes.
        size = 2 * MB + client.count_rest()
    assert size - SIZE in range(1000), "the body and the head"
    assert progress(server)["sent"] == SIZE
    peak.check()


def test_a_client_that_leaves_a_stuck_download_frees_the_worker() -> None:
    with Hornbeam("core_flow:app", max_concurrency=2) as server:
        for _ in range(3):
            with RawClient(slow_socket(server)) as client:
                client.send(request(f"/download?{SIZE}"))
                client.read(MB)
                settled(server, "sent")
            # Of two places one is still taken until the application notices.
            wait_until(lambda: in_flight_is_free(server), 10, "a free place")


def in_flight_is_free(server: Hornbeam) -> bool:
    """Whether two requests at once are answered: both places are free."""
    with RawClient(server.connect()) as one, RawClient(server.connect()) as two:
        one.send(request("/progress"))
        two.send(request("/progress"))
        return one.response().status == two.response().status == 200


def slow_socket(server: Hornbeam) -> socket.socket:
    """A connection with a small receive buffer, whose reader is nobody but the test."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(30)
    connection.connect(server.address)
    return connection
