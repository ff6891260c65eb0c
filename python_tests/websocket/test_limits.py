"""Options, back-pressure in both directions, and workers and servers that end."""

from __future__ import annotations

import json
import os
import signal
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam, memory, wait_until
from websocket_client import CLOSE, PING, TEXT, Client, frame


def raw(server: Hornbeam, path: str = "/echo", **headers: str) -> Client:
    return Client(server.connect(), path, **headers)


def seen(server: Hornbeam, name: str) -> list[Any]:
    noted: list[Any] = httpx.get(server.url).json()["seen"].get(name, [])
    return noted


def test_idle_clients_are_closed_and_those_who_answer_pings_are_not() -> None:
    with Hornbeam(
        "websocket_app:app", websocket_timeout=1000, websocket_ping_interval=200
    ) as server:
        with raw(server, "/echo?idle") as idle, raw(server) as alive:
            pings = 0
            while pings < 10:
                got = alive.read()
                assert got.opcode == PING
                alive.send(frame(10, got.payload))
                pings += 1
            close = idle.read_close()
            assert (close.code, close.reason) == (1001, "idle for too long")
            alive.send(frame(TEXT, b"still here"))
            while (got := alive.read()).opcode == PING:
                alive.send(frame(10))
            assert got.payload == b"still here"
        wait_until(lambda: seen(server, "idle") == [[1001, "idle for too long"]], 5, "noted")


def test_the_number_of_connections_is_limited_and_counted_back() -> None:
    with Hornbeam("websocket_app:app", websocket_max_connections=3) as server:
        clients = [raw(server) for _ in range(3)]
        assert [client.status for client in clients] == [101] * 3
        assert raw(server).status == 503
        assert httpx.get(server.url).status_code == 200
        assert raw(server, "/refuse").status == 503
        clients[0].close()

        def again() -> bool:
            with raw(server) as client:
                return client.status == 101

        wait_until(again, 5, "there is a place again")
        # A handshake that comes to nothing takes no place for good.
        wait_until(lambda: raw(server, "/refuse").status == 403, 5, "there is a place again")
        for _ in range(5):
            wait_until(lambda: raw(server, "/refuse").status == 403, 5, "the place came back")
        wait_until(again, 5, "there is a place again")
        for client in clients:
            client.close()


def test_origins() -> None:
    with Hornbeam(
        "websocket_app:app", websocket_origin=["https://good.example", "http://localhost:3000"]
    ) as server:
        assert raw(server).status == 101
        assert raw(server, Origin="https://good.example").status == 101
        assert raw(server, Origin="HTTPS://GOOD.example").status == 101
        assert raw(server, Origin="http://localhost:3000").status == 101
        assert raw(server, Origin="https://evil.example").status == 403
        assert raw(server, Origin="https://good.example.evil.example").status == 403
        assert raw(server, Origin="null").status == 403


def test_a_slow_reader_makes_send_wait() -> None:
    with Hornbeam("websocket_app:app", window=262_144) as server:
        before = sum(memory(pid) for pid in (server.beam(), *server.workers()))
        with raw(server, "/flood?slow-reader") as client:
            waited_after = wait_until(lambda: seen(server, "slow-reader"), 20, "send() waits")[0]
            # What the kernel's buffers take, and a window: not much more.
            assert waited_after * 65536 < 30_000_000
            after = sum(memory(pid) for pid in (server.beam(), *server.workers()))
            assert after - before < 30_000_000
            for _ in range(waited_after + 20):
                assert client.read().payload == b"x" * 65536
        wait_until(lambda: "ClientDisconnected" in seen(server, "slow-reader"), 10, "send() raises")
        assert "exception in the application" not in server.output


def test_a_client_that_never_reads_is_cut_off() -> None:
    with (
        Hornbeam("websocket_app:app", send_timeout=500) as server,
        raw(server, "/flood?never-reads"),
    ):
        wait_until(lambda: "ClientDisconnected" in seen(server, "never-reads"), 20, "send() raises")


def test_a_slow_application_stops_the_reading() -> None:
    with Hornbeam("websocket_app:app", window=65_536) as server, raw(server, "/slow") as client:
        message = frame(2, b"x" * 16_384)
        client.connection.settimeout(1)
        sent = rest = 0
        # The socket takes no more: neither Erlang nor Python keeps what the application does
        # not want yet.
        with pytest.raises(TimeoutError):
            while sent < 5000:
                rest = len(message)
                while rest:
                    rest -= client.connection.send(message[-rest:])
                sent += 1
        assert memory(server.workers()[0]) < 200_000_000
        client.connection.settimeout(20)
        httpx.get(server.url + "/release")
        client.send(message[-rest:])
        sent += 1
        client.send(frame(TEXT, b"how many?"))
        assert client.read().payload == str(sent).encode()


