"""Python values to msgpack bytes and back: what may travel between an application and Erlang.

Called by: calls, and whatever else sends values to Erlang or gets them from there. Calls: the
msgpack package. Its mirror in Erlang is src/wire/hornbeam_msgpack.erl, which has the table of
types; both read test/wire_vectors.json in their suites.

A value travels only if it comes back equal and of the same type, so the types are exact: a subclass
(an Enum, an OrderedDict), a bytearray or a set is refused rather than changed on the way.
"""

from __future__ import annotations

import reprlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgpack import ExtType, Packer, Unpacker, UnpackException, unpackb

__all__ = ["MAX_DEPTH", "Reference", "pack", "pack_argument", "unpack", "unpack_with"]

# Containers nested in one another; the same number stands in hornbeam_msgpack.erl.
MAX_DEPTH = 500

_EXT_TUPLE = 1
_EXT_INTEGER = 2
# Only between Python's workers (envelope.py): Erlang refuses it.
_EXT_REFERENCE = 3

_SCALARS = frozenset({type(None), bool, int, float, str, bytes})
_CONTAINERS = frozenset({list, tuple, dict})
_ALLOWED = "None, bool, int, float, str, bytes, list, tuple and dict can"

# The bytes that begin bin and ext, and those that begin arrays and maps (msgpack, "Formats").
_BIN_AND_EXT = bytes([0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8])
_ARRAY_AND_MAP = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])

# A packer keeps the largest buffer that it ever needed: after more bytes than this it is dropped.
_KEPT_BUFFER = 262_144
# Of more bytes than this it takes longer to search them than to look at the parts of the value.
_SEARCHED = 65_536

# So many tuples in one another are unpacked on the C stack, 41 kB each (about 200 of them would end
# the process), those inside them on the heap, which takes three times as long.
_STACK_LEVELS = 8

_ExtHook = Callable[[int, bytes], Any]


class Reference:
    """Stands in a value for what travels beside it; `data` says which."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


_Resolve = Callable[[bytes], Any]


class _Resolving(threading.local):
    resolve: _Resolve | None = None


_resolving = _Resolving()


def pack(value: object, name: str = "value") -> bytes:
    """The bytes of a value, for Erlang to read. Errors call it by `name`.

    Raises TypeError, which names the part and where it is, for what is not exactly None, a bool,
    int, float, str, bytes, list, tuple or dict, and for a str with lone surrogates. Raises
    ValueError for what is nested more than MAX_DEPTH deep, as is what contains itself.
    """
    try:
        packer = _idle_packers.pop()
    except IndexError:
        packer = _Packer()
    try:
        try:
            data = packer.pack(value)
        except _TupleFoundError:
            data = packer.pack_tuples(value, _check(value))
        else:
            if _is_doubtful(data) and not _is_flat(value):
                _check(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refusal(value, name) or error from None
    if len(data) <= _KEPT_BUFFER:
        _idle_packers.append(packer)
    return data


def pack_argument(name: str, value: object) -> bytes:
    """As `pack`; an error calls the value by the name of the argument that it is."""
    try:
        return pack(value)
    except (TypeError, ValueError) as error:
        raise type(error)(name + str(error).removeprefix("value")) from None


def unpack(data: bytes | memoryview) -> Any:
    """The value that Erlang packed. `data` holds that value and nothing else.

    Raises ValueError for bytes that are no value, and for tuples so many in one another (400 and
    more) that the interpreter's recursion limit is reached; TypeError for a map that cannot be a
    dict because one of its keys is a list or a map.
    """
    try:
        return unpackb(data, ext_hook=_ext_hook, strict_map_key=False)
    except (ValueError, UnpackException, RecursionError) as error:
        text = f"not a value from Erlang: {str(error) or type(error).__name__}"
        raise ValueError(text) from error
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        text = f"a map from Erlang has a key that cannot be one in Python: {error}"
        raise TypeError(text) from error


def unpack_with(data: bytes | memoryview, resolve: _Resolve) -> Any:
    """As `unpack`; what `resolve` makes of its data is put in the place of each reference."""
    _resolving.resolve = resolve
    try:
        return unpack(data)
    finally:
        _resolving.resolve = None


class _TupleFoundError(RuntimeError):
    """The packer met a tuple that it has not packed yet."""


class _Packer:
    """A msgpack packer that adds tuples and large integers.

    It must not be shared: its calls of `_default` let other threads run in the middle of a value.
    """

    def __init__(self) -> None:
        self._packed: dict[int, ExtType] = {}
        self.pack: Callable[[object], bytes]
        self.pack = Packer(default=self._default, strict_types=True).pack

    def pack_tuples(self, value: object, tuples: list[tuple[Any, ...]]) -> bytes:
        """Packs each tuple before the one that it is in: no recursion, however deep they are."""
        try:
            for part in reversed(tuples):
                self._packed[id(part)] = ExtType(_EXT_TUPLE, self.pack(list(part)))
            return self.pack(value)
        finally:
            self._packed.clear()

    def _default(self, part: object) -> ExtType:
        """Called for what is not one of msgpack's own types."""
        if type(part) is int:
            size = (part.bit_length() + 7) // 8
            return ExtType(_EXT_INTEGER, bytes([part < 0]) + abs(part).to_bytes(size, "big"))
        if type(part) is Reference:
            return ExtType(_EXT_REFERENCE, part.data)
        if type(part) is not tuple:
            raise TypeError
        if id(part) not in self._packed:
            raise _TupleFoundError("the value changed while it was packed")
        return self._packed[id(part)]


