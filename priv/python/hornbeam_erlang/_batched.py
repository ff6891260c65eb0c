"""The mark of methods of a service that get many calls at once; `hornbeam_worker.batches` runs
them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["Batching", "batched", "batching"]

_MARK = "__hornbeam_batched__"

F = TypeVar("F", bound=Callable[..., Any])


class Batching(NamedTuple):
    """How calls are collected."""

    max_size: int
    max_wait_ms: float


def batched(*, max_size: int = 32, max_wait_ms: float = 5) -> Callable[[F], F]:
    """Marks a method of a service that takes a list of items and returns a list of results.

        class Embeddings:
            @batched(max_size=32, max_wait_ms=5)
            def encode(self, texts):            # called as encode("text")
                return self.model.encode(texts)

    Callers call it with one item each and get that item's result. The method is run when
    `max_size` calls have come, or `max_wait_ms` after the first; one run at a time. A result that
    is an exception is raised for its caller alone; another number of results than of items is an
    error for all of them, as is what the method raises. Called directly it is as it was.
    """
    if type(max_size) is not int or max_size < 1:
        raise ValueError(f"max_size must be an int of at least 1, not {max_size!r}")
    if isinstance(max_wait_ms, bool) or not isinstance(max_wait_ms, (int, float)):
        raise TypeError(f"max_wait_ms must be a number, not {max_wait_ms!r}")
    if not 0 <= max_wait_ms <= 60_000:
        raise ValueError(f"max_wait_ms must be from 0 to 60000, not {max_wait_ms!r}")

    def mark(function: F) -> F:
        setattr(function, _MARK, Batching(max_size, max_wait_ms))
        return function

    return mark


def batching(function: Callable[..., Any]) -> Batching | None:
    """How a function is marked, if it is."""
    mark = getattr(function, _MARK, None)
    return mark if isinstance(mark, Batching) else None
