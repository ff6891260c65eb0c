"""Traces: what the application, its log lines and its calls are told (W3C Trace Context), the spans
that a real decoder reads, sampling, and what happens when nobody takes them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam, StartError, wait_until
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from trace_receiver import Receiver, attributes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
OURS = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])")

# Registered in Erlang.
FUNCTIONS = """
    ok = hornbeam:register_function(current, hornbeam_trace_context, current),
    ok = hornbeam:register_function(log_error, fun(Text) -> logger:error(Text) end).
"""


class Traced:
    """A server whose spans go to a receiver."""

    def __init__(self, server: Hornbeam, receiver: Receiver, log: Path) -> None:
        self.server = server
        self.receiver = receiver
        self.client = httpx.Client(base_url=server.url, timeout=60)
        self.log = log

    def told(self, path: str = "/", **headers: str) -> tuple[dict[str, Any], httpx.Response]:
        response = self.client.get(path, headers=headers)
        return response.json(), response

    def lines(self, trace_id: str) -> list[dict[str, Any]]:
        """Of the log."""
        lines = [line for line in self.server.output.splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line.get("trace_id") == trace_id]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    log = tmp_path_factory.mktemp("log") / "access.json"
    with (
        Receiver() as receiver,
        Hornbeam(
            "traces_app:app",
            trace_endpoint=receiver.url,
            trace_header=["x-key=secret"],
            trace_service="shop",
            trace_response=True,
            trace_sentry=True,
            request_id=True,
            error_page="id",
            access_log="json",
            access_log_file=str(log),
            log_format="json",
            service="seen=traces_app:Seen",
            mount="/wsgi=traces_app:wsgi",
            rpc_allow=["hornbeam_trace_context:current", "logger:error"],
            env={"HORNBEAM_ERL_FLAGS": f"-eval '{FUNCTIONS}'"},
        ) as server,
    ):
        yield Traced(server, receiver, log)


def fields(told: dict[str, Any]) -> dict[str, str]:
    names = [name for name, _value in told["fields"]]
    assert len(names) == len(set(names))
    return dict(told["fields"])


def ours(field: str) -> tuple[str, str, str]:
    """Trace, span and whether it is sampled."""
    match = OURS.fullmatch(field)
    assert match, field
    return match[1], match[2], match[3]


def test_a_request_without_a_trace_begins_one(traced: Traced) -> None:
    told, response = traced.told("/?a=b")
    trace_id, span_id, sampled = ours(fields(told)["traceparent"])
    assert sampled == "1"
    assert told["ids"] == [trace_id, span_id, True]
    assert told["current"] == fields(told)["traceparent"] == response.headers["traceresponse"]
    assert fields(told)["sentry-trace"] == f"{trace_id}-{span_id}-1"
    another, _ = traced.told()
    assert ours(fields(another)["traceparent"])[0] != trace_id


def test_the_trace_of_a_client_goes_on(traced: Traced) -> None:
    told, _ = traced.told(traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="a=1, b@c=2")
    trace_id, span_id, sampled = ours(fields(told)["traceparent"])
    assert (trace_id, sampled) == (TRACE, "1")
    assert span_id != PARENT
    assert fields(told)["tracestate"] == "a=1, b@c=2"
    span = traced.receiver.trace(TRACE, 3)["GET"]
    assert (span.parent_span_id.hex(), span.span_id.hex()) == (PARENT, span_id)
    assert (span.trace_state, span.flags) == ("a=1, b@c=2", 0x301)


@pytest.mark.parametrize(
    "field",
    [
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        "rubbish",
    ],
)
def test_a_malformed_one_is_as_if_it_were_not_there(traced: Traced, field: str) -> None:
    told, _ = traced.told(traceparent=field, tracestate="a=1")
    trace_id, _, sampled = ours(fields(told)["traceparent"])
    assert (trace_id != TRACE, sampled) == (True, "1")
    assert "tracestate" not in fields(told)


def test_what_the_client_does_not_sample_is_not_sent(traced: Traced) -> None:
    told, _ = traced.told(traceparent=f"00-{'1' * 32}-{PARENT}-00", **{"sentry-trace": "own"})
    assert ours(fields(told)["traceparent"])[2] == "0"
    assert told["current"] == fields(told)["traceparent"]
    assert told["ids"][2] is False
    assert fields(told)["sentry-trace"] == "own"
    sent, _ = traced.told()
    traced.receiver.trace(ours(sent["current"])[0])  # what came before it has been sent as well
    assert not [span for span in traced.receiver.spans() if span.trace_id.hex() == "1" * 32]


def test_spans_say_what_the_request_was_and_where_its_time_went(traced: Traced) -> None:
    second = 1_000_000_000  # clocks of the machine are set, too
    before = time.time_ns() - second
    told, _ = traced.told("/?a=b", **{"user-agent": "tester"})
    trace_id, span_id, _ = ours(told["current"])
    spans = traced.receiver.trace(trace_id, 3)
    server = spans.pop("GET")
    assert (server.kind, server.span_id.hex()) == (Span.SPAN_KIND_SERVER, span_id)
    assert server.parent_span_id == b""
    assert before <= server.start_time_unix_nano <= server.end_time_unix_nano
    assert server.end_time_unix_nano <= time.time_ns() + second
    seen = attributes(server.attributes)
    assert seen.pop("server.port") == traced.server.address[1]
    assert seen.pop("http.response.body.size") > 100
    assert seen == {
        "http.request.method": "GET",
        "url.path": "/",
        "url.query": "a=b",
        "url.scheme": "http",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "user_agent.original": "tester",
    }
    assert set(spans) == {"hornbeam.accept", "hornbeam.application"}
    for span in spans.values():
        assert span.parent_span_id.hex() == span_id
        assert span.kind == Span.SPAN_KIND_INTERNAL
    accept, application = spans["hornbeam.accept"], spans["hornbeam.application"]
    assert accept.start_time_unix_nano == server.start_time_unix_nano
    assert accept.end_time_unix_nano == application.start_time_unix_nano
    assert application.end_time_unix_nano <= server.end_time_unix_nano
    batch = traced.receiver.batches[0].resource_spans[0]
    resource = attributes(batch.resource.attributes)
    assert (resource["service.name"], resource["telemetry.sdk.name"]) == ("shop", "hornbeam")
    assert resource["process.pid"] in traced.server.descendants()
    assert batch.scope_spans[0].scope.name == "hornbeam"
    path, headers, _ = traced.receiver.posts[0]
    assert (path, headers["x-key"]) == ("/v1/traces", "secret")


def test_a_response_that_goes_on_has_a_span_for_its_body(traced: Traced) -> None:
    response = traced.client.get("/stream")
    assert response.text == "012"
    spans = traced.receiver.trace(ours(response.headers["traceresponse"])[0], 4)
    body = spans["hornbeam.response"]
    assert spans["hornbeam.application"].end_time_unix_nano == body.start_time_unix_nano
    assert body.end_time_unix_nano == spans["GET"].end_time_unix_nano


def test_an_error_is_one_and_its_page_says_the_request_id(traced: Traced) -> None:
    response = traced.client.get("/fail", headers={"x-request-id": "req-7"})
    assert response.status_code == 500
    assert response.text == "Internal Server Error\nrequest id: req-7\n"
    trace_id = ours(response.headers["traceresponse"])[0]
    span = traced.receiver.trace(trace_id)["GET"]
    assert span.status.code == 2
    assert attributes(span.attributes)["error.type"] == "500"
    line = wait_until(lambda: traced.lines(trace_id), 60, "it is logged")[0]
    assert (line["level"], line["logger"], line["worker"]) == ("error", "hornbeam.asgi", 1)
    assert line["exception"].endswith("RuntimeError: on demand")
    assert line["request_id"] == "req-7"


def test_log_lines_have_the_ids(traced: Traced) -> None:
    told, _ = traced.told("/log")
    trace_id, span_id, _ = ours(told["current"])
    line = wait_until(lambda: traced.lines(trace_id), 60, "the line is there")[0]
    assert (line["message"], line["span_id"]) == ("in the request", span_id)

    def access() -> list[dict[str, Any]]:
        lines = map(json.loads, traced.log.read_text().splitlines())
        return [line for line in lines if line["trace_id"] == trace_id]

    (line,) = wait_until(access, 60, "the access log has it")
    assert (line["path"], line["span_id"]) == ("/log", span_id)


def test_threads_of_wsgi(traced: Traced) -> None:
    field, ids, current = traced.client.get("/wsgi/").json()
    trace_id, span_id, _ = ours(current)
    assert (field, ids) == (current, [trace_id, span_id, True])
    line = wait_until(lambda: traced.lines(trace_id), 60, "it is logged")[0]
    assert line["message"] == "in a thread"


def test_calls_of_other_processes_take_it_on(traced: Traced) -> None:
    told, _ = traced.told("/passed-on")
    parent = told["current"]
    assert told["passed_on"] == dict.fromkeys(told["passed_on"], parent)
    assert len(told["passed_on"]) == 8
    trace_id = ours(parent)[0]

    def logged() -> bool:
        messages = {line["message"] for line in traced.lines(trace_id)}
        return messages >= {"in the service", "in the batch", "in the task"}

    wait_until(logged, 60, "lines of the service, the batch and the task")


def test_functions_in_erlang_take_it_on(traced: Traced) -> None:
    wait_until(lambda: traced.client.get("/erlang").status_code == 200, 60, "they are registered")
    told, _ = traced.told("/erlang")
    parent = told["current"]
    assert len(told["erlang"]) == 5
    assert all(seen == [parent] for seen in told["erlang"].values()), told
    trace_id, span_id, _ = ours(parent)

    def logged() -> bool:
        lines = {line["message"]: line["span_id"] for line in traced.lines(trace_id)}
        casts = ("cast", "rpc_cast", "plain cast", "plain rpc_cast")
        expected = {f"in a{'n' if cast[0] == 'r' else ''} {cast}": span_id for cast in casts}
        return lines == expected

    wait_until(logged, 60, "what they log has the ids")


def test_json_sampling_and_the_variables_of_opentelemetry() -> None:
    """The share is 0: only what a client samples is sent."""
    with Receiver() as receiver:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.base}/",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-one=a%20b, x-two=2",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "named",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test,service.name=no",
        }
        with Hornbeam("traces_app:app", trace=True, trace_sample="0%", env=env) as server:
            assert httpx.get(server.url + "/").json()["ids"][2] is False
            told = httpx.get(server.url + "/é", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
            assert "traceresponse" not in told.headers
            assert "sentry-trace" not in fields(told.json())
            spans = receiver.trace(TRACE, 3)
        assert spans["GET"].parent_span_id.hex() == PARENT
        assert attributes(spans["GET"].attributes)["url.path"] == "/%C3%A9"
        assert {span.trace_id.hex() for span in receiver.spans()} == {TRACE}
        ((_, headers, _),) = receiver.posts
        assert headers["content-type"] == "application/json"
        assert (headers["content-encoding"], headers["x-one"], headers["x-two"]) == (
            "gzip", "a b", "2",
        )  # fmt: skip
        resource = attributes(receiver.batches[0].resource_spans[0].resource.attributes)
        assert resource["service.name"] == "named"
        assert resource["deployment.environment.name"] == "test"


def test_without_a_receiver_a_parent_stays_as_it_is() -> None:
    """A span that nobody gets is not to be anybody's parent."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}
    with Hornbeam("traces_app:app", trace=True, env=env) as server:
        field = f"00-{TRACE}-{PARENT}-01"
        told = httpx.get(server.url, headers={"traceparent": field}).json()
        assert told["current"] == field
        assert ours(httpx.get(server.url).json()["current"])[2] == "1"


