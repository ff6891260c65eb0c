"""The limits of a connection, each at what is allowed and one above; clients that do not read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from channel_client import Channels, Closed, started
from harness import Hornbeam, StartError, memory, wait_until

MIB = 1 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    """Small limits."""
    with started(
        channel_max_joins=3, channel_max_message=1000, channel_rate=50, channel_timeout=500
    ) as running:
        yield running


def test_joins_of_a_connection(server: Hornbeam) -> None:
    too_many = {"reason": "too many joins (channel_max_joins)"}
    with Channels(server) as client:
        for number in range(3):
            client.join(f"room:{number}")
        assert client.refused(client.begin_join("room:3")) == too_many
        # Joining again is none more, and who leaves makes room.
        client.join("room:2")
        client.leave("room:0")
        client.join("room:3")
        assert client.refused(client.begin_join("room:4")) == too_many


def test_joins_that_are_refused_do_not_count(server: Hornbeam) -> None:
    with Channels(server) as client:
        for _ in range(4):
            client.refused(client.begin_join("room:forbidden"))
        for number in range(3):
            client.join(f"room:{number}")


def sized(client: Channels, size: int) -> str:
    """An echo of so many bytes."""
    start = f'["{client.join_refs["room:1"]}","s","room:1","echo","'
    return start + "x" * (size - len(start) - 2) + '"]'


def test_the_size_of_a_message(server: Hornbeam) -> None:
    with Channels(server) as client:
        client.join("room:1")
        client.send(sized(client, 1000))
        assert set(client.ok("s")) == {"x"}
        client.send(sized(client, 1001))
        assert client.closed().code == 1009


def test_the_rate_of_messages(server: Hornbeam) -> None:
    """Twice channel_rate at once; what has passed meanwhile refills it."""
    with Channels(server) as client:
        began = time.monotonic()
        for _ in range(100):
            client.push("phoenix", "heartbeat")
        for number in range(100):
            assert client.read().ref == str(number + 1)
        for _ in range(int((time.monotonic() - began) * 50) + 60):
            client.push("phoenix", "heartbeat")
        closed = client.closed()
        assert (closed.code, closed.reason) == (1008, "too many messages (channel_rate)")


def test_a_handler_that_takes_too_long(server: Hornbeam, tmp_path: Path) -> None:
    with Channels(server) as client:
        client.join("room:1")
        waits = client.push("room:1", "wait", {"file": str(tmp_path / "never")})
        after = client.push("room:1", "count")
        assert client.refused(waits) == {"reason": "timeout"}
        # It has failed for that message only.
        assert client.ok(after)["n"] == 1
        join = client.begin_join("room:slow", {"file": str(tmp_path / "never")})
        assert client.refused(join) == {"reason": "timeout"}


def test_a_configuration_file_says_it(tmp_path: Path) -> None:
    file = tmp_path / "hornbeam.toml"
    file.write_text(
        'channels = "channel_protocol:channels"\nchannel_max_joins = 1\nchannels_path = "/live"\n'
    )
    with (
        Hornbeam("channel_protocol:app", config=str(file)) as server,
        Channels(server, "/live") as client,
    ):
        client.join("room:1")
        client.refused(client.begin_join("room:2"))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("channel_max_joins", 0), ("channel_max_joins", 1001), ("channel_max_message", 63),
        ("channel_rate", 0), ("channel_rate", 1000001), ("channel_timeout", -1),
        ("channels_path", "socket"), ("channels_path", "/socket/"), ("channels_path", "/"),
        ("channel_module", "room:*"), ("channel_module", "ro*m=erl"), ("channels", "nothing"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(option: str, value: Any) -> None:
    with pytest.raises(StartError) as failed:
        Hornbeam("channel_protocol:app", **{option: value}).start()
    assert failed.value.status == 1
    assert option.replace("_", "-") in failed.value.output.replace("_", "-")


# Clients that do not read


def grown(server: Hornbeam, before: int) -> int:
    """How much memory the VM has more, once that is steady."""
    seen: list[int] = []

    def steady() -> bool:
        seen.append(memory(server.beam()))
        return len(seen) > 50 and max(seen[-50:]) - min(seen[-50:]) < MIB

    wait_until(steady, 20, "the VM's memory is steady")
    return seen[-1] - before


def test_answers_that_are_not_read_hold_up_the_next_handler() -> None:
    """Each small message has an answer of 1 MiB; they are not made before they can be sent."""
    with started(channel_rate="infinity", workers=1) as server, Channels(server) as client:
        client.join("room:1")
        before = memory(server.beam())
        refs = [client.push("room:1", "large", {"size": MIB}) for _ in range(200)]
        assert grown(server, before) < 48 * MIB
        for ref in refs:
            assert len(client.ok(ref)) == MIB


def test_a_client_is_not_read_while_its_messages_wait(tmp_path: Path) -> None:
    with started(channel_rate="infinity", workers=1) as server, Channels(server) as client:
        client.join("room:1")
        go = tmp_path / "go"
        waits = client.push("room:1", "wait", {"file": str(go)})
        client.socket.connection.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                client.push("room:1", "silent", "x" * 10000)
                sent += 1
                assert sent < 5000, "50 MB were read that nobody has handled"
        client.socket.connection.settimeout(20)
        go.touch()
        assert client.ok(waits)["pid"] in server.workers()


def replaced_while_joining(client: Channels, padding: str) -> None:
    first = client.begin_join("room:slow", {"file": "/nonexistent/x", "x": padding})
    client.ok(client.push("phoenix", "heartbeat"))
    client.begin_join("room:slow", {"file": "/", "x": padding})
    closed = client.event("phx_close")
    assert closed.join_ref == first


def left_while_joining(client: Channels, padding: str) -> None:
    client.begin_join("room:slow", {"file": "/nonexistent/x", "x": padding})
    client.push("room:slow", "echo", padding)
    client.leave("room:slow")


def refused_with_events_behind(client: Channels, padding: str) -> None:
    join = client.begin_join("room:forbidden", {"x": padding})
    behind = client.push("room:forbidden", "echo", padding)
    client.refused(join)
    assert client.refused(behind) == {"reason": "unmatched topic"}


def failed_with_events_behind(client: Channels, padding: str) -> None:
    client.join("room:1")
    client.push("room:1", "boom", {"x": padding})
    client.push("room:1", "echo", padding)
    client.event("phx_error")


def stopped_with_events_behind(client: Channels, padding: str) -> None:
    client.join("room:1")
    client.push("room:1", "stop", {"x": padding})
    client.push("room:1", "echo", padding)
    client.event("phx_close")


def left_with_events_in_progress(client: Channels, padding: str) -> None:
    client.join("room:1")
    client.push("room:1", "wait", {"file": "/nonexistent/x", "x": padding})
    client.push("room:1", "echo", padding)
    client.leave("room:1")


def for_no_channel(client: Channels, padding: str) -> None:
    client.refused(client.push("room:none", "echo", padding))


def answered(client: Channels, padding: str) -> None:
    client.join("room:1")
    assert client.call("room:1", "echo", padding) == padding
    assert client.call("room:1", "echo", padding.encode()) == padding.encode()
    client.push("room:1", "silent", padding)
    client.ok(client.push("phoenix", "heartbeat", padding))


@pytest.fixture(scope="module")
def small_window() -> Iterator[Hornbeam]:
    """A window of 4 KiB."""
    with started(channel_rate="infinity", workers=1, window=4096) as running:
        yield running


@pytest.mark.parametrize(
    "does",
    [
        replaced_while_joining, left_while_joining, refused_with_events_behind,
        failed_with_events_behind, stopped_with_events_behind, left_with_events_in_progress,
        for_no_channel, answered,
    ],
)  # fmt: skip
def test_no_message_is_held_for_ever(
    small_window: Hornbeam, does: Callable[[Channels, str], None]
) -> None:
    """Whatever becomes of a message, its place in the window is free again: many windows pass."""
    with Channels(small_window) as client:
        for _ in range(30):
            does(client, "x" * 800)
        client.join("room:last")
        assert client.call("room:last", "echo", 1) == 1


@pytest.mark.parametrize("over", [0, 1])
def test_intercepted_broadcasts_that_wait(over: int, tmp_path: Path) -> None:
    """1,000 wait while a handler runs; what comes then is dropped."""
    with (
        started(channel_rate="infinity", workers=1) as server,
        Channels(server) as busy,
        Channels(server) as other,
    ):
        busy.join("room:busy")
        other.join("room:other")
        waits = busy.push("room:busy", "wait", {"file": str(tmp_path / "go")})
        wait_until((tmp_path / "go.waits").exists, 10, "the handler runs")
        other.push("room:other", "many", {"topic": "room:busy", "count": 1000 + over})
        other.call("room:other", "echo", 1)
        # Its own heartbeat is behind all of them.
        busy.ok(busy.push("phoenix", "heartbeat"))
        (tmp_path / "go").touch()
        busy.ok(waits)
        for n in range(1000):
            assert busy.read().payload["n"] == n
        assert busy.call("room:busy", "count")["n"] == 1
        assert busy.before == []


@pytest.mark.parametrize("policy", ["drop", "close"])
def test_broadcasts_to_a_client_that_does_not_read(policy: str) -> None:
    with (
        started(websocket_slow_consumer=policy, workers=1) as server,
        Channels(server) as slow,
        Channels(server) as other,
        httpx.Client(base_url=server.url, timeout=20) as http,
        ThreadPoolExecutor(1) as reader,
    ):
        slow.join("room:1")
        other.join("room:1")
        before = memory(server.beam())
        closing: Future[Closed] | None = None
        for number in range(100):
            assert http.get(f"/fill/room:1/{MIB}").status_code == 200
            assert len(other.event("filling").payload["x"]) == MIB
            if number == 30 and policy == "close":
                # The server has had enough of it, and waits for it to hear so for some seconds.
                closing = reader.submit(slow.closed)
        assert memory(server.beam()) - before < 48 * MIB
        if closing is not None:
            closed = closing.result(20)
            assert (closed.code, closed.reason) == (1008, "too slow a reader")
        else:
            # It has missed some, and is served again once it reads.
            assert slow.call("room:1", "echo", 1) == 1
            assert len(slow.before) < 100
