"""Errors that cross from the process that computed to those that wait for the result.

Nothing is pickled. An exception travels as its class's name, its arguments where they are values
that can travel, its text and its traceback. At the other end it is the same class with the same
arguments where that class is imported there and takes them, raised from a `ComputationError`, which
has the rest; else it is that `ComputationError`.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any, Final

from hornbeam_erlang._errors import ComputationError

__all__ = ["describe", "original"]

_MAX_ARGUMENTS: Final = 32_768
_MAX_TEXT: Final = 8_192
_MAX_TRACEBACK: Final = 32_768


def describe(error: BaseException) -> list[Any]:
    """What ComputationError is made of."""
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    try:
        packed: bytes | None = values.pack(list(error.args))
    except (TypeError, ValueError):
        packed = None
    if packed is not None and len(packed) > _MAX_ARGUMENTS:
        packed = None
    stack = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    kind = type(error)
    names = [kind.__module__, kind.__qualname__]
    return [*names, packed, _unicode(_text(error)[:_MAX_TEXT]), _unicode(stack)]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a __str__ of the application's that fails itself
        return "(its text cannot be had)"


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def original(error: ComputationError) -> Exception:
    """The exception as it was raised where the computation ran, or `error` itself."""
    kind: Any = sys.modules.get(error.module)
    for name in error.name.split("."):
        kind = getattr(kind, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or error.arguments is None:
        return error
    from hornbeam_worker import values

    try:
        made = kind(*values.unpack(error.arguments))
    except Exception:  # it takes other arguments than it keeps
        return error
    return made if _unicode(_text(made)[:_MAX_TEXT]) == error.text else error
