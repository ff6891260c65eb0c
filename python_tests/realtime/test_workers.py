"""Workers that end, are replaced or hang, under open channels; and a server that stops."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from channel_client import Channels, Message, started
from harness import ROOT, Hornbeam, StartError, wait_until

APPLICATION = """
from hornbeam_erlang.channels import Channel

room = Channel("room:*")

@room.on_join
async def join(topic, params, socket):
    return {"version": VERSION}, socket.assign("n", 0)

@room.on_rejoin
async def rejoin(topic, socket):
    return socket.assign("moved", True)

@room.on("count")
async def count(payload, socket):
    socket = socket.assign("n", socket.assigns["n"] + 1)
    return "reply", {"version": VERSION, **socket.assigns}, socket

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b""})
"""


def on_a_worker(server: Hornbeam, stack: ExitStack, is_one: Callable[[int], bool]) -> Channels:
    """A client whose events go to a worker of this kind."""

    def found() -> Channels | None:
        client = stack.enter_context(Channels(server))
        return client if is_one(client.join("room:1")["pid"]) else None

    client = wait_until(found, 20, "a client belongs to such a worker")
    assert client is not None
    return client


def test_a_worker_dies_without_an_event() -> None:
    """The client notices nothing: the next event goes to another worker, with the same assigns."""
    with started(channel_rate="infinity") as server, ExitStack() as stack:
        client = on_a_worker(server, stack, lambda pid: True)
        pid = client.call("room:1", "count")["pid"]
        os.kill(pid, signal.SIGKILL)
        server.wait_for_output(rf"\(pid {pid}\) ended")
        assert client.call("room:1", "count")["n"] == 2
        after = client.call("room:1", "count")
        assert after["n"] == 3
        assert after["pid"] != pid
        assert client.before == []
        # Broadcasts need no worker of the receiver.
        client.push("room:1", "say", {"x": 1})
        assert client.read().payload == {"x": 1}


def test_a_worker_dies_with_an_event_in_progress(tmp_path: Path) -> None:
    """That channel ends with an error, the client joins again; the others go on."""
    with started(channel_rate="infinity") as server, ExitStack() as stack:
        client = on_a_worker(server, stack, lambda pid: True)
        pid = client.call("room:1", "count")["pid"]
        client.join("room:2")
        file = tmp_path / "never"
        client.push("room:1", "wait", {"file": str(file)})
        behind = client.push("room:1", "count")
        wait_until(Path(f"{file}.waits").exists, 10, "the event is in progress")
        os.kill(pid, signal.SIGKILL)
        join_ref = client.join_refs["room:1"]
        assert client.read() == Message(join_ref, None, "room:1", "phx_error", {})
        assert client.call("room:2", "count")["n"] == 1
        assert client.join("room:1")["pid"] != pid
        assert client.call("room:1", "count")["n"] == 1
        # What waited behind the event is not handled by the channel that came after.
        assert behind not in [message.ref for message in client.before]


def test_a_worker_that_dies_of_each_join() -> None:
    with started(workers=1, channel_rate="infinity") as server, Channels(server) as client:
        client.join("room:1")
        assert client.refused(client.begin_join("room:exit")) == {"reason": "unavailable"}
        assert client.call("room:1", "count")["n"] == 1


def test_an_event_that_kills_its_worker_is_not_tried_again() -> None:
    with started(channel_rate="infinity") as server, Channels(server) as client:
        client.join("room:1")
        before = set(server.workers())
        client.push("room:1", "exit")
        assert client.read().event == "phx_error"
        wait_until(lambda: len(before & set(server.workers())) == 1, 10, "one worker has ended")
        client.join("room:1")
        assert len(before & set(server.workers())) == 1


def hornbeam(*arguments: str) -> None:
    command = [str(ROOT / "bin" / "hornbeam"), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=90)


def test_a_reload_under_open_channels(tmp_path: Path) -> None:
    """New code handles the next event; the connection and its assigns stay."""
    module = tmp_path / "changing.py"
    module.write_text("VERSION = 1\n" + APPLICATION)
    control = str(tmp_path / "control.sock")
    with (
        Hornbeam(
            "changing:app", channels="changing:room", pythonpath=str(tmp_path), control=control,
            workers=2, channel_max_joins=2,
        ) as server,
        Channels(server) as client,
    ):  # fmt: skip
        assert client.join("room:1") == {"version": 1}
        assert client.call("room:1", "count") == {"version": 1, "n": 1}
        module.write_text("VERSION = 22\n" + APPLICATION)
        hornbeam("reload", "--control", control, "--channel-max-joins", "3")
        assert client.call("room:1", "count") == {"version": 22, "n": 2, "moved": True}
        # Its limits are those of its handshake, another's the new ones.
        client.join("room:2")
        client.refused(client.begin_join("room:3"))
        with Channels(server) as other:
            for number in range(3):
                assert other.join(f"room:{number}") == {"version": 22}
            other.refused(other.begin_join("room:3"))


def test_what_a_reload_of_channels_refuses(tmp_path: Path) -> None:
    target, control = "channel_protocol:channels", str(tmp_path / "control.sock")
    refused = {
        "": [
            (["--channels", target], "bad option channels: cannot be begun with by a reload"),
            (["--channel-module", "a=lists"], "bad option channel_modules: cannot be begun with"),
        ],
        target: [
            (["--channels-path", "/other"], "bad option channels_path: cannot be changed"),
            (["--channel-module", "a=lists"], "module lists, which does not export join/3"),
            (["--channel-module", "a=none_such"], "module none_such, which is in no folder"),
            (["--channels", "nowhere:room"], "the channels (channels) cannot be used"),
        ],
    }  # fmt: skip
    for channels, cases in refused.items():
        with started(channels=channels or None, control=control, workers=1) as server:
            for flags, text in cases:
                command = [str(ROOT / "bin" / "hornbeam"), "reload", "--control", control]
                done = subprocess.run(
                    [*command, *flags], capture_output=True, text=True, timeout=90
                )
                assert done.returncode == 1
                assert text in done.stderr
            if channels:
                with Channels(server) as client:
                    client.join("room:1")


def test_an_event_in_progress_is_finished_before_a_worker_is_replaced(tmp_path: Path) -> None:
    control = str(tmp_path / "control.sock")
    with (
        started(control=control, channel_rate="infinity") as server,
        Channels(server) as client,
    ):
        pid = client.join("room:1")["pid"]
        file = tmp_path / "go"
        ref = client.push("room:1", "wait", {"file": str(file)})
        wait_until(Path(f"{file}.waits").exists, 10, "the event is in progress")
        command = [str(ROOT / "bin" / "hornbeam"), "reload", "--control", control]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as reload:
            wait_until(lambda: len(server.workers()) > 2, 20, "new workers have started")
            file.touch()
            assert client.ok(ref)["pid"] == pid
            assert reload.wait(60) == 0
        assert client.call("room:1", "count")["pid"] != pid


def test_a_server_that_stops_says_so() -> None:
    with started() as server, Channels(server) as client:
        client.join("room:1")
        os.kill(server.pid, signal.SIGTERM)
        closed = client.closed()
        assert closed.code == 1012
        assert server.wait() == 0


def test_nothing_is_left_of_clients_that_have_gone(tmp_path: Path) -> None:
    """Places of workers, subscriptions and WebSockets, whatever the client was doing."""
    metrics = "127.0.0.1:0"
    with started(channel_rate="infinity", workers=1, metrics_bind=metrics) as server:
        for number in range(30):
            client = Channels(server)
            client.join(f"room:{number}")
            client.join("room:all")
            file = tmp_path / str(number)
            client.push("room:all", "wait", {"file": str(file)})
            client.push("room:all", "count")
            client.begin_join("room:slow", {"file": f"{file}.slow"})
            wait_until(Path(f"{file}.waits").exists, 10, "it waits")
            client.close()
        address = server.wait_for_output(r"metrics on (http://\S+?)[,\s]").group(1)

        names = ("hornbeam_websockets", "hornbeam_requests_in_flight", "hornbeam_requests_waiting")

        def idle() -> bool:
            lines = httpx.get(f"{address}/metrics").text.splitlines()
            values = [float(line.split()[-1]) for line in lines if line.startswith(names)]
            return len(values) >= len(names) and not any(values)

        wait_until(idle, 15, "no stream and no WebSocket is open")
        with Channels(server) as client:
            client.join("room:all")
            assert client.call("room:all", "count")["n"] == 1


# Starting


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:room", "nowhere"), ("channel_protocol:nothing", "nothing"),
        ("channel_protocol:app", "a Channel, a list of them or Channels"),
        ("channel_protocol", "module:attribute"),
    ],
)  # fmt: skip
def test_a_target_that_is_none_fails_the_start(target: str, text: str) -> None:
    with pytest.raises(StartError) as failed:
        Hornbeam("channel_protocol:app", channels=target).start()
    assert "the channels (channels) cannot be used" in failed.value.output
    assert text in failed.value.output
