"""Responses on the wire (RFC 9110 and 9112): framing, bodies that may not be, headers."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from harness import Hornbeam
from raw_http import Incomplete, RawClient, request


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_http:app") as running:
        yield running


@pytest.fixture
def client(server: Hornbeam) -> Iterator[RawClient]:
    with RawClient(server.connect()) as connected:
        yield connected


def test_a_body_in_one_piece_has_its_length(client: RawClient) -> None:
    answer = client.get("/hello")
    assert (answer.version, answer.status, answer.framing) == ("HTTP/1.1", 200, "length")
    assert (answer.body, answer.value("content-length")) == (b"hello", "5")
    assert answer.value("transfer-encoding") is None
    assert answer.value("date") is not None
    assert answer.value("server") == "hornbeam"


def test_a_streamed_body_is_chunked(client: RawClient) -> None:
    answer = client.get("/stream?count=3&size=5")
    assert (answer.framing, answer.body) == ("chunked", b"AAAAABBBBBCCCCC")
    assert answer.value("content-length") is None


def test_a_streamed_body_with_a_length_is_not_chunked(client: RawClient) -> None:
    answer = client.get("/stream?count=3&size=5&length=1")
    assert (answer.framing, answer.body) == ("length", b"AAAAABBBBBCCCCC")


@pytest.mark.parametrize("size", [65_536, 65_537, 262_144, 262_145, 1_000_000])
def test_large_pieces(client: RawClient, size: int) -> None:
    for extra in ("", "&length=1"):
        answer = client.get(f"/stream?count=3&size={size}{extra}")
        assert answer.body == b"A" * size + b"B" * size + b"C" * size
    assert client.get("/hello").body == b"hello"


def test_a_streamed_body_ends_with_the_connection_on_1_0(client: RawClient) -> None:
    answer = client.get("/stream?count=3&size=5", version="1.0")
    assert (answer.framing, answer.body) == ("close", b"AAAAABBBBBCCCCC")


def test_other_kinds_of_bytes_and_iterables(client: RawClient) -> None:
    answer = client.get("/kinds")
    assert (answer.value("x-a"), answer.value("x-b")) == ("1", "2")
    assert answer.body == b"one two"


# No body: HEAD, 204, 304 (RFC 9110, 9.3.2, 15.3.5 and 15.4.5)


def test_head_has_no_body_and_keeps_the_length(client: RawClient) -> None:
    answer = client.get("/hello", method="HEAD")
    assert (answer.status, answer.value("content-length")) == (200, "5")
    answer = client.get("/stream?count=3&size=5&length=1", method="HEAD")
    assert (answer.status, answer.value("content-length")) == (200, "15")
    answer = client.get("/stream?count=9&size=100000", method="HEAD")
    assert (answer.status, answer.value("content-length")) == (200, None)
    # Nothing of a body has been left on the connection.
    assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("code", [204, 304])
@pytest.mark.parametrize("options", ["", "parts", "length", "parts=1&length=1"])
def test_204_and_304_have_no_body(client: RawClient, code: int, options: str) -> None:
    options = "&".join(f"{o}=1" if "=" not in o else o for o in options.split("&") if o)
    answer = client.get(f"/status/{code}?{options}")
    assert (answer.status, answer.value("transfer-encoding")) == (code, None)
    kept = "4" if code == 304 and "length" in options else None
    assert answer.value("content-length") == kept
    assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("code", [200, 201, 400, 404, 418, 451, 500, 503, 599, 799, 999])
def test_statuses(client: RawClient, code: int) -> None:
    for options in ("", "?parts=1"):
        answer = client.get(f"/status/{code}{options}")
        assert (answer.status, answer.body) == (code, b"body")


# A body that is not as long as its content-length says (RFC 9110, 8.6)


@pytest.mark.parametrize("target", ["/length/5/4", "/length/5/6", "/length/0/1", "/length/x/1"])
def test_a_wrong_length_in_one_piece_is_500(server: Hornbeam, target: str) -> None:
    with RawClient(server.connect()) as client:
        answer = client.get(target)
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert client.get("/hello").body == b"hello"


@pytest.mark.parametrize("target", ["/length/5/2/2", "/length/5/3/3", "/length/5/5/1/0"])
def test_a_wrong_length_in_pieces_cuts_the_connection(server: Hornbeam, target: str) -> None:
    with RawClient(server.connect()) as client:
        client.send(request(target) + request("/hello"))
        try:
            answer = client.response()
        except Incomplete:
            return
        # Too much: what was announced has come, and nothing after it is taken for a response.
        assert (answer.status, answer.body) == (200, b"xxxxx")
        assert client.closed()


def test_a_right_length_in_pieces(client: RawClient) -> None:
    assert client.get("/length/5/2/0/3").body == b"xxxxx"
    assert client.get("/length/0/0").body == b""


def test_a_wrong_length_is_logged_once() -> None:
    with Hornbeam("core_http:app") as server:
        httpx.get(f"{server.url}/length/5/4")
        server.wait_for_output("GET /length/5/4: .*body_too_short")
        httpx.get(f"{server.url}/hello")
        assert server.output.count("/length/5/4") == 1


# Headers


def test_order_is_kept_and_set_cookie_is_not_joined(client: RawClient) -> None:
    for options in ("", "?parts=1"):
        answer = client.get(f"/order{options}")
        assert answer.body == b"order"
        ours = {"content-length", "date", "server", "transfer-encoding", "connection"}
        pairs = [pair for pair in answer.headers if pair[0] not in ours]
        assert pairs == [
            ("x-zero", "0"),
            ("set-cookie", "a=1; Path=/"),
            ("vary", "accept"),
            ("set-cookie", "b=2, with a comma"),
            ("x-one", "1"),
            ("vary", "origin"),
            ("set-cookie", "c=3"),
            ("content-type", "text/plain"),
        ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a", b"a\r\nset-cookie: evil=1"),
        (b"x-a", b"a\nb"),
        (b"x-a", b"a\rb"),
        (b"x-a", b"a\0b"),
        (b"x-a\r\nset-cookie: evil", b"1"),
        (b"x a", b"1"),
        (b"x:a", b"1"),
        (b"", b"1"),
    ],
)
def test_headers_that_would_split_a_response_are_refused(
    server: Hornbeam, name: bytes, value: bytes
) -> None:
    target = f"/header?name={quote(name)}&value={quote(value)}"
    with RawClient(server.connect()) as client:
        answer = client.get(target)
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert answer.values("set-cookie") == []
        assert client.get("/hello").body == b"hello"
    server.wait_for_output("GET /header: .*(a header name is not a token|CR, LF or NUL)")


def test_unusual_but_valid_headers(client: RawClient) -> None:
    for name, value in [(b"x!#$%&'*+.^`|~1_-", b"1"), (b"x-a", b""), (b"x-a", b"\xe4\t\x7f b")]:
        answer = client.get(f"/header?name={quote(name)}&value={quote(value)}")
        assert answer.status == 200
        assert answer.value(name.decode()) == value.decode("latin-1")


@pytest.mark.parametrize(
    "name", ["transfer-encoding", "keep-alive", "upgrade", "proxy-connection", "te"]
)
def test_headers_of_the_connection_are_not_the_applications(client: RawClient, name: str) -> None:
    answer = client.get(f"/header?name={name}&value=chunked")
    assert (answer.framing, answer.body, answer.value(name)) == ("length", b"sent", None)
    assert client.get("/hello").body == b"hello"


def test_the_application_can_close_the_connection(client: RawClient) -> None:
    answer = client.get("/header?name=Connection&value=Close")
    assert (answer.value("connection"), answer.body) == ("close", b"sent")
    assert client.closed()
