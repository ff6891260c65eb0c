"""The WebSocket part of ASGI, with the `websockets` library as the client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from websocket_client import ACCEPT, Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

# Newer versions of websockets want a `with`; here connections outlive the block that opened them.
pytestmark = pytest.mark.filterwarnings("ignore:connect.. must be used:DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("websocket_app:app", timeout=1000, shutdown_timeout=2000) as running:
        yield running


def open_socket(server: Hornbeam, path: str, **options: Any) -> ClientConnection:
    client: ClientConnection = connect(server.url.replace("http", "ws") + path, **options)
    return client


def noted(server: Hornbeam, name: str, count: int = 1) -> list[Any]:
    """What the application noted under a name, when it is that much."""

    def look() -> list[Any] | None:
        seen: list[Any] = httpx.get(server.url).json()["seen"].get(name, [])
        return seen if len(seen) >= count else None

    found = wait_until(look, 10, f"the application noted {name}")
    assert found is not None
    return found


def refused(server: Hornbeam, path: str) -> Any:
    with pytest.raises(InvalidStatus) as refusal:
        open_socket(server, path)
    return refusal.value.response


def test_text_and_bytes_both_ways(server: Hornbeam) -> None:
    with open_socket(server, "/echo") as client:
        messages: tuple[str | bytes, ...] = (
            "",
            "hello",
            "h\u00e9llo \U0001f600",
            b"",
            b"\x00\xff",
            "x" * 70_000,
            b"y" * 900_000,
        )
        for message in messages:
            client.send(message)
            assert client.recv() == message


def test_many_messages_keep_their_order(server: Hornbeam) -> None:
    with open_socket(server, "/echo") as client:
        for number in range(1000):
            client.send(str(number))
        assert [client.recv() for _ in range(1000)] == [str(number) for number in range(1000)]


def test_fragments_are_joined(server: Hornbeam) -> None:
    with open_socket(server, "/echo") as client:
        client.send(["a\u00e9", "", "b" * 1000, "c"])
        assert client.recv() == "a\u00e9" + "b" * 1000 + "c"


def test_pings_are_answered(server: Hornbeam) -> None:
    with open_socket(server, "/echo") as client:
        assert client.ping("are you there?").wait(10)


def test_the_scope(server: Hornbeam) -> None:
    with open_socket(
        server, "/scope/%C3%A9?a=b%20c", subprotocols=[Subprotocol("one"), Subprotocol("two")]
    ) as client:
        scope = json.loads(client.recv())
    assert scope["type"] == "websocket"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["scheme"], scope["http_version"]) == ("ws", "1.1")
    assert (scope["path"], scope["raw_path"]) == ("/scope/\u00e9", "/scope/%C3%A9")
    assert scope["query_string"] == "a=b%20c"
    assert scope["subprotocols"] == ["one", "two"]
    assert "method" not in scope
    assert set(scope["extensions"]) == {"websocket.http.response", "hornbeam.websocket.pubsub"}


def test_accept_with_a_subprotocol_and_headers(server: Hornbeam) -> None:
    with open_socket(server, "/negotiate", subprotocols=[Subprotocol("chat.v2")]) as client:
        assert client.subprotocol == "chat.v2"
        assert client.response is not None
        assert client.response.headers["x-one"] == "1"
        assert client.response.headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_close_before_accept_is_403(server: Hornbeam) -> None:
    assert refused(server, "/refuse").status_code == 403


def test_a_denial_response(server: Hornbeam) -> None:
    response = refused(server, "/deny")
    assert (response.status_code, response.body) == (401, b"no ticket")
    assert response.headers["x-why"] == "no ticket"


@pytest.mark.parametrize("path", ["/early", "/raises"])
def test_an_application_that_fails_before_accepting_is_500(server: Hornbeam, path: str) -> None:
    assert refused(server, path).status_code == 500


def test_an_application_that_does_not_answer_is_504(server: Hornbeam) -> None:
    assert refused(server, "/hang").status_code == 504


def test_the_client_closes(server: Hornbeam) -> None:
    client = open_socket(server, "/echo?client-closes")
    client.close(4000, "b\u00e9cause")
    assert noted(server, "client-closes") == [[4000, "b\u00e9cause"]]
    assert client.close_code == 4000


def test_a_close_without_a_code_is_1005_and_a_lost_client_1006(server: Hornbeam) -> None:
    with Client(server.connect(), "/echo?no-code") as client:
        client.send(b"\x88\x80\x00\x00\x00\x00")
        assert client.read_close().code == 1005
        assert client.at_end()
    assert noted(server, "no-code") == [[1005, ""]]
    Client(server.connect(), "/echo?lost").close()
    assert noted(server, "lost") == [[1006, ""]]


def test_the_application_closes(server: Hornbeam) -> None:
    with open_socket(server, "/goodbye?closes") as client:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            4321,
            "enough, \u00e7a suffit",
        )
    # send() raises an OSError afterwards, receive() says the disconnect, again and again.
    assert noted(server, "closes", 2) == [
        "OSError",
        ["websocket.disconnect", "websocket.disconnect"],
    ]


def test_the_application_speaks_first(server: Hornbeam) -> None:
    with open_socket(server, "/push") as client:
        assert [client.recv(timeout=10) for _ in range(3)] == ["tick 0", "tick 1", "tick 2"]


def test_a_crash_is_1011_and_logged(server: Hornbeam) -> None:
    with open_socket(server, "/crash") as client:
        client.send("go")
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1011
    server.wait_for_output("the application is broken")


def test_a_return_is_1000(server: Hornbeam) -> None:
    with open_socket(server, "/returns") as client, pytest.raises(ConnectionClosed) as closed:
        client.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1000


def test_misuse_raises_and_costs_nothing(server: Hornbeam) -> None:
    with open_socket(server, "/misuse") as client:
        assert json.loads(client.recv()) == [
            "RuntimeError",  # send before accept
            "ValueError",  # the subprotocol as a header
            "TypeError",  # a subprotocol that is no str
            "RuntimeError",  # a second accept
            "ValueError",  # neither text nor bytes
            "ValueError",  # both
            "TypeError",  # bytes as text
            "ValueError",  # a close code that may not travel
            "RuntimeError",  # an unknown message
            "RuntimeError",  # a denial after the accept
            "ValueError",  # an empty topic
            "TypeError",  # a topic that is no str
        ]


# RFC 6455, 4.2.1: what a server must refuse by itself.
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Upgrade": "WebSocket", "Connection": "keep-alive, upgrade"}, 101),
        ({"Sec_WebSocket_Version": "12"}, 426),
        ({"Sec_WebSocket_Version": ""}, 400),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Connection": "close"}, 400),
        ({"Content_Length": "3"}, 400),
    ],
)
def test_handshakes(server: Hornbeam, headers: dict[str, str], status: int) -> None:
    with Client(server.connect(), "/echo", **headers) as client:
        assert client.status == status
        if status == 101:
            assert f"sec-websocket-accept: {ACCEPT}" in client.head
        if status == 426:
            assert "sec-websocket-version: 13" in client.head
    assert httpx.get(server.url).status_code == 200


def test_a_refused_handshake_leaves_the_connection_usable(server: Hornbeam) -> None:
    with server.connect() as connection:
        for _ in range(3):
            client = Client(connection, "/refuse")
            assert client.status == 403
            while not client._buffer.endswith(b"Forbidden"):
                client._receive()
        assert Client(connection, "/echo").status == 101
