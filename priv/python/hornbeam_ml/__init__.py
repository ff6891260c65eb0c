"""The names of the module `hornbeam_ml`, for applications that import them:

    from hornbeam_ml import cached_inference
    embedding = cached_inference(model.encode, text)

They are `hornbeam_erlang`'s cache with other arguments, and results that have `tolist()` (arrays)
are lists, in the first call as in those after it. New code imports from `hornbeam_erlang`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import cached, clear_cache

__all__ = ["cache_stats", "cached", "cached_inference", "clear_cache"]


def cached_inference(
    fn: Callable[[Any], Any],
    input_data: Any,
    cache_key: str | None = None,
    cache_prefix: str = "ml",
) -> Any:
    """`fn(input_data)`, computed once for equal inputs.

    A `cache_key` is one of the prefix, whatever the function; without it fn's name is a part of the
    key, and inputs are equal as `hornbeam_erlang.cached_inference` has it.
    """

    def compute(value: Any) -> Any:
        return _as_values(fn(value))

    compute.__module__ = f"{cache_prefix}:{getattr(fn, '__module__', None) or type(fn).__module__}"
    compute.__qualname__ = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return hornbeam_erlang.cached_inference(
        compute, input_data, key=cache_key, namespace=None if cache_key is None else cache_prefix
    )


def cache_stats() -> dict[str, Any]:
    """`hits`, `misses` and `hit_rate` of all that is cached, beside the figures of
    `hornbeam_erlang.cache_stats`. Who has waited for another's computation has missed nothing."""
    stats = hornbeam_erlang.cache_stats()
    hits = stats["hits"] + stats["waits"]
    total = hits + stats["misses"]
    return {**stats, "hits": hits, "hit_rate": hits / total if total else 0.0}


def _as_values(result: Any) -> Any:
    if hasattr(result, "tolist"):
        return result.tolist()
    if type(result) is list:
        return [_as_values(part) for part in result]
    if type(result) is dict:
        return {key: _as_values(part) for key, part in result.items()}
    return result
