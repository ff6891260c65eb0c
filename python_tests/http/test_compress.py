"""Which responses are compressed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import httpx
import pytest
from harness import Hornbeam
from http_client import H2, Raw


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app", compress=True, compress_min_size=500) as server:
        yield server


def coding(server: Hornbeam, query: str, accepts: str = "gzip, br", method: str = "GET") -> str:
    """The coding of the response; its body is checked as well."""
    url = f"{server.url}/big?{query}"
    with httpx.stream(method, url, headers={"accept-encoding": accepts}) as answer:
        raw = b"".join(answer.iter_raw())
        said = str(answer.headers.get("content-encoding", "plain"))
        if method == "GET":
            if "content-length" in answer.headers:
                assert len(raw) == int(answer.headers["content-length"])
            body = gzip.decompress(raw) if said == "gzip" else raw
            assert len(body) == int(query.split("&")[1])
        return said


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/html;charset=utf-8", "TEXT/CSS", "application/json", "image/svg+xml",
     "application/problem+json", "application/javascript", "application/xhtml+xml"],
)  # fmt: skip
def test_text_is(server: Hornbeam, kind: str) -> None:
    assert coding(server, f"{kind}&1000") == "gzip"
    assert coding(server, f"{kind}&1600&pieces") == "gzip"


@pytest.mark.parametrize(
    "kind",
    ["text/event-stream", "text/event-stream;charset=utf-8", "image/png", "application/zip",
     "application/octet-stream", "video/mp4", "application/pdf"],
)  # fmt: skip
def test_the_rest_is_not(server: Hornbeam, kind: str) -> None:
    """Least of all server-sent events, which a compressor would hold back."""
    assert coding(server, f"{kind}&1000") == "plain"
    assert coding(server, f"{kind}&1600&pieces") == "plain"


def test_the_size_decides(server: Hornbeam) -> None:
    assert coding(server, "text/plain&499") == "plain"
    assert coding(server, "text/plain&500") == "gzip"


def test_the_client_decides(server: Hornbeam) -> None:
    for accepts in ("identity", "br", "gzip;q=0", "nonsense;;"):
        assert coding(server, "text/plain&1000", accepts) == "plain"


def test_what_is_coded_or_has_an_etag_is_left_alone(server: Hornbeam) -> None:
    assert coding(server, "text/plain&1000&coded") == "br"
    assert coding(server, "text/plain&1000&etag") == "plain"


def test_vary(server: Hornbeam) -> None:
    for accepts in ("gzip", "identity"):
        answer = httpx.get(
            f"{server.url}/big?text/plain&1000", headers={"accept-encoding": accepts}
        )
        assert answer.headers["vary"] == "accept-encoding"
    answer = httpx.get(f"{server.url}/big?image/png&1000")
    assert "vary" not in answer.headers


def test_head_and_files_and_cookies(server: Hornbeam, tmp_path: object) -> None:
    assert coding(server, "text/plain&1000", method="HEAD") == "plain"
    with Raw(server) as connection:
        connection.send(
            b"HEAD /big?text/plain&1000 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        assert connection.answer("HEAD").body == b""
        connection.send(b"GET /facts HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.answer().status == 200
    answer = httpx.get(f"{server.url}/file?/etc/services")
    assert "content-encoding" not in answer.headers


def test_http2_and_trailers(server: Hornbeam) -> None:
    accepts = [("accept-encoding", "gzip"), ("te", "trailers")]
    with H2(server) as client:
        answer = client.answer(client.request("/big?text/plain&1600&pieces", extra=accepts))
        assert answer.header(b"content-encoding") == b"gzip"
        assert len(gzip.decompress(answer.body)) == 1600
        answer = client.answer(client.request("/trailers", extra=accepts))
        assert gzip.decompress(answer.body) == b"hello world"
        assert dict(answer.trailers) == {b"x-sum": b"42", b"x-end": b"yes"}
    with Raw(server) as connection:
        connection.send(
            b"GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nAccept-Encoding: gzip\r\n\r\n"
        )
        answer = connection.answer()
        assert gzip.decompress(answer.body) == b"hello world"
        assert dict(answer.trailers) == {b"x-sum": b"42", b"x-end": b"yes"}


def test_it_is_off_unless_asked_for() -> None:
    with Hornbeam("http_messages:app") as server:
        assert coding(server, "text/plain&5000") == "plain"