def test_a_worker_that_dies_closes_its_own_with_1011() -> None:
    with Hornbeam("websocket_app:app", workers=2) as server:
        with raw(server, "/leave") as doomed, raw(server) as one, raw(server) as two:
            others = []
            for client in (one, two):
                client.send(frame(TEXT, b"a"))
                assert client.read().payload == b"a"
            doomed.send(frame(TEXT, b"go"))
            assert doomed.read_close().code == 1011
            # The other of the two workers has at least one of these.
            for client in (one, two):
                client.send(frame(TEXT, b"b"))
                others.append(client.read())
            assert any(got[2:] == (TEXT, b"b") for got in others)
            assert all(got.opcode == TEXT or got.code == 1011 for got in others)
        with raw(server) as again:
            again.send(frame(TEXT, b"c"))
            assert again.read().payload == b"c"


def test_a_stop_closes_with_1012_and_does_not_hang() -> None:
    with Hornbeam("websocket_app:app", graceful_timeout=20_000) as server:
        clients = [raw(server, f"/echo?{number}") for number in range(20)]
        for client in clients:
            client.send(frame(TEXT, b"a"))
            assert client.read().payload == b"a"
        started = time.monotonic()
        os.kill(server._running().pid, signal.SIGTERM)
        for client in clients:
            assert client.read_close().code == 1012
            client.send(frame(CLOSE, (1012).to_bytes(2, "big")))
            assert client.at_end()
        assert server._running().wait(15) == 0
        assert time.monotonic() - started < 15


def test_many_connections_come_and_go_and_leave_nothing() -> None:
    with Hornbeam("websocket_app:app") as server:

        def burst() -> int:
            for number in range(300):
                client = raw(server)
                client.send(frame(TEXT, b"x" * 1000))
                if number % 3:
                    client.read()
                client.close()
            wait_until(lambda: json.loads(httpx.get(server.url).text) is not None, 10, "it answers")
            return sum(memory(pid) for pid in (server.beam(), *server.workers()))

        burst()
        first = burst()
        for _ in range(3):
            last = burst()
        assert last - first < 8_000_000


def test_a_reload_closes_with_1012_at_the_deadline() -> None:
    with Hornbeam("websocket_app:app", graceful_timeout=1000) as server:
        with raw(server, "/echo?reload") as client:
            old = httpx.get(server.url).json()["pid"]
            os.kill(server.beam(), signal.SIGHUP)
            wait_until(lambda: httpx.get(server.url).json()["pid"] != old, 20, "a new worker")
            # Until then nothing has happened to it.
            client.send(frame(TEXT, b"before the deadline"))
            assert client.read().payload == b"before the deadline"
            assert client.read_close().code == 1012
            client.send(frame(CLOSE, (1012).to_bytes(2, "big")))
            assert client.at_end()
        with raw(server) as client:
            client.send(frame(TEXT, b"after"))
            assert client.read().payload == b"after"


def test_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca").create()
    cert, key = authority.issue("localhost")
    context = ssl.create_default_context(cafile=authority.cert)
    with Hornbeam(
        "websocket_app:app", ssl=True, certfile=str(cert), keyfile=str(key), window=262_144
    ) as server:

        def open_tls(path: str) -> Client:
            return Client(context.wrap_socket(server.connect(), server_hostname="localhost"), path)

        with open_tls("/scope") as client:
            assert json.loads(client.read().payload)["scheme"] == "wss"
        with open_tls("/echo") as client:
            client.send(frame(2, b"x" * 1_000_000))
            assert client.read().payload == b"x" * 1_000_000
            client.send(frame(CLOSE, (4000).to_bytes(2, "big")))
            assert client.read_close().code == 4000
            assert client.at_end()
        before = memory(server.beam())
        with open_tls("/flood?tls") as client:
            for _ in range(100):
                assert client.read().payload == b"x" * 65536
            time.sleep(1)  # no condition: what must not happen is that it grows while nobody reads
            assert memory(server.beam()) - before < 60_000_000
