"""What the tests of operation share: load in the background, the workers' process ids,
how many requests they have."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import msgpack
from harness import Hornbeam, wait_until


@contextmanager
def load(server: Hornbeam, threads: int = 4, rest: float = 0) -> Iterator[list[str]]:
    """GETs all the while; yields what went wrong; asserts at the end that something was asked.

    A rest, in seconds, between the GETs of a thread: where they show that it serves all the while,
    and are not there to meet a moment.
    """
    wrong: list[str] = []
    count = [0]
    done = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while not done.is_set():
                try:
                    answer = client.get("/")
                    count[0] += 1
                    if answer.status_code != 200:
                        wrong.append(f"{answer.status_code} {answer.text}")
                except httpx.HTTPError as error:
                    wrong.append(repr(error))
                if rest:
                    done.wait(rest)

    with ThreadPoolExecutor(threads) as pool:
        tasks = [pool.submit(ask) for _ in range(threads)]
        try:
            yield wrong
        finally:
            done.set()
        for task in tasks:
            task.result()
    assert count[0] > 0


def pids(server: Hornbeam) -> set[int]:
    return set(server.workers())


def await_in_flight(server: Hornbeam, count: int) -> None:
    """Waits until workers have so many requests; of a server with metrics_bind."""
    url = server.wait_for_output(r"metrics on (http://\S+)").group(1) + "/metrics"
    line = f'hornbeam_requests_in_flight{{mount="/"}} {count}\n'
    wait_until(lambda: line in httpx.get(url).text, 20, f"{count} requests are with workers")


def control(server: Hornbeam, command: str, *arguments: str) -> tuple[bool, str]:
    """What `hornbeam COMMAND` does, without a VM for each."""
    flag = next(part for part in server.command if part.startswith("--control="))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(flag.partition("=")[2])
        packet = msgpack.packb({"command": command, "arguments": arguments})
        connection.sendall(struct.pack(">I", len(packet)) + packet)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    said = msgpack.unpackb(answer[4:])
    return said["ok"], said["text"]
