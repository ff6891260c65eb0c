"""Services in unit tests (`testing.standalone`), and what a handle does by itself."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from hornbeam_erlang import (
    NoSuchServiceError,
    ServiceError,
    _deadline,
    aio,
    batched,
    cache_stats,
    cached_inference,
    service,
)
from hornbeam_erlang.testing import standalone


class Model:
    def __init__(self) -> None:
        self.closed = threading.Event()
        self.given = 0

    def add(self, a: int, b: int = 1) -> int:
        return a + b

    async def aadd(self, a: int) -> int:
        return a + 1

    def double(self, numbers: Any) -> Any:
        return numbers * 2

    def tell(self, _text: str) -> int:
        self.given += 1
        return self.given

    def fail(self) -> None:
        raise KeyError("x")

    def wait(self) -> None:
        self.closed.wait(20)

    def count(self, limit: int) -> Iterator[int]:
        try:
            for number in range(limit):
                self.given = number
                yield number
        finally:
            self.closed.set()

    async def acount(self, limit: int) -> AsyncIterator[int]:
        for number in range(limit):
            yield number
        raise ValueError("the end")

    @batched(max_size=2)
    def upper(self, texts: list[str]) -> list[Any]:
        return [ValueError(text) if text == "bad" else text.upper() for text in texts]

    @batched(max_size=2)
    async def none(self, _texts: list[str]) -> list[str]:
        return []


@pytest.fixture
def model() -> Iterator[Model]:
    with standalone() as erlang:
        made = Model()
        erlang.register_service("model", made)
        yield made


def test_plain_and_awaited_calls(model: Model) -> None:
    handle = service("model")
    assert handle.add(1, b=2).result() == 3

    async def awaited() -> tuple[Any, ...]:
        return await asyncio.gather(handle.add(1), handle.aadd(2), handle.upper("a"))

    assert tuple(asyncio.run(awaited())) == (2, 3, "A")
    assert (handle.double(np.arange(3)).result() == np.array([0, 2, 4])).all()
    assert repr(handle) == "service('model')"


def test_results_of_services_are_kept_by_the_name_of_the_method(model: Model) -> None:
    handle = service("model")
    assert repr(handle.add) == "service.model.add"

    async def twin() -> Any:
        return await aio.cached_inference(handle.tell, "a")

    assert cached_inference(handle.tell, "a") == 1
    assert asyncio.run(twin()) == 1
    assert cached_inference(handle.tell, "b") == 2
    assert list(cache_stats()["namespaces"]) == ["service.model.tell"]


def test_errors(model: Model) -> None:
    handle = service("model")
    with pytest.raises(ServiceError, match="KeyError") as error:
        handle.fail().result()
    assert error.value.class_name == "KeyError" and "in fail" in error.value.traceback
    for call in (handle.upper("bad"), handle.none("a"), handle.count(1)):
        with pytest.raises(ServiceError):
            call.result()
    with pytest.raises(ServiceError, match="await it"):
        list(handle.double(1))
    with pytest.raises(NoSuchServiceError):
        service("none").add(1).result()
    with pytest.raises(TimeoutError):
        service("model", timeout=0.01).wait().result()
    with pytest.raises(TypeError, match=r"model\.add\(\)"):
        handle.add(object()).result()
    model.closed.set()


def test_streams(model: Model) -> None:
    assert list(service("model").count(100)) == list(range(100))

    async def taken() -> list[int]:
        got = []
        with pytest.raises(ServiceError, match="the end"):
            async for value in service("model").acount(50):
                got.append(value)  # noqa: PERF401
        return got

    assert asyncio.run(taken()) == list(range(50))


def test_a_break_closes_the_generator_which_was_not_far_ahead(model: Model) -> None:
    for value in service("model").count(10_000):
        if value == 2:
            break
    assert model.closed.wait(20) and model.given < 100


def test_without_the_service_there_is_none(model: Model) -> None:
    assert model.given == 0
    with standalone() as erlang, pytest.raises(NoSuchServiceError):
        erlang.unregister_service("model")
        service("model").add(1).result()


def test_a_call_that_is_not_used_is_a_warning() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        service("model").add(1)
        gc.collect()
    assert "was never awaited" in str(caught[0].message)


def test_private_names_and_wrong_arguments() -> None:
    with pytest.raises(AttributeError, match="begins with _"):
        _ = service("model")._secret
    for timeout in (0, -1, float("inf"), True, "1"):
        with pytest.raises((TypeError, ValueError)):
            service("model", timeout=timeout)  # type: ignore[arg-type]
    for options in ({"max_size": 0}, {"max_size": True}, {"max_wait_ms": -1}, {"max_wait_ms": "1"}):
        with pytest.raises((TypeError, ValueError)):
            batched(**options)


def test_a_call_waits_no_longer_than_whoever_it_is_made_for(model: Model) -> None:
    with _deadline.until(time.monotonic() + 0.01), pytest.raises(TimeoutError):
        service("model", timeout=None).wait().result()
    with _deadline.until(time.monotonic() - 1), pytest.raises(TimeoutError, match="is over"):
        service("model").add(1).result()
    assert service("model").add(1).result() == 2
    model.closed.set()
