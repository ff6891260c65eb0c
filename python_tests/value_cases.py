"""Values for the tests of hornbeam_worker.values: a strategy, and equality that sees types."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st

# Around the widths of the format, and beyond 64 bits.
_boundaries = st.builds(
    lambda bits, sign, near: sign * 2**bits + near,
    st.sampled_from([5, 7, 8, 15, 16, 31, 32, 63, 64, 65, 120, 2032, 2040]),
    st.sampled_from([1, -1]),
    st.integers(-2, 2),
)
_lengths = st.sampled_from([31, 32, 255, 256, 65535, 65536])

_keys = st.one_of(
    st.none(), st.booleans(), st.integers(), _boundaries, st.text(max_size=20),
    st.binary(max_size=20), st.floats(allow_nan=False),
)  # fmt: skip
_scalars = st.one_of(
    _keys,
    st.floats(),
    st.builds(lambda n: "a" * n, _lengths),
    st.builds(bytes, _lengths),
)
_all_keys = st.one_of(_keys, st.tuples(_keys), st.tuples(_keys, st.tuples(_keys)))


def _containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(parts, max_size=5)
    return st.one_of(lists, lists.map(tuple), st.dictionaries(_all_keys, parts, max_size=5))


values: st.SearchStrategy[Any] = st.recursive(_scalars, _containers, max_leaves=25)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of the same types all through; nan is the same as nan."""
    if type(a) is not type(b):
        return False
    if type(a) is float:
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        keys = {_exact(key): key for key in b}
        return len(a) == len(b) and all(
            _exact(key) in keys and same(part, b[key]) for key, part in a.items()
        )
    return bool(a == b)


def _exact(key: Any) -> Any:
    """Equal only for keys of the same types: True, 1 and 1.0 are not."""
    if isinstance(key, tuple):
        return (tuple, *map(_exact, key))
    return type(key), key
