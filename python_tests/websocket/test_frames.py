"""Frames as RFC 6455 has and forbids them: raw sockets, `wsproto`, and hypothesis."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Hornbeam
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websocket_client import BINARY, CLOSE, PING, PONG, TEXT, Client, frame
from websockets.sync.client import connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate

ZERO = b"\0\0\0\0"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam(
        "websocket_app:app", websocket_compress=True, websocket_max_frame_size=100_000
    ) as running:
        yield running


def raw(server: Hornbeam) -> Client:
    return Client(server.connect(), "/echo")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        # 5.1: a client must mask.
        (b"\x81\x01a", 1002),
        # 5.2: reserved bits without an extension, opcodes that mean nothing.
        (frame(TEXT, b"a", rsv=4), 1002),
        (frame(TEXT, b"a", rsv=1), 1002),
        (frame(3, b"a"), 1002),
        (frame(11, b"a"), 1002),
        # 5.2: a length in a longer form than it needs.
        (b"\x81\xfe\x00\x05" + ZERO + b"hello", 1002),
        (b"\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05" + ZERO + b"hello", 1002),
        (b"\x81\xff\xff\x00\x00\x00\x00\x00\x00\x05" + ZERO, 1002),
        # 5.4: fragments out of order.
        (frame(0, b"a"), 1002),
        (frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), 1002),
        # 5.5: control frames in fragments, or longer than 125.
        (frame(PING, b"a", fin=False), 1002),
        (frame(PING, b"a" * 126), 1002),
        # 5.5.1 and 7.4: half a close code, and codes that may not be sent.
        (frame(CLOSE, b"\x03"), 1002),
        (frame(CLOSE, (999).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (2999).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (5000).to_bytes(2, "big")), 1002),
        # 8.1: what is no UTF-8, also over the edge of fragments.
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xc3", fin=False) + frame(0, b"("), 1007),
        (frame(CLOSE, b"\x03\xe8\xff"), 1007),
        # 7.4.1: too big, in one frame (nothing of it need come), in fragments.
        (b"\x82\xff\x00\x00\x00\x00\x7f\xff\xff\xff" + ZERO, 1009),
        (frame(BINARY, b"a" * 60_000, fin=False) + frame(0, b"b" * 60_000), 1009),
    ],
)
def test_a_wrong_frame_is_answered_with_its_code(server: Hornbeam, data: bytes, code: int) -> None:
    with raw(server) as client:
        client.send(data)
        assert client.read_close().code == code
        client.send(frame(CLOSE, code.to_bytes(2, "big")))


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_a_close_is_echoed(server: Hornbeam, code: int) -> None:
    with raw(server) as client:
        client.send(frame(CLOSE, code.to_bytes(2, "big") + b"bye"))
        assert client.read_close().code == code
        assert client.at_end()


def test_control_frames_between_fragments(server: Hornbeam) -> None:
    with raw(server) as client:
        client.send(frame(TEXT, "h\u00e9".encode()[:2], fin=False))
        client.send(frame(PING, b"1") + frame(PONG, b"unasked"))
        client.send(frame(0, "h\u00e9".encode()[2:]) + frame(PING))
        assert client.read()[2:] == (PONG, b"1")
        assert {client.read()[2:] for _ in range(2)} == {(TEXT, "h\u00e9".encode()), (PONG, b"")}


def test_bytes_one_by_one(server: Hornbeam) -> None:
    with raw(server) as client:
        for byte in frame(TEXT, b"x" * 200) + frame(BINARY, b""):
            client.send(bytes([byte]))
        assert client.read()[2:] == (TEXT, b"x" * 200)
        assert client.read()[2:] == (BINARY, b"")


def test_a_message_of_the_largest_size(server: Hornbeam) -> None:
    with raw(server) as client:
        client.send(frame(BINARY, b"a" * 99_999, fin=False) + frame(0, b"b"))
        assert client.read().payload == b"a" * 99_999 + b"b"


def test_a_decompression_bomb_is_1009(server: Hornbeam) -> None:
    packer = zlib.compressobj(9, wbits=-15)
    bomb = packer.compress(b"\0" * 50_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 60_000
    with Client(server.connect(), "/echo", Sec_WebSocket_Extensions="permessage-deflate") as client:
        assert "permessage-deflate" in client.head
        client.send(frame(BINARY, bomb[:-4], rsv=4))
        assert client.read_close().code == 1009


def test_what_cannot_be_unpacked_is_1007(server: Hornbeam) -> None:
    with Client(server.connect(), "/echo", Sec_WebSocket_Extensions="permessage-deflate") as client:
        client.send(frame(BINARY, b"\xff" * 50, rsv=4))
        assert client.read_close().code == 1007


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=9",
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; unknown, permessage-deflate",
    ],
)
def test_compression_as_offered(server: Hornbeam, offer: str) -> None:
    # What repeats over more than one message, further apart than a small window.
    message = b"".join(b"%d " % number for number in range(9000))
    with Client(server.connect(), "/echo", Sec_WebSocket_Extensions=offer) as client:
        assert "permessage-deflate" in client.head
        bits = 10 if "bits=10" in offer else 12 if "client_max_window_bits" in offer else 15
        packer, unpacker = zlib.compressobj(9, wbits=-bits), zlib.decompressobj(-15)
        for _ in range(3):
            packed = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
            if "client_no_context" in offer:
                packer = zlib.compressobj(9, wbits=-bits)
            client.send(frame(BINARY, packed[:-4], rsv=4))
            answer = client.read()
            assert answer.rsv == 4
            assert len(answer.payload) < len(message) / 2
            if "server_no_context" in offer:
                unpacker = zlib.decompressobj(-15)
            assert unpacker.decompress(answer.payload + b"\0\0\xff\xff") == message


def test_compression_with_websockets(server: Hornbeam) -> None:
    with connect(server.url.replace("http", "ws") + "/echo") as client:
        assert client.response is not None
        assert "permessage-deflate" in client.response.headers["sec-websocket-extensions"]
        for message in ("short", "long " * 10_000, b"\0" * 50_000):
            client.send(message)
            assert client.recv() == message
        client.send(["frag", "ments" * 1000])
        assert client.recv() == "frag" + "ments" * 1000


def test_wsproto(server: Hornbeam) -> None:
    with server.connect() as connection:
        protocol = WSConnection(ConnectionType.CLIENT)
        events = _events(protocol, connection.recv)
        request = Request(host="test", target="/echo", extensions=[PerMessageDeflate()])
        connection.sendall(protocol.send(request))
        assert isinstance(next(events), AcceptConnection)
        text = "h\u00e9llo " * 5000
        connection.sendall(protocol.send(Message(data=text)))
        assert _whole(events, TextMessage) == text
        connection.sendall(protocol.send(Message(data=b"\0\1" * 100)))
        assert _whole(events, BytesMessage) == b"\0\1" * 100
        connection.sendall(protocol.send(Ping(payload=b"x")))
        assert next(events) == Pong(payload=b"x")
        connection.sendall(protocol.send(CloseConnection(code=3001, reason="done")))
        last = next(events)
        assert isinstance(last, CloseConnection) and last.code == 3001


def _events(protocol: WSConnection, receive: object) -> Iterator[Event]:
    assert callable(receive)
    while True:
        yield from protocol.events()
        protocol.receive_data(receive(65536) or None)


def _whole(events: Iterator[Event], kind: type) -> Any:
    parts: list[Any] = []
    for event in events:
        assert isinstance(event, Message) and isinstance(event, kind)
        parts.append(event.data)
        if event.message_finished:
            break
    return parts[0][:0].join(parts)


# A client that goes wrong somewhere: whatever it sends, the answer is a close with a code that says
# why, or the echo of what was right; and the server goes on.
PAYLOAD = st.one_of(st.binary(max_size=200), st.text(max_size=50).map(str.encode))
GOOD = st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG]), PAYLOAD).map(
    lambda it: frame(it[0], it[1][:125], mask=ZERO)
)
ODD = st.builds(
    frame, st.integers(0, 15), PAYLOAD, fin=st.booleans(), rsv=st.integers(0, 7), mask=st.just(ZERO)
)
CODES = {1000, 1001, 1002, 1003, 1005, 1007, 1009}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(st.one_of(GOOD, ODD, st.binary(max_size=20)), min_size=1, max_size=6))
def test_any_bytes_end_in_a_close_with_a_code(server: Hornbeam, parts: list[bytes]) -> None:
    with raw(server) as client:
        client.send(b"".join(parts))
        # A frame that is wrong whatever came before it, and longer than what any unfinished one may
        # still take.
        client.send(b"\xff" * 140_000)
        try:
            close = client.read_close()
        except ConnectionResetError:
            pytest.fail("a reset instead of a close")
        assert close.code in CODES or 3000 <= close.code <= 4999 or 1007 <= close.code <= 1014


def test_none_of_this_was_a_crash(server: Hornbeam) -> None:
    with raw(server) as client:
        client.send(frame(TEXT, b"still here"))
        assert client.read().payload == b"still here"
    assert "crash" not in server.output.lower()
    assert "error" not in server.output.lower()
