"""hornbeam_worker.envelope: what travels between Python's workers, and the frames that carry it."""

from __future__ import annotations

import array
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbeam_worker import envelope, frames, values
from hornbeam_worker.envelope import LARGE

ARRAYS = [
    np.arange(6).reshape(2, 3).astype(kind)
    for kind in ("<f4", ">f8", "int16", "uint64", "complex64", "bool", "f2")
] + [
    np.array(3.5),
    np.zeros((0, 4), "f4"),
    np.array(["ab", "c"]),
    np.array(["2026-01-01"], "datetime64[D]"),
    np.asfortranarray(np.ones((3, 5))),
    np.arange(20)[::3],
]

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary() | st.sampled_from([b"x" * LARGE, b"y" * (LARGE + 5)]),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)  # fmt: skip


def there_and_back(value: Any) -> Any:
    return envelope.unpack(memoryview(envelope.join(envelope.pack(value, "value"))))


@settings(max_examples=60, deadline=None)
@given(PLAIN)
def test_values_come_back_equal_in_value_and_type(value: Any) -> None:
    back = there_and_back(value)
    assert back == value and repr(back)[:2000] == repr(value)[:2000]


@pytest.mark.parametrize("made", ARRAYS, ids=lambda made: f"{made.dtype.str}{made.shape}")
def test_arrays_keep_type_and_shape(made: Any) -> None:
    back = there_and_back([{"a": (made, 1)}])[0]["a"][0]
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (made.dtype, made.shape)
    assert (back == made).all() and not (made.size and back.flags.writeable)


def test_scalars_and_other_buffers() -> None:
    scalar = there_and_back(np.float32(1.5))
    assert type(scalar) is np.float32 and scalar == np.float32(1.5)
    assert type(there_and_back(np.float64(0.1))) is np.float64
    assert there_and_back(bytearray(b"abc")) == bytearray(b"abc")
    assert there_and_back(array.array("H", [1, 2])) == array.array("H", [1, 2])
    view = memoryview(array.array("i", range(6))).cast("B").cast("i", [2, 3])
    back = there_and_back(view)
    assert (back.tolist(), back.readonly) == ([[0, 1, 2], [3, 4, 5]], True)
    assert there_and_back(memoryview(b"")).nbytes == 0


def test_buffers_are_aligned_where_they_are_received() -> None:
    """In both frames that carry an envelope, whatever stands before it."""
    parts = envelope.pack([b"x" * LARGE, np.arange(5.0), bytearray(b"123"), np.arange(7.0)], "v")
    packed = envelope.join(parts)
    for target in ("m", "method", "package.module:function"):
        size = frames._PERFORM.size + len(target)
        zeros = (frames.ENVELOPE_AT - size) % 16
        head = frames._PERFORM.pack(0, 0, len(target)) + target.encode() + bytes(zeros)
        flags, left, named, received = frames.perform(head + packed)
        assert (flags, left, named) == (0, 0, target)
        for made in envelope.unpack(received)[1::2]:
            assert made.ctypes.data % 16 == 0
    reply = b"\x00\xc6" + len(packed).to_bytes(4, "big") + packed
    for made in envelope.unpack(memoryview(reply)[frames.ENVELOPE_AT :])[1::2]:
        assert made.ctypes.data % 16 == 0


def test_large_parts_are_not_copied() -> None:
    large = b"x" * LARGE
    assert any(part is large for part in envelope.pack(large, "v"))
    made = np.arange(3.0)
    [view] = [part for part in envelope.pack(made, "v") if isinstance(part, memoryview)]
    assert np.shares_memory(np.frombuffer(view), made)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, np.array([object()]), np.zeros(2, [("a", "i4")]), type("B", (bytes,), {})()],
    ids=["object", "set", "objects", "fields", "subclass"],
)
def test_what_cannot_travel_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        envelope.pack([value], "x")


def test_what_contains_itself_and_what_is_too_long() -> None:
    endless: list[Any] = [b"x" * LARGE]
    endless.append(endless)
    with pytest.raises(ValueError, match=r"f\(\): nested"):
        envelope.pack(endless, "f()")
    with pytest.raises(ValueError, match="can travel in one call"):
        envelope.pack([bytes(envelope.LARGEST)], "f()")


def test_without_numpy_an_array_is_a_memoryview(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = envelope.join(envelope.pack([ARRAYS[0], np.array(["ab"])], "v"))
    monkeypatch.setitem(sys.modules, "numpy", None)
    numbers, texts = envelope.unpack(memoryview(packed))
    assert (numbers.format, numbers.shape) == ("f", (2, 3))
    assert numbers.tolist() == [[0, 1, 2], [3, 4, 5]] and texts.nbytes == 8


def test_for_erlang_buffers_are_bytes_and_maps() -> None:
    packed = envelope.pack_for_erlang([ARRAYS[0], bytearray(b"a"), np.float32(1.5)], "v")
    made = {"dtype": "<f4", "shape": [2, 3], "data": ARRAYS[0].tobytes()}
    assert values.unpack(packed) == [made, b"a", 1.5]
