"""The way from the public functions to the worker that carries them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hornbeam_erlang._operations import OPERATIONS

__all__ = ["ABSENT", "call", "connect"]


class _Absent:
    """There is no value: the caller's default holds."""


ABSENT: Final = _Absent()

_call: Callable[[int, list[Any]], Any] | None = None


def connect(function: Callable[[int, list[Any]], Any]) -> None:
    """Called by the worker at its start: `function(operation, arguments)` carries calls."""
    global _call
    _call = function


def call(operation: str, *arguments: Any) -> Any:
    """Calls an operation by name; RuntimeError outside a worker."""
    if _call is None:
        raise RuntimeError(
            "hornbeam_erlang works in an application that Hornbeam serves; "
            "this process is not one of its workers"
        )
    return _call(OPERATIONS[operation], list(arguments))
