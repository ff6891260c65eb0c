"""Single clients: one exchange and how long it took, idle connections, a start's first answer.

What a load generator cannot do. Blocking sockets; every wait has an end, and an answer that is
wrong raises Trouble.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from figures import Trouble
from servers import Server

__all__ = ["Answer", "dechunked", "exchange", "first_answer", "idle", "multipart", "settle"]

PATIENCE = 60
PIECE = 1024 * 1024
# So many that what a server takes at once, whatever their number, is little for each.
IDLE = 4000
BOUNDARY = b"frontier"


@dataclass(frozen=True)
class Answer:
    """The status, the whole length with the head, the body, and when its last byte was there."""

    status: int
    whole: int
    body: bytes
    seconds: float

    def check(self, length: int) -> None:
        """That it is 200, with a body of this length."""
        if self.status != 200 or len(self.body) != length:
            raise Trouble(
                f"status {self.status}, {len(self.body)} bytes and not 200, {length}: "
                f"{self.body[:100]!r}"
            )


def exchange(
    port: int, path: str, body: Iterable[bytes] = (), *, head: str = "", length: int | None = None,
    close: bool = True,
) -> Answer:  # fmt: skip
    """A request on a new connection, POST where there is a body; timed once it is connected.

    length  of a body that comes in pieces: they are made while they are sent
    close   asks the server to close; else the answer must have a content-length
    """
    pieces = list(body) if length is None else body
    if length is None and isinstance(pieces, list):
        length = sum(map(len, pieces))
    request = f"{'POST' if length else 'GET'} {path} HTTP/1.1\r\nHost: bench\r\n{head}"
    request += f"Content-Length: {length}\r\n" if length else ""
    request += "Connection: close\r\n\r\n" if close else "\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
            begun = time.monotonic()
            sock.sendall(request.encode())
            for piece in pieces:
                sock.sendall(piece)
            raw = _read(sock)
            seconds = time.monotonic() - begun
    except OSError as error:
        raise Trouble(f"{path}: {error!r}") from error
    first, _, rest = bytes(raw).partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", first)
    if status is None:
        raise Trouble(f"{path}: no answer but {first[:100]!r}")
    if re.search(rb"\ntransfer-encoding: *chunked", first, re.IGNORECASE):
        rest = dechunked(rest)
    return Answer(int(status.group(1)), len(raw), rest, seconds)


def _read(sock: socket.socket) -> bytearray:
    """To the end of the connection, or of the body where its length is told."""
    raw, end = bytearray(), None
    while end is None or len(raw) < end:
        piece = sock.recv(PIECE)
        if not piece:
            break
        raw += piece
        if end is None and (head := raw.find(b"\r\n\r\n")) >= 0:
            told = re.search(rb"\ncontent-length: *(\d+)", raw[:head], re.IGNORECASE)
            end = head + 4 + int(told.group(1)) if told else 1 << 62
    return raw


def dechunked(raw: bytes) -> bytes:
    """The body that was sent in chunks; Trouble unless it came to its end."""
    pieces: list[bytes] = []
    at = 0
    while True:
        line = raw.find(b"\r\n", at)
        try:
            size = int(raw[at:line].partition(b";")[0], 16)
        except ValueError:
            raise Trouble(f"a body was cut after {at} bytes") from None
        if size == 0:
            return b"".join(pieces)
        pieces.append(raw[line + 2 : line + 2 + size])
        at = line + 4 + size


def multipart(port: int, path: str, size: int) -> Answer:
    """Uploads a file of so many bytes as a browser's form does."""
    head = (
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    end = b"\r\n--" + BOUNDARY + b"--\r\n"
    return exchange(
        port, path, [head, *zeros(size), end], length=len(head) + size + len(end),
        head=f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\n",
    )  # fmt: skip


def zeros(size: int) -> Iterator[bytes]:
    """A body, in pieces, most of which are the same memory."""
    piece = bytes(PIECE)
    for begin in range(0, size, PIECE):
        yield piece[: size - begin]


def first_answer(server: Server) -> float:
    """Seconds from the start of the server's first process to its first answer with 200."""
    while True:
        with contextlib.suppress(Trouble):
            if exchange(server.port, "/").status == 200:
                return time.monotonic() - server.begun
        if time.monotonic() - server.begun > PATIENCE:
            raise Trouble(f"no answer with 200 in {PATIENCE} s")
        time.sleep(0.005)


def idle(server: Server) -> float:
    """Bytes for each of many connections that have had an answer and wait."""
    settle(server)
    before = server.pss()
    with contextlib.ExitStack() as stack:
        try:
            clients = []
            for _ in range(IDLE):
                client = socket.create_connection(("127.0.0.1", server.port), 10)
                clients.append(stack.enter_context(client))
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                    raise Trouble(f"connection {len(clients)} has got no answer")
        except OSError as error:
            raise Trouble(f"connection {len(clients)} of {IDLE}: {error!r}") from error
        settle(server)
        after = server.pss()
        for client in clients:
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                if client.recv(1) == b"":
                    raise Trouble("idle connections were closed")
    return (after - before) / IDLE


def settle(server: Server, pause: float = 2.0) -> None:
    """Waits until the server has nothing left to do: less than a four hundredth of a core."""
    deadline = time.monotonic() + 15
    last = server.cpu()
    while time.monotonic() < deadline:
        time.sleep(pause)
        now = server.cpu()
        if (now - last).all <= pause * 2500:
            return
        last = now