# A call takes one out, or makes one, which takes a third longer; both list operations are atomic.
_idle_packers: list[_Packer] = []


def _is_doubtful(data: bytes) -> bool:
    """Whether a value that was packed to `data` needs a look at each of its parts.

    The packer is exact about types but for bytearray, memoryview and msgpack's own ExtType and
    Timestamp, and its limit of depth is not ours. What it wrote shows, in a tenth of the time,
    whether there can be any of these.
    """
    return (
        len(data) > _SEARCHED
        or _count(data, _BIN_AND_EXT) > 0
        or (len(data) > MAX_DEPTH and _count(data, _ARRAY_AND_MAP) > MAX_DEPTH)
    )


def _is_flat(value: object) -> bool:
    """Whether it is a list of scalars, as the arguments of most calls are."""
    if type(value) is not list:
        return False
    for part in value:
        if type(part) not in _SCALARS and not (type(part) is dict and not part):
            return False
    return True


def _count(data: bytes, which: bytes) -> int:
    return len(data) - len(data.translate(None, which))


def _check(value: object) -> list[tuple[Any, ...]]:
    """The tuples in a value, each before those that are in it; TypeError if it cannot travel.

    Depth first, so that a value that contains itself is found out after MAX_DEPTH steps.
    """
    tuples: list[tuple[Any, ...]] = []
    todo: list[tuple[int, Iterable[Any]]] = [(0, (value,))]
    while todo:
        depth, parts = todo.pop()
        for part in parts:
            kind = type(part)
            if kind in _SCALARS or kind is Reference:
                continue
            if kind not in _CONTAINERS or depth == MAX_DEPTH:
                raise TypeError("the value changed while it was packed")
            todo.append((depth + 1, part))
            if kind is dict:
                todo.append((depth + 1, part.values()))
            elif kind is tuple:
                tuples.append(part)
    return tuples


def _refusal(value: object, name: str) -> TypeError | ValueError | None:
    """Why a value cannot travel, with the path of the part that is in the way."""
    path: list[str] = []
    stack: list[Iterator[tuple[str, Any]]] = [iter([(name, value)])]
    while stack:
        for label, part in stack[-1]:
            path.append(label)
            reason = _reason(part)
            if reason is not None:
                return TypeError(f"{''.join(path)}: {reason}")
            if type(part) in _CONTAINERS:
                if len(stack) > MAX_DEPTH:
                    where = "".join(path[:4])
                    return ValueError(f"{where}…: nested more than {MAX_DEPTH} deep")
                stack.append(_labelled(part))
                break
            path.pop()
        else:
            stack.pop()
            if path:
                path.pop()
    return None


def _labelled(container: Any) -> Iterator[tuple[str, Any]]:
    if type(container) is dict:
        for key, part in container.items():
            shown = reprlib.repr(key)
            yield f", key {shown}", key
            yield f"[{shown}]", part
    else:
        for index, part in enumerate(container):
            yield f"[{index}]", part


def _reason(part: object) -> str | None:
    kind = type(part)
    if kind is str:
        try:
            str(part).encode()
        except UnicodeEncodeError:
            return "a str with lone surrogates cannot travel to Erlang, it is no Unicode text"
    if kind in _SCALARS or kind in _CONTAINERS or kind is Reference:
        return None
    return f"{_describe(kind)} cannot travel to Erlang (only {_ALLOWED})"


def _describe(kind: type) -> str:
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    text = f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    base = next((base for base in kind.__mro__ if base in _SCALARS or base in _CONTAINERS), None)
    return text if base is None else f"{text}, which is not exactly {base.__name__},"


def _ext_hook_within(inner: _ExtHook) -> _ExtHook:
    def hook(code: int, data: bytes) -> Any:
        if code != _EXT_TUPLE:
            return _unpack_integer(code, data)
        items = unpackb(data, ext_hook=inner, strict_map_key=False)
        if type(items) is not list:
            raise ValueError("the payload of a tuple is no array")
        return tuple(items)

    return hook


def _deep_ext_hook(code: int, data: bytes) -> Any:
    if code != _EXT_TUPLE:
        return _unpack_integer(code, data)
    size = len(data)
    unpacker = Unpacker(
        ext_hook=_deep_ext_hook, strict_map_key=False, read_size=size, max_buffer_size=size
    )
    unpacker.feed(data)
    items = unpacker.unpack()
    if type(items) is not list or unpacker.tell() != size:
        raise ValueError("the payload of a tuple is no array")
    return tuple(items)


def _unpack_integer(code: int, data: bytes) -> Any:
    if code == _EXT_REFERENCE and _resolving.resolve is not None:
        return _resolving.resolve(data)
    if code != _EXT_INTEGER:
        raise ValueError(f"ext type {code}")
    if len(data) < 2 or data[0] > 1:
        raise ValueError("a malformed integer")
    magnitude = int.from_bytes(data[1:], "big")
    return -magnitude if data[0] else magnitude


_ext_hook: _ExtHook = _deep_ext_hook
for _ in range(_STACK_LEVELS):
    _ext_hook = _ext_hook_within(_ext_hook)
