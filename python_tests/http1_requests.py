"""Requests as bytes, and a thread that sends them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


def get(target: str, *fields: str) -> bytes:
    lines = [f"GET /{target} HTTP/1.1", "Host: a", *fields, "", ""]
    return "\r\n".join(lines).encode()


def post(target: str, length: int | None) -> bytes:
    """The head of a request with a body of a length, or in chunks."""
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST /{target} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n".encode()


class Sender:
    """Sends in a thread of its own, as much as the other side takes."""

    def __init__(self, sock: socket.socket, pieces: Callable[[], Iterator[bytes]]) -> None:
        self.sent = 0
        self._thread = threading.Thread(target=self._send, args=(sock, pieces))
        self._thread.start()

    def _send(self, sock: socket.socket, pieces: Callable[[], Iterator[bytes]]) -> None:
        with contextlib.suppress(OSError):
            for piece in pieces():
                sock.sendall(piece)
                self.sent += len(piece)

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()
