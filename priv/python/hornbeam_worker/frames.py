"""The frames between the BEAM and this worker: a codec without I/O, the mirror of `hornbeam_frame`.

The diagram of a frame and the table of types stand in `src/wire/hornbeam_frame.erl`; both sides
read `test/wire_vectors.json` in their tests. Integers are big-endian; a frame is

    size:u32  type:u8  stream:u32  payload (size - 5 bytes)
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = [
    "HEADER_SIZE",
    "MAX_SIZE",
    "PROTOCOL_VERSION",
    "Decoder",
    "Frame",
    "FrameError",
    "Measured",
    "encode",
]

PROTOCOL_VERSION: Final = 2
# The largest frame that either side accepts.
MAX_SIZE: Final = 67_108_864
HEADER_SIZE: Final = 9
# What is read at once; of a large frame only what is missing to it, as far as a pipe holds it.
READ_SIZE: Final = 262_144
LARGE: Final = 32_768
MOST: Final = 1_048_576

# To the worker.
BOOT: Final = 0x01
DRAIN: Final = 0x02
STOP: Final = 0x03
PING: Final = 0x04
REPLY: Final = 0x05
EVENT: Final = 0x06
INVOKE: Final = 0x07
PERFORM: Final = 0x08
DIAGNOSE: Final = 0x09
REQUEST: Final = 0x10
BODY: Final = 0x11
CREDIT: Final = 0x12
DISCONNECT: Final = 0x13
BODY_END: Final = 0x14
WS_OPEN: Final = 0x20
WS_TEXT: Final = 0x21
WS_BINARY: Final = 0x22
WS_CLOSE: Final = 0x23
# From the worker.
HELLO: Final = 0x41
READY: Final = 0x42
FAILED: Final = 0x43
DRAINED: Final = 0x44
PONG: Final = 0x45
LOG: Final = 0x46
CALL: Final = 0x47
RESULT: Final = 0x48
DIAGNOSED: Final = 0x49
EXITED: Final = 0x4A
RESPONSE: Final = 0x50
DATA: Final = 0x51
DEMAND: Final = 0x52
ABORT: Final = 0x53
INFORM: Final = 0x54
TRAILERS: Final = 0x55
PATHSEND: Final = 0x56
WS_ACCEPT: Final = 0x60
WS_SEND_TEXT: Final = 0x61
WS_SEND_BYTES: Final = 0x62
WS_END: Final = 0x63
WS_SUBSCRIBE: Final = 0x64
WS_UNSUBSCRIBE: Final = 0x65

_TO_WORKER = frozenset(
    (
        *(BOOT, DRAIN, STOP, PING, REPLY, EVENT, INVOKE, PERFORM, DIAGNOSE),
        *(REQUEST, BODY, BODY_END, CREDIT, DISCONNECT, WS_OPEN, WS_TEXT, WS_BINARY, WS_CLOSE),
    )
)

_HEADER = struct.Struct(">IBI")
# flags, ms that are left, bytes of the target.
_PERFORM = struct.Struct(">BIH")
# Where an envelope begins in a payload, modulo 16 (hornbeam_frame).
ENVELOPE_AT: Final = 6
_RESPONSE = struct.Struct(">IBIBHI")
_RESPONSE_MEASURED = struct.Struct(">IBIBHIQ")
_MEASURED = struct.Struct(">Q")
_DATA = struct.Struct(">IBIB")
_DATA_SIZE = struct.Struct(">I")


class FrameError(Exception):
    """The bytes are no frame: the other side is not what it should be."""


class Frame(NamedTuple):
    """One frame as it arrived; `stream` is 0 for the worker as a whole, a call's id for REPLY."""

    type: int
    stream: int
    payload: bytes


