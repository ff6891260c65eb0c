"""Arguments and results between Python's workers: values, and beside them buffers that no codec
copies.

Called by `service_calls` (the side that calls) and `performance` (the side that runs). Calls
`values`. Erlang passes an envelope on without a look into it; its own are without buffers.

    envelope   size:u32 of the value (0: all that follows), the value (msgpack), zeros, buffers
    reference  in the value, in the place of a buffer (`values.Reference`): msgpack
               [kind, offset, size, what else the kind needs]

Buffers begin at multiples of 16 of the received frame's payload, in which the envelope begins at
such a multiple and `frames.ENVELOPE_AT`: so numpy computes on what was received, where it is.

Kinds: bytes of LARGE and more (shorter ones are values like others), bytearray, memoryview,
array.array, numpy's arrays and scalars; of other objects with the buffer protocol the receiver gets
a memoryview. Arrays and memoryviews are received without a copy and cannot be written to. Where the
receiver has no numpy an array is a memoryview. Nothing is pickled: arrays of objects or with fields
are a TypeError.
"""

from __future__ import annotations

import array
import math
import sys
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgpack

from hornbeam_worker import frames, values

__all__ = ["LARGE", "LARGEST", "Part", "join", "pack", "pack_for_erlang", "unpack"]

Part: TypeAlias = bytes | bytearray | memoryview

# Shorter bytes cost more as a part of their own than their copy does.
LARGE: Final = 32_768
# What one frame can carry, less the other parts of a frame.
LARGEST: Final = frames.MAX_SIZE - 4096
_ALIGNMENT: Final = 16

_PLAIN: Final = frozenset({type(None), bool, int, float, str})
# What is refused as ever (`values`): subclasses of what could travel.
_REFUSED: Final = (bytes, str, int, float, list, tuple, dict)
# Kinds of numpy's types that are bytes and nothing else.
_NUMPY_KINDS: Final = "biufcSUmM?"
_MEMORY_FORMATS: Final = frozenset("cbB?hHiIlLqQnNfd")
# What a memoryview calls numpy's types.
_FORMATS: Final = {
    "|b1": "?", "|i1": "b", "|u1": "B", "<i2": "h", "<u2": "H", "<i4": "i", "<u4": "I",
    "<i8": "q", "<u8": "Q", "<f4": "f", "<f8": "d",
}  # fmt: skip


def pack(value: Any, name: str) -> list[Part]:
    """The parts of an envelope. Errors are those of `values.pack`, and call the value by `name`.

    ValueError, too, for what is longer than a frame can be.
    """
    outside = _Outside()
    try:
        inside = outside.replace(value)
    except RecursionError:
        text = f"{name}: nested more than {values.MAX_DEPTH} deep"
        raise ValueError(text) from None
    packed = values.pack_argument(name, inside)
    if not outside.parts:
        return _checked([b"\0\0\0\0" + packed], name)
    zeros = -(frames.ENVELOPE_AT + 4 + len(packed)) % _ALIGNMENT
    head = len(packed).to_bytes(4, "big") + packed + bytes(zeros)
    return _checked([head, *outside.parts], name)


def _checked(parts: list[Part], name: str) -> list[Part]:
    size = sum(map(len, parts))
    if size > LARGEST:
        raise ValueError(f"{name}: {size} bytes; at most {LARGEST} can travel in one call")
    return parts


def join(parts: list[Part]) -> bytes:
    """An envelope in one piece."""
    return b"".join(parts)


def unpack(envelope: memoryview) -> Any:
    """The value of an envelope. What is in it without a copy keeps the envelope's memory."""
    size = int.from_bytes(envelope[:4], "big")
    if not size:
        return values.unpack(envelope[4:])
    start = 4 + size
    start += -(frames.ENVELOPE_AT + start) % _ALIGNMENT
    buffers = envelope[start:]

    def resolve(reference: bytes) -> Any:
        kind, offset, length, *more = msgpack.unpackb(reference)
        return _MAKERS[kind](buffers[offset : offset + length], *more)

    return values.unpack_with(envelope[4 : 4 + size], resolve)


