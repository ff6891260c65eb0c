"""Handlers of channels in Python, through a server: every form of theirs, what they raise, what is
kept for them when their worker ends, presence, and how channels are named at the start."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from channel_client import PATH, Channels, Refused
from harness import Hornbeam, StartError, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("channels_app:app", channels="channels_app:channels", workers=2) as running:
        yield running


@pytest.fixture
def client(server: Hornbeam) -> Iterator[Channels]:
    with Channels(server) as made:
        yield made


def named(server: Hornbeam, user: str) -> Channels:
    return Channels(server, f"{PATH}&user={user}")


# Forms


@pytest.mark.parametrize("kind", ["plain", "loop"])
@pytest.mark.parametrize(
    ("form", "response", "assigns"),
    [
        ("nothing", {}, {}),
        ("dict", {"a": 1}, {}),
        ("socket", {}, {"n": 1}),
        ("both", {"a": 1}, {"n": 1}),
        ("ok", {"a": 1}, {"n": 1}),
    ],
)
def test_every_form_of_a_join(
    client: Channels, kind: str, form: str, response: Any, assigns: Any
) -> None:
    assert client.join(f"{kind}:{form}") == response
    assert client.call(f"{kind}:{form}", "assigns") == {"user": "", **assigns}


@pytest.mark.parametrize("kind", ["plain", "loop"])
@pytest.mark.parametrize(
    ("form", "response"),
    [
        ("error", {"reason": "no", "n": 1}),
        ("text", {"reason": "no"}),
        ("wrong", {"reason": "failed"}),
    ],
)
def test_every_form_of_a_join_that_is_refused(
    client: Channels, kind: str, form: str, response: Any
) -> None:
    assert client.refused(client.begin_join(f"{kind}:{form}")) == response


@pytest.mark.parametrize("kind", ["plain", "loop"])
@pytest.mark.parametrize(
    ("form", "status", "response", "assigns"),
    [
        ("dict", "ok", {"a": 1}, {}),
        ("both", "ok", {"a": 1}, {"n": 1}),
        ("Reply", "error", {"a": 1}, {"n": 1}),
        ("bytes", "ok", b"\x00\xff", {}),
        ("reply", "ok", {"a": 1}, {"n": 1}),
    ],
)
def test_every_form_of_an_answer(
    client: Channels, kind: str, form: str, status: str, response: Any, assigns: Any
) -> None:
    client.join(f"{kind}:nothing")
    got = client.reply(client.push(f"{kind}:nothing", form))
    assert got.payload == {"status": status, "response": response}
    assert client.call(f"{kind}:nothing", "assigns") == {"user": "", **assigns}


@pytest.mark.parametrize("kind", ["plain", "loop"])
@pytest.mark.parametrize(
    ("form", "assigns"), [("nothing", {}), ("socket", {"n": 1}), ("noreply", {"n": 1})]
)
def test_every_form_of_no_answer(client: Channels, kind: str, form: str, assigns: Any) -> None:
    client.join(f"{kind}:nothing")
    client.push(f"{kind}:nothing", form)
    assert client.call(f"{kind}:nothing", "assigns") == {"user": "", **assigns}
    assert client.before == []


@pytest.mark.parametrize("kind", ["plain", "loop"])
def test_every_form_of_an_end(client: Channels, kind: str) -> None:
    topic = f"{kind}:nothing"
    client.join(topic)
    assert client.call(topic, "Stop") == {"a": 1}
    assert client.event("phx_close").topic == topic
    client.join(topic)
    client.push(topic, "stop")
    assert client.event("phx_close").topic == topic
    assert client.refused(client.push(topic, "assigns")) == {"reason": "unmatched topic"}


def test_the_parts_of_a_topic(client: Channels) -> None:
    assert client.join("parts:a:b:c", {"x": [None, 1.5, "é"]}) == {
        "topic": "parts:a:b:c",
        "parts": {"parts_id": "a", "channel_id": "b:c"},
        "params": {"x": [None, 1.5, "é"]},
    }


def test_plain_handlers_run_side_by_side_in_threads(server: Hornbeam) -> None:
    """Two of one connection: a worker's barrier lets none through alone."""
    with Channels(server) as client:
        client.join("plain:nothing")
        client.join("plain:dict")
        refs = [client.push("plain:nothing", "meet"), client.push("plain:dict", "meet")]
        got = [client.read(), client.read()]
        assert {message.ref for message in got} == set(refs)
        threads = [message.payload["response"]["thread"] for message in got]
        assert len(set(threads)) == 2


# Errors


@pytest.mark.parametrize("event", ["raise", "araise"])
def test_a_handler_that_raises_ends_its_channel_alone(server: Hornbeam, event: str) -> None:
    with named(server, "me") as client:
        client.join(f"room:{event}", {"name": "ann"})
        client.join("plain:nothing")
        client.push(f"room:{event}", event)
        error = client.event("phx_error")
        assert (error.topic, error.payload) == (f"room:{event}", {})
        assert client.call("plain:nothing", "dict") == {"a": 1}
        client.join(f"room:{event}", {"name": "ann"})
        assert client.call(f"room:{event}", "count")["count"] == 1
    server.wait_for_output(rf"ValueError: the (other )?secret of room:{event}", 10)
    assert "in fail" in server.output or "in afail" in server.output  # its traceback


