"""What one client and its channels say to each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from channel_client import PATH, Channels, Closed, Message, Refused
from harness import Hornbeam, wait_until
from websocket_client import BINARY, TEXT, Client, frame


@pytest.fixture
def client(channels_server: Hornbeam) -> Any:
    with Channels(channels_server, f"{PATH}&token=ada") as connected:
        yield connected


# The handshake


@pytest.mark.parametrize(
    "path",
    [
        "/socket/websocket?vsn=2.0.0",
        "/socket/websocket",
        "/socket?vsn=2.0.0",
        "/socket",
        "/socket?vsn=2.1.0",
    ],
)
def test_a_client_connects_at_the_path_and_below_it(channels_server: Hornbeam, path: str) -> None:
    with Channels(channels_server, path) as client:
        assert client.join("room:1")["user"] == "nobody"


def test_what_connect_returns_is_the_beginning_of_every_channel(client: Channels) -> None:
    assert client.join("room:1")["user"] == "ada"
    assert client.join("room:2")["user"] == "ada"


def test_connect_refuses_with_its_reason(channels_server: Hornbeam) -> None:
    socket = Client(channels_server.connect(), f"{PATH}&refuse=now")
    assert socket.status == 403
    assert "content-type: application/json" in socket.head.lower()
    body = socket.connection.recv(1000) if not socket._buffer else socket._buffer
    assert body == b'{"reason":"bad token","given":"now"}'


def test_another_version_is_refused(channels_server: Hornbeam) -> None:
    with pytest.raises(Refused) as refused:
        Channels(channels_server, "/socket/websocket?vsn=1.0.0")
    assert refused.value.status == 400


def test_connect_that_raises_is_an_error_without_its_text(channels_server: Hornbeam) -> None:
    socket = Client(channels_server.connect(), f"{PATH}&crash=1")
    assert socket.status == 500
    assert b"secret" not in socket.head.encode() + socket._buffer
    channels_server.wait_for_output("the secret of connect")


def test_other_paths_are_the_applications(channels_server: Hornbeam) -> None:
    for path in ("/socket/other", "/socket/websocket/", "/", "/socket2"):
        with Client(channels_server.connect(), path) as socket:
            assert socket.read().payload == b"of the application"


def test_a_page_of_another_origin_is_refused() -> None:
    with Hornbeam(
        "channel_protocol:app", channels="channel_protocol:channels", websocket_origin=["https://good.example"],
        channels_path="/rt",
    ) as server:  # fmt: skip
        with Channels(server, "/rt/websocket", Origin="https://good.example") as client:
            client.join("room:1")
        with pytest.raises(Refused) as refused:
            Channels(server, "/rt/websocket", Origin="https://evil.example")
        assert refused.value.status == 403
        with Client(server.connect(), "/socket/websocket", Origin="https://good.example") as socket:
            assert socket.read().payload == b"of the application"


# Joining


def test_a_join_is_answered_in_the_clients_flavour(channels_server: Hornbeam) -> None:
    for flavour in ("phx", "hb"):
        with Channels(channels_server, flavour=flavour) as client:
            ref = client.begin_join("room:1", {"a": [1, "é"]})
            message = client.reply(ref)
            assert message[:4] == (ref, ref, "room:1", f"{flavour}_reply")
            assert message.payload["response"]["params"] == {"a": [1, "é"]}
            client.push("room:1", "boom")
            assert client.read() == Message(ref, None, "room:1", f"{flavour}_error", {})
            ref = client.begin_join("room:1")
            client.ok(ref)
            left = client.push("room:1", f"{flavour}_leave")
            assert client.read()[:4] == (ref, left, "room:1", f"{flavour}_reply")
            assert client.read() == Message(ref, None, "room:1", f"{flavour}_close", {})
            after = client.push("room:1", "echo")
            assert client.read()[1:4] == (after, "room:1", f"{flavour}_reply")


@pytest.mark.parametrize("topic", ["nowhere", "room", "roomy:1", "room:*", "*", "plain:1"])
def test_a_topic_that_nobody_handles(client: Channels, topic: str) -> None:
    assert client.refused(client.begin_join(topic)) == {"reason": "unmatched topic"}
    assert client.refused(client.push(topic, "echo")) == {"reason": "unmatched topic"}


def test_a_join_is_refused_with_the_reason_of_the_handler(client: Channels) -> None:
    assert client.refused(client.begin_join("room:forbidden")) == {"reason": "forbidden"}
    assert client.refused(client.push("room:forbidden", "echo")) == {"reason": "unmatched topic"}


def test_a_join_that_raises_tells_nothing_of_it(client: Channels) -> None:
    assert client.refused(client.begin_join("room:broken")) == {"reason": "failed"}
    client.join("room:1")


def test_joining_again_ends_the_channel_before(client: Channels) -> None:
    client.join("room:1")
    first = client.join_refs["room:1"]
    assert client.call("room:1", "count")["n"] == 1
    ref = client.begin_join("room:1")
    assert client.read() == Message(first, None, "room:1", "phx_close", {})
    client.ok(ref)
    # Its assigns are new, and the old join_ref is not its own.
    assert client.call("room:1", "count")["n"] == 1
    assert client.refused(client.push("room:1", "echo", join_ref=first)) == {
        "reason": "unmatched topic"
    }
    client.push("room:1", "say", {"x": 1})
    assert client.event("said").payload == {"x": 1}
    assert client.call("room:1", "echo", 1) == 1
    assert client.before == []


def test_joining_again_while_joining(client: Channels, tmp_path: Path) -> None:
    file = tmp_path / "go"
    first = client.begin_join("room:slow", {"file": str(file)})
    wait_until(Path(f"{file}.waits").exists, 10, "the first one runs")
    file.touch()
    second = client.begin_join("room:slow", {"file": str(file)})
    closed = client.until(lambda message: message.event == "phx_close")
    assert closed.join_ref == first
    client.ok(second)


def test_events_wait_for_the_join(client: Channels, tmp_path: Path) -> None:
    file = tmp_path / "go"
    join = client.begin_join("room:slow", {"file": str(file)})
    early = client.push("room:slow", "count")
    wait_until(Path(f"{file}.waits").exists, 10, "the join runs")
    file.touch()
    client.ok(join)
    assert client.ok(early)["n"] == 1


def test_who_has_left_hears_nothing_more(client: Channels, channels_server: Hornbeam) -> None:
    with Channels(channels_server) as other:
        client.join("room:left")
        other.join("room:left")
        client.leave("room:left")
        assert client.read().event == "phx_close"
        assert client.refused(client.push("room:left", "echo")) == {"reason": "unmatched topic"}
        other.push("room:left", "say", {})
        other.event("said")
        assert client.ok(client.push("phoenix", "heartbeat")) == {}
        assert client.before == []


# Events


def test_answers_carry_the_ref_and_payloads_are_untouched(client: Channels) -> None:
    client.join("room:1")
    payloads: list[Any] = [
        {},
        {"a": [1, 2.5, None, True, 'x]"\\é😀']},
        [],
        0,
        "text",
        None,
        {"nested": {"[": "]"}},
    ]
    for payload in payloads:
        ref = client.push("room:1", "echo", payload)
        if payload is None:
            payload = {}
        message = client.read()
        assert message == Message(
            client.join_refs["room:1"],
            ref,
            "room:1",
            "phx_reply",
            {"status": "ok", "response": payload},
        )


def test_binary_messages(client: Channels) -> None:
    client.join("room:1")
    for payload in (b"", b"\x00\xff" * 1000):
        ref = client.push("room:1", "echo", payload)
        message = client.read()
        assert message == Message(
            client.join_refs["room:1"],
            ref,
            "room:1",
            "phx_reply",
            {"status": "ok", "response": payload},
        )
    client.push("room:1", "say", b"\x01\x02")
    assert client.read() == Message(None, None, "room:1", "said", b"\x01\x02")


def test_a_plain_function_is_called_like_an_async_one(client: Channels) -> None:
    client.join("room:1")
    assert client.call("room:1", "echo_plain", [1]) == [1]


def test_events_of_a_channel_are_handled_in_their_order(client: Channels) -> None:
    client.join("room:1")
    refs = [client.push("room:1", "count") for _ in range(200)]
    assert [client.ok(ref)["n"] for ref in refs] == list(range(1, 201))


def test_a_channel_that_waits_does_not_hold_up_another(client: Channels, tmp_path: Path) -> None:
    client.join("room:1")
    client.join("room:2")
    waits = client.push("room:1", "wait", {"file": str(tmp_path / "go")})
    assert client.call("room:2", "echo", 2) == 2
    assert client.before == []
    (tmp_path / "go").touch()
    client.ok(waits)


def test_no_answer_is_none(client: Channels) -> None:
    client.join("room:1")
    client.push("room:1", "silent")
    assert client.call("room:1", "echo", 1) == 1
    assert client.before == []


def test_without_a_ref_there_is_no_answer(client: Channels) -> None:
    client.join("room:1")
    client.send([client.join_refs["room:1"], None, "room:1", "echo", {}])
    assert client.call("room:1", "echo", 1) == 1
    assert client.before == []


def test_an_answer_may_come_later(client: Channels) -> None:
    client.join("room:1")
    assert client.call("room:1", "later", {"a": 1}) == {"late": {"a": 1}}


def test_an_event_without_a_handler(client: Channels) -> None:
    client.join("room:1")
    assert client.refused(client.push("room:1", "nothing")) == {"reason": "unmatched event"}


def test_an_exception_is_an_error_of_its_channel_alone(
    client: Channels, channels_server: Hornbeam
) -> None:
    client.join("room:1")
    client.join("room:2")
    client.push("room:1", "boom")
    message = client.read()
    assert message == Message(client.join_refs["room:1"], None, "room:1", "phx_error", {})
    channels_server.wait_for_output("the secret of boom")
    assert client.call("room:2", "echo", 1) == 1
    assert client.refused(client.push("room:1", "echo")) == {"reason": "unmatched topic"}
    client.join("room:1")
    assert client.call("room:1", "count")["n"] == 1


def test_the_name_of_a_topic_makes_no_line_of_the_log(
    client: Channels, channels_server: Hornbeam
) -> None:
    topic = "room:\n2026-01-01T00:00:00.000000+00:00 error all is lost\x1b[31m"
    client.join(topic)
    client.push(topic, "boom")
    client.event("phx_error")
    channels_server.wait_for_output(r"event of channel .*all is lost")
    assert "\n2026-01-01" not in channels_server.output
    assert "\x1b[31m" not in channels_server.output


def test_a_handler_may_end_its_channel(client: Channels) -> None:
    client.join("room:1")
    client.push("room:1", "stop")
    assert client.event("phx_close").join_ref == client.join_refs["room:1"]
    assert client.refused(client.push("room:1", "echo")) == {"reason": "unmatched topic"}


def test_messages_for_one_client_keep_their_order(client: Channels) -> None:
    client.join("room:1")
    client.push("room:1", "push", {"count": 100})
    assert [client.read().payload["n"] for _ in range(100)] == list(range(100))


@pytest.mark.parametrize("topic", ["phoenix", "hornbeam"])
def test_heartbeats(channels_server: Hornbeam, topic: str) -> None:
    flavour = "phx" if topic == "phoenix" else "hb"
    with Channels(channels_server, flavour=flavour) as client:
        ref = client.push(topic, "heartbeat")
        assert client.read() == Message(
            None, ref, topic, f"{flavour}_reply", {"status": "ok", "response": {}}
        )


# What is no message


@pytest.mark.parametrize(
    "message",
    [
        "", "{}", "[]", "no json", "[null,null,\"t\"]", "[1,2,\"t\",\"e\",{}]",
        "[null,null,\"\",\"e\",{}]",
        "[null,null,\"t\",\"e\",{}", "[null,null,\"" + "t" * 256 + "\",\"e\",{}]",
        b"", b"\x00", b"\x01\x01\x01\x01\x0112te", b"\x00\x01\x01\x01\x0912te",
        b"\x00\x01\x01\x01\x0112\xffe",
    ],
)  # fmt: skip
def test_what_is_no_message_closes_the_connection(client: Channels, message: str | bytes) -> None:
    client.join("room:1")
    client.send(message)
    closed = client.closed()
    assert (closed.code, closed.reason) == (1007, "not a message of a channel")
    assert client.socket.at_end()


@pytest.mark.parametrize("payload", ["{", "no json", "1,2", "", "NaN", '{"a":1e999}x'])
def test_a_payload_that_is_no_json_is_an_error_of_its_message(
    client: Channels, payload: str
) -> None:
    client.join("room:1")
    join_ref = client.join_refs["room:1"]
    client.send(f'["{join_ref}","9001","room:1","echo",{payload}]')
    assert "JSON" in client.refused("9001")["reason"]
    client.send(f'["9002","9002","room:2","phx_join",{payload}]')
    assert "JSON" in client.refused("9002")["reason"]
    assert client.call("room:1", "echo", 1) == 1


def test_messages_in_pieces_and_many_in_one_read(client: Channels) -> None:
    client.join("room:1")
    join_ref = client.join_refs["room:1"]
    messages = [f'["{join_ref}","m{n}","room:1","echo",{n}]'.encode() for n in range(50)]
    data = b"".join(frame(TEXT, message) for message in messages)
    client.socket.send(data)
    assert [client.ok(f"m{n}") for n in range(50)] == list(range(50))
    one = messages[0]
    client.socket.send(frame(TEXT, one[:5], fin=False) + frame(9, b"p") + frame(0, one[5:]))
    assert client.socket.read().opcode == 10
    assert client.ok("m0") == 0
    for byte in frame(BINARY, b"\x00\x01\x02\x06\x04" + join_ref.encode() + b"b0room:1echo!"):
        client.socket.send(bytes([byte]))
    assert client.ok("b0") == b"!"


def test_a_client_that_closes_is_answered(client: Channels) -> None:
    client.join("room:1")
    client.socket.send(frame(8, b"\x03\xe8"))
    with pytest.raises(Closed) as closed:
        client.read()
    assert closed.value.code == 1000
    assert client.socket.at_end()


def test_the_end_of_a_channel_is_told_with_its_reason(channels_server: Hornbeam) -> None:
    # One channel for each way to end; which worker is told is not known, so both are asked.
    with Channels(channels_server) as client:
        for name in ("leave", "again", "stop", "boom", "gone"):
            client.join(f"room:end-{name}")
        client.leave("room:end-leave")
        client.join("room:end-again")
        client.push("room:end-stop", "stop")
        client.event("phx_close")
        client.push("room:end-boom", "boom")
        client.event("phx_error")
    expected = {
        "room:end-leave": ["leave"], "room:end-again": ["closed", "replaced"],
        "room:end-stop": ["enough"], "room:end-boom": ["failed"], "room:end-gone": ["closed"],
    }  # fmt: skip

    def told() -> bool:
        seen: dict[str, list[str]] = {}
        for topic, reason in _left(channels_server):
            seen.setdefault(topic, []).append(reason)
        return {topic: sorted(seen.get(topic, [])) for topic in expected} == expected

    wait_until(told, 10, "on_leave has run for each")


def _left(server: Hornbeam) -> list[list[str]]:
    lines = [line for line in server.output.splitlines() if line.startswith("left [")]
    return [json.loads(line.removeprefix("left ")) for line in lines]
