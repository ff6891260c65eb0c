"""Other tracers in the workers: spans of `opentelemetry-instrument` are children of the server's,
as the SDK itself sends them; an envelope of sentry-sdk goes on with the trace."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from trace_receiver import Receiver, attributes

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def instrumented(receiver: Receiver) -> Iterator[Hornbeam]:
    server = Hornbeam(
        "traces_fastapi:app",
        log_format="json",
        env={
            # The command takes flags for its own that begin as those do.
            "HORNBEAM_TRACE": "true",
            "HORNBEAM_SERVICES": "seen=traces_fastapi:Seen",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.base,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        },
    )
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    server.command = [str(command), *server.command]
    with server:
        yield server


def test_spans_of_opentelemetry_are_children_of_the_servers(
    instrumented: Hornbeam, receiver: Receiver
) -> None:
    client = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    answer = httpx.get(f"{instrumented.url}/items/7", headers=client, timeout=60).json()

    def there() -> dict[str, Any] | None:
        """Of the server and of the SDK, by their kinds and scopes."""
        found = {}
        for batch in list(receiver.batches):
            for resource in batch.resource_spans:
                service = attributes(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        if span.trace_id.hex() == TRACE:
                            assert service == "shop"
                            found[f"{scope.scope.name} {span.name}"] = span
        scopes = {name.partition(" ")[0] for name in found}
        return found if len(scopes) > 1 and "hornbeam" in scopes else None

    spans = wait_until(there, 60, "spans of both")
    assert spans
    server = spans["hornbeam GET /items/{number}"]
    assert server.parent_span_id.hex() == PARENT
    assert attributes(server.attributes)["http.route"] == "/items/{number}"
    theirs = spans["opentelemetry.instrumentation.fastapi GET /items/{number}"]
    assert theirs.parent_span_id == server.span_id
    # What the application passes on, and its log lines say, is its own span.
    assert answer["traceparent"] == f"00-{TRACE}-{theirs.span_id.hex()}-01"
    pattern = rf'^{{.*"message":"item 7".*"trace_id":"{TRACE}","span_id":"{theirs.span_id.hex()}"'
    instrumented.wait_for_output(pattern, timeout=60)


def test_spans_of_a_service_are_children_of_the_callers(
    instrumented: Hornbeam, receiver: Receiver
) -> None:
    answer = httpx.get(f"{instrumented.url}/service", timeout=60).json()
    _, trace_id, here, _ = answer["here"].split("-")
    _, same, there, _ = answer["there"].split("-")
    assert same == trace_id

    def sent() -> bytes | None:
        spans = [span for span in receiver.spans() if span.span_id.hex() == there]
        return spans[0].parent_span_id if spans else None

    parent = wait_until(sent, 60, "the span of the service")
    assert parent is not None
    assert parent.hex() == here


def test_an_envelope_of_sentry_goes_on_with_the_trace() -> None:
    with Receiver() as receiver:
        dsn = receiver.base.replace("://", "://key@") + "/1"
        env = {"TRACES_SENTRY_DSN": dsn}
        with Hornbeam("traces_fastapi:app", trace=True, trace_sentry=True, env=env) as server:
            client = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert httpx.get(f"{server.url}/fail", headers=client, timeout=60).status_code == 500

            def events() -> list[dict[str, Any]]:
                return [
                    json.loads(line)
                    for path, _, body in list(receiver.posts)
                    if path == "/api/1/envelope/"
                    for line in _unpacked(body).splitlines()
                    if line.startswith(b"{") and b'"contexts"' in line
                ]

            found = wait_until(lambda: len(events()) >= 2 and events(), 60, "error, transaction")
        assert found
        for event in found:
            assert event["contexts"]["trace"]["trace_id"] == TRACE
        transaction = next(event for event in found if event.get("type") == "transaction")
        assert transaction["contexts"]["trace"]["parent_span_id"] == PARENT


def _unpacked(body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    return zlib.decompress(body) if body[:1] == b"\x78" else body