def encode(kind: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return _HEADER.pack(5 + len(payload), kind, stream) + payload


# Of a request, where the server wants figures of it: ns in the application; the route's template
# behind a byte of its length.
Measured = tuple[int, bytes]


def response(
    stream: int,
    last: bool,
    status: int,
    headers: bytes,
    body: bytes,
    measured: Measured | None = None,
) -> tuple[bytes] | tuple[bytes, bytes]:
    """A RESPONSE frame, a large body as a part of its own, which need not be copied; `headers` is a
    msgpack array of pairs of bytes, `measured` from `routes`."""
    length, size = len(headers), 12 + len(headers) + len(body)
    if measured is None:
        head, route = _RESPONSE.pack(size, RESPONSE, stream, last, status, length), b""
    else:
        spent, route = measured
        size += 8 + len(route)
        head = _RESPONSE_MEASURED.pack(size, RESPONSE, stream, last | 2, status, length, spent)
    if size < LARGE:
        return (b"".join((head, route, headers, body)),)
    return (b"".join((head, route, headers)), body)


def pathsend(
    stream: int, status: int, headers: bytes, path: bytes, measured: Measured | None = None
) -> bytes:
    """A PATHSEND frame; as `response`."""
    flags, block = _block(measured)
    size = 12 + len(block) + len(headers) + len(path)
    head = _RESPONSE.pack(size, PATHSEND, stream, flags, status, len(headers))
    return b"".join((head, block, headers, path))


def abort(stream: int, reason: int, measured: Measured | None = None) -> bytes:
    """An ABORT frame; as `response`."""
    flags, block = _block(measured)
    return flagged_head(ABORT, stream, flags, 1 + len(block)) + bytes([reason]) + block


def _block(measured: Measured | None, last: bool = True) -> tuple[int, bytes]:
    """The flags of a frame, and what it says of that."""
    if measured is None:
        return last, b""
    return last | 2, _MEASURED.pack(measured[0]) + measured[1]


def flagged(kind: int, stream: int, last: bool, payload: bytes = b"") -> bytes:
    """A frame about a stream: a byte of flags (bit 0: the last of the stream), then the payload."""
    return _DATA.pack(6 + len(payload), kind, stream, last) + payload


def measured(
    kind: int, stream: int, last: bool, payload: bytes, measured: Measured | None
) -> bytes:
    """The same of a WebSocket's handshake, with what `routes` says of it, if it does."""
    if measured is None:
        return flagged(kind, stream, last, payload)
    flags, block = _block(measured, last)
    return flagged_head(kind, stream, flags, len(block) + len(payload)) + block + payload


def flagged_head(kind: int, stream: int, flags: int, size: int) -> bytes:
    """What stands before the `size` bytes of such a frame, which need not be copied for it."""
    return _DATA.pack(6 + size, kind, stream, flags)


def call_head(stream: int, size: int) -> bytes:
    """What stands before the `size` bytes of a CALL frame."""
    return _HEADER.pack(5 + size, CALL, stream)


def perform(payload: bytes) -> tuple[int, int, str, memoryview]:
    """Of a PERFORM frame: flags, milliseconds that are left (0: no limit), target, envelope."""
    flags, left, size = _PERFORM.unpack_from(payload)
    end = _PERFORM.size + size
    target = payload[_PERFORM.size : end].decode()
    return flags, left, target, memoryview(payload)[end + (ENVELOPE_AT - end) % 16 :]


def data_head(stream: int, last: bool, size: int) -> bytes:
    """What stands before the `size` bytes of a DATA frame."""
    return flagged_head(DATA, stream, last, size)


def grown(frame: bytearray, last: bool) -> None:
    """Makes a DATA frame right again whose body has got longer."""
    _DATA_SIZE.pack_into(frame, 0, len(frame) - 4)
    frame[9] = last


def only_reply(data: bytes, number: int) -> bytes | None:
    """The payload, if the bytes are one REPLY frame to that call and nothing else."""
    if len(data) < 9:
        return None
    size, kind, stream = _HEADER.unpack_from(data)
    return data[9:] if kind == REPLY and stream == number and size + 4 == len(data) else None


class Decoder:
    """Splits a stream of bytes into frames, however the bytes are cut.

    After a large frame the next one is probably as large. Who reads no more at once than `wants`
    gets its header alone and then its payload alone, which is an object of its own without a copy.
    """

    __slots__ = ("_after_large", "_chunks", "_have", "_need")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = 0
        self._after_large = False

    def is_empty(self) -> bool:
        """Whether no part of a frame is held."""
        return not self._chunks

    def wants(self) -> int:
        """How many bytes to read next, at most."""
        if not self._chunks:
            return HEADER_SIZE if self._after_large else READ_SIZE
        missing = self._need - self._have
        return min(missing, MOST) if missing >= LARGE else READ_SIZE

    def feed(self, data: bytes) -> list[Frame]:
        """Adds bytes; the frames that they complete, in order. FrameError for garbage."""
        if not self._chunks:
            if len(data) >= HEADER_SIZE:  # mostly one frame alone
                size, kind, stream = _HEADER.unpack_from(data)
                if size + 4 == len(data) and size < LARGE and kind in _TO_WORKER:
                    self._after_large = False
                    return [Frame(kind, stream, data[HEADER_SIZE:])]
        else:
            self._chunks.append(data)
            self._have += len(data)
            if self._have < self._need:
                return []
            if self._have == self._need and len(self._chunks[0]) >= HEADER_SIZE:
                return [self._whole()]
            data = b"".join(self._chunks)
            self._chunks.clear()
        frames: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= HEADER_SIZE:
            size, kind, stream = _HEADER.unpack_from(data, at)
            if size < 5 or size > MAX_SIZE:
                raise FrameError(f"a frame of {size} bytes")
            if kind not in _TO_WORKER:
                raise FrameError(f"a frame of type {kind:#04x}")
            after = at + 4 + size
            if after > end:
                break
            frames.append(Frame(kind, stream, data[at + HEADER_SIZE : after]))
            at = after
        if at < end:
            self._hold(data[at:])
        self._after_large = at >= LARGE and len(frames[-1].payload) >= LARGE
        return frames

    def _hold(self, rest: bytes) -> None:
        self._chunks.append(rest)
        self._have = len(rest)
        self._need = 0
        if self._have >= 4:
            self._need = 4 + int.from_bytes(rest[:4], "big")
            if not HEADER_SIZE <= self._need <= MAX_SIZE + 4:
                raise FrameError(f"a frame of {self._need - 4} bytes")

    def _whole(self) -> Frame:
        """The frame that is all that is held."""
        chunks, self._chunks = self._chunks, []
        size, kind, stream = _HEADER.unpack_from(chunks[0])
        if kind not in _TO_WORKER:
            raise FrameError(f"a frame of type {kind:#04x}")
        chunks[0] = chunks[0][HEADER_SIZE:]
        self._after_large = size - 5 >= LARGE
        # A single one is not copied.
        return Frame(kind, stream, b"".join(chunks if chunks[0] else chunks[1:]))
