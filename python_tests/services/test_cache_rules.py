"""Which calls are equal, how errors travel, and the stand-in's part of what is computed once."""

from __future__ import annotations

import array
import asyncio
import functools
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hornbeam_erlang as erlang
import hornbeam_ml
from hornbeam_erlang import ComputationError, aio, cache_stats, cached, cached_inference
from hornbeam_erlang._digest import digest, name_of
from hornbeam_erlang._failures import describe, original
from hornbeam_erlang.testing import Standalone
from hornbeam_worker import values

pytest_plugins = ["hornbeam_erlang.pytest_plugin"]

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def canonical(value: Any) -> Any:
    """A form that is equal for exactly those values that are to have one digest."""
    if isinstance(value, dict):
        pairs = ((canonical(key), canonical(part)) for key, part in value.items())
        return dict, sorted(pairs, key=repr)
    if isinstance(value, (list, tuple)):
        return type(value), [canonical(part) for part in value]
    return type(value), repr(value)


@settings(max_examples=80, deadline=None)
@given(VALUES, VALUES)
def test_equal_values_and_no_others_have_one_digest(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))
    assert digest(one) == digest(values.unpack(values.pack(one)))


def test_types_orders_and_domains() -> None:
    different = [1, 1.0, True, "1", b"1", [1], (1,), {1: None}, {"1": None}, None, 0.0, -0.0,
                 [[1], 2], [[1, 2]], [1, [2]], "", b"", [], (), {}]  # fmt: skip
    assert len({digest(value) for value in different}) == len(different)
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest(math.nan) == digest(float("-nan"))
    assert digest("x") != digest("x", b"k")


def test_buffers_are_compared_by_format_shape_and_content() -> None:
    numbers = array.array("i", [1, 2, 3, 4])
    same = memoryview(array.array("i", [1, 0, 2, 0, 3, 0, 4]))[::2]
    assert digest(numbers) == digest(same)
    different = [numbers, array.array("I", [1, 2, 3, 4]), array.array("q", [1, 2, 3, 4]),
                 memoryview(numbers).cast("B"), memoryview(numbers).cast("B").cast("i", [2, 2]),
                 bytes(numbers), bytearray(), array.array("i")]  # fmt: skip
    assert len({digest(value) for value in different}) == len(different)
    assert digest(bytearray(b"ab")) == digest(memoryview(b"ab"))


def test_arrays_of_numpy() -> None:
    numpy = pytest.importorskip("numpy")
    one = numpy.arange(6, dtype="<f4").reshape(2, 3)
    assert digest(one) == digest(numpy.asfortranarray(one)) == digest(one.copy())
    other = [one, one.T, one.reshape(3, 2), one.astype("<f8"), one.astype(">f4"), one[0], one + 1]
    assert len({digest(value) for value in other}) == len(other)
    assert digest(numpy.float64(1)) == digest(numpy.float64(1)) != digest(1.0)
    with pytest.raises(TypeError, match="give key="):
        digest(numpy.array([object()]))


@pytest.mark.parametrize("value", [object(), {1, 2}, [1, {"a": object()}], 1j])
def test_what_has_no_digest_says_what_to_do(value: Any) -> None:
    with pytest.raises(TypeError, match=r"has no digest .* give key="):
        digest(value)


def test_what_contains_itself_has_none() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="nested more than 200 deep"):
        digest(endless)


class Model:
    def encode(self, text: str) -> int:
        return len(text)

    def __call__(self, text: str) -> int:
        return len(text)


def test_names() -> None:
    here = __name__
    assert name_of(Model().encode) == f"{here}.Model.encode"
    assert name_of(Model()) == f"{here}.Model"
    assert name_of(test_names) == f"{here}.test_names"
    handle = Model()
    handle.__dict__.update(__module__="service", __qualname__="embeddings.encode")
    assert name_of(handle) == "service.embeddings.encode"
    for nameless in (functools.partial(len), lambda: 1):
        with pytest.raises(ValueError, match="give namespace="):
            name_of(nameless)
    with pytest.raises(ValueError, match="from 1 to 255 bytes"):
        cached(namespace="x" * 256)(test_names)
    with pytest.raises(TypeError, match="namespace must be a str"):
        cached_inference(len, "x", namespace=1)  # type: ignore[arg-type]


class PickyError(Exception):
    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(f"{text} {code}")