def test_what_is_not_taken_is_tried_again_and_what_cannot_be_is_given_up() -> None:
    with Receiver() as receiver:
        receiver.answers = [(status, {"retry-after": "0"}) for status in (429, 502, 503, 504, 400)]
        with Hornbeam("traces_app:app", trace_endpoint=receiver.url) as server:
            first = ours(httpx.get(server.url).json()["current"])[0]
            server.wait_for_output(
                r"the spans of 1 requests were given up: \S+ answers 400", timeout=60
            )
            assert [body for _, _, body in receiver.posts] == [receiver.posts[0][2]] * 5
            second = ours(httpx.get(server.url).json()["current"])[0]
            receiver.trace(second)
            assert first not in {span.trace_id.hex() for span in receiver.spans()}
            last = ours(httpx.get(server.url).json()["current"])[0]
        receiver.trace(last)  # what is left is sent as the server stops


def test_https_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    """Whom it does not trust: EUnit hornbeam_trace_http_tests."""
    authority = Authority(tmp_path / "tls").create()
    env = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.cert)}
    with (
        Receiver(authority.issue("localhost")) as receiver,
        Hornbeam("traces_app:app", trace_endpoint=receiver.url, env=env) as server,
    ):
        told = httpx.get(server.url).json()
        receiver.trace(ours(told["current"])[0], 3)


def test_without_the_option_there_is_nothing() -> None:
    with Hornbeam("traces_app:app", env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) as server:
        field = f"00-{TRACE}-{PARENT}-01"
        told = httpx.get(server.url, headers={"traceparent": field}).json()
        assert told == {
            "fields": [["traceparent", field]],
            "ids": None,
            "current": None,
            "passed_on": None,
            "erlang": None,
        }


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"trace_endpoint": "localhost:4318"}, "must be a URL that begins with http"),
        ({"trace_sample": "2"}, "must be a share from 0 to 1"),
        ({"trace_header": "no"}, "must be of NAME=VALUE"),
        ({"error_page": "id"}, "with request_id only"),
    ],
)
def test_options_that_cannot_be(option: dict[str, Any], text: str) -> None:
    with pytest.raises(StartError) as error:
        Hornbeam("traces_app:app", **option).start()
    assert text in str(error.value)
