"""hornbeam_worker.values: the golden vectors, round trips, what cannot travel, malformed bytes."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import json
import math
import re
import threading
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from value_cases import same, values

from hornbeam_worker.values import MAX_DEPTH, pack, unpack

VECTORS = json.loads((Path(__file__).parents[2] / "test" / "wire_vectors.json").read_text())


def from_hex(text: str) -> bytes:
    """The bytes of a vector: XX*N stands for N times the byte XX."""
    parts = (part.partition("*") for part in text.split())
    return b"".join(bytes.fromhex(hex_) * int(times or 1) for hex_, _, times in parts)


def from_text(text: str) -> Any:
    return eval(text, {"__builtins__": {"range": range}, "nan": math.nan, "inf": math.inf})


def by_name(vectors: list[dict[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


@by_name([vector for vector in VECTORS["values"] if vector["direction"] == "both"])
def test_packs_vector(vector: dict[str, str]) -> None:
    assert pack(from_text(vector["python"])) == from_hex(vector["hex"])


@by_name(VECTORS["values"])
def test_unpacks_vector(vector: dict[str, str]) -> None:
    assert same(unpack(from_hex(vector["hex"])), from_text(vector["python"]))


@by_name(VECTORS["malformed"])
def test_refuses_malformed_vector(vector: dict[str, str]) -> None:
    assert vector["python"] == "ValueError"
    with pytest.raises(ValueError, match="not a value from Erlang"):
        unpack(from_hex(vector["hex"]))


@given(values)
def test_round_trip(value: Any) -> None:
    assert same(unpack(pack(value)), value)


@given(values)
def test_unpacks_memoryview(value: Any) -> None:
    assert same(unpack(memoryview(b"head" + pack(value))[4:]), value)


@given(values, st.floats(0, 1, exclude_max=True))
def test_truncated(value: Any, where: float) -> None:
    data = pack(value)
    with pytest.raises(ValueError, match="not a value from Erlang"):
        unpack(data[: int(where * len(data))])


@given(values, st.binary(min_size=1, max_size=5))
def test_trailing_bytes(value: Any, more: bytes) -> None:
    with pytest.raises(ValueError, match="not a value from Erlang"):
        unpack(pack(value) + more)


@given(values, st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_changed_byte_is_another_value_or_a_clean_error(
    value: Any, where: float, byte: int
) -> None:
    data = bytearray(pack(value))
    data[int(where * len(data))] = byte
    unpacks_or_fails(bytes(data))


@given(st.binary())
def test_random_bytes_are_a_value_or_a_clean_error(data: bytes) -> None:
    unpacks_or_fails(data)


def unpacks_or_fails(data: bytes) -> None:
    try:
        unpack(data)
    except ValueError:
        pass
    except TypeError as error:
        assert "a map from Erlang has a key that cannot be one in Python" in str(error)


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")

ONLY = "cannot travel to Erlang (only None, bool, int, float, str, bytes, list, tuple and dict can)"
SURROGATES = "a str with lone surrogates cannot travel to Erlang, it is no Unicode text"

REFUSED: list[tuple[Any, str]] = [
    ({"users": [1, 2, 3, {1, 2}]}, f"value['users'][3]: a set {ONLY}"),
    (frozenset(), f"value: a frozenset {ONLY}"),
    (1j, f"value: a complex {ONLY}"),
    ([object()], f"value[0]: an object {ONLY}"),
    ({"at": datetime.datetime(2024, 1, 1)}, f"value['at']: a datetime.datetime {ONLY}"),
    ([decimal.Decimal(1)], f"value[0]: a decimal.Decimal {ONLY}"),
    ((1, (2, [range(3)])), f"value[1][1][0]: a range {ONLY}"),
    (bytearray(b"a"), f"value: a bytearray {ONLY}"),
    ({"a": [0, bytearray(b"a")]}, f"value['a'][1]: a bytearray {ONLY}"),
    ({"a": (0, bytearray(b"a"))}, f"value['a'][1]: a bytearray {ONLY}"),
    ([memoryview(b"a")], f"value[0]: a memoryview {ONLY}"),
    (["a" * 100_000, [bytearray(b"")]], f"value[1][0]: a bytearray {ONLY}"),
    ({"a": "\ud800"}, f"value['a']: {SURROGATES}"),
    (("a", ["\udfff"]), f"value[1][0]: {SURROGATES}"),
    ({"\ud800": 1}, f"value, key '\\ud800': {SURROGATES}"),
    ({"a": {(1, frozenset()): 2}}, f"value['a'], key (1, frozenset())[1]: a frozenset {ONLY}"),
    (
        collections.OrderedDict(),
        f"value: a collections.OrderedDict, which is not exactly dict, {ONLY}",
    ),
    ([Colour.RED], f"value[0]: a {__name__}.Colour, which is not exactly int, {ONLY}"),
    ({Name("a"): 1}, f"value, key 'a': a {__name__}.Name, which is not exactly str, {ONLY}"),
    (Point(1, 2), f"value: a {__name__}.Point, which is not exactly tuple, {ONLY}"),
    (
        [msgpack.ExtType(1, b"\x90")],
        f"value[0]: a msgpack.ext.ExtType, which is not exactly tuple, {ONLY}",
    ),
    ([msgpack.Timestamp(1)], f"value[0]: a msgpack.ext.Timestamp {ONLY}"),
    ({"k" * 100: {1}}, f"value['kkkkkkkkkkkk...kkkkkkkkkkkkk']: a set {ONLY}"),
]


@pytest.mark.parametrize(("value", "text"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_refuses_by_name_and_path(value: Any, text: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        pack(value)


def test_name_in_errors() -> None:
    with pytest.raises(TypeError, match=r"^message\['a'\]: a set"):
        pack({"a": {1}}, "message")


def test_packs_after_an_error() -> None:
    with pytest.raises(TypeError):
        pack([1, 2, 3, {4}])
    with pytest.raises(TypeError):
        pack([(1,), {4}])
    assert pack([1]) == b"\x91\x01"


def nested(wrap: Any, innermost: Any, depth: int) -> Any:
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}])
@pytest.mark.parametrize("innermost", [[], (), {}])
def test_depth(wrap: Any, innermost: Any) -> None:
    deepest = nested(wrap, innermost, MAX_DEPTH - 1)
    assert pack(deepest)
    with pytest.raises(ValueError, match=r"^value.*…: nested more than 500 deep$"):
        pack(wrap(deepest))


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}])
def test_unpacks_as_deep_as_it_packs(wrap: Any) -> None:
    data = pack(nested(wrap, [], MAX_DEPTH - 1))
    assert pack(unpack(data)) == data


def test_unpacks_tuples_in_tuples() -> None:
    data = pack(nested(lambda v: (v,), 1, 300))
    assert pack(unpack(data)) == data


def test_depth_of_keys() -> None:
    key = nested(lambda v: (v,), (), MAX_DEPTH - 2)
    assert pack({key: 1})
    with pytest.raises(ValueError, match="nested more than 500 deep"):
        pack({(key,): 1})


def test_value_that_contains_itself() -> None:
    in_list: list[Any] = [1]
    in_list += [in_list, in_list]
    in_tuple: tuple[list[Any], ...] = ([],)
    in_tuple[0].extend([in_tuple, in_tuple])
    in_dict: dict[str, Any] = {}
    in_dict["a"] = in_dict
    for value in (in_list, in_tuple, in_dict):
        with pytest.raises(ValueError, match="nested more than 500 deep"):
            pack(value)


def test_part_in_two_places_travels_twice() -> None:
    shared = (1, 2)
    assert unpack(pack([shared, {"a": shared}, (shared,)])) == [(1, 2), {"a": (1, 2)}, ((1, 2),)]


def test_tuples_in_tuples_need_little_stack() -> None:
    data = pack(nested(lambda v: (v,), 1, 300))
    results: list[bytes] = []
    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=lambda: results.append(pack(unpack(data))))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert results == [data]


def test_malformed_tuple_deep_inside() -> None:
    data = b"\xd4\x01\x05"
    for _ in range(20):
        data = bytes([0xC8, *(len(data) + 1).to_bytes(2, "big"), 1, 0x91]) + data
    with pytest.raises(ValueError, match="not a value from Erlang"):
        unpack(data)


def test_tuples_deeper_than_python_can_recurse() -> None:
    data = b"\xd4\x01\x90"
    for _ in range(3000):
        data = bytes([0xC8, *(len(data) + 1).to_bytes(2, "big"), 1, 0x91]) + data
    with pytest.raises(ValueError, match="not a value from Erlang"):
        unpack(data)


@pytest.mark.parametrize(
    "data", [b"\x81\x90\x01", b"\x81\x80\x01", b"\x81\xc7\x03\x01\x91\x91\x01\x01"]
)
def test_map_with_key_that_cannot_be_one(data: bytes) -> None:
    with pytest.raises(TypeError, match=r"a key that cannot be one in Python: .*unhashable"):
        unpack(data)


def test_unpack_of_something_else() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        unpack("text")  # type: ignore[arg-type]


def test_large_values() -> None:
    value = {
        "text": "ä" * 5_000_000,
        "bytes": bytes(10_000_000),
        "list": [(i,) for i in range(9999)],
    }
    assert same(unpack(pack(value)), value)


def test_threads() -> None:
    """Tuples and large integers leave the packer in the middle of a value."""
    wrong: list[Any] = []

    def run(number: int) -> None:
        value = [number, (number, 2**70 + number), {"n": [2**70 + number] * 20}]
        wrong.extend(1 for _ in range(2000) if unpack(pack(value)) != value)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