def pack_for_erlang(value: Any, name: str) -> bytes:
    """A value as Erlang has it: buffers are bytes, arrays maps of `dtype`, `shape` and `data`."""
    return values.pack_argument(name, _FOR_ERLANG.replace(value))


class _Outside:
    """Takes buffers out of a value, one after the other."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._at = 0

    def replace(self, value: Any) -> Any:
        """The value with a reference in the place of each buffer; itself where there is none."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is list or kind is tuple:
            return value if _PLAIN.issuperset(map(type, value)) else kind(map(self.replace, value))
        if kind is dict:
            if _PLAIN.issuperset(map(type, value.values())):
                return value
            return {key: self.replace(part) for key, part in value.items()}
        return self.buffer(value)

    def buffer(self, value: Any) -> Any:
        """A reference to what has bytes; other things as they are, to be refused."""
        if type(value) is bytes:
            return value if len(value) < LARGE else self._out(value, "bytes")
        if type(value) is bytearray:
            return self._out(value, "bytearray")
        numpy = sys.modules.get("numpy")
        if numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
            kind = "ndarray" if type(value) is numpy.ndarray else "scalar"
            return self._out(_numpy_bytes(numpy, value), kind, value.dtype.str, list(value.shape))
        if isinstance(value, array.array):
            return self._out(memoryview(value).cast("B"), "array", value.typecode)
        if isinstance(value, _REFUSED):
            return value
        try:
            view = memoryview(value)
        except TypeError:
            return value
        shape = list(view.shape or ())
        if view.format not in _MEMORY_FORMATS or not math.prod(shape) or not shape:
            if view.nbytes:
                raise TypeError(f"a buffer of the format {view.format!r} cannot travel")
            return self._out(b"", "memoryview", "B", [0])
        flat = view.cast("B") if view.c_contiguous else view.tobytes()
        return self._out(flat, "memoryview", view.format, shape)

    def _out(self, data: Part, kind: str, *more: Any) -> Any:
        zeros = -self._at % _ALIGNMENT
        if zeros:
            self.parts.append(bytes(zeros))
            self._at += zeros
        reference = msgpack.packb([kind, self._at, len(data), *more])
        if len(data):
            self.parts.append(data)
            self._at += len(data)
        elif not self.parts:
            self.parts.append(b"")
        return values.Reference(reference)


def _numpy_bytes(numpy: Any, value: Any) -> Part:
    if value.dtype.hasobject or value.dtype.kind not in _NUMPY_KINDS:
        raise TypeError(f"an array of {value.dtype} cannot travel: nothing is pickled")
    if not value.nbytes:
        return b""
    return memoryview(numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8))


class _ForErlang(_Outside):
    """Replaces buffers by what Erlang has."""

    def _out(self, data: Part, kind: str, *more: Any) -> Any:
        if kind == "scalar":
            numpy = sys.modules["numpy"]
            return numpy.frombuffer(data, dtype=more[0])[0].item()
        if kind == "ndarray":
            return {"dtype": more[0], "shape": more[1], "data": bytes(data)}
        return bytes(data)


_FOR_ERLANG: Final = _ForErlang()


def _make_memoryview(data: memoryview, form: str, shape: list[int]) -> memoryview:
    if shape == [0]:
        return memoryview(b"")
    return data.cast(form, shape)  # type: ignore[call-overload,no-any-return]


def _make_ndarray(data: memoryview, dtype: str, shape: list[Any]) -> Any:
    try:
        import numpy
    except ModuleNotFoundError:
        if dtype in _FORMATS and math.prod(shape) and shape:
            return _make_memoryview(data, _FORMATS[dtype], shape)
        return data
    if not len(data):
        return numpy.empty(shape, dtype)
    return numpy.frombuffer(data, dtype).reshape(shape)


def _make_scalar(data: memoryview, dtype: str, _shape: list[int]) -> Any:
    made = _make_ndarray(data, dtype, [1])
    return made[0]


def _make_array(data: memoryview, typecode: str) -> array.array[Any]:
    made: array.array[Any] = array.array(typecode)
    made.frombytes(data)
    return made


_MAKERS: Final[dict[str, Callable[..., Any]]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": _make_memoryview,
    "ndarray": _make_ndarray,
    "scalar": _make_scalar,
    "array": _make_array,
}
