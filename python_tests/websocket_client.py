"""A WebSocket client without opinions: it sends any bytes and shows the frames that come back."""

from __future__ import annotations

import random
import select
import socket
import struct
from typing import NamedTuple

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

# The same in every process: frames are parameters of tests, and pytest-xdist compares those.
_masks = random.Random(6455)


class Frame(NamedTuple):
    """One frame of the server."""

    fin: bool
    rsv: int
    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The code of a close frame; 1005 when there is none."""
        return int(struct.unpack(">H", self.payload[:2])[0]) if self.payload else 1005

    @property
    def reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = None
) -> bytes:
    """A masked frame as a client sends it."""
    size = len(payload)
    head = bytes([(fin << 7) | (rsv << 4) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    mask = _masks.randbytes(4) if mask is None else mask
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + masked


def handshake(path: str, host: str = "test", **headers: str) -> bytes:
    """The request of RFC 6455, 4.1; a header given as "" is left out."""
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


class Client:
    """A connection after its handshake (or a refused one: see `head`)."""

    def __init__(self, connection: socket.socket, path: str, **headers: str) -> None:
        self.connection = connection
        self._buffer = b""
        connection.sendall(handshake(path, **headers))
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.head = head.decode("latin-1")

    @property
    def status(self) -> int:
        """Of the answer to the handshake."""
        return int(self.head.split(" ", 2)[1])

    def send(self, data: bytes) -> None:
        """Any bytes."""
        self.connection.sendall(data)

    def read(self) -> Frame:
        """The next frame; EOFError when the server has closed."""
        first, second = self._take(2)
        assert second < 128, "a server does not mask"
        size = second
        if size == 126:
            size = int.from_bytes(self._take(2), "big")
        elif size == 127:
            size = int.from_bytes(self._take(8), "big")
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 15, self._take(size))

    def has_more(self, seconds: float) -> bool:
        """Whether there is more to read, or comes in that time: a part of a frame at least."""
        return bool(self._buffer or select.select([self.connection], [], [], seconds)[0])

    def read_close(self) -> Frame:
        """The next close frame; what comes before it is skipped. Then the connection must end."""
        while (got := self.read()).opcode != CLOSE:
            pass
        return got

    def at_end(self) -> bool:
        """Waits for the end of the connection."""
        try:
            self.read()
        except (EOFError, ConnectionResetError):
            return True
        return False

    def close(self) -> None:
        """Goes away without a word."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._receive()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _receive(self) -> None:
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self._buffer += data
