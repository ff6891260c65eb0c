"""The end of a connection (RFC 6455, 7.1): the client can read the close frame and then sees that
the server has closed, on clear sockets and over TLS, and is never reset."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from certificates import Authority
from harness import Hornbeam, wait_until
from websocket_client import BINARY, CLOSE, TEXT, Client, frame
from websocket_http2 import Http2

# What breaks the protocol, and the code that says so.
BROKEN = {
    "1002": (b"\x81\x01a", 1002),
    "1002 in a header": (frame(3, b"a"), 1002),
    "1007": (frame(TEXT, b"\xff"), 1007),
    "1009": (b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff" + bytes(4), 1009),
}
each_broken = pytest.mark.parametrize(("data", "code"), list(BROKEN.values()), ids=list(BROKEN))

Open = Callable[[str], Client]


@pytest.fixture(scope="module", params=["clear", "TLS"])
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Open]:
    """Opens connections to one server; with one place, to see when a connection has ended."""
    options: dict[str, Any] = {}
    context = None
    if request.param == "TLS":
        authority = Authority(tmp_path_factory.mktemp("ca")).create()
        cert, key = authority.issue("localhost")
        options = {"ssl": True, "certfile": str(cert), "keyfile": str(key)}
        context = ssl.create_default_context(cafile=authority.cert)
    with Hornbeam("websocket_app:app", websocket_max_connections=1, **options) as server:

        def open_one(path: str) -> Client:
            found = []

            def is_free() -> bool:
                connection = server.connect()
                if context is not None:
                    # An end without close_notify is then an error.
                    connection = context.wrap_socket(
                        connection, server_hostname="localhost", suppress_ragged_eofs=False
                    )
                client = Client(connection, path)
                if client.status == 101:
                    found.append(client)
                else:
                    client.close()
                return client.status == 101

            wait_until(is_free, 20, "the connection before has ended")
            return found[0]

        yield open_one


def ends_clean(client: Client) -> None:
    """Nothing more comes, and the connection has not been reset."""
    assert client.connection.recv(1) == b""


@each_broken
def test_after_an_error_the_server_closes_at_once(opened: Open, data: bytes, code: int) -> None:
    with opened("/echo") as client:
        client.send(data)
        assert client.read_close().code == code
        ends_clean(client)


@each_broken
def test_after_an_error_the_clients_close_does_no_harm(
    opened: Open, data: bytes, code: int
) -> None:
    with opened("/echo") as client:
        client.send(data)
        assert client.read_close().code == code
        client.send(frame(CLOSE, code.to_bytes(2, "big")))
        ends_clean(client)


@each_broken
def test_after_an_error_what_still_comes_is_no_reset(opened: Open, data: bytes, code: int) -> None:
    """A client that has more on its way than fits into a socket's buffers at once."""
    with opened("/echo") as client:
        client.send(data + frame(BINARY, b"x" * 300_000))
        client.send(bytes(300_000))
        assert client.read_close().code == code
        ends_clean(client)


def test_a_client_that_does_not_end_its_side_is_not_waited_for(opened: Open) -> None:
    with opened("/echo") as stays:
        stays.send(frame(3))
        assert stays.read_close().code == 1002
        # There is one place: the connection has ended though the client has not.
        with opened("/echo") as next_one:
            next_one.send(frame(TEXT, b"a"))
            assert next_one.read().payload == b"a"


def test_a_client_closes(opened: Open) -> None:
    with opened("/echo") as client:
        client.send(frame(CLOSE, b"\x03\xe8"))
        assert client.read_close().code == 1000
        ends_clean(client)


def test_the_application_closes(opened: Open) -> None:
    with opened("/goodbye") as client:
        assert client.read_close().code == 4321
        client.send(frame(CLOSE, (4321).to_bytes(2, "big")))
        ends_clean(client)


def test_the_application_closes_and_the_client_does_not_answer(opened: Open) -> None:
    with opened("/goodbye") as client:
        assert client.read_close().code == 4321
        ends_clean(client)


def test_the_clients_close_stands_behind_messages_that_nobody_receives(opened: Open) -> None:
    """The server closes while an application has left more than a window unread."""
    with opened("/crash") as client:
        client.send(frame(BINARY, b"x" * 100_000) * 6 + frame(CLOSE, b"\x03\xe8"))
        client.read_close()
        ends_clean(client)


def test_a_stream_of_http2_ends() -> None:
    with Hornbeam("websocket_app:app") as server, Http2(server) as client:
        other = client.open("/echo")
        for data, code in BROKEN.values():
            stream = client.open("/echo")
            client.send(stream, data)
            opcode, payload = client.read(stream)
            assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2, "big"))
            client.wait(lambda stream=stream: stream in client.ended)
            client.send(other, frame(TEXT, b"still here"))
            assert client.read(other) == (TEXT, b"still here")
