"""Values on their way through the real port: to the state and back, and through an Erlang function.

HORNBEAM_EXAMPLES=N tries N examples of each property instead of 50.
"""

from __future__ import annotations

import math
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.conftest import RemoteError, Services

EXAMPLES = int(os.environ.get("HORNBEAM_EXAMPLES", "50"))

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
)
# Python has many nan, Erlang one: no two of them can stand in one dict.
keys = st.recursive(scalars, lambda inner: st.tuples(inner) | st.tuples(inner, inner), max_leaves=4)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys.filter(lambda key: "nan" not in repr(key)), inner)
    ),
    max_leaves=30,
)


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        left = {repr(key): value for key, value in one.items()}
        right = {repr(key): value for key, value in other.items()}
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(one, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return bool(one == other)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(way=st.sampled_from(["loop", "aio"]), value=anything)
def test_whatever_travels_comes_back_equal(services: Services, way: str, value: Any) -> None:
    stored, echoed = services("own/round_trip", way, value)
    assert same(stored, value)
    assert same(echoed, value)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(key=keys)
def test_whatever_is_a_key_finds_its_value(services: Services, key: Any) -> None:
    services("loop/state_set", key, "found")
    assert services("loop/state_get", key) == "found"
    assert services("loop/state_delete", key) is True


@pytest.mark.parametrize(
    "value",
    [
        [], (), {}, "", b"", [[]], ((),), {(): {}},
        {None: 1, "a": 2, b"a": 3, 4: 5, 6.5: 7, (8,): 9},
        2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**1000, math.inf, -math.inf, math.nan, -0.0,
        "\u0000", "\U0010ffff", b"\xff", True, {"deep": [({"er": [None]},)]},
    ],
)  # fmt: skip
def test_the_edges(services: Services, value: Any) -> None:
    stored, echoed = services("own/round_trip", "loop", value)
    assert same(stored, value)
    assert same(echoed, value)


@pytest.mark.parametrize("value", [b"\xff" * 10_000_000, "ü" * 5_000_000, list(range(1_000_000))])
def test_10_megabytes(services: Services, value: Any) -> None:
    stored, echoed = services("own/round_trip", "aio", value)
    assert stored == value
    assert echoed == value


@pytest.mark.parametrize("where", ["value", "key", "topic"])
def test_lone_surrogates_are_a_clear_error(services: Services, where: str) -> None:
    with pytest.raises(RemoteError, match="lone surrogates cannot travel") as error:
        services("own/surrogates", where)
    assert error.value.kind == "TypeError"
