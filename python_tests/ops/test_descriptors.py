"""Clients take every file descriptor that they can get; what else needs one goes on working."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam, StartError, open_files, wait_until
from raw_http import RawClient
from websocket_client import TEXT, Client, frame

from ops.faults import Faults, with_faults

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return Authority(tmp_path_factory.mktemp("certificates")).create().issue("localhost")


@contextmanager
def flood(server: Hornbeam, count: int) -> Iterator[list[socket.socket]]:
    """That many connections at once, which say nothing."""
    sockets: list[socket.socket] = []
    try:
        for _ in range(count):
            with suppress(ConnectionError):  # the server may have reset it while it was made
                sockets.append(server.connect())
        yield sockets
    finally:
        for one in sockets:
            one.close()


def refused(server: Hornbeam) -> bytes:
    """What a new connection is told: the answer, or nothing, when it is closed."""
    with suppress(ConnectionError), server.connect() as sock:
        sock.settimeout(2)
        return sock.recv(4096)
    return b""


def full(server: Hornbeam, sockets: list[socket.socket], *, tls: bool = False) -> None:
    """A new connection is refused. Some may be taken before: what has just closed is free, and that
    may be all of it."""
    taken: list[socket.socket] = []  # nothing was said to them yet

    def is_refused() -> bool:
        for _ in range(25):
            with suppress(ConnectionError):
                taken.append(server.connect())
                taken[-1].settimeout(0.1)
                sockets.append(taken[-1])
        for sock in taken[-5:]:
            with suppress(TimeoutError, ConnectionError):
                answer = sock.recv(4096)
                assert answer == b"" if tls else answer.startswith(BUSY)
                return True
        return False

    wait_until(is_refused, 20, "a connection is refused")


def limits(pid: int) -> tuple[int, int]:
    line = re.search(
        r"^Max open files +(\d+) +(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.M
    )
    assert line
    return int(line[1]), int(line[2])


def context() -> ssl.SSLContext:
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return client


def exhaust_and_recover(server: Hornbeam, count: int, kept: socket.socket) -> None:
    """kept: a connection that was made before."""
    client = RawClient(kept)
    metrics = re.search(r"metrics on (http://\S+)", server.output)
    assert metrics
    tls = server.url.startswith("https")
    lines, since = events(server), time.monotonic()
    with flood(server, count) as sockets:
        # At once, and nobody is left hanging.
        full(server, sockets, tls=tls)
        # What is there goes on, also what needs descriptors of its own.
        assert client.get("/").status == 200
        done = subprocess.run(
            [server.command[0], "status", str(server.beam())],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        text = httpx.get(f"{metrics[1]}/metrics").text
        assert int(re.findall(r"^hornbeam_connections_refused_total (\d+)$", text, re.M)[0]) > 0
        assert httpx.get(f"{metrics[1]}/readyz").status_code == 200
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        wait_until(
            lambda: client.get("/").body not in (b"", str(worker).encode()), 20, "another worker"
        )
        # Those whose handshake has not come in time have left room.
        with flood(server, count) as more:
            full(server, more, tls=tls)
    wait_until(lambda: serves(server), 20, "a new connection is served")
    # One line a second about connections, and two events of the worker.
    seconds = time.monotonic() - since
    assert events(server) - lines <= seconds + 1 + 2


def events(server: Hornbeam) -> int:
    """Lines of the log, without those that go on with one."""
    return sum(not line.startswith(" ") for line in server.output.splitlines())


def serves(server: Hornbeam) -> bool:
    try:
        return httpx.get(server.url, verify=False, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(("files", "count"), [(256, 1000), (1024, 1100)])
def test_more_connections_than_descriptors(files: int, count: int) -> None:
    server = Hornbeam("ops_app:app", files=(files, files), metrics_bind="127.0.0.1:0")
    with server, server.connect() as kept:
        before = open_files(server.beam())
        exhaust_and_recover(server, count, kept)
        exhaust_and_recover(server, count, kept)
        assert re.search(r"warning max_connections \(16384\) is lowered to \d+", server.output)
        wait_until(lambda: open_files(server.beam()) <= before + 2, 10, "descriptors are back")


@pytest.mark.parametrize("handshake", [False, True], ids=["half open", "open"])
def test_more_tls_connections_than_descriptors(pair: tuple[Path, Path], handshake: bool) -> None:
    server = Hornbeam(
        "ops_app:app",
        files=(200, 200),
        metrics_bind="127.0.0.1:0",
        ssl=True,
        certfile=str(pair[0]),
        keyfile=str(pair[1]),
    )
    with server, context().wrap_socket(server.connect()) as kept:
        opened: list[ssl.SSLSocket] = []
        if handshake:
            with suppress(ssl.SSLError, OSError):
                while len(opened) < 200:
                    opened.append(context().wrap_socket(server.connect()))
            assert 20 < len(opened) < 200
        try:
            exhaust_and_recover_tls(server, kept, opened)
        finally:
            for one in opened:
                one.close()


def exhaust_and_recover_tls(
    server: Hornbeam, kept: ssl.SSLSocket, opened: list[ssl.SSLSocket]
) -> None:
    if not opened:
        exhaust_and_recover(server, 1000, kept)
        return
    client = RawClient(kept)
    with flood(server, 0) as others:
        full(server, others, tls=True)
    assert RawClient(opened[-1]).get("/").status == 200
    assert client.get("/").status == 200
    for one in opened:
        one.close()
    wait_until(lambda: serves(server), 20, "a new connection is served")


def test_websockets_and_other_connections_share_the_descriptors() -> None:
    server = Hornbeam(
        "ops_app:app", files=(256, 256), websocket_max_connections=100000, max_connections=100000
    )
    with server:
        clients: list[Client] = []
        with suppress(OSError, EOFError, AssertionError):
            while len(clients) < 256:
                client = Client(server.connect(), "/ws")
                if client.status != 101:
                    break
                clients.append(client)
        assert 50 < len(clients) < 256
        with flood(server, 300) as others:
            full(server, others)
            clients[0].send(frame(TEXT, b"hello"))
            assert clients[0].read().payload == b"hello"
        for client in clients:
            client.close()
        wait_until(lambda: serves(server), 20, "a new connection is served")


def test_a_file_is_not_sent_with_what_is_kept_back(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1000)
    server = Hornbeam("http_messages:app", files=(256, 256))
    with server, server.connect() as kept:
        client = RawClient(kept)
        assert client.get(f"/file?{file}").body == b"x" * 1000
        with flood(server, 400) as others:
            full(server, others)

            def answer() -> int:
                others.append(server.connect())  # until what has just closed is taken again
                return client.get(f"/file?{file}").status

            wait_until(lambda: answer() == 503, 5, "no file is opened")
        wait_until(
            lambda: client.get(f"/file?{file}").status == 200, 20, "there is room for files again"
        )


def test_the_soft_limit_is_raised_and_workers_get_it_back() -> None:
    with Hornbeam("ops_app:app", files=(300, 3000)) as server:
        assert limits(server.beam()) == (3000, 3000)
        assert limits(server.workers()[0]) == (300, 3000)
        environment = Path(f"/proc/{server.pid}/limits").read_text()
        assert "3000" in environment


def test_all_code_is_loaded_soon(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    """Also what only errors need; without a descriptor it could not be loaded any more."""
    always = "hornbeam_error, io_lib_pretty, erl_error, logger_formatter"
    whole: dict[str, Any] = {
        "ssl": True, "certfile": pair[0], "keyfile": pair[1], "metrics_bind": "127.0.0.1:0",
    }  # fmt: skip
    parts: list[tuple[str, str, dict[str, Any]]] = [
        ("", "", {}),
        ("tls, http2, metrics", ", tls_record_1_3, cow_hpack, cowboy_http", whole),
    ]
    for name, needed, options in parts:
        with with_faults("ops_app:app", tmp_path, **options) as server, Faults(server) as faults:
            modules = f"hornbeam_code:modules([{name}])"
            missing = f"[M || M <- {modules}, not erlang:module_loaded(M)]"
            wait_until(functools.partial(_says, faults, missing, "[]"), 20, "all code is loaded")
            assert _says(faults, f"[{always}{needed}] -- {modules}", "[]")
            # What this server cannot reach is not there.
            some = "tls_record_1_3, cow_hpack, cowboy_http"
            others = f"[M || M <- [{some}], erlang:module_loaded(M)]"
            assert _says(faults, others, f"[{needed[2:].replace(' ', '')}]")


def _says(faults: Faults, expression: str, value: str) -> bool:
    return bool(faults.run(expression) == value)


def test_a_limit_that_is_too_low_is_said_at_the_start() -> None:
    server = Hornbeam("ops_app:app", files=(70, 70))
    try:
        with pytest.raises(StartError, match=r"the limit of open files \(ulimit -n\) is 70, and"):
            server.start()
        needed = re.search(r"at least (\d+) are needed", server.output)
        assert needed and server.wait() == 1
    finally:
        server.kill()


# max_connections


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "TLS"])
def test_max_connections(pair: tuple[Path, Path], tls: bool) -> None:
    options: dict[str, Any] = {}
    if tls:
        options = {"ssl": True, "certfile": str(pair[0]), "keyfile": str(pair[1])}
    with Hornbeam("ops_app:app", max_connections=3, **options) as server:

        def connect() -> RawClient:
            sock = server.connect()
            return RawClient(context().wrap_socket(sock) if tls else sock)

        clients = [connect() for _ in range(3)]
        assert [client.get("/").status for client in clients] == [200, 200, 200]
        answer = refused(server)
        assert answer == b"" if tls else answer.startswith(BUSY)
        clients.pop().__exit__(None, None, None)
        wait_until(lambda: serves(server), 5, "the place is free again")
        assert [client.get("/").status for client in clients] == [200, 200]
        for client in clients:
            client.__exit__(None, None, None)


def test_websockets_are_not_counted_by_max_connections() -> None:
    with Hornbeam("ops_app:app", max_connections=2) as server:
        sockets = []
        for _ in range(4):
            sockets.append(Client(server.connect(), "/ws"))
            wait_until(lambda: serves(server), 5, "a place is free")
        for one in sockets:
            one.close()


def test_nothing_is_left_of_a_thousand_connections(tmp_path: Path) -> None:
    """Opened and closed in every way, by clients and by a kill."""
    server = with_faults("ops_app:app", tmp_path)
    with server, Faults(server) as faults:
        assert serves(server)
        before = open_files(server.beam())
        for number in range(1000):
            ENDS[number % len(ENDS)](server)
            if number % 50 == 0:
                with server.connect() as victim:
                    assert RawClient(victim).get("/").status == 200
                    faults.kill("hd(ranch:procs({hornbeam, default, 1}, connections))")
            if number % 100 == 0:
                faults.kill("whereis(hornbeam_connections)")
                wait_until(lambda: serves(server), 5, "connections are counted again")
        wait_until(
            lambda: [faults.run(count) for count in COUNTS] == ["0"] * len(COUNTS), 10, "all are 0"
        )
        wait_until(lambda: open_files(server.beam()) <= before, 10, "descriptors are back")


COUNTS = [
    "hornbeam_connections:count(default)",
    "maps:get(open, hornbeam_websockets:stats(default))",
    "length(ranch:procs({hornbeam, default, 1}, connections))",
]


def silent(server: Hornbeam) -> None:
    server.connect().close()


def reset(server: Hornbeam) -> None:
    sock = server.connect()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.sendall(REQUEST[:10])
    sock.close()


def answered(server: Hornbeam) -> None:
    with RawClient(server.connect()) as client:
        assert client.get("/").status == 200


def not_read(server: Hornbeam) -> None:
    with server.connect() as sock:
        sock.sendall(REQUEST)


def malformed(server: Hornbeam) -> None:
    with suppress(ConnectionError), server.connect() as sock:
        sock.sendall(b"\x16\x03\x01 what is this\n\n")
        sock.recv(100)


def websocket(server: Hornbeam) -> None:
    with Client(server.connect(), "/ws") as client:
        client.send(frame(TEXT, b"hello"))
        assert client.read().payload == b"hello"


def websocket_gone(server: Hornbeam) -> None:
    sock = server.connect()
    Client(sock, "/ws")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


ENDS = [silent, reset, answered, not_read, malformed, websocket, websocket_gone]
