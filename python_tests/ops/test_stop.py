"""A graceful stop: bounded, whatever is connected; disconnects and shutdowns are delivered."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h2.connection
import httpx
import pytest
from harness import Hornbeam
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ops.support import await_in_flight

GRACE = 1.5


def stop_in(server: Hornbeam) -> float:
    """SIGTERM; the seconds until the launcher has exited. Its status must be 0."""
    process = server._process
    assert process is not None
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, server.output
    return time.monotonic() - started


def marks(folder: Path, kind: str) -> int:
    return len(list(folder.glob(f"{kind}-*")))


def test_streams_and_websockets_do_not_hang_it(tmp_path: Path) -> None:
    with Hornbeam(
        "ops_app:app", workers=3, graceful_timeout=int(GRACE * 1000),
        env={"OPS_SHUTDOWN_DIR": str(tmp_path)},
    ) as server:  # fmt: skip
        open_streams = 12
        begun = threading.Barrier(open_streams + 1)

        def stream() -> str:
            with httpx.stream("GET", server.url + "/events", timeout=30) as answer:
                lines = answer.iter_lines()
                next(lines)
                begun.wait(30)
                try:
                    for _ in lines:
                        pass
                except httpx.HTTPError as error:
                    return type(error).__name__
            return "ended"

        with ThreadPoolExecutor(open_streams) as pool:
            streams = [pool.submit(stream) for _ in range(open_streams)]
            sockets = [connect(server.url.replace("http", "ws")) for _ in range(6)]
            for ws in sockets:
                ws.send("hello")
                assert ws.recv() == "hello"
            begun.wait(30)
            took = stop_in(server)
            cut = {task.result() for task in streams}
            codes = set()
            for ws in sockets:
                with pytest.raises(ConnectionClosed) as closed:
                    ws.recv(timeout=5)
                codes.add(closed.value.rcvd.code if closed.value.rcvd else None)
        assert took < GRACE + 1, took
        assert cut == {"RemoteProtocolError"}
        assert codes == {1012}
        assert marks(tmp_path, "shutdown") == 3
        assert marks(tmp_path, "gone") == open_streams
        assert marks(tmp_path, "disconnect") == 6


def test_what_is_in_progress_is_answered_and_the_connection_closed(tmp_path: Path) -> None:
    reply = tmp_path / "reply"
    with (
        Hornbeam("ops_app:app", graceful_timeout=20_000, metrics_bind="127.0.0.1:0") as server,
        ThreadPoolExecutor(2) as pool,
    ):
        slow = pool.submit(httpx.get, f"{server.url}/wait?until={reply}", timeout=20)
        idle = server.connect()
        await_in_flight(server, 1)

        def when_the_idle_one_is_closed() -> bytes:
            left = idle.recv(1)
            reply.touch()
            return left

        closed = pool.submit(when_the_idle_one_is_closed)
        took = stop_in(server)
        answer = slow.result()
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        assert closed.result() == b""
        assert took < 10, "an idle connection was waited for"


def test_goaway_on_http2() -> None:
    """RFC 9113, 6.8: GOAWAY, and the stream that is in progress is answered."""
    with Hornbeam("ops_app:app", graceful_timeout=10_000) as server:
        client = h2.connection.H2Connection()
        client.initiate_connection()
        headers = [(":method", "GET"), (":path", "/sleep?s=0.7"), (":scheme", "http"),
                   (":authority", "x")]  # fmt: skip
        client.send_headers(1, headers, end_stream=True)
        with server.connect() as sock:
            sock.sendall(client.data_to_send())
            received = sock.recv(65536)  # the server's settings: it has read ours
            os.kill(server.beam(), signal.SIGTERM)
            while data := sock.recv(65536):
                received += data
        kinds = list(frames(received))
        goaway, end_stream = 7, 1
        assert [kind for kind, _ in kinds].count(goaway) >= 1
        assert any(kind in (0, 1) and flags & end_stream for kind, flags in kinds)


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """Type and flags of each HTTP/2 frame (RFC 9113, 4.1)."""
    while data:
        size = int.from_bytes(data[:3], "big")
        yield data[3], data[4]
        data = data[9 + size :]


def test_an_application_that_ignores_everything_is_ended(tmp_path: Path) -> None:
    with Hornbeam(
        "ops_app:app", graceful_timeout=500, env={"OPS_SHUTDOWN_DIR": str(tmp_path)},
        metrics_bind="127.0.0.1:0",
    ) as server, ThreadPoolExecutor(1) as pool:  # fmt: skip
        pool.submit(httpx.get, server.url + "/sleep?s=3600", timeout=30)
        await_in_flight(server, 1)
        assert stop_in(server) < 0.5 + 1 + 1
        assert marks(tmp_path, "shutdown") == 1


def test_a_second_sigterm_ends_at_once() -> None:
    server = Hornbeam("ops_app:app", graceful_timeout=60_000).start()
    try:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(httpx.get, server.url + "/sleep?s=30", timeout=40)
            process = server._process
            assert process is not None
            time.sleep(2.2)  # the launcher repeats the first one while the VM is young
            process.send_signal(signal.SIGTERM)
            server.wait_for_output("SIGTERM received")
            started = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 137
            assert time.monotonic() - started < 5
    finally:
        server.kill()
