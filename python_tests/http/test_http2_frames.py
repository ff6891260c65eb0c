"""HTTP/2 frame by frame: what RFC 9113 allows and forbids, each bound at N - 1, N and N + 1.

The frames are made by hand; what comes back is read by hyperframe and hpack.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import pytest
from harness import Hornbeam, memory, wait_until
from hpack import Decoder, Encoder
from http_client import H2, frame
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = frame(4, 0, 0)
MIB = 1 << 20
DATA, HEADERS, RESET, WINDOW, CONTINUATION = 0, 1, 3, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
NO_ERROR, PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, REFUSED = 0, 1, 3, 5, 6, 7
COMPRESSION, CALM = 9, 11


@dataclass
class Seen:
    """What the server has said of one stream."""

    heads: list[list[tuple[str, str]]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> str:
        return dict(self.heads[-1])[":status"] if self.heads else ""


class Wire:
    """A connection that says what it is told to, and takes in whatever comes."""

    def __init__(self, server: Hornbeam, *, first: bytes = PREFACE + SETTINGS) -> None:
        self.sock = server.connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.streams: dict[int, Seen] = {}
        self.kinds: list[int] = []
        self.goaway: int | None = None
        self.closed = False
        self._data = b""
        self.send(first)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_about: object) -> None:
        self.sock.close()

    def send(self, *data: bytes) -> None:
        self.sock.sendall(b"".join(data))

    def head(
        self, path: str = "/facts", *more: tuple[str, str], method: str = "GET",
    ) -> bytes:  # fmt: skip
        """A block of fields. As HPACK has a state, it must be sent, and in this order."""
        usual = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]
        return self.encoder.encode([*usual, *more])

    def get(self, stream: int, path: str = "/facts", *more: tuple[str, str]) -> bytes:
        return frame(HEADERS, END_STREAM | END_HEADERS, stream, self.head(path, *more))

    def post(self, stream: int, path: str = "/length", *more: tuple[str, str]) -> bytes:
        return frame(HEADERS, END_HEADERS, stream, self.head(path, *more, method="POST"))

    def trailers(self, stream: int, *fields: tuple[str, str], flags: int = 5) -> bytes:
        return frame(HEADERS, flags, stream, self.encoder.encode(fields))

    def step(self) -> None:
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            data = b""
        self.closed = not data
        self._data += data
        while len(self._data) >= 9:
            one, length = Frame.parse_frame_header(memoryview(self._data[:9]))
            if len(self._data) < 9 + length:
                break
            one.parse_body(memoryview(self._data[9 : 9 + length]))
            self._data = self._data[9 + length :]
            self._take(one)

    def _take(self, one: Frame) -> None:
        self.kinds.append(one.type or 0)
        seen = self.streams.setdefault(one.stream_id, Seen())
        if isinstance(one, HeadersFrame):
            seen.heads.append([(str(n), str(v)) for n, v in self.decoder.decode(one.data)])
        elif isinstance(one, DataFrame):
            seen.body += one.data
        elif isinstance(one, RstStreamFrame):
            seen.reset = one.error_code
        elif isinstance(one, GoAwayFrame):
            self.goaway = one.error_code
        seen.ended = seen.ended or "END_STREAM" in one.flags

    def answer(self, stream: int) -> Seen:
        """Until the stream is over, or the connection."""
        while True:
            seen = self.streams.get(stream, Seen())
            if seen.ended or seen.reset is not None or self.closed:
                return seen
            self.step()

    def end(self) -> int | None:
        """Until the server closes; what it has said for good-bye."""
        with suppress(ConnectionResetError):
            while not self.closed:
                self.step()
        return self.goaway

    def is_served(self, stream: int) -> bool:
        self.send(self.get(stream))
        return self.answer(stream).status == "200"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app", max_frame_rate=10_000) as server:
        yield server


@pytest.fixture(scope="module")
def echo() -> Iterator[Hornbeam]:
    with Hornbeam("http_echo:app") as server:
        yield server


@pytest.fixture(scope="module")
def strict() -> Iterator[Hornbeam]:
    with Hornbeam(
        "http_messages:app", max_frame_rate=200, max_empty_frame_rate=20, max_reset_rate=10,
        max_streams=5, max_head_size=20_000, header_timeout=400, body_prefetch=1000,
        keepalive_timeout=60_000,
    ) as server:  # fmt: skip
        yield server


# Heads


@pytest.mark.parametrize("octets", [16_000, 60_000])
def test_a_head_that_repeats_one_field_by_reference_costs_little(
    server: Hornbeam, octets: int
) -> None:
    """One octet for each field of 4 KB; sixteen at once, 4 MiB each at most."""
    literal = b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000
    block = b"\x82\x86\x84\x41\x01a" + literal + b"\xbe" * (octets - len(literal) - 6)
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    kinds = [HEADERS, *[CONTINUATION] * (len(parts) - 1)]
    flags = [END_STREAM, *[0] * (len(parts) - 1)]
    flags[-1] |= END_HEADERS
    frames = b"".join(map(frame, kinds, flags, [3] * len(parts), parts))
    beam = server.beam()
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(server)) for _ in range(16)]
        assert all(wire.is_served(1) for wire in wires)
        before, peak, stop = memory(beam), [0], threading.Event()

        def watch() -> None:
            while not stop.wait(0.001):
                peak[0] = max(peak[0], memory(beam) - before)

        watcher = threading.Thread(target=watch)
        watcher.start()
        for wire in wires:
            wire.send(frames)
        answers = [wire.answer(3).status for wire in wires]
        stop.set()
        watcher.join()
    assert answers == ["431"] * 16
    assert peak[0] < 16 * 4 * MIB


def test_fields_keep_their_order_and_repetitions(echo: Hornbeam) -> None:
    """As on HTTP/1 (ASGI, "headers"); the parts of a cookie are one (RFC 9113, 8.2.3)."""
    with Wire(echo) as wire:
        more = [("x-b", "1"), ("cookie", "a=1"), ("x-a", "2"), ("x-b", "3"), ("cookie", "b=2")]
        wire.send(wire.get(1, "/", *more))
        said = json.loads(wire.answer(1).body)["headers"]
        assert said == [["host", "a"], ["x-b", "1"], ["cookie", "a=1; b=2"], ["x-a", "2"],
                        ["x-b", "3"]]  # fmt: skip


def test_fields_of_a_response_keep_theirs(server: Hornbeam) -> None:
    with Wire(server) as wire:
        wire.send(wire.get(1, "/early_hint"))
        hints = wire.answer(1).heads[0]
        assert hints == [(":status", "103"), ("link", "</a.css>; rel=preload"),
                         ("link", "</b.js>; rel=preload")]  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [[("X-A", "1")], [("connection", "close")], [("keep-alive", "1")], [("upgrade", "h2c")],
     [("transfer-encoding", "chunked")], [("te", "gzip")], [(":path", "/")], [(":status", "200")],
     [("content-length", "1")]],
    ids=str,
)  # fmt: skip
def test_a_malformed_head_is_reset(server: Hornbeam, fields: list[tuple[str, str]]) -> None:
    """RFC 9113, 8.1.1: the stream's error, and nobody else's."""
    with Wire(server) as wire:
        wire.send(wire.get(1, "/facts", *fields))
        assert wire.answer(1).reset == PROTOCOL
        assert wire.is_served(3)


def test_a_head_that_is_no_hpack_ends_the_connection(server: Hornbeam) -> None:
    for block in (b"\x80", b"\xff" * 15_000, b"\x40\x05abc"):
        with Wire(server, first=PREFACE + SETTINGS + frame(HEADERS, 5, 1, block)) as wire:
            assert wire.end() == COMPRESSION


# Trailers


@pytest.mark.parametrize("length", [[], [("content-length", "5")]], ids=["unknown", "declared"])
@pytest.mark.parametrize("pieces", [0, 1, 5])
def test_a_request_that_ends_in_trailers_is_answered(
    server: Hornbeam, length: list[tuple[str, str]], pieces: int
) -> None:
    size = 5 if pieces else 0
    with Wire(server) as wire:
        declared = length if size else []
        wire.send(wire.post(1, "/length", *declared))
        wire.send(*(frame(DATA, 0, 1, b"a" * (size // pieces)) for _ in range(pieces)))
        wire.send(wire.trailers(1, ("x-sum", "42")))
        assert (wire.answer(1).body, wire.answer(1).reset) == (b"%d" % size, None)
        assert wire.is_served(3)


@pytest.mark.parametrize(
    "fields",
    [[(":path", "/")], [("x", "1"), (":method", "GET")], [("X-Sum", "1")], [("connection", "x")],
     [("transfer-encoding", "chunked")], [("x", "a\nb")]],
    ids=str,
)  # fmt: skip
def test_trailers_that_may_not_be_are_refused(
    server: Hornbeam, fields: list[tuple[str, str]]
) -> None:
    with Wire(server) as wire:
        wire.send(wire.post(1), frame(DATA, 0, 1, b"abc"), wire.trailers(1, *fields))
        assert wire.answer(1).reset == PROTOCOL
        assert wire.is_served(3)


def test_trailers_end_the_request(server: Hornbeam) -> None:
    """RFC 9113, 8.1; a length that is not what came is not made right by them."""
    with Wire(server) as wire:
        wire.send(wire.post(1), wire.trailers(1, ("x", "1"), flags=END_HEADERS))
        assert wire.answer(1).reset == PROTOCOL
        wire.send(wire.post(3, "/length", ("content-length", "4")), frame(DATA, 0, 3, b"abc"))
        wire.send(wire.trailers(3, ("x", "1")))
        assert wire.answer(3).reset == PROTOCOL
        assert wire.is_served(5)


# Bodies and states


def test_a_body_that_is_declared_to_be_none_may_end_later(server: Hornbeam) -> None:
    with Wire(server) as wire:
        wire.send(wire.post(1, "/length", ("content-length", "0")), frame(DATA, END_STREAM, 1))
        assert (wire.answer(1).body, wire.answer(1).reset) == (b"0", None)
        assert wire.is_served(3)


@pytest.mark.parametrize(("declared", "sent"), [(4, 5), (6, 5), (0, 1)])
def test_a_body_that_is_not_as_long_as_it_says(server: Hornbeam, declared: int, sent: int) -> None:
    with Wire(server) as wire:
        wire.send(wire.post(1, "/wait", ("content-length", str(declared))))
        wire.send(frame(DATA, END_STREAM, 1, b"a" * sent))
        assert wire.answer(1).reset == PROTOCOL
        assert wire.is_served(3)


def test_a_stream_whose_client_has_ended(server: Hornbeam) -> None:
    """RFC 9113, 5.1: half-closed."""
    with Wire(server) as wire:
        wire.send(wire.get(1, "/wait"), frame(DATA, 0, 1, b"a"))
        assert wire.answer(1).reset == STREAM_CLOSED
        wire.send(wire.get(3, "/wait"), wire.trailers(3, ("x", "1")))
        assert wire.answer(3).reset == STREAM_CLOSED
        assert wire.is_served(5)


@pytest.mark.parametrize(
    ("data", "code"),
    [(frame(DATA, 0, 1, b"a"), PROTOCOL), (frame(RESET, 0, 1, bytes(4)), PROTOCOL),
     (frame(WINDOW, 0, 1, b"\0\0\0\1"), PROTOCOL), (frame(WINDOW, 0, 2, b"\0\0\0\1"), PROTOCOL),
     (frame(HEADERS, 5, 2, b"\x82"), PROTOCOL), (frame(CONTINUATION, 4, 1), PROTOCOL),
     (frame(5, 4, 1, b"\0\0\0\2\x82"), PROTOCOL), (frame(6, 0, 0, b"1"), FRAME_SIZE),
     (frame(7, 0, 0, b"1234"), FRAME_SIZE), (frame(DATA, 0, 1, bytes(16_385)), FRAME_SIZE),
     (frame(HEADERS, 1, 1, b"\x82") + frame(6, 0, 0, bytes(8)), PROTOCOL),
     (frame(HEADERS, 1, 1, b"\x82") + frame(CONTINUATION, 4, 3), PROTOCOL)],
)  # fmt: skip
def test_frames_that_end_the_connection(server: Hornbeam, data: bytes, code: int) -> None:
    with Wire(server) as wire:
        wire.send(data)
        assert wire.end() == code
    assert "has failed" not in server.output


def test_settings_come_first(server: Hornbeam) -> None:
    with Wire(server, first=PREFACE + frame(6, 0, 0, bytes(8))) as wire:
        assert wire.end() == PROTOCOL


def test_a_stream_that_was_reset_is_left_alone(server: Hornbeam) -> None:
    """RFC 9113, 5.1: what was on its way is ignored; what comes for an older one is an error."""
    with Wire(server) as wire:
        wire.send(wire.post(3, "/no_body"))
        assert wire.answer(3).status == "401"
        while wire.streams[3].reset is None:
            wire.step()
        wire.send(frame(DATA, 0, 3, b"late"), wire.trailers(3, ("x", "1")))
        assert wire.streams[3].reset == NO_ERROR
        assert wire.is_served(5)
        wire.send(wire.get(1))
        assert wire.end() == PROTOCOL


# Windows


@pytest.mark.parametrize("window", [0, 1, 65_535, 0x7FFF_FFFF])
def test_windows_of_the_client(server: Hornbeam, window: int) -> None:
    size = 100_000
    first = PREFACE + frame(4, 0, 0, struct.pack(">HI", 4, window))
    with Wire(server, first=first) as wire:
        wire.send(frame(WINDOW, 0, 0, struct.pack(">I", 0x7FFF_FFFF - 65_535)))
        wire.send(wire.get(1, f"/big?text/plain&{size}"), wire.get(3, "/no_body"))
        wait = min(window, size)
        while not wire.streams.get(1, Seen()).heads or len(wire.streams[1].body) < wait:
            wire.step()
        assert len(wire.streams[1].body) == wait
        if window < size:
            wire.send(frame(WINDOW, 0, 1, struct.pack(">I", size - window)))
        assert (len(wire.answer(1).body), wire.answer(1).reset) == (size, None)


def test_a_window_of_the_client_that_grows_too_large(server: Hornbeam) -> None:
    """RFC 9113, 6.9.1 and 6.9.2: 2^31-1 is the most."""
    most = struct.pack(">I", 0x7FFF_FFFF)
    rest = struct.pack(">I", 0x7FFF_FFFF - 65_535)
    with Wire(server) as wire:
        wire.send(frame(WINDOW, 0, 0, rest))
        assert wire.is_served(1)
        wire.send(frame(WINDOW, 0, 0, struct.pack(">I", 100)))
        assert wire.end() == FLOW_CONTROL
    with Wire(server) as wire:
        wire.send(wire.get(1, "/wait"), frame(WINDOW, 0, 1, rest))
        assert wire.is_served(3)
        wire.send(frame(WINDOW, 0, 1, struct.pack(">I", 100)))
        assert wire.answer(1).reset == FLOW_CONTROL
        assert wire.is_served(5)
    with Wire(server) as wire:
        wire.send(wire.get(1, "/wait"))
        while 1 not in wire.streams:
            wire.step()
        wire.send(frame(WINDOW, 0, 1, struct.pack(">I", 100)), frame(4, 0, 0, b"\0\4" + most))
        assert wire.end() == FLOW_CONTROL
    with Wire(server) as wire:
        wire.send(frame(4, 0, 0, b"\0\4\x80\0\0\0"))
        assert wire.end() == FLOW_CONTROL
    with Wire(server) as wire:  # an increment of nothing
        wire.send(wire.get(1, "/wait"), frame(WINDOW, 0, 1, bytes(4)))
        assert wire.answer(1).reset == PROTOCOL
        wire.send(frame(WINDOW, 0, 0, bytes(4)))
        assert wire.end() == PROTOCOL


@pytest.mark.parametrize("padding", [None, 0, 99])
@pytest.mark.parametrize("size", [16_383, 16_384, 16_385])
def test_the_server_s_window_is_kept_to_the_octet(
    strict: Hornbeam, size: int, padding: int | None
) -> None:
    """A frame's, if body_prefetch is less; once the settings are acknowledged (RFC 9113, 6.5.3).

    Padding counts (6.9.1).
    """
    with Wire(strict) as wire:
        # Nobody takes it.
        wire.send(frame(4, 1, 0), wire.post(1, "/slowly"), frame(DATA, 0, 1, b"a" * 16_000))
        if padding is None:
            wire.send(frame(DATA, 0, 1, b"a" * (size - 16_000)))
        else:
            rest = b"a" * (size - 16_000 - 1 - padding)
            wire.send(frame(DATA, PADDED, 1, bytes([padding]) + rest + bytes(padding)))
        assert wire.is_served(3)
        seen = wire.streams.get(1, Seen())
        assert seen.reset == (FLOW_CONTROL if size > 16_384 else None)


def test_before_its_settings_are_acknowledged_a_client_knows_the_default(strict: Hornbeam) -> None:
    with Wire(strict) as wire:
        wire.send(wire.post(1), frame(DATA, 0, 1, b"a" * 16_384) * 3, frame(DATA, 1, 1, b"a"))
        assert wire.answer(1).body == b"49153"


def test_padding_uses_up_no_window(strict: Hornbeam) -> None:
    with Wire(strict) as wire:
        wire.send(frame(4, 1, 0), wire.post(1))
        for _ in range(15):
            wire.send(*[frame(DATA, PADDED, 1, bytes([250]) + b"a" + bytes(250))] * 10)
            wire.send(frame(6, 0, 0, bytes(8)))
            wire.kinds.clear()
            while 6 not in wire.kinds:  # what was given back has come by then
                wire.step()
        wire.send(frame(DATA, END_STREAM, 1, b""))
        assert wire.answer(1).body == b"150"


# Floods


@pytest.mark.parametrize(("count", "ends"), [(197, False), (198, False), (199, True)])
def test_frames_of_all_kinds(strict: Hornbeam, count: int, ends: bool) -> None:
    """SETTINGS and the request are two of max_frame_rate."""
    with Wire(strict) as wire:
        wire.send(frame(0xEE, 0, 0) * count)
        assert wire.is_served(1) != ends
        assert not ends or wire.end() == CALM


@pytest.mark.parametrize(("count", "ends"), [(9, False), (10, False), (11, True)])
@pytest.mark.parametrize("how", ["the client's", "the server's", "refused"])
def test_resets(strict: Hornbeam, count: int, ends: bool, how: str) -> None:
    """Those that a client makes the server send cost as much as its own (CVE-2025-8671)."""
    with Wire(strict) as wire:
        first = 1
        if how == "refused":
            wire.send(*(wire.get(stream, "/wait") for stream in range(1, 11, 2)))
            first = 11
        for stream in range(first, first + 2 * count, 2):
            wire.send(wire.get(stream, "/wait"))
            if how == "the client's":
                wire.send(frame(RESET, 0, stream, b"\0\0\0\x08"))
            elif how == "the server's":
                wire.send(frame(WINDOW, 0, stream, bytes(4)))
        if ends:
            assert wire.end() == CALM
        else:
            wire.send(frame(6, 0, 0, bytes(8)))
            while 6 not in wire.kinds:
                wire.step()
            assert wire.goaway is None
            resets = [seen.reset for seen in wire.streams.values() if seen.reset is not None]
            assert len(resets) == (0 if how == "the client's" else count)


@pytest.mark.parametrize(("size", "ends"), [(19_999, False), (20_000, False), (20_001, True)])
@pytest.mark.parametrize("complete", [True, False])
def test_a_head_in_continuation_frames(
    strict: Hornbeam, size: int, ends: bool, complete: bool
) -> None:
    """CVE-2024-27316: max_head_size holds for what comes, compressed and complete or not."""
    with Wire(strict) as wire:
        head = wire.head()
        filler = b"\x00\x01x\x7f\x80\x01" + b"v" * 255  # a field of 255 octets
        block = head + filler * ((size - len(head)) // len(filler) - 1)
        left = size - len(block) - 6
        block += b"\x00\x01y\x7f" + struct.pack("BB", 128 | (left - 127) % 128, (left - 127) // 128)
        block += b"v" * left
        parts = [block[at : at + 5000] for at in range(0, size, 5000)]
        wire.send(frame(HEADERS, END_STREAM, 1, parts[0]))
        wire.send(*(frame(CONTINUATION, 0, 1, part) for part in parts[1:]))
        if complete and not ends:
            wire.send(frame(CONTINUATION, END_HEADERS, 1))
            assert wire.answer(1).status == "200"
        else:  # too large, or not complete in header_timeout
            assert wire.end() == CALM


@pytest.mark.parametrize(("count", "ends"), [(19, False), (20, False), (21, True)])
def test_continuation_frames_that_carry_nothing(strict: Hornbeam, count: int, ends: bool) -> None:
    with Wire(strict) as wire:
        wire.send(frame(HEADERS, END_STREAM, 1, wire.head()), frame(CONTINUATION, 0, 1) * count)
        wire.send(frame(CONTINUATION, END_HEADERS, 1))
        if ends:
            assert wire.end() == CALM
        else:  # a newer Cowlib takes none at all
            assert wire.answer(1).status == "200" or wire.goaway == CALM


@pytest.mark.parametrize(
    "data",
    [PREFACE[:10], PREFACE, PREFACE + SETTINGS + frame(HEADERS, 1, 1, b"\x82"),
     PREFACE + SETTINGS + frame(HEADERS, 5, 1, b"\x82\x86\x84")[:10],
     PREFACE + SETTINGS + frame(6, 0, 0, bytes(8))[:12]],
    ids=["a preface", "no settings", "a head", "HEADERS", "another frame"],
)  # fmt: skip
def test_what_has_begun_must_go_on(strict: Hornbeam, data: bytes) -> None:
    """header_timeout; an idle connection has keepalive_timeout, which is longer here."""
    with Wire(strict, first=data) as wire:
        wire.end()
        assert wire.closed


# In any pieces


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=60), data=st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_cut_anywhere_the_answers_are_the_same(
    server: Hornbeam, cuts: list[int], data: st.DataObject
) -> None:
    """Single octets too."""
    order = data.draw(st.permutations(range(4)))
    with Wire(server) as wire:
        streams = {
            0: lambda s: wire.get(s, "/big?text/plain&100"),
            1: lambda s: wire.post(s) + frame(DATA, 0, s, b"ab") + frame(DATA, 1, s, b"c" * 20),
            2: lambda s: wire.post(s) + frame(DATA, 8, s, b"\2abcd\0\0") + wire.trailers(s),
            3: lambda s: wire.get(s, "/", ("X", "1")),
        }
        message = b"".join(streams[kind](2 * at + 1) for at, kind in enumerate(order))
        at = 0
        while at < len(message):
            size = cuts[at % len(cuts)]
            wire.send(message[at : at + size])
            at += size
        wanted = {0: (b"a" * 100, None), 1: (b"22", None), 2: (b"4", None), 3: (b"", PROTOCOL)}
        for place, kind in enumerate(order):
            seen = wire.answer(2 * place + 1)
            assert (seen.body, seen.reset) == wanted[kind]
        assert wire.goaway is None


def test_a_large_response_leaves_a_small_one_its_turn(server: Hornbeam) -> None:
    with H2(server, window=(1 << 31) - 1) as client:
        client.connection.increment_flow_control_window((1 << 31) - 1 - 65_535)
        client.flush()
        large = client.request(f"/big?text/plain&{8 * MIB}")
        while large not in client.answers:
            client.step()
        assert client.answer(client.request("/facts")).status == 200
        assert not client.answers[large].complete
        assert len(client.answer(large).body) == 8 * MIB
    wait_until(lambda: "has failed" not in server.output, 1, "nothing has failed")


def test_what_comes_slowly_but_comes_has_its_time() -> None:
    """Heads, each in parts in less than header_timeout; a frame of DATA for which that is short."""
    with Hornbeam(
        "http_messages:app", header_timeout=600, body_timeout=600
    ) as server, Wire(server) as wire:  # fmt: skip
        pause = threading.Event()
        message = b"".join(wire.get(stream) for stream in (1, 3, 5, 7))
        message += wire.post(9) + frame(DATA, END_STREAM, 9, b"a" * 20)
        step = len(message) // 8
        for at in range(0, len(message), step):
            wire.send(message[at : at + step])
            pause.wait(0.2)
        answers = [wire.answer(stream) for stream in (1, 3, 5, 7, 9)]
        assert [answer.status for answer in answers] == ["200"] * 5
        assert answers[-1].body == b"20"
