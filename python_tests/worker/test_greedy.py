"""What a worker can make the VM hold: one that breaks the rules is killed, one that is slow is not.

The bounds themselves are tried at their edges in test/hornbeam_greedy_worker_tests.erl,
hornbeam_broken_worker_tests.erl and hornbeam_worker_backlog_tests.erl.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam, memory, wait_until

MIB = 1_048_576


class Peak:
    """The most memory that the VM had while the block ran, beyond what it had before."""

    def __init__(self, server: Hornbeam) -> None:
        self._pid = server.beam()
        self._before = self._most = memory(self._pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.01):
            self._most = max(self._most, memory(self._pid))

    @property
    def growth(self) -> int:
        return self._most - self._before


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    """Two workers; calls wait from 8 MiB of unread answers on, 64 MiB may wait."""
    with Hornbeam("worker_hostile:app", workers=2, max_worker_backlog=64 * MIB) as running:
        assert httpx.get(f"{running.url}/store").text == "stored"
        yield running


def pids(server: Hornbeam) -> set[int]:
    return set(server.workers())


def assert_killed(server: Hornbeam, path: str, reason: str, most: int) -> None:
    """The worker that serves the path is killed for that reason, and another one answers."""
    before = pids(server)
    _, line = server.output_from(0)
    with Peak(server) as peak, httpx.Client(base_url=server.url, timeout=60) as client:
        with pytest.raises(httpx.HTTPError):
            client.post(path).raise_for_status()
        assert client.get("/").status_code == 200
    wait_until(lambda: len(pids(server) & before) == 1, 20, "one of them has been killed")
    wait_until(lambda: len(pids(server)) == 2, 20, "it has been replaced")
    said, _ = server.output_from(line)
    assert said.count("and is killed") == 1, said
    assert reason in said
    assert "CRASH REPORT" not in said
    assert peak.growth < most, f"{peak.growth / MIB:.0f} MiB"


def test_answers_that_are_not_read(server: Hornbeam) -> None:
    """Without a bound 1,000 calls of 16 bytes took 2.2 GB, and the next 1,000 as much again."""
    assert_killed(server, "/ask", "max_worker_backlog", 300 * MIB)


def test_a_response_beyond_its_window(server: Hornbeam) -> None:
    assert_killed(server, "/stream", "window_exceeded", 200 * MIB)


def test_informational_responses_without_an_end(server: Hornbeam) -> None:
    assert_killed(server, "/hints", "too_many_informational_responses", 200 * MIB)


def test_slow_readers_are_slowed_and_not_killed(server: Hornbeam) -> None:
    before = pids(server)
    with Peak(server) as peak:
        assert httpx.get(f"{server.url}/gather", timeout=60).text == "300"
    assert peak.growth < 200 * MIB, f"{peak.growth / MIB:.0f} MiB"
    with Peak(server) as peak:
        assert httpx.get(f"{server.url}/threads", timeout=120).text == "640"
    assert peak.growth < 200 * MIB, f"{peak.growth / MIB:.0f} MiB"
    assert pids(server) == before


def test_what_an_application_does_too_much_costs_no_worker(server: Hornbeam) -> None:
    before = pids(server)
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/many_hints").text == "done"
        assert client.get("/empty").text == "end"
        # 1,000,000 bytes of packed headers are the most; besides the value they are 16.
        assert client.get("/headers?999985").status_code == 500
    server.wait_for_output("headers of 1000001 bytes; 1000000 is the most")
    assert pids(server) == before
