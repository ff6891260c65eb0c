"""hornbeam_worker.frames: the golden vectors, splitting of byte streams, what is no frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbeam_erlang._operations import OPERATIONS
from hornbeam_worker import frames
from hornbeam_worker.asgi import http
from hornbeam_worker.failure import FailureKind
from hornbeam_worker.frames import Decoder, Frame, FrameError, encode

VECTORS = json.loads((Path(__file__).parents[2] / "test" / "wire_vectors.json").read_text())
FRAMES = VECTORS["frames"]
TO_WORKER = [vector for vector in FRAMES if vector["worker"] == "to"]
FROM_WORKER = [vector for vector in FRAMES if vector["worker"] == "from"]


def from_hex(text: str) -> bytes:
    parts = (part.partition("*") for part in text.split())
    return b"".join(bytes.fromhex(hex_) * int(times or 1) for hex_, _, times in parts)


def kind(vector: dict[str, Any]) -> int:
    return int(getattr(frames, vector["type"].upper()))


def each(vectors: list[dict[str, Any]], key: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=[vector[key] for vector in vectors])


@each(FRAMES, "type")
def test_encodes_vector(vector: dict[str, Any]) -> None:
    payload = from_hex(vector["payload"])
    assert encode(kind(vector), vector["stream"], payload) == from_hex(vector["hex"])


@each(TO_WORKER, "type")
def test_splits_vector(vector: dict[str, Any]) -> None:
    frame = Frame(kind(vector), vector["stream"], from_hex(vector["payload"]))
    assert Decoder().feed(from_hex(vector["hex"])) == [frame]


@each(FROM_WORKER, "type")
def test_a_frame_that_a_worker_sends_is_garbage_to_one(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError, match="a frame of type"):
        Decoder().feed(from_hex(vector["hex"]))


@each(VECTORS["malformed_frames"], "name")
def test_refuses_malformed_vector(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        Decoder().feed(from_hex(vector["hex"]))


def test_the_vectors_hold_every_type() -> None:
    named = {name for name, value in vars(frames).items() if name.isupper() and type(value) is int}
    named -= {
        "PROTOCOL_VERSION",
        "MAX_SIZE",
        "HEADER_SIZE",
        "READ_SIZE",
        "LARGE",
        "MOST",
        "ENVELOPE_AT",
    }
    assert named == {vector["type"].upper() for vector in FRAMES}


def test_names_and_numbers_are_those_of_erlang() -> None:
    assert VECTORS["operations"] == OPERATIONS
    assert VECTORS["start_failures"] == {kind.name.lower(): int(kind) for kind in FailureKind}
    reasons = {name.lower(): getattr(http, name.upper()) for name in VECTORS["abort_reasons"]}
    assert VECTORS["abort_reasons"] == reasons


def test_the_quick_ways_to_a_frame_are_the_same_as_encode() -> None:
    response = b"\x01" + (200).to_bytes(2, "big") + (1).to_bytes(4, "big") + b"\x90body"
    assert frames.response(7, True, 200, b"\x90", b"body") == (
        encode(frames.RESPONSE, 7, response),
    )
    for size in (frames.LARGE - 14, frames.LARGE - 13, frames.LARGE - 12, frames.LARGE):
        body = bytes(size)
        parts = frames.response(7, True, 200, b"\x90", body)
        assert b"".join(parts) == encode(frames.RESPONSE, 7, response[:-4] + body)
        assert (parts[-1] is body) == (size > frames.LARGE - 14)
    assert frames.flagged(frames.ABORT, 7, True, b"\x02") == encode(frames.ABORT, 7, b"\x01\x02")
    head = frames.call_head(7, 4) + b"\x46[1]"
    assert head == encode(frames.CALL, 7, b"\x46[1]")
    assert frames.data_head(7, False, 4) + b"body" == encode(frames.DATA, 7, b"\x00body")


some_frames = st.lists(
    st.tuples(
        st.sampled_from([kind(vector) for vector in TO_WORKER]),
        st.integers(0, 2**32 - 1),
        st.one_of(st.binary(), st.builds(bytes, st.sampled_from([0, 255, 65536, 200_000]))),
    ),
    max_size=8,
)


@settings(deadline=None)
@given(some_frames, st.lists(st.integers(1, 70_000)))
def test_any_split_gives_the_same_frames(sent: list[tuple[int, int, bytes]], cuts: Any) -> None:
    data = b"".join(encode(*frame) for frame in sent)
    assert feed_all(data, cuts) == [Frame(*frame) for frame in sent]


@given(some_frames)
def test_byte_by_byte(sent: list[tuple[int, int, bytes]]) -> None:
    sent = [(kind, stream, payload[:20]) for kind, stream, payload in sent]
    data = b"".join(encode(*frame) for frame in sent)
    assert feed_all(data, [1] * len(data)) == [Frame(*frame) for frame in sent]


@given(st.binary(), st.lists(st.integers(1, 50)))
def test_garbage_is_frames_or_a_clean_error(data: bytes, cuts: list[int]) -> None:
    try:
        found = feed_all(data, cuts)
    except FrameError:
        return
    assert sum(9 + len(frame.payload) for frame in found) <= len(data)


@settings(deadline=None)
@given(some_frames, st.lists(st.integers(1, 70_000)))
def test_a_reader_that_asks_what_is_wanted_gets_the_same_frames(
    sent: list[tuple[int, int, bytes]], shorts: list[int]
) -> None:
    data, decoder, found = b"".join(encode(*frame) for frame in sent), Decoder(), []
    while data:
        size = min(decoder.wants(), shorts.pop() if shorts else frames.READ_SIZE)
        assert 0 < size <= frames.MAX_SIZE
        found += decoder.feed(data[:size])
        data = data[size:]
    assert found == [Frame(*frame) for frame in sent]
    assert decoder.is_empty()


def test_the_payload_of_one_large_frame_behind_another_is_what_was_read() -> None:
    for size in (frames.LARGE, frames.LARGE + 1, frames.MOST):
        decoder, data = Decoder(), encode(frames.BODY, 1, bytes(size))
        assert decoder.feed(data) == [Frame(frames.BODY, 1, bytes(size))]
        assert decoder.wants() == frames.HEADER_SIZE
        assert decoder.feed(data[: frames.HEADER_SIZE]) == []
        assert decoder.wants() == size
        payload = bytes(size)
        assert decoder.feed(payload)[0].payload is payload


def test_behind_a_small_frame_is_read_what_there_is() -> None:
    large, small = encode(frames.BODY, 1, bytes(frames.LARGE)), encode(frames.BODY, 1, b"x")
    almost = encode(frames.BODY, 1, bytes(frames.LARGE - 1))
    for before in (b"", small, large + small, large + small[:9], almost, large[:-1]):
        decoder = Decoder()
        decoder.feed(before)
        assert decoder.wants() == frames.READ_SIZE


def feed_all(data: bytes, cuts: list[int]) -> list[Frame]:
    decoder, found = Decoder(), []
    for cut in [*cuts, len(data)]:
        found += decoder.feed(data[:cut])
        data = data[cut:]
    return found


def test_a_large_frame_in_small_pieces_is_joined_once() -> None:
    """In pieces of 64 KiB a frame of the largest size takes no time to speak of."""
    payload = bytes(frames.MAX_SIZE - 5)
    data = encode(frames.BODY, 1, payload)
    assert feed_all(data[:65536], []) == []
    decoder = Decoder()
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]
    found = [frame for piece in pieces for frame in decoder.feed(piece)]
    assert [len(frame.payload) for frame in found] == [len(payload)]
