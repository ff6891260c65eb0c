"""Servers for the attacks on HTTP/1: in clear text and with TLS, with a look into their VM."""

from __future__ import annotations

import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import httpx
from certificates import Authority
from harness import ROOT, Hornbeam, open_files, wait_until
from http_client import Raw, tls_context

KINDS = ("clear", "tls")
# How a client leaves: it closes, ends its side alone, or resets the connection.
WAYS = ("close", "half-close", "reset")


class Http1:
    """One server of http1_app and ways to reach it."""

    def __init__(self, kind: str, folder: Path, **options: Any) -> None:
        self.kind = kind
        self._context: ssl.SSLContext | None = None
        if kind == "tls":
            authority = Authority(folder / "certificates").create()
            cert, key = authority.issue("localhost")
            options |= {"ssl": True, "certfile": str(cert), "keyfile": str(key)}
            self._context = tls_context(str(authority.cert))
        source = ROOT / "python_tests" / "http" / "http1_vm.erl"
        compiler = ["erlc", "+nowarn_missing_spec", "-o", str(folder), str(source)]
        subprocess.run(compiler, check=True)
        flags = {"HORNBEAM_ERL_FLAGS": f"-pa {folder} -s http1_vm start"}
        self.server = Hornbeam("http1_app:app", env=flags, **options)
        # Many tests look at it, so its connection stays open, and is a part of what there is.
        self._own: httpx.Client | None = None

    def __enter__(self) -> Http1:
        self.server.__enter__()
        self._own = httpx.Client(
            base_url=self.server.url,
            timeout=30,
            verify=True if self._context is None else self._context,
        )
        wait_until(lambda: self.ask("hello").status_code == 200, 10, "the first answer")
        wait_until(lambda: self.ask("vm").status_code == 200, 10, "the function is registered")
        self.server.wait_for_output("looked at")
        return self

    def __exit__(self, *about: Any) -> None:
        assert self._own is not None
        self._own.close()
        self.server.__exit__(*about)

    def connect(self, buffer: int | None = None) -> socket.socket:
        """A connection; `buffer` is the size of what the kernel keeps for the client."""
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.settimeout(30)
        sock.connect(self.server.address)
        if self._context is None:
            return sock
        # What TLS ends without saying so must be seen: it is no orderly end.
        return self._context.wrap_socket(
            sock, server_hostname="localhost", suppress_ragged_eofs=False
        )

    def raw(self, buffer: int | None = None) -> Raw:
        """The same, with h11 to read."""
        return Raw(self.server, self.connect(buffer))

    def ask(self, path: str) -> httpx.Response:
        """A request of the test's own, on a connection of its own."""
        assert self._own is not None
        return self._own.get("/" + path)

    def facts(self) -> dict[str, Any]:
        """What the application has noticed."""
        return dict(self.ask("facts").json())

    def usage(self) -> tuple[int, int, int]:
        """Processes and ports of the VM, and open files of its process."""
        processes, ports = self.ask("vm").json()
        return processes, ports, open_files(self.server.beam())

    def beam(self) -> int:
        """The process id of the VM."""
        return self.server.beam()

    def settles(self, before: tuple[int, int, int]) -> None:
        """Nothing is left of what a test did."""
        now: list[tuple[int, int, int]] = []

        def is_back() -> bool:
            now[:] = [self.usage()]
            return all(n <= b for n, b in zip(now[0], before, strict=True))

        try:
            wait_until(is_back, 15, f"processes, ports and files are {before} again")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {now[0]}") from None


def leave(connection: Raw, way: str) -> None:
    """The client goes, with TLS without a word."""
    if way == "half-close":
        connection.sock.shutdown(socket.SHUT_WR)
        return
    if way == "reset":
        linger = struct.pack("ii", 1, 0)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.sock.close()


def read_all(sock: socket.socket) -> bytes:
    """Everything until the other side ends it; a reset raises."""
    chunks = []
    while chunk := sock.recv(65_536):
        chunks.append(chunk)
    return b"".join(chunks)
