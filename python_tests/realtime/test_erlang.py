"""Channels whose handlers are Erlang's, beside Python's and without."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from channel_client import Channels, Message, Refused, started
from harness import ROOT, Hornbeam, StartError

LIBS = ROOT / "_build" / "default" / "lib"
MODULE = Path(__file__).with_name("channels_erlang.erl")


@pytest.fixture(scope="module")
def ebin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled module."""
    folder = tmp_path_factory.mktemp("ebin")
    paths = ["-pa", str(LIBS / "hornbeam" / "ebin")]
    subprocess.run(
        ["erlc", "+nowarn_missing_spec", *paths, "-o", folder, MODULE], check=True, cwd=ROOT
    )
    return folder


@pytest.fixture(scope="module")
def server(ebin: Path) -> Iterator[Hornbeam]:
    """Python's channels, and "erl:*" and one of "room:*" Erlang's."""
    modules = ["erl:*=channels_erlang", "room:erl:*=channels_erlang"]
    with started(
        channel_module=modules, channel_rate="infinity", env={"HORNBEAM_ERL_FLAGS": f"-pa {ebin}"}
    ) as running:
        yield running


@pytest.fixture
def client(server: Hornbeam) -> Iterator[Channels]:
    with Channels(server) as connected:
        yield connected


def test_the_longest_pattern_decides_who_handles_a_topic(client: Channels) -> None:
    assert client.join("erl:1", {"a": [1.5, None, "é"]}) == {
        "topic": "erl:1", "params": {"a": [1.5, None, "é"]},
    }  # fmt: skip
    assert client.join("room:erl:1")["topic"] == "room:erl:1"
    assert "pid" in client.join("room:erl")
    assert "pid" in client.join("room:1")
    assert client.refused(client.begin_join("erl")) == {"reason": "unmatched topic"}


def test_answers(client: Channels) -> None:
    client.join("erl:1")
    assert client.call("erl:1", "echo", {"a": {"b": [True]}}) == {"a": {"b": [True]}}
    assert client.call("erl:1", "echo", 7) == {"value": 7}
    assert client.call("erl:1", "echo", b"\x00\xff") == b"\x00\xff"
    assert client.refused(client.push("erl:1", "refuse")) == {"reason": "no"}
    assert client.call("erl:1", "later") == {"late": True}
    assert [client.call("erl:1", "count")["n"] for _ in range(3)] == [1, 2, 3]
    client.push("erl:1", "push")
    assert client.read() == Message(client.join_refs["erl:1"], None, "erl:1", "pushed", {"a": 1})


def test_broadcasts(client: Channels, server: Hornbeam) -> None:
    with Channels(server) as other:
        client.join("erl:all")
        other.join("erl:all")
        client.push("erl:all", "say", {"x": 1})
        expected = (None, None, "erl:all", "said", {"x": 1})
        assert client.read() == expected
        assert other.read() == expected
        client.push("erl:all", "say_others", b"\x07")
        assert other.read() == (None, None, "erl:all", "said", b"\x07")
        client.push("erl:all", "say_filtered", {"n": 5})
        assert client.read().payload == {"n": 5, "own": True}
        assert other.call("erl:all", "count") == {"n": 1}
        assert other.before == []


@pytest.mark.parametrize("topic", ["erl:crash", "erl:wrong"])
def test_a_join_that_fails(client: Channels, topic: str) -> None:
    assert client.refused(client.begin_join(topic)) == {"reason": "failed"}
    client.join("erl:1")


def test_a_join_that_is_refused(client: Channels) -> None:
    assert client.refused(client.begin_join("erl:forbidden")) == {"reason": "forbidden"}


@pytest.mark.parametrize("event", ["crash", "wrong", "not_json", "nothing"])
def test_a_handler_that_fails_ends_its_channel_alone(client: Channels, event: str) -> None:
    client.join("erl:1")
    client.join("erl:2")
    client.push("erl:1", event)
    assert client.read() == Message(client.join_refs["erl:1"], None, "erl:1", "phx_error", {})
    assert client.call("erl:2", "count") == {"n": 1}


def test_a_payload_that_is_no_json(client: Channels) -> None:
    client.join("erl:1")
    client.send(f'["{client.join_refs["erl:1"]}","9","erl:1","echo",{{]')
    assert client.refused("9") == {"reason": "the payload is no JSON"}
    assert client.call("erl:1", "count") == {"n": 1}
    client.send('["8","8","erl:2","phx_join",nope]')
    assert client.refused("8") == {"reason": "the payload is no JSON"}


def test_the_end_is_told_with_its_reason(server: Hornbeam) -> None:
    with Channels(server) as client:
        for name in ("stop", "leave", "crashed", "gone"):
            client.join(f"erl:{name}")
        client.push("erl:stop", "stop")
        client.event("phx_close")
        client.leave("erl:leave")
        client.push("erl:crashed", "crash")
        client.event("phx_error")
    for line in ("stop normal", 'leave <<"leave">>', 'crashed <<"failed">>', 'gone <<"closed">>'):
        server.wait_for_output(f"^terminated erl:{line}$")


def test_without_python_channels(ebin: Path) -> None:
    with (
        Hornbeam(
            "channel_protocol:app", channel_module="erl:*=channels_erlang",
            env={"HORNBEAM_ERL_FLAGS": f"-pa {ebin}"},
        ) as server,
        Channels(server, "/socket/websocket") as client,
    ):  # fmt: skip
        client.join("erl:1")
        assert client.call("erl:1", "echo", {"a": 1}) == {"a": 1}
        assert client.refused(client.begin_join("room:1")) == {"reason": "unmatched topic"}
        with pytest.raises(Refused):
            Channels(server, "/socket/websocket?vsn=1.0.0")


def test_the_example_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "channels.md").read_text()
    source = page.split("```erlang\n")[1].split("```")[0]
    (tmp_path / "shouts.erl").write_text(source)
    command = ["erlc", "-o", str(tmp_path), str(tmp_path / "shouts.erl")]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "ERL_LIBS": str(LIBS)})
    with (
        Hornbeam(
            "channel_protocol:app", channel_module="shout:*=shouts", erlang_path=str(tmp_path)
        ) as server,
        Channels(server) as one,
        Channels(server) as other,
    ):
        assert one.refused(one.begin_join("shout:1")) == {"reason": "a name is needed"}
        one.join("shout:1", {"name": "ada"})
        other.join("shout:1", {"name": "bob"})
        assert one.call("shout:1", "shout", {"text": "hi"}) == {"shouts": 1}
        assert other.read().payload == {"from": "ada", "text": "HI"}


def test_a_module_that_is_not_there(ebin: Path) -> None:
    """It is said at the start, not to each client."""
    options: dict[str, Any] = {"channel_module": "erl:*=no_such_channel"}
    with pytest.raises(StartError) as failed:
        Hornbeam("channel_protocol:app", **options).start()
    assert "no_such_channel" in failed.value.output
