"""The scale in short: memory of idle connections next to uvicorn, and one message to many.

The full measurement is `make bench-websocket`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import APPS, ROOT, Hornbeam, memory, wait_until
from websocket_client import handshake

# Last: bench/ has a module with the name of a package that others import.
sys.path.append(str(ROOT / "bench"))
from servers import await_listener, free_port

pytestmark = pytest.mark.alone

IDLE = 1500
# Of the memory, one each 20 ms, between which it has not changed.
LOOKS = 75


def open_idle(address: tuple[str, int], count: int) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        client = socket.create_connection(address, 20)
        client.sendall(handshake("/echo"))
        assert client.recv(4096).startswith(b"HTTP/1.1 101")
        clients.append(client)
    return clients


def per_connection(address: tuple[str, int], pids: list[int]) -> float:
    """Resident bytes of the processes for each of many idle connections."""
    clients = open_idle(address, 100)
    before = sum(map(memory, pids))
    clients += open_idle(address, IDLE)
    after = settled(pids)
    for client in clients:
        client.close()
    return (after - before) / IDLE


def settled(pids: list[int]) -> int:
    """What they hold when it changes no more: the VM gives back what is free over some seconds."""
    history = [0]

    def steady() -> bool:
        history.append(sum(map(memory, pids)))
        last = history[-LOOKS:]
        return len(history) > LOOKS and max(last) - min(last) < 100_000

    wait_until(steady, 30, "the memory is steady")
    return history[-1]


@contextmanager
def uvicorn() -> Iterator[tuple[tuple[str, int], list[int]]]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "websocket_app:app", "--port", str(port)]
    command += ["--app-dir", str(APPS), "--log-level", "critical"]
    with subprocess.Popen(command) as process:
        try:
            await_listener(port, process)
            yield ("127.0.0.1", port), [process.pid]
        finally:
            process.terminate()


def test_idle_connections_take_at_most_60_percent_of_uvicorns_memory() -> None:
    with Hornbeam("websocket_app:app") as server:
        ours = per_connection(server.address, [server.beam(), *server.workers()])
    with uvicorn() as (address, pids):
        peer = per_connection(address, pids)
    print(f"bytes per idle connection: {ours:,.0f}, uvicorn {peer:,.0f}")
    assert ours < 0.6 * peer


def test_one_message_reaches_many(tmp_path: Path) -> None:
    load = tmp_path / "websocket_load"
    subprocess.run(["cc", "-O1", "-o", load, ROOT / "bench" / "websocket_load.c"], check=True)
    apps = str(ROOT / "bench" / "apps")
    with Hornbeam("websocket_fanout:app", pythonpath=apps) as server:
        port = str(server.address[1])
        fanout = [str(load), "fanout", port, "1000", "5", "100"]
        deliveries, seconds, _share = map(float, subprocess.check_output(fanout).split())
        assert deliveries == 5000
        print(f"one message to 1,000: {deliveries / seconds:,.0f} deliveries/s")
        echo = [str(load), "echo", port, "50", "0.5", "64"]
        messages, _seconds, _share = map(float, subprocess.check_output(echo).split())
        assert messages > 50
