"""Sessions of a worker as a strategy: frames that it may send in their order, then mutated.

A session is the script that test/fake_worker.py plays for one request: the bytes that it writes to
the BEAM. Most are near to what a worker may say, since garbage alone is refused by its first bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
from hypothesis import strategies as st

from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker import frames, values

__all__ = ["Session", "sessions"]

# test/fake_worker.py
STREAM = 0xFEEDF00D
PAUSE = b"\xfe\xed\xf0\x0e"

FROM_WORKER = [code for code in range(0x41, 0x66) if not 0x49 <= code <= 0x4F]
EDGES = [0, 1, 2, 99, 100, 101, 199, 200, 255, 999, 1000, 1005, 4999, 65_535, 2**31, 2**32 - 1]


@dataclass(frozen=True)
class Session:
    """What is played, and for what kind of request."""

    websocket: bool
    script: bytes


numbers = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**32 - 1))
small = st.binary(max_size=30)
bodies = st.one_of(
    small, st.sampled_from([16, 1024, 4096, 8192, 8193]).map(lambda size: bytes(size))
)
headers = st.lists(
    st.tuples(st.sampled_from([b"x-a", b"set-cookie", b"content-length", b"date", b""]), small),
    max_size=3,
).map(msgpack.packb)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2**32, 2**63, -(2**63), 2**14_000, 0.5, float("nan"), float("inf")]),
    st.text(max_size=5),
    st.sampled_from(["a", "a*", "*" * 200, "x" * 66_000, "kernel", "erlang", "halt"]),
    st.binary(max_size=5),
)
anything: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda parts: st.one_of(
        st.lists(parts, max_size=4),
        st.lists(parts, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=3), parts, max_size=3),
    ),
    max_leaves=6,
)


def frame(kind: int, payload: bytes, stream: int = STREAM) -> bytes:
    return frames.encode(kind, stream, payload)


def flagged(kind: int, last: bool, payload: bytes = b"") -> bytes:
    return frame(kind, bytes([last]) + payload)


def response(last: bool, status: int, packed: bytes, body: bytes) -> bytes:
    return b"".join(frames.response(STREAM, last, status, packed, body))


statuses = st.one_of(st.sampled_from([200, 204, 304, 404, 999]), st.integers(190, 1010))
demands = st.one_of(st.sampled_from([1, 1, 1, 2]), numbers).map(
    lambda count: flagged(frames.DEMAND, False, count.to_bytes(4, "big"))
)
informs = st.builds(
    lambda status, packed: flagged(frames.INFORM, False, status.to_bytes(2, "big") + packed),
    st.sampled_from([102, 102, 103, 103, 199, 100, 101, 200]),
    headers,
)
data = st.builds(lambda last, body: flagged(frames.DATA, last, body), st.booleans(), bodies)
ends = st.one_of(
    st.just(flagged(frames.DATA, True)),
    headers.map(lambda packed: flagged(frames.TRAILERS, True, packed)),
    st.integers(0, 4).map(lambda reason: flagged(frames.ABORT, True, bytes([reason]))),
)
paths = st.sampled_from([b"/etc/hostname", b"/", b"/nowhere", b"", b"a\0b", b"/dev/null"])
files = st.builds(
    lambda status, packed, path: flagged(
        frames.PATHSEND,
        True,
        status.to_bytes(2, "big") + len(packed).to_bytes(4, "big") + packed + path,
    ),
    statuses,
    headers,
    paths,
)
calls = st.one_of(
    st.builds(
        lambda number, code, arguments: frame(
            frames.CALL, bytes([code]) + values.pack(arguments), number
        ),
        numbers,
        st.one_of(st.sampled_from(sorted(OPERATIONS.values())), st.integers(0, 255)),
        st.lists(anything, max_size=5),
    ),
    st.builds(
        lambda number, code, rest: frame(frames.CALL, bytes([code]) + rest, number),
        numbers,
        st.sampled_from(sorted(OPERATIONS.values())),
        st.one_of(
            small, st.sampled_from([b"\x91" * 600, b"\xdd\xff\xff\xff\xff", b"\xc7\x02\x01\x91"])
        ),
    ),
)
logs = st.builds(
    lambda fields: frame(frames.LOG, msgpack.packb(fields), 0),
    st.fixed_dictionaries(
        {
            "level": st.sampled_from([10, 20, 30, 40, 50, -1, 2**64 - 1, "a"]),
            "logger": st.text(max_size=5),
            "message": st.one_of(st.text(max_size=9), st.text(max_size=9), st.none()),
        },
        optional={"traceback": st.text(max_size=5), "request_id": st.text(max_size=5)},
    ),
)
controls = st.one_of(
    st.builds(
        lambda kind, payload, stream: frame(kind, payload, stream),
        st.sampled_from([frames.READY, frames.FAILED, frames.DRAINED, frames.PONG]),
        st.one_of(small, st.sampled_from([b"\x80", b"\0\1\x80", b"\0\4\0\0\0\1\x80"])),
        st.sampled_from([0, 0, 0, STREAM]),
    ),
    logs,
)
results = st.builds(
    lambda flags, value: frame(frames.RESULT, bytes([flags]) + value),
    st.integers(0, 3),
    st.one_of(small, st.just(values.pack(["E", "m", "t"]))),
)
between = st.lists(st.one_of(calls, calls, calls, logs, logs, controls, informs), max_size=2)


@st.composite
def http(draw: st.DrawFn) -> list[bytes]:
    """A response, whole or in pieces."""
    whole = st.builds(response, st.just(True), statuses, headers, bodies)
    if draw(st.booleans()):
        return [*draw(between), draw(st.one_of(whole, whole, files, ends, results))]
    start = draw(st.builds(response, st.just(False), statuses, headers, bodies))
    pieces = draw(st.lists(st.one_of(data, data, data, calls, demands), max_size=4))
    return [*draw(between), start, *pieces, draw(ends)]


accepts = st.builds(
    lambda protocol, packed: flagged(frames.WS_ACCEPT, False, msgpack.packb([protocol, packed])),
    st.one_of(st.none(), st.none(), st.sampled_from(["chat", "chat", "a b", 1, []])),
    headers,
)
topics = st.sampled_from([b"t", b"t*", b"*", b"", b"x" * 129 + b"*", b"x" * 1024, b"x" * 1025])
messages = st.one_of(
    st.builds(
        lambda kind, body: flagged(kind, False, body),
        st.sampled_from([frames.WS_SEND_TEXT, frames.WS_SEND_BYTES]),
        bodies,
    ),
    st.builds(
        lambda kind, topic: flagged(kind, False, topic),
        st.sampled_from([frames.WS_SUBSCRIBE, frames.WS_UNSUBSCRIBE]),
        topics,
    ),
    calls,
)
closes = st.builds(
    lambda code, reason: flagged(frames.WS_END, True, code.to_bytes(2, "big") + reason),
    st.one_of(st.sampled_from([1000, 1005, 1011, 3000]), st.integers(990, 5001)),
    st.one_of(small, st.just(b"\xc3" * 200)),
)


@st.composite
def websocket(draw: st.DrawFn) -> list[bytes]:
    """A handshake, accepted or not, and messages."""
    if draw(st.integers(0, 3)) == 0:
        return [
            *draw(between),
            draw(
                st.one_of(
                    closes, ends, st.builds(response, st.booleans(), statuses, headers, bodies)
                )
            ),
        ]
    pause = [PAUSE] if draw(st.integers(0, 5)) else []
    sent = draw(st.lists(messages, max_size=6))
    return [*draw(between), draw(accepts), *pause, *sent, draw(st.one_of(closes, ends))]


@st.composite
def mutated(draw: st.DrawFn, script: list[bytes]) -> bytes:
    """Up to three changes: of whole frames, or of bytes."""
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(script) - 1))
        change = draw(st.integers(0, 9))
        piece = script[at]
        if change == 0:
            script = [*script[:at], *script[at + 1 :]] or [b""]
        elif change == 1:
            script = [*script[:at], piece, *script[at:]]
        elif change == 2:
            other = draw(st.integers(0, len(script) - 1))
            script[at], script[other] = script[other], script[at]
        elif change == 3 and len(piece) >= 9:  # another type
            kind = draw(st.one_of(st.sampled_from(FROM_WORKER), st.integers(0, 255)))
            script[at] = piece[:4] + bytes([kind]) + piece[5:]
        elif change == 4 and len(piece) >= 9:  # another stream
            script[at] = piece[:5] + draw(numbers).to_bytes(4, "big") + piece[9:]
        elif change == 5 and len(piece) >= 9:  # another length
            size = len(piece) - 4 + draw(st.sampled_from([-5, -1, 1, 5, 2**26, 2**31]))
            script[at] = max(0, size).to_bytes(4, "big") + piece[4:]
        elif change == 6:
            script = [*script[:at], draw(st.binary(min_size=1, max_size=20)), *script[at:]]
        elif change == 7:
            script[at] = piece[: draw(st.integers(0, len(piece)))]
        elif change == 8 and len(piece) >= 9:  # another payload
            payload = draw(small)
            script[at] = (5 + len(payload)).to_bytes(4, "big") + piece[4:9] + payload
        elif piece:
            place = draw(st.integers(0, min(len(piece), 64) - 1))
            flipped = piece[place] ^ (1 << draw(st.integers(0, 7)))
            script[at] = piece[:place] + bytes([flipped]) + piece[place + 1 :]
    return b"".join(script)


sessions: st.SearchStrategy[Session] = st.booleans().flatmap(
    lambda is_websocket: st.builds(
        Session,
        st.just(is_websocket),
        (websocket() if is_websocket else http()).flatmap(lambda script: mutated(list(script))),
    )
)
