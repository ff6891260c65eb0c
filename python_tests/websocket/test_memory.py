"""What one client can make the VM hold: however it cuts a message, at most twice its bytes; and of
messages that the application does not receive, a window."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam, memory, wait_until
from websocket_client import BINARY, PING, PONG, TEXT, Client, frame

pytestmark = pytest.mark.alone

MIB = 1 << 20
LONGEST = 16 * MIB
ZERO = bytes(4)
WINDOW = 65_536


class Watched:
    """A server and the most memory that its VM and its worker have had since it was warm."""

    def __init__(self, server: Hornbeam) -> None:
        self.server = server
        self._pids = {"VM": server.beam(), "worker": server.workers()[0]}
        self._before = {name: memory(pid) for name, pid in self._pids.items()}
        self._most = dict(self._before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def growth(self, name: str) -> int:
        """Of the VM or of the worker."""
        return self._most[name] - self._before[name]

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            for name, pid in self._pids.items():
                self._most[name] = max(self._most[name], memory(pid))


@pytest.fixture
def watched() -> Iterator[Watched]:
    with Hornbeam("flow_sizes:app", window=WINDOW) as server:
        with Client(server.connect(), "/take") as client:
            # So that buffers and heaps have their sizes before anything is measured.
            client.send(frame(BINARY, b"x" * 1000, mask=ZERO) * 1000 + frame(TEXT, b"end"))
            assert client.read().payload == b"1000"
        httpx.get(server.url + "/received")
        now = Watched(server)
        yield now
        now.stop()


def has_looked(client: Client) -> None:
    """The server has gone through all that came before."""
    client.send(frame(PING, b"?"))
    assert client.read()[2:] == (PONG, b"?")


def unfinished(size: int, part: int, opcode: int) -> bytes:
    """A message of zeros, in fragments, of which the last is missing."""
    fragments = frame(0, bytes(part), fin=False, mask=ZERO) * ((size - 1) // part)
    return frame(opcode, b"", fin=False, mask=ZERO) + fragments


@pytest.mark.parametrize(
    ("opcode", "part"), [(TEXT, 65), (BINARY, 100), (TEXT, 1460), (BINARY, 65_536), (TEXT, 4 * MIB)]
)
def test_a_message_costs_at_most_twice_its_bytes(watched: Watched, opcode: int, part: int) -> None:
    with Client(watched.server.connect(), "/take") as client:
        client.send(unfinished(LONGEST, part, opcode))
        has_looked(client)
        wait_until(lambda: watched.growth("VM") >= LONGEST // 2, 20, "it is there")
        assert watched.growth("VM") <= 2 * LONGEST


def test_a_frame_costs_at_most_twice_its_bytes(watched: Watched) -> None:
    with Client(watched.server.connect(), "/take") as client:
        client.send(bytes([0x80 | BINARY, 0xFF]) + LONGEST.to_bytes(8, "big") + bytes(LONGEST))
        wait_until(lambda: watched.growth("VM") >= LONGEST // 2, 20, "it has come")
        assert watched.growth("VM") <= 2 * LONGEST


def test_one_byte_fragments(watched: Watched) -> None:
    """Up to one for each 64 bytes of the longest message; empty ones count like others."""
    most = LONGEST // 64
    with Client(watched.server.connect(), "/take") as client:
        client.send(unfinished(most - 1, 1, BINARY))  # this is most - 1 fragments
        has_looked(client)
        assert watched.growth("VM") <= 4 * MIB
        client.send(frame(0, b"x") + frame(TEXT, b"end"))
        assert client.read().payload == b"1"
    assert httpx.get(watched.server.url + "/received").text == str(most - 1)
    for more in (frame(0, b"", fin=False), frame(0, b"")):
        with Client(watched.server.connect(), "/take") as client:
            client.send(
                frame(BINARY, b"", fin=False) + frame(0, b"", fin=False, mask=ZERO) * (most - 1)
            )
            has_looked(client)
            client.send(more)
            close = client.read_close()
            assert (close.code, close.reason) == (1009, "a message in too many fragments")
    assert watched.growth("VM") <= 8 * MIB


def test_a_frame_that_comes_byte_by_byte(watched: Watched) -> None:
    with Client(watched.server.connect(), "/take") as client:
        client.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(BINARY, b"x" * 65_536, mask=b"1234"):
            client.send(bytes([byte]))
        client.send(frame(TEXT, b"end"))
        assert client.read().payload == b"1"
    assert httpx.get(watched.server.url + "/received").text == "65536"
    assert watched.growth("VM") <= 4 * MIB


@pytest.mark.parametrize("payload", [b"", b"x" * 10], ids=["empty", "small"])
def test_tiny_messages_that_nobody_receives(watched: Watched, payload: bytes) -> None:
    """They stop at the window, each counting 64 bytes more than it has."""
    tiny = frame(BINARY, payload, mask=ZERO) * 10_000
    with Client(watched.server.connect(), "/take?late") as client:
        client.connection.settimeout(1)
        count = rest = 0
        with pytest.raises(TimeoutError):
            while count < 100_000_000:
                rest = len(tiny)
                while rest:
                    rest -= client.connection.send(tiny[-rest:])
                count += 10_000
        assert watched.growth("VM") <= 8 * MIB
        assert watched.growth("worker") <= 2 * MIB
        client.connection.settimeout(20)
        assert httpx.get(watched.server.url + "/release").status_code == 200
        client.send(tiny[-rest:] + frame(TEXT, b"end"))
        assert client.read().payload == str(count + 10_000).encode()


def test_pings_whose_answers_nobody_reads(watched: Watched) -> None:
    with Client(watched.server.connect(), "/take") as client:
        pings = frame(PING, b"", mask=ZERO) * 10_000
        for _ in range(30):
            client.send(pings)
        client.send(frame(PING, b"last"))
        got = b""
        while not got.endswith(b"last"):
            got = got[-3:] + client.connection.recv(1_000_000)
        assert watched.growth("VM") <= 8 * MIB
