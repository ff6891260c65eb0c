"""Very many topics of one worker, left all at once: nobody else notices."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

TOPICS = 40_000
LAST = f"t{TOPICS - 1}"
# What a request may take meanwhile. It is milliseconds; quadratic leaving made it 15 s.
PROMPT = 3.0

pytestmark = [
    pytest.mark.alone,
    pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning"),
]


@contextmanager
def served(tmp_path: Path) -> Iterator[tuple[Hornbeam, ClientConnection, str]]:
    """A server with one worker, a WebSocket with the topics, the path of the control socket."""
    control = str(tmp_path / "control.sock")
    with Hornbeam("many_app:app", control=control, graceful_timeout=1000) as server:
        address = server.url.replace("http", "ws")
        client = connect(f"{address}/{TOPICS}?t", open_timeout=60, close_timeout=60)
        assert client.recv(timeout=120) == "joined"
        assert reached(server) == 1
        yield server, client, control
        client.close()


def reached(server: Hornbeam) -> int:
    return int(httpx.get(f"{server.url}/publish?{LAST}", timeout=60).raise_for_status().text)


def hornbeam(command: str, control: str) -> str:
    arguments = [str(ROOT / "bin" / "hornbeam"), command, "--control", control]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def slowest_until_left(server: Hornbeam) -> float:
    """Asks until nobody subscribes to the last topic; what the slowest request took."""
    slowest = 0.0
    deadline = time.monotonic() + 100
    while True:
        assert time.monotonic() < deadline
        asked = time.monotonic()
        left = reached(server) == 0
        slowest = max(slowest, time.monotonic() - asked)
        if left:
            return slowest


def test_leaving_many_topics_at_once_delays_nobody(tmp_path: Path) -> None:
    with served(tmp_path) as (server, client, control):
        client.close()
        status = hornbeam("status", control)
        assert slowest_until_left(server) < PROMPT
        assert " ready " in status
        assert " ready " in hornbeam("status", control)
        assert "its Erlang process" not in server.output


def test_a_reload_with_many_topics_delays_nobody(tmp_path: Path) -> None:
    with served(tmp_path) as (server, client, control):
        (old,) = server.workers()
        assert "reloaded" in hornbeam("reload", control)
        drained = time.monotonic()
        assert slowest_until_left(server) < PROMPT
        wait_until(lambda: old not in server.workers(), 60, "the old worker has ended")
        # A second of graceful_timeout, and the moments after it.
        assert time.monotonic() - drained < 1 + 2 * PROMPT
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=10)
        assert "its Erlang process" not in server.output


def test_a_worker_with_many_topics_that_dies_is_soon_back(tmp_path: Path) -> None:
    with served(tmp_path) as (server, _client, _control):
        (pid,) = server.workers()
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: set(server.workers()) - {pid}, 60, "another one is started")
        # It is started when the subscriptions of the dead one have ended.
        assert time.monotonic() - killed < PROMPT
        assert reached(server) == 0
