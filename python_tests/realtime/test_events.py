"""Topics of channels as server-sent events."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from channel_client import Channels
from event_stream import Parser, Stream
from harness import Hornbeam, wait_until
from http_client import H2


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "channel_events:app",
        channels="channel_events:channels",
        workers=2,
        channel_rate="infinity",
        metrics_bind="127.0.0.1:0",
    ) as running:
        yield running


def send(server: Hornbeam, topic: str, first: int, last: int | None = None, **more: Any) -> None:
    """Broadcasts {"n": first}, ... to the topic, as its event "n"."""
    query = {"topic": topic, "from": first, "to": first if last is None else last, **more}
    httpx.get(f"{server.url}/send", params=query, timeout=60).raise_for_status()


def opened(server: Hornbeam, topic: str, query: str = "", **headers: str) -> Stream:
    """A stream that gets what is sent from now on."""
    stream = Stream(server, f"/events/{quote(topic, safe='')}{query}", **headers)
    assert stream.status == 200, stream.body
    stream.opened()
    return stream


# The response


def test_a_stream_says_what_it_is_and_how_long_to_wait_before_coming_back(server: Hornbeam) -> None:
    with opened(server, "plain:1") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert (
            "no-cache" in stream.headers["cache-control"]
            or "no-store" in stream.headers["cache-control"]
        )
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        assert stream.parser.retry is not None and 500 <= stream.parser.retry <= 10_000


def test_a_broadcast_is_an_event_with_its_name_and_its_payload(server: Hornbeam) -> None:
    with opened(server, "plain:2") as stream:
        send(server, "plain:2", 7)
        event = stream.next()
        assert (event.event, event.json["n"], event.id) == ("n", 7, None)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("text", {"text": "a\nb\r\nc\rd \u2028\u2029 \u00e4 \U0001f600"}),
        ("deep", {"a": [1, [2.5, None, {"b": True}]]}),
        ("number", 17),
        ("\u00fcber:name", "a string"),
        ("a: b", []),
    ],
)
def test_any_payload_and_name_come_as_they_are(server: Hornbeam, event: str, payload: Any) -> None:
    with opened(server, "plain:any") as stream:
        httpx.get(
            f"{server.url}/text",
            params={"topic": "plain:any", "event": event, "payload": json.dumps(payload)},
        ).raise_for_status()
        got = stream.next()
        assert (got.event, got.json) == (event, payload)


def test_a_name_cannot_add_lines(server: Hornbeam) -> None:
    with opened(server, "plain:lines") as stream:
        for event in ("x\ndata: {}", "x\rid: 5", "x\r\n\r\nevent: y"):
            params = {"topic": "plain:lines", "event": event, "payload": "1"}
            httpx.get(f"{server.url}/text", params=params)
        send(server, "plain:lines", 1)
        stream.until(lambda event: event.event == "n")
        assert all(event.json == 1 and event.id is None for event in stream.before)


def test_bytes_come_in_base64(server: Hornbeam) -> None:
    with opened(server, "plain:bytes") as stream:
        httpx.get(f"{server.url}/bytes", params={"topic": "plain:bytes"}).raise_for_status()
        event = stream.next()
        assert base64.b64decode(event.data) == b"\x00\xff"


@pytest.mark.parametrize(
    "topic", ["plain:a/b", "plain:\u00fc \u20ac", "plain:%25", "plain:a?b#c", "plain:a+b"]
)
def test_a_topic_in_the_path_is_percent_encoded(server: Hornbeam, topic: str) -> None:
    with opened(server, topic) as stream:
        send(server, topic, 1)
        assert stream.next().json["n"] == 1


def test_both_kinds_of_clients_get_the_same(server: Hornbeam) -> None:
    with opened(server, "five:both") as stream, Channels(server) as client:
        client.join("five:both")
        send(server, "five:both", 1)
        event, message = stream.next(), client.event("n")
        assert event.json == message.payload
        assert message.ref == f"#{event.id}"


def test_a_stream_over_http2(server: Hornbeam) -> None:
    with H2(server) as client:
        one, two = client.request("/events/plain%3Ah2"), client.request("/events/five%3Ah2")
        parsers = {one: Parser(), two: Parser()}
        events: dict[int, list[Any]] = {one: [], two: []}

        def step() -> bool:
            client.step()
            for stream, parser in parsers.items():
                if (answer := client.answers.get(stream)) is not None:
                    events[stream] += parser.feed(answer.body)
                    answer.body = b""
            return True

        while not all(parser.retry for parser in parsers.values()):
            step()
        assert client.answers[one].header(b"content-type") == b"text/event-stream; charset=utf-8"
        send(server, "plain:h2", 1)
        send(server, "five:h2", 2)
        while not all(events.values()):
            step()
        assert [events[stream][0].json["n"] for stream in (one, two)] == [1, 2]
        assert events[two][0].id


def test_a_stream_is_not_held_for_compression() -> None:
    with (
        Hornbeam("channel_events:app", channels="channel_events:channels", compress=True) as server,
        opened(server, "plain:1", Accept_Encoding="gzip") as stream,
    ):
        assert "content-encoding" not in stream.headers
        send(server, "plain:1", 1)
        assert stream.next().json["n"] == 1


def test_who_has_seen_nothing_comes_back_to_where_it_began(server: Hornbeam) -> None:
    with opened(server, "five:began") as stream:
        first = stream.parser.last_id
    assert first
    send(server, "five:began", 1, 3)
    with opened(server, "five:began", Last_Event_ID=first) as stream:
        assert [stream.next().json["n"] for _ in range(3)] == [1, 2, 3]


def test_a_comment_comes_while_there_is_nothing_to_say() -> None:
    options: dict[str, Any] = {"channels": "channel_events:channels", "events_heartbeat": 200}
    with Hornbeam("channel_events:app", **options) as server, opened(server, "plain:1") as stream:
        for _ in range(3):
            stream.comment()


# Who may


def test_a_refusal_says_its_reason(server: Hornbeam) -> None:
    stream = Stream(server, "/events/private:1")
    assert (stream.status, stream.headers["content-type"]) == (403, "application/json")
    assert json.loads(stream.body) == {"reason": "say the word", "topic": "private:1"}


def test_the_query_and_the_fields_are_known_to_whoever_decides(server: Hornbeam) -> None:
    opened(server, "private:1", "?word=sesame").close()
    opened(server, "private:1", Cookie="word=sesame").close()


def test_python_is_asked_once(server: Hornbeam) -> None:
    with opened(server, "private:once", "?word=sesame") as stream:
        send(server, "private:once", 1, 3)
        assert stream.numbers(3) == [1, 2, 3]
    workers = [httpx.get(f"{server.url}/asked").json() for _ in range(20)]
    assert max(asked.count("private:once") for asked in workers) == 1


@pytest.mark.parametrize(
    "topic", ["nothing:1", "hidden:1", "room", "plain:*", "%00", "a" * 256, "%ff", ""]
)
def test_a_topic_that_there_is_not_is_404(server: Hornbeam, topic: str) -> None:
    stream = Stream(server, f"/events/{topic}")
    assert stream.status in ((404,) if topic else (200, 404))
    if topic:
        assert json.loads(stream.body)["reason"] == "unmatched topic"


def test_a_topic_has_255_bytes_at_most(server: Hornbeam) -> None:
    opened(server, "plain:" + "a" * 249).close()
    assert Stream(server, "/events/plain:" + "a" * 250).status == 404


def test_authorize_that_raises_is_an_error_without_its_text(server: Hornbeam) -> None:
    stream = Stream(server, "/events/private:1?crash=1")
    assert stream.status in (500, 503)
    assert b"secret" not in stream.body
    server.wait_for_output("the secret of authorize")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(server: Hornbeam, method: str) -> None:
    content = b"x" * 100_000 if method == "POST" else b""
    answer = httpx.request(method, f"{server.url}/events/plain:1", content=content)
    assert answer.status_code == 405
    assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "HEAD"}


def test_head_is_answered_and_over(server: Hornbeam) -> None:
    stream = Stream(server, "/events/plain:1", method="HEAD")
    assert (stream.status, stream.body) == (200, b"")
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_what_is_not_below_the_path_is_the_applications(server: Hornbeam) -> None:
    for path in ("/events", "/eventsx/plain:1", "/event/plain:1"):
        assert "EventSource" in httpx.get(server.url + path).text


def test_the_path_is_an_option() -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", events_path="/live/feed"
    ) as server:
        with Stream(server, "/live/feed/plain:1") as stream:
            assert stream.status == 200
        assert "EventSource" in httpx.get(f"{server.url}/events/plain:1").text


# Coming back


@pytest.mark.parametrize("how", ["field", "query"])
def test_who_comes_back_gets_what_it_missed(server: Hornbeam, how: str) -> None:
    topic = f"five:back-{how}"
    with opened(server, topic) as stream:
        send(server, topic, 1)
        last_id = stream.next().id
        assert last_id
    send(server, topic, 2, 4)
    query, fields = (
        ("", {"Last_Event_ID": last_id})
        if how == "field"
        else (f"?last_event_id={quote(last_id)}", {})
    )
    with opened(server, topic, query, **fields) as stream:
        send(server, topic, 5)
        assert stream.numbers(5) == [2, 3, 4, 5]


def test_the_field_is_newer_than_the_query(server: Hornbeam) -> None:
    with opened(server, "five:newer") as stream:
        send(server, "five:newer", 1, 2)
        first, second = stream.next().id, stream.next().id
    assert first and second
    with opened(
        server, "five:newer", f"?last_event_id={quote(first)}", Last_Event_ID=second
    ) as stream:
        send(server, "five:newer", 3)
        assert stream.numbers(3) == [3]


def test_who_missed_more_is_told(server: Hornbeam) -> None:
    with opened(server, "five:more") as stream:
        send(server, "five:more", 1)
        last_id = stream.next().id
    send(server, "five:more", 2, 20)
    with opened(server, "five:more", Last_Event_ID=last_id or "") as stream:
        assert stream.numbers(20) == [16, 17, 18, 19, 20]
        assert [
            (event.event, event.json["last_id"]) for event in stream.before if event.event != "n"
        ] == [("hb_missed", last_id)]


@pytest.mark.parametrize("last_id", ["x", "a: b", "\u00ff", "x" * 2000])
def test_any_last_id_is_taken(server: Hornbeam, last_id: str) -> None:
    topic = f"five:odd{len(last_id)}{ord(last_id[0])}"
    send(server, topic, 1)
    with opened(server, topic, f"?last_event_id={quote(last_id)}") as stream:
        send(server, topic, 2)
        assert stream.numbers(2) == [1, 2]
        assert stream.before[0].event == "hb_missed"


def test_any_last_id_in_the_field_is_taken(server: Hornbeam) -> None:
    # h11 sends no such bytes.
    with server.connect() as connection:
        connection.sendall(
            b"GET /events/five:1 HTTP/1.1\r\nHost: a\r\nLast-Event-ID: \xff\xfe\x80\r\n\r\n"
        )
        got = b""
        while b"hb_missed" not in got:
            got += connection.recv(4096) or pytest.fail("ended")
    assert got.startswith(b"HTTP/1.1 200 ")


def test_what_a_channel_filters_for_each_client_is_for_no_stream(server: Hornbeam) -> None:
    with opened(server, "filtered:1") as stream:
        send(server, "filtered:1", 1, 2)
        send(server, "filtered:1", 3, event="open")
        assert stream.next().event == "open"
    with opened(server, "filtered:1", "?last_event_id=x") as stream:
        send(server, "filtered:1", 4, event="open")
        stream.until(lambda event: event.event == "open" and event.json["n"] == 4)
        assert [event.event for event in stream.before] == ["hb_missed", "open"]


def test_nothing_is_missed_while_messages_come_all_the_time(server: Hornbeam) -> None:
    topic, last = "many:race", 2000
    publisher = threading.Thread(
        target=send, args=(server, topic, 1, last), kwargs={"pause": 0.001}
    )
    got: list[int] = []
    stream = opened(server, topic)
    publisher.start()
    while not got or got[-1] < last:
        for _ in range(53):
            event = stream.next()
            assert event.event == "n", event
            got.append(event.json["n"])
            if got[-1] == last:
                break
        last_id = event.id
        stream.close()
        stream = opened(server, topic, Last_Event_ID=last_id or "")
    stream.close()
    publisher.join(30)
    assert got == list(range(1, last + 1))


# Limits, ends, leftovers


@pytest.mark.parametrize("more", [0, 1])
def test_so_many_streams_at_once(more: int) -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", websocket_max_connections=3
    ) as server:
        with ExitStack() as stack:
            for _ in range(3 - 1 + more):
                stack.enter_context(opened(server, "plain:1"))
            with Stream(server, "/events/plain:1") as last:
                assert last.status == (503 if more else 200)
                if more:
                    assert "reason" in json.loads(last.body)

        # Those that have gone make room.
        def has_room() -> bool:
            with Stream(server, "/events/plain:1") as stream:
                return stream.status == 200

        wait_until(has_room, 10, "those that have gone have made room")


def test_a_stop_ends_streams_at_once() -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", graceful_timeout=20_000
    ) as server:
        streams = [opened(server, "plain:1") for _ in range(3)]
        assert server.stop(15) == 0
        for stream in streams:
            with pytest.raises(EOFError):
                stream.next()
            stream.close()


def test_a_stream_goes_on_when_workers_end(server: Hornbeam) -> None:
    with opened(server, "five:workers") as stream:
        before = set(server.workers())
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(set(server.workers()) - before) == 2, 20, "others have begun")
        wait_until(lambda: httpx.get(f"{server.url}/asked").status_code == 200, 20, "they answer")
        send(server, "five:workers", 1)
        assert stream.next().json["n"] == 1


def test_a_client_that_does_not_read_is_closed_and_comes_back() -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", websocket_slow_consumer="close"
    ) as server:
        with opened(server, "many:slow") as stream:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
            send(server, "many:slow", 1, 600, size=20_000)  # 12 MB: more than sockets hold
            got: list[int] = []
            last_id = None
            with pytest.raises((EOFError, ConnectionError)):
                while True:
                    event = stream.next()
                    got.append(event.json["n"])
                    last_id = event.id
        assert 0 < len(got) < 600
        assert got == list(range(1, len(got) + 1))
        send(server, "many:slow", 601)
        assert last_id
        with opened(server, "many:slow", Last_Event_ID=last_id) as stream:
            assert stream.numbers(601) == list(range(len(got) + 1, 602))


def test_a_burst_is_no_slow_client(server: Hornbeam) -> None:
    with opened(server, "plain:burst") as stream:
        send(server, "plain:burst", 1, 400, size=2_000)
        assert stream.numbers(400) == list(range(1, 401))


def test_without_a_history_a_slow_client_does_not_get_all_and_stays(server: Hornbeam) -> None:
    with opened(server, "plain:slow") as stream:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        send(server, "plain:slow", 1, 600, size=20_000)
        done = threading.Event()

        def go_on() -> None:
            while not done.wait(0.1):
                send(server, "plain:slow", 9999)

        sender = threading.Thread(target=go_on)
        sender.start()
        try:
            got = stream.numbers(9999)  # once there is room again what is sent comes
        finally:
            done.set()
            sender.join()
        assert 1 < len(got) < 600
        assert got == sorted(set(got))


def test_who_has_gone_leaves_nothing(server: Hornbeam) -> None:
    def still_open() -> float:
        metrics = httpx.get(f"{metrics_url(server)}/metrics").text
        (line,) = re.findall(r"^hornbeam_websockets(?:\{[^}]*\})? (\S+)$", metrics, re.M)
        return float(line)

    wait_until(lambda: still_open() == 0, 10, "streams of other tests are gone")
    streams = [opened(server, f"five:gone{n}") for n in range(50)]
    assert still_open() == 50
    for stream in streams:
        stream.close()
    wait_until(lambda: still_open() == 0, 10, "they have ended")


def metrics_url(server: Hornbeam) -> str:
    return server.wait_for_output(r"metrics on (\S+)").group(1)


def test_streams_are_in_the_access_log() -> None:
    with Hornbeam(
        "channel_events:app", channels="channel_events:channels", access_log="combined"
    ) as server:
        opened(server, "plain:logged").close()
        send(server, "plain:logged", 1)
        server.wait_for_output(r'"GET /events/plain%3Alogged HTTP/1.1" 200')
