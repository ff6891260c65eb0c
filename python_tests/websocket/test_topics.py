"""Publish and subscribe: from Erlang to the client, without Python in the path."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from websocket_client import CLOSE, TEXT, Client, Frame, frame
from websockets.sync.client import ClientConnection, connect

# Newer versions of websockets want a `with`; here connections outlive the block that opened them.
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("websocket_fastapi:app", workers=2, websocket_compress=True) as running:
        yield running


def join(server: Hornbeam, path: str, **options: Any) -> ClientConnection:
    client: ClientConnection = connect(server.url.replace("http", "ws") + path, **options)
    assert client.recv() == "joined"
    return client


def test_all_subscribers_get_it_whatever_their_worker(server: Hornbeam) -> None:
    members = [join(server, "/rooms/a") for _ in range(20)]
    with join(server, "/rooms/b") as stranger:
        members[0].send("hello")
        assert [member.recv(timeout=10) for member in members] == ["hello"] * 20
        members[1].send("bytes")
        assert [member.recv(timeout=10) for member in members] == [b"\x00\x01"] * 20
        stranger.send("to myself")
        assert stranger.recv(timeout=10) == "to myself"
    for member in members:
        member.close()


def test_the_order_of_a_publisher_is_kept(server: Hornbeam) -> None:
    with join(server, "/rooms/order") as one, join(server, "/rooms/order") as two:
        for number in range(500):
            one.send(str(number))
        for client in (one, two):
            assert [client.recv(timeout=10) for _ in range(500)] == [str(n) for n in range(500)]


def test_unsubscribed_is_unsubscribed(server: Hornbeam) -> None:
    with join(server, "/rooms/c") as one, join(server, "/rooms/c") as two:
        one.send("leave")
        assert one.recv() == "left"
        two.send("without one")
        assert two.recv(timeout=10) == "without one"
        one.send("leave")
        assert one.recv() == "left"


def test_a_pattern(server: Hornbeam) -> None:
    with join(server, "/all") as listener, join(server, "/rooms/x") as member:
        member.send("for all")
        assert listener.recv(timeout=10) == "for all"
        assert member.recv(timeout=10) == "for all"


def test_those_who_left_are_forgotten(server: Hornbeam) -> None:
    clients = [join(server, "/rooms/gone") for _ in range(5)]
    assert httpx.get(f"{server.url}/publish/gone/1").json() == 1
    for client in clients:
        client.close()
    wait_until(
        lambda: httpx.get(f"{server.url}/publish/gone/1").json() == 0, 10, "nobody is subscribed"
    )


def test_it_reaches_clients_whose_worker_stands_still() -> None:
    with Hornbeam("websocket_fastapi:app", workers=2) as server:
        members = [join(server, "/rooms/a") for _ in range(8)]
        stopped, running = server.workers()
        os.kill(stopped, signal.SIGSTOP)
        try:
            # Requests go round robin, so one of the next two meets the worker that runs.
            asked = [_get_in_background(f"{server.url}/publish/a/3") for _ in range(2)]
            assert [member.recv(timeout=10) for member in members] == ["xxx"] * 8
        finally:
            os.kill(stopped, signal.SIGCONT)
        for thread in asked:
            thread.join(10)
        assert running != stopped
        for member in members:
            member.close()


def _get_in_background(url: str) -> Any:
    import threading

    thread = threading.Thread(target=lambda: httpx.get(url, timeout=30))
    thread.start()
    return thread


@pytest.mark.parametrize("policy", ["drop", "close"])
def test_a_slow_subscriber_does_not_hold_up_the_others(policy: str, tmp_path: Path) -> None:
    # Far more than the buffers between the two ends can take.
    count, size = 60, 500_000
    metrics = tmp_path / "metrics"
    with Hornbeam(
        "websocket_fastapi:app",
        websocket_slow_consumer=policy,
        metrics_bind=f"unix:{metrics}",
        # The slow one takes and says nothing while the others take: not what this is about.
        send_timeout="infinity",
        websocket_timeout="infinity",
        websocket_ping_interval="infinity",
    ) as server:
        slow = Client(server.connect(), "/rooms/s")
        assert slow.read().payload == b"joined"
        with join(server, "/rooms/s", max_size=None) as quick:
            for _ in range(count):
                httpx.get(f"{server.url}/publish/s/{size}")
                assert len(quick.recv(timeout=10)) == size
        frames: list[Frame] = []
        if policy == "drop":

            def each_is_accounted_for() -> bool:
                if slow.has_more(0):
                    frames.append(slow.read())
                return len(frames) + _counted(metrics, "slow_dropped") == count

            wait_until(each_is_accounted_for, 60, "each has come or is counted as dropped")

            def comes_again() -> bool:
                httpx.get(f"{server.url}/publish/s/7")
                return slow.has_more(0.5)

            wait_until(comes_again, 10, "what is published now comes")
            assert slow.read().payload == b"x" * 7
        else:
            frames += _until_closed(slow)
            # It may have been too slow for the close frame, too: then the connection was cut.
            assert all(frame.code == 1008 for frame in frames if frame.opcode == CLOSE)
            assert _counted(metrics, "slow_closed") == 1
        texts = [frame for frame in frames if frame.opcode == TEXT]
        assert len(texts) < count
        assert texts or policy == "close"
        assert all(frame.payload == b"x" * size for frame in texts)
        slow.close()


def _counted(metrics: Path, event: str) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(metrics))) as client:
        text = client.get("http://metrics/metrics").text
    counted = re.search(rf'event="{event}".*}} (\d+)', text)
    return int(counted[1]) if counted else 0


def _until_closed(client: Client) -> Iterator[Frame]:
    with suppress(EOFError, ConnectionResetError):
        while True:
            frame = client.read()
            yield frame
            if frame.opcode == CLOSE:
                return


def test_a_pattern_that_is_too_long_costs_only_its_connection() -> None:
    with (
        Hornbeam("websocket_app:app") as server,
        Client(server.connect(), "/topics") as other,
        Client(server.connect(), "/topics") as client,
    ):
        ask(other, "subscribe room:*")
        for length in (127, 128):
            ask(client, "subscribe " + "x" * length + "*")
        client.send(frame(TEXT, b"subscribe " + b"x" * 129 + b"*"))
        assert client.read_close().code == 1008
        ask(other, "unsubscribe room:*")


def test_a_thousand_subscriptions_and_no_more() -> None:
    with Hornbeam("websocket_app:app") as server, Client(server.connect(), "/topics") as client:
        for number in range(1000):
            ask(client, f"subscribe t{number}")
        ask(client, "subscribe t0")  # which it has
        ask(client, "unsubscribe t0")
        ask(client, "subscribe t1000")
        client.send(frame(TEXT, b"subscribe t1001"))
        assert client.read_close().code == 1008


def ask(client: Client, text: str) -> None:
    client.send(frame(TEXT, text.encode()))
    assert client.read().payload == b"ok"
