"""Many clients at once: event streams that are read as they come, and clients that are slow.

Event streams run in one event loop, whose own lag is in all figures alike; slow clients in a thread
that moves a little of one connection after the other while something else is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import uvloop
from figures import Trouble, percentile
from servers import Server

__all__ = ["events", "slow_clients"]

# Of each stream, in seconds; the streams begin spread over the first second.
INTERVAL = 0.1
SPREAD = 1.0
SLOW_BODY = 1024 * 1024
SLOW_PIECE = 1024
SLOW_ROUND = 1.0


class Stream(asyncio.Protocol):
    """A client of an event stream: when the first event was there, and the gaps from then on."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.sent = self.last = 0.0
        self.first = math.nan
        self.gaps: list[float] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is one, but not by its classes.
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, path: str) -> None:
        """Sends the request."""
        assert self.transport is not None
        self.sent = time.monotonic()
        self.transport.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        # An event ends with an empty line of two line feeds, as nothing else here does; the two may
        # come apart.
        found = (self._tail + data).count(b"\n\n")
        self._tail = b"\n" if data.endswith(b"\n") and not data.endswith(b"\n\n") else b""
        if not found:
            return
        now = time.monotonic()
        if math.isnan(self.first):
            self.first = now - self.sent
        else:
            self.gaps.append(now - self.last)
        self.gaps += [0.0] * (found - 1)
        self.last = now
        self.left -= found
        if self.left <= 0 and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(Trouble(f"a stream ended {self.left} events early: {exc!r}"))


def events(server: Server, clients: int, seconds: int) -> dict[str, float]:
    """Streams of an event each INTERVAL, for so long."""
    count = max(2, round(seconds / INTERVAL))
    before = server.cpu()
    with contextlib.closing(uvloop.new_event_loop()) as loop:
        streams = loop.run_until_complete(_streams(server, clients, count))
    took = max(stream.last for stream in streams) - min(stream.sent for stream in streams)
    used = server.cpu() - before
    firsts = sorted(stream.first for stream in streams)
    gaps = sorted(gap for stream in streams for gap in stream.gaps)
    return {
        "first event p50, ms": percentile(firsts, 0.5) * 1000,
        "first event p99, ms": percentile(firsts, 0.99) * 1000,
        "gap p99, ms": percentile(gaps, 0.99) * 1000,
        "- of it late, ms": (percentile(gaps, 0.99) - INTERVAL) * 1000,
        "events/s": clients * count / took,
        "CPU, us an event": used.all / (clients * count),
    }


async def _streams(server: Server, clients: int, count: int) -> list[Stream]:
    loop = asyncio.get_running_loop()
    made: list[Stream] = []
    try:
        for _ in range(clients):
            _, stream = await loop.create_connection(
                lambda: Stream(count), "127.0.0.1", server.port
            )
            made.append(stream)
        path = f"/events?{count}&{INTERVAL}"
        begun = loop.time()
        for number, stream in enumerate(made):
            loop.call_at(begun + SPREAD * number / clients, stream.ask, path)
        ended = asyncio.gather(*(stream.ended for stream in made))
        await asyncio.wait_for(ended, 5 * count * INTERVAL + 60)
    except (OSError, asyncio.TimeoutError) as error:
        raise Trouble(f"{len(made)} of {clients} streams: {error!r}") from error
    finally:
        for stream in made:
            if stream.transport is not None:
                stream.transport.abort()
    return made


@dataclass
class Slow:
    """A client that takes a body, or sends one, so slowly that it does not come to its end."""

    sock: socket.socket
    sends: bool
    got: bytes = b""

    def move(self) -> None:
        """A little."""
        with contextlib.suppress(BlockingIOError):
            if self.sends:
                self.sock.send(b"x")
            elif not (piece := self.sock.recv(SLOW_PIECE)):
                raise Trouble("a slow client was closed")
            else:
                self.got = self.got or piece


@contextlib.contextmanager
def slow_clients(server: Server, count: int) -> Iterator[None]:
    """Half of them take 1 KiB of a body of 1 MiB each second, half send a byte of one."""
    clients: list[Slow] = []
    stop = threading.Event()
    problems: list[str] = []

    def run() -> None:
        try:
            while not stop.is_set():
                for client in clients:
                    client.move()
                    if stop.wait(SLOW_ROUND / count):
                        break
        except (OSError, Trouble) as error:
            problems.append(f"slow clients: {error!r}")

    thread = threading.Thread(target=run)
    with contextlib.ExitStack() as stack:
        clients += [
            Slow(stack.enter_context(_slow(server, number)), number % 2 == 0)
            for number in range(count)
        ]
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    wrong = [one.got for one in clients if one.got and not one.got.startswith(b"HTTP/1.1 200")]
    if problems or wrong:
        raise Trouble(problems[0] if problems else f"a slow client has got {wrong[0][:100]!r}")


def _slow(server: Server, number: int) -> socket.socket:
    sock = socket.socket()
    try:
        # What the kernels take at once is not slow: on loopback, whose segments are of 64 KiB, that
        # is 2.5 MB. With the segments of a network it is about 100 KiB.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1460)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(10)
        sock.connect(("127.0.0.1", server.port))
        head = (
            f"POST /up HTTP/1.1\r\nHost: bench\r\nContent-Length: {SLOW_BODY}\r\n\r\n"
            if number % 2 == 0
            else f"GET /down?{SLOW_BODY} HTTP/1.1\r\nHost: bench\r\n\r\n"
        )
        sock.sendall(head.encode())
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise Trouble(f"slow client {number}: {error!r}") from error
    return sock