def test_a_wrong_return_is_logged_with_what_is_right(server: Hornbeam, client: Channels) -> None:
    client.join("plain:nothing")
    client.push("plain:nothing", "wrong")
    assert client.event("phx_error").topic == "plain:nothing"
    server.wait_for_output(r'on\("wrong"\) returned .* it returns None, a socket, a dict', 10)


def test_a_refusal_answers_and_the_channel_stays(server: Hornbeam) -> None:
    with named(server, "me") as client:
        assert client.refused(client.begin_join("room:1")) == {"reason": "a name is needed"}
        client.join("room:1", {"name": "ann"})
        refused = client.refused(client.push("room:1", "refuse", {"n": 7}))
        assert refused == {"reason": "not now", "n": 7}
        assert client.refused(client.push("room:1", "none")) == {"reason": "unmatched event"}
        assert client.call("room:1", "count")["count"] == 1


def test_who_may_not_connect_is_told_why(server: Hornbeam) -> None:
    with pytest.raises(Refused) as refused:
        named(server, "nobody")
    assert refused.value.status == 403
    url = f"{server.url}{PATH}&user=nobody"
    headers = {
        "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    response = httpx.get(url, headers=headers)
    assert (response.status_code, response.json()) == (403, {"reason": "nobody may not"})


# Messages


def test_answers_and_pushes_come_later(server: Hornbeam) -> None:
    with named(server, "me") as client:
        client.join("room:later", {"name": "ann"})
        ref = client.push("room:later", "later", {"x": 1})
        assert client.ok(ref) == {"late": True}
        (before,) = (message for message in client.before if message.event == "before")
        assert (before.topic, before.payload) == ("room:later", {"x": 1})
        assert client.refused(client.push("room:later", "alater")) == {"late": True}


def test_a_broadcast_is_intercepted_for_each(server: Hornbeam) -> None:
    with named(server, "1") as one, named(server, "2") as two:
        one.join("room:talk", {"name": "ann"})
        two.join("room:talk", {"name": "bob"})
        for number in range(3):
            one.push("room:talk", "say", {"n": number})
        heard = [two.event("said").payload for _ in range(3)]
        assert heard == [{"n": n, "by": "ann", "heard": n + 1} for n in range(3)]
        two.push("room:talk", "say", {"n": 9})
        # Nothing of her own came before what bob says.
        assert one.event("said").payload == {"n": 9, "by": "bob", "heard": 1}
        assert one.call("room:talk", "count")["count"] == 1


def test_a_request_broadcasts(server: Hornbeam) -> None:
    with named(server, "1") as client:
        client.join("parts:a:b")
        assert httpx.get(f"{server.url}/parts:a:b").status_code == 204
        assert client.event("posted").payload["pid"] in server.workers()


def test_a_payload_has_up_to_16_mib(server: Hornbeam) -> None:
    with named(server, "1") as client:
        client.join("room:large", {"name": "ann"})
        most = 16 * 1024 * 1024
        assert client.call("room:large", "large", {"size": most}) == {"errors": ["", ""]}
        errors = client.call("room:large", "large", {"size": most + 1})["errors"]
        assert errors == ["a message of a channel may have 16 MiB"] * 2


# Workers that end


def test_what_is_kept_outlives_its_worker() -> None:
    with (
        Hornbeam("channels_app:app", channels="channels_app:channels", workers=2) as server,
        named(server, "me") as client,
    ):
        joined = client.join("room:kept", {"name": "ann"})
        assert (joined["id"], joined["user"]) == ("user:me", "me")
        assert client.call("room:kept", "count")["count"] == 1
        os.kill(joined["pid"], signal.SIGKILL)
        server.wait_for_output(rf"worker \d \(pid {joined['pid']}\) ended", 20)
        after = client.call("room:kept", "count")
        assert after["pid"] != joined["pid"]
        assert (after["name"], after["count"], after["moves"]) == ("ann", 2, 1)
        assert client.call("room:kept", "count")["count"] == 3


def test_an_event_in_progress_ends_with_its_worker_and_the_client_joins_again(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pid"
    with (
        Hornbeam("channels_app:app", channels="channels_app:channels", workers=2) as server,
        named(server, "me") as client,
    ):
        client.join("room:killed", {"name": "ann"})
        client.push("room:killed", "hang", {"file": str(file)})
        pid = wait_until(lambda: file.exists() and file.read_text(), 20, "the handler runs")
        os.kill(int(pid), signal.SIGKILL)
        assert client.event("phx_error").topic == "room:killed"
        again = client.join("room:killed", {"name": "ann"})
        assert again["pid"] != int(pid)
        assert client.call("room:killed", "count")["count"] == 1
        server.wait_for_output(r"LEFT room:killed ann ", 10)


def test_who_goes_has_left(server: Hornbeam) -> None:
    with named(server, "me") as client:
        client.join("room:left", {"name": "ann"})
        client.leave("room:left")
        server.wait_for_output(r"^LEFT room:left ann leave$", 10)
        client.join("room:left", {"name": "bob"})
    server.wait_for_output(r"^LEFT room:left bob closed$", 10)


# Presence


def test_who_is_there(server: Hornbeam) -> None:
    with named(server, "1") as one:
        one.join("room:presence", {"name": "ann"})
        state = one.event("presence_state").payload
        (meta,) = state["ann"]["metas"]
        assert meta["pid"] in server.workers()
        with named(server, "2") as two:
            two.join("room:presence", {"name": "bob"})
            assert set(two.event("presence_state").payload) == {"ann", "bob"}
            assert joins(one, "bob")
            (updated,) = two.call("room:presence", "status", {"away": True})["metas"]
            assert updated["away"] is True
            assert updated["phx_ref_prev"] != updated["phx_ref"]
            gone = two.call("room:presence", "hide")
            assert (gone["was"], list(gone["list"])) == ([True, False], ["ann"])
            two.join("room:presence", {"name": "bob"})
        assert leaves(one, "bob")
        assert one.call("room:presence", "state") == {"there": True}
        one.push("room:presence", "hidden")
        assert one.event("phx_error").topic == "room:presence"


def joins(client: Channels, key: str) -> bool:
    """Whether a diff says so, sooner or later."""
    return bool(client.until(lambda m: m.event == "presence_diff" and key in m.payload["joins"]))


def leaves(client: Channels, key: str) -> bool:
    return bool(client.until(lambda m: m.event == "presence_diff" and key in m.payload["leaves"]))


def test_presence_ends_with_the_channel_that_is_left(server: Hornbeam) -> None:
    with named(server, "1") as one, named(server, "2") as two:
        one.join("room:seen", {"name": "ann"})
        two.join("room:seen", {"name": "bob"})
        two.leave("room:seen")
        assert leaves(one, "bob")


# Server-sent events


@pytest.mark.parametrize(
    ("path", "key", "status", "reason"),
    [
        ("room:open", "good", 403, "who are you?"),
        ("room:open?user=1", "bad", 403, "unauthorized"),
        ("room:shut?user=1", "good", 403, "unauthorized"),
    ],
)
def test_who_may_not_have_a_topics_events(
    server: Hornbeam, path: str, key: str, status: int, reason: str
) -> None:
    response = httpx.get(f"{server.url}/events/{path}", headers={"x-key": key})
    assert (response.status_code, response.json()) == (status, {"reason": reason})


def test_who_may_have_a_topics_events(server: Hornbeam) -> None:
    url = f"{server.url}/events/room:open?user=1"
    with httpx.stream("GET", url, headers={"x-key": "good"}, timeout=20) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        httpx.get(f"{server.url}/room:open")
        data = next(line for line in lines if line.startswith("data:"))
        assert '"pid"' in data


# The original's names


def test_an_application_of_the_original(server: Hornbeam) -> None:
    with Channels(server, flavour="hb") as ann, Channels(server, flavour="hb") as bob:
        assert ann.refused(ann.begin_join("old:1")) == {"reason": "username required"}
        assert ann.join("old:1", {"username": "Ann"}) == {"message": "Welcome to 1!"}
        bob.join("old:1", {"username": "Bob"})
        assert ann.call("old:1", "new_msg", {"body": "hi"}) == {"status": "ok"}
        assert bob.event("new_msg").payload == {"username": "Ann", "body": "hi"}


# At the start


@pytest.mark.parametrize("target", ["one_of_them", "a_list"])
@pytest.mark.parametrize("app", ["app", "wsgi"])
def test_what_the_option_may_name(target: str, app: str) -> None:
    with (
        Hornbeam(f"channels_app:{app}", channels=f"channels_app:{target}") as server,
        Channels(server) as client,
    ):
        assert client.join("plain:dict") == {"a": 1}
        assert client.refused(client.begin_join("room:1")) == {"reason": "unmatched topic"}
        assert httpx.get(f"{server.url}/plain:dict").status_code == 204
        assert client.event("posted").payload["pid"] in server.workers()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("channels_app:no_channel", "a Channel, a list of them or Channels, not <object"),
        ("channels_app:twice", r"two channels have the pattern room:\*"),
        ("channels_app:nothing", '"nothing" in module "channels_app"'),
        ("no_such_app:x", 'no module "no_such_app"'),
    ],
)
def test_what_the_option_may_not_name(target: str, text: str) -> None:
    with pytest.raises(StartError) as failed, Hornbeam("channels_app:app", channels=target):
        pass
    pattern = rf'the channels \(channels\) cannot be used: "{target}": .*{text}'
    assert re.search(pattern, failed.value.output), failed.value.output
