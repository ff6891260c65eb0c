"""An OTLP receiver for tests: takes POST /v1/traces and gives what came, as the decoder of
opentelemetry-proto reads it. Answers as it is told."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from google.protobuf import json_format
from harness import wait_until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Answer = tuple[int, dict[str, str]]


class Receiver:
    """Takes spans on a free port of 127.0.0.1; by TLS, with a certificate and its key."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.answers: list[Answer] = []  # the next ones; then 200
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.batches: list[ExportTraceServiceRequest] = []  # that were answered with 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers = receiver.take(self.path, dict(self.headers.items()), body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._scheme = "https"
            self._server.socket = context.wrap_socket(
                self._server.socket,
                server_side=True,
                do_handshake_on_connect=False,  # in the thread of the request
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def base(self) -> str:
        """Its address without a path."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Where spans go."""
        return f"{self.base}/v1/traces"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """A request's answer."""
        lower = {name.lower(): value for name, value in headers.items()}
        if lower.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.posts.append((path, lower, body))
        answer = self.answers.pop(0) if self.answers else (200, {})
        if answer[0] == 200 and path == "/v1/traces":
            self.batches.append(decoded(lower["content-type"], body))
        return answer

    def spans(self) -> list[Span]:
        """All that were taken."""
        return [
            span
            for batch in list(self.batches)
            for resource in batch.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def trace(self, trace_id: str, number: int = 1) -> dict[str, Span]:
        """The spans of a trace by name, once there are so many."""

        def there() -> list[Span] | None:
            found = [span for span in self.spans() if span.trace_id.hex() == trace_id]
            return found if len(found) >= number else None

        found = wait_until(there, 60, f"there are {number} spans of {trace_id}")
        assert found
        return {span.name: span for span in found}


def decoded(kind: str, body: bytes) -> ExportTraceServiceRequest:
    """As opentelemetry-proto reads it. In OTLP's JSON ids are hexadecimal, other bytes base64."""
    if kind == "application/x-protobuf":
        return ExportTraceServiceRequest.FromString(body)
    assert kind == "application/json"
    whole = json.loads(body)
    for resource in whole["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key in span.keys() & {"traceId", "spanId", "parentSpanId"}:
                    span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return json_format.ParseDict(whole, ExportTraceServiceRequest())


def attributes(pairs: Iterable[Any]) -> dict[str, Any]:
    """Of a span, or of a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
