"""Whatever an application sends, a connection never gets out of step.

Random sequences of ASGI messages go through a real socket; h11 and h2 read what arrives. After each
a plain request on the same connection must have its own answer, or the connection must have ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import h11
import pytest
from harness import Hornbeam
from http_client import H2, Raw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROBE = json.dumps(
    [
        {"type": "http.response.start", "status": 200, "headers": [["x-probe", "yes"]]},
        {"type": "http.response.body", "body": "probe"},
    ]
)

field_text = st.sampled_from(
    ["", "a", "b c", "5", "0", "chunked", "close", "keep-alive", "gzip", "x\r\ny: z", "a\0", "\x7f",
     "5, 5", "-1", "100", "\xe4", "trailers"]
)  # fmt: skip
field_name = st.sampled_from(
    ["content-length", "Content-Length", "transfer-encoding", "connection", "x-a", "X-B", "date",
     "set-cookie", "upgrade", "trailer", "te", "content-type", "", "a b", "x:y", "a\r\nb", "server",
     "keep-alive", "location", ":status"]
)  # fmt: skip
fields = st.lists(st.tuples(field_name, field_text).map(list), max_size=4)
status = st.sampled_from(
    [100, 101, 102, 103, 199, 200, 201, 204, 205, 206, 301, 304, 404, 500, 599, 600, 999, 1000, 0]
)
body = st.fixed_dictionaries(
    {"type": st.just("http.response.body")},
    optional={
        "body": st.sampled_from(["", "a", "hello", "0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"]),
        "times": st.sampled_from([1, 1, 1, 20, 20_000]),
        "more_body": st.booleans(),
    },
).map(lambda message: message if "body" in message else {**message, "body": ""})
start = st.fixed_dictionaries(
    {"type": st.just("http.response.start"), "status": status},
    optional={"headers": fields, "trailers": st.booleans()},
)
good_start = st.fixed_dictionaries(
    {"type": st.just("http.response.start"), "status": st.sampled_from([200, 204, 304, 404])},
    optional={
        "headers": st.lists(
            st.sampled_from([["content-length", "5"], ["x-a", "b"], ["content-length", "0"]]),
            max_size=2,
        ),
        "trailers": st.booleans(),
    },
)
rare = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("http.response.trailers")},
        optional={"headers": fields, "more_trailers": st.booleans()},
    ),
    st.fixed_dictionaries(
        {"type": st.just("http.response.early_hint"), "links": st.lists(field_text, max_size=2)}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("http.response.pathsend"),
            "path": st.sampled_from(["/etc/hostname", "/nowhere", "/dev/null", "/etc"]),
        }
    ),
    st.fixed_dictionaries({"type": st.sampled_from(["http.response.debug", "websocket.send"])}),
    st.sampled_from([{"receive": True}, {"raise": True}, {"return": True}]),
)
events = st.one_of(
    st.lists(st.one_of(start, good_start, body, body, rare), max_size=6),
    st.builds(
        lambda first, rest: [first, *rest],
        good_start,
        st.lists(st.one_of(body, body, body, rare), max_size=5),
    ),
)
method = st.sampled_from(["GET", "GET", "HEAD", "POST", "OPTIONS"])


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_replay:app", timeout=5000, max_reset_rate=100_000) as server:
        yield server


relaxed = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def head(how: str, sequence: str, version: str, te: bool) -> bytes:
    lines = [f"{how} / HTTP/{version}", "Host: a", f"X-Events: {sequence}"]
    lines += ["Connection: keep-alive"] if version == "1.0" else []
    lines += ["TE: trailers"] if te else []
    lines += ["Content-Length: 3"] if how == "POST" else []
    return "\r\n".join([*lines, "", "abc" if how == "POST" else ""]).encode()


@relaxed
@given(method, events, st.sampled_from(["1.1", "1.1", "1.0"]), st.booleans())
def test_http1(
    server: Hornbeam, how: str, sequence: list[dict[str, Any]], version: str, te: bool
) -> None:
    with Raw(server) as connection:
        connection.send(head(how, json.dumps(sequence), version, te))
        answer = connection.answer(how)
        assert answer.complete or connection.closed
        if how == "HEAD" or answer.status in (204, 304):
            assert answer.body == b""
        if not answer.complete or connection.parser.their_state is not h11.DONE:
            return
        try:
            connection.send(head("GET", PROBE, version, False))
        except ConnectionError:
            return  # it has ended
        try:
            probe = connection.answer()
        except (EOFError, h11.RemoteProtocolError) as error:
            # It may have closed after its response, but then it says nothing more.
            assert connection.closed, error
            assert connection.parser.trailing_data[0] == b""
            return
        assert (probe.status, probe.body) == (200, b"probe")
        assert probe.header(b"x-probe") == b"yes"


@relaxed
@given(method, events, st.booleans())
def test_http2(server: Hornbeam, how: str, sequence: list[dict[str, Any]], te: bool) -> None:
    with H2(server) as client:
        extra = [("x-events", json.dumps(sequence)), *([("te", "trailers")] if te else [])]
        stream = client.request("/", method=how, extra=extra, end=how != "POST")
        if how == "POST":
            client.connection.send_data(stream, b"abc", end_stream=True)
            client.flush()
        answer = client.answer(stream)
        if how == "HEAD" or answer.status in (204, 304):
            assert answer.body == b""
        probe = client.answer(client.request("/", extra=[("x-events", PROBE)]))
        assert (probe.status, probe.body) == (200, b"probe")


def test_nothing_crashed(server: Hornbeam) -> None:
    assert "crash" not in server.output.lower()
    assert "an HTTP/2 connection has failed" not in server.output
    assert "Unhandled exception" not in server.output
    assert "Ranch" not in server.output
