"""A client for HTTP/1 on a raw socket: sends exactly the bytes it is told, and reads strictly.

    with RawClient(server.connect()) as client:
        client.send(b"GET / HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n")
        answer = client.response()

A response that ends early, and bytes that belong to no response, are an Incomplete error.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

__all__ = ["Incomplete", "RawClient", "Response", "request"]


class Incomplete(Exception):
    """The connection ended, or the bytes made no sense, before the response was complete."""


@dataclass
class Response:
    """A response as it came: header names as sent, in order; `framing` is how the body ended."""

    version: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    framing: str  # length | chunked | close | none

    def values(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str | None:
        """The only value of a header."""
        found = self.values(name)
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None


def request(
    target: str,
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    version: str = "1.1",
) -> bytes:
    """A request's bytes; content-length is added when there is a body."""
    lines = [f"{method} {target} HTTP/{version}", "host: test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class RawClient:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    def __enter__(self) -> RawClient:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def get(self, target: str, **arguments: object) -> Response:
        """Sends a request (the arguments of `request`) and reads its response."""
        method = str(arguments.get("method", "GET"))
        self.send(request(target, **arguments))  # type: ignore[arg-type]
        return self.response(method)

    def response(self, method: str = "GET") -> Response:
        """Reads one response, an interim (1xx) one included."""
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status_text, _reason = (head[0] + " ").split(" ", 2)
        status = int(status_text)
        headers = [(name, value.strip()) for name, _, value in (h.partition(":") for h in head[1:])]
        names = {name.lower(): value for name, value in headers}
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Response(version, status, headers, b"", "none")
        if names.get("transfer-encoding") == "chunked":
            return Response(version, status, headers, self._chunked(), "chunked")
        if "content-length" in names:
            body = self.read(int(names["content-length"]))
            return Response(version, status, headers, body, "length")
        return Response(version, status, headers, self.rest(), "close")

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        while data := self.socket.recv(65536):
            self._buffer += data
        data, self._buffer = self._buffer, b""
        return data

    def count_rest(self) -> int:
        """How many bytes come until the server closes the connection; they are not kept."""
        size, self._buffer = len(self._buffer), b""
        while data := self.socket.recv(1 << 20):
            size += len(data)
        return size

    def closed(self) -> bool:
        """Waits for the end of the connection; whether it came without further bytes."""
        try:
            return self.rest() == b""
        except ConnectionError:
            return True

    def silent(self, seconds: float) -> bool:
        """Whether nothing arrives for so long."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self._buffer += self.socket.recv(1)
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(before)
        return self._buffer == b""

    def _chunked(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n"), 16):
            body += self.read(size)
            assert self.read(2) == b"\r\n", "a chunk does not end where its size says"
        assert self._until(b"\r\n") == b"", "trailers were not expected"
        return body

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more()
        data, _, self._buffer = self._buffer.partition(end)
        return data

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            raise Incomplete(f"reset after {self._buffer!r}") from None
        if not data:
            raise Incomplete(f"closed after {self._buffer!r}")
        self._buffer += data
