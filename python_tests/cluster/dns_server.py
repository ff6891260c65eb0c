"""A DNS server for tests (RFC 1035, SRV of RFC 2782): A and SRV records that may change, over UDP.

    with DnsServer() as dns:
        dns.addresses["web.test"] = ["127.0.0.1"]
        Hornbeam(..., env=dns.environment(tmp_path), cluster="dns:web.test")

Called by tests of the cluster. OTP's resolver is pointed at it by the file that ERL_INETRC names.
A question for a name that is not there is answered with NXDOMAIN; a silent server with nothing.
"""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

__all__ = ["DnsServer"]

A, SRV, IN = 1, 33, 1
NAME_ERROR = 3


class DnsServer:
    """Answers in a thread of its own."""

    def __init__(self) -> None:
        self.addresses: dict[str, list[str]] = {}
        # Port and target of each record.
        self.services: dict[str, list[tuple[int, str]]] = {}
        self.silent = False
        self.questions = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def environment(self, folder: Path) -> dict[str, str]:
        """For an Erlang VM that is to ask here, and nowhere else."""
        file = folder / "inetrc"
        port = self._socket.getsockname()[1]
        file.write_text(
            "{lookup, [dns]}.\n{resolv_conf, []}.\n{hosts_file, []}.\n"
            f"{{nameserver, {{127,0,0,1}}, {port}}}.\n"
        )
        return {"ERL_INETRC": str(file)}

    def __enter__(self) -> DnsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, client = self._socket.recvfrom(4096)
            if not question:
                return
            self.questions += 1
            if not self.silent:
                self._socket.sendto(self._answer(question), client)

    def _answer(self, message: bytes) -> bytes:
        number, name, end = message[:2], *_read_name(message, 12)
        kind, _class = struct.unpack_from("!HH", message, end)
        question = message[12 : end + 4]
        known = name in self.addresses or name in self.services
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, IN, 0, len(data)) + data
            for data in self._data(name, kind)
        ]
        flags = 0x8580 | (0 if known else NAME_ERROR)
        head = number + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
        return head + question + b"".join(records)

    def _data(self, name: str, kind: int) -> list[bytes]:
        if kind == A:
            return [socket.inet_aton(address) for address in self.addresses.get(name, [])]
        if kind == SRV:
            return [
                struct.pack("!HHH", 0, 0, port) + _name(target)
                for port, target in self.services.get(name, [])
            ]
        return []


def _read_name(message: bytes, start: int) -> tuple[str, int]:
    labels = []
    while length := message[start]:
        labels.append(message[start + 1 : start + 1 + length].decode().lower())
        start += 1 + length
    return ".".join(labels), start + 1


def _name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"
