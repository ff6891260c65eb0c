"""What makes two calls equal: a digest of an input, and the name of a function.

The digest is that of a canonical form: each part with its type and its length, a dict's pairs in
the order of their keys' forms. So 1, 1.0, True and "1" are four inputs, a list and a tuple two, and
the order of a dict does not matter. A buffer (bytearray, memoryview, array, numpy's arrays and
scalars) counts by its format, shape and content; 0.0 and -0.0 are two floats, all nan one. The form
is the same in every process, and no part of it depends on hash().
"""

from __future__ import annotations

import functools
import hashlib
import struct
from typing import Any, Final

__all__ = ["digest", "name_of"]

_MAX_DEPTH: Final = 200
_MAX_NAME: Final = 255
_DOUBLE: Final = struct.Struct(">d").pack
_LENGTH: Final = struct.Struct(">cQ").pack
_NAN: Final = float("nan")
_HINT: Final = "give key="


def digest(value: Any, domain: bytes = b"i") -> bytes:
    """32 bytes that are the same for equal values; TypeError for what has no canonical form.

    Values of different domains are never equal: the inputs of functions, and keys that were given.
    """
    hashed = hashlib.blake2b(domain, digest_size=32)
    for part in _parts(value, 0):
        hashed.update(part)
    return hashed.digest()


def _parts(value: Any, depth: int) -> list[Any]:
    """The canonical form, in pieces (bytes, and buffers as they are)."""
    kind = type(value)
    if kind is str:
        data = value.encode("utf-8", "surrogatepass")
        return [_LENGTH(b"s", len(data)), data]
    if kind is bytes:
        return [_LENGTH(b"b", len(value)), value]
    if kind is float:
        return [b"f", _DOUBLE(value if value == value else _NAN)]
    if kind is int:
        text = b"%x" % value
        return [_LENGTH(b"i", len(text)), text]
    if kind is bool or value is None:
        return [{None: b"N", True: b"T", False: b"F"}[value]]
    if kind in (list, tuple, dict):
        if depth == _MAX_DEPTH:
            raise ValueError(f"an input that is nested more than {_MAX_DEPTH} deep: {_HINT}")
        return _container(value, depth + 1)
    return _buffer(value)


def _container(value: Any, depth: int) -> list[Any]:
    if type(value) is not dict:
        parts = [_LENGTH(b"l" if type(value) is list else b"t", len(value))]
        for part in value:
            parts += _parts(part, depth)
        return parts
    pairs = [(b"".join(_parts(key, depth)), part) for key, part in value.items()]
    pairs.sort(key=lambda pair: pair[0])
    parts = [_LENGTH(b"d", len(pairs))]
    for key, part in pairs:
        parts += [key, *_parts(part, depth)]
    return parts


def _buffer(value: Any) -> list[Any]:
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError):
        kind = type(value)
        raise TypeError(
            f"an input of type {kind.__module__}.{kind.__qualname__} has no digest (None, bool, "
            "int, float, str, bytes, list, tuple, dict and buffers have, exactly these types): "
            f"{_HINT}"
        ) from None
    if "O" in view.format or "P" in view.format or "&" in view.format:
        raise TypeError(f"an array of objects (format {view.format!r}) has no digest: {_HINT}")
    head = f"{view.format} {view.itemsize} {view.shape}".encode()
    parts: list[Any] = [_LENGTH(b"m", len(head)), head]
    if view.nbytes:
        parts.append(view.cast("B") if view.c_contiguous else view.tobytes())
    return parts


def name_of(function: Any) -> str:
    """The namespace of a function that is given none: "module.qualified_name".

    A bound method has the name of its class's function, another callable that of its class, unless
    it says its own `__qualname__`. ValueError for what shares its name with others like it.
    """
    if isinstance(function, functools.partial):
        raise ValueError("a functools.partial has no name of its own: give namespace=")
    named = function if getattr(function, "__qualname__", None) else type(function)
    name = f"{getattr(named, '__module__', '')}.{named.__qualname__}"
    if "<lambda>" in name:
        raise ValueError("a lambda has no name of its own: give namespace=")
    return checked_namespace(name)


def checked_namespace(name: str) -> str:
    """A namespace; TypeError or ValueError for what is none."""
    if type(name) is not str:
        raise TypeError(f"namespace must be a str, not {name!r}")
    if not 0 < len(name.encode("utf-8", "surrogatepass")) <= _MAX_NAME:
        raise ValueError(f"a namespace has from 1 to {_MAX_NAME} bytes, not {name!r}")
    return name