def test_errors_travel_without_pickle() -> None:
    def sent(error: Exception) -> Exception:
        packed = values.pack(describe(error))
        return original(ComputationError(*values.unpack(packed)))

    again = sent(KeyError("k", (1, None)))
    assert (type(again), again.args) == (KeyError, ("k", (1, None)))
    for error in (PickyError(3, text="picky"), ValueError(object()), ValueError("x" * 40_000)):
        again = sent(error)
        assert isinstance(again, ComputationError)
        assert again.name == type(error).__qualname__
        assert str(error)[:100] in again.text
    hidden = type("Gone", (Exception,), {"__module__": "not.imported"})
    assert isinstance(sent(hidden("x")), ComputationError)
    assert isinstance(original(ComputationError("os", "system", b"\x91\xa1x", "x", "")), Exception)


def test_with_nobody_to_share_with_shared_is_the_node(hornbeam_standalone: Standalone) -> None:
    def twice(number: int) -> int:
        return 2 * number

    for _ in range(2):
        assert cached_inference(twice, 2, namespace="shared", shared=True) == 4
    (figures,) = cache_stats(nodes=True).values()
    assert figures == cache_stats()
    assert (figures["hits"], figures["misses"]) == (1, 1)


def test_the_stand_in_computes_once_for_threads(hornbeam_standalone: Standalone) -> None:
    started, opened, counts = threading.Event(), threading.Event(), []

    def slow(text: str) -> list[str]:
        counts.append(text)
        started.set()
        assert opened.wait(10)
        return [text]

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(cached_inference, slow, "a") for _ in range(8)]
        assert started.wait(10)
        with pytest.raises(TimeoutError, match="has not ended in time"):
            cached_inference(slow, "a", timeout=0.01)
        opened.set()
        assert [call.result() for call in calls] == [["a"]] * 8
    assert counts == ["a"]
    assert cached_inference(slow, "a") == ["a"]
    stats = erlang.cache_stats()
    assert (stats["misses"], stats["entries"], len(stats["namespaces"])) == (1, 1, 1)
    assert stats["hits"] + stats["waits"] == 9
    assert erlang.clear_cache("other") == 0
    assert erlang.clear_cache() == 1


def test_the_stand_in_computes_once_for_coroutines(hornbeam_standalone: Standalone) -> None:
    counts: list[str] = []
    opened: asyncio.Event

    @cached(ttl=60)
    async def slow(text: str) -> str:
        counts.append(text)
        await (opened.wait() if text == "given up" else asyncio.sleep(0.01))
        if text == "bad":
            raise LookupError(text)
        return text

    def plain(text: str) -> str:
        counts.append(text)
        return text

    async def main() -> None:
        nonlocal opened
        opened = asyncio.Event()
        assert await asyncio.gather(*(slow("a") for _ in range(100))) == ["a"] * 100
        failed = await asyncio.gather(*(slow("bad") for _ in range(5)), return_exceptions=True)
        assert [repr(error) for error in failed] == ["LookupError('bad')"] * 5
        assert await asyncio.gather(*(aio.cached_inference(plain, "p") for _ in range(50))) == (
            ["p"] * 50
        )
        first = asyncio.create_task(slow("given up"))
        waits = (await aio.cache_stats())["waits"] + 3
        waiting = [asyncio.create_task(slow("given up")) for _ in range(3)]
        while counts[-1] != "given up" or (await aio.cache_stats())["waits"] < waits:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        first.cancel()
        waiting[1].cancel()
        while counts.count("given up") < 2:  # noqa: ASYNC110  (the test's own list)
            await asyncio.sleep(0.001)
        opened.set()
        ended = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [type(part) for part in ended] == [
            asyncio.CancelledError, str, asyncio.CancelledError, str,
        ]  # fmt: skip
        assert await aio.clear_cache() == 3

    asyncio.run(main())
    assert counts == ["a", "bad", "p", "given up", "given up"]


def test_a_coroutine_function_is_for_aio(hornbeam_standalone: Standalone) -> None:
    async def compute(_: Any) -> None: ...

    with pytest.raises(TypeError, match=r"await aio\.cached_inference"):
        cached_inference(compute, 1)
    for ttl in (0, -1, math.inf):
        with pytest.raises(ValueError, match="ttl must be more than 0"):
            cached_inference(len, "x", ttl=ttl)
    with pytest.raises(ValueError, match="timeout must be more than 0"):
        cached_inference(len, "x", timeout=0)


def test_the_names_of_the_original(hornbeam_standalone: Standalone) -> None:
    assert [hornbeam_ml.cached_inference(len, "abc") for _ in range(2)] == [3, 3]
    stats = hornbeam_ml.cache_stats()
    assert (stats["hits"], stats["misses"], stats["hit_rate"]) == (1, 1, 0.5)
    assert list(stats["namespaces"]) == ["ml:builtins.len"]
