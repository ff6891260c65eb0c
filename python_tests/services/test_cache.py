"""Results that are computed once, through real workers: cached_inference and cached."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from harness import ROOT, Hornbeam, wait_until
from ops.test_reload import hornbeam

from services.conftest import RemoteError, Services

LIMIT = 2_000_000
Calls = list[Future[Any]]


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the control socket."""
    return str(tmp_path_factory.mktemp("cache") / "control")


@pytest.fixture(scope="module")
def cache(control: str) -> Iterator[Services]:
    """Three workers, and room for two megabytes."""
    with Hornbeam(
        "apps.cache_app:app",
        pythonpath=str(ROOT / "python_tests"),
        workers=3,
        cache_max_bytes=LIMIT,
        control=control,
    ) as server:
        services = Services(server)
        limits = httpx.Limits(max_connections=None)  # a hundred wait, others ask beside them
        services.client = httpx.Client(base_url=server.url, timeout=30, limits=limits)
        yield services


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(100) as pool:
        yield pool


def figures(cache: Services, namespace: str) -> dict[str, int]:
    found: dict[str, int] = cache("stats")["namespaces"].get(namespace, {})
    return found


def answered(cache: Services, name: str, *arguments: Any) -> Any:
    """The answer, or None for a request that met a worker that is just being killed."""
    try:
        return cache(name, *arguments)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 502
        return None


def start(cache: Services, pool: ThreadPoolExecutor, count: int, name: str, of: str) -> Calls:
    """So many equal calls at once; returns when one computes and the others wait."""
    before = figures(cache, f"apps.cache_app.{of}").get("waits", 0)
    calls = [pool.submit(cache, "once", name, of) for _ in range(count)]

    def waits() -> bool:
        assert [call for call in calls if call.done()] == []
        return figures(cache, f"apps.cache_app.{of}").get("waits", 0) - before == count - 1

    wait_until(waits, 20, "all but one wait")
    return calls


def test_a_hundred_equal_calls_at_once_compute_once(
    cache: Services, pool: ThreadPoolExecutor
) -> None:
    calls = start(cache, pool, 99, "hundred", "gated")
    late = pool.submit(cache, "in_thread", "hundred", namespace="apps.cache_app.gated")
    wait_until(lambda: figures(cache, "apps.cache_app.gated")["waits"] == 99, 20, "a thread waits")
    cache("open_gate", "hundred")
    value = {"name": "hundred", "parts": (1, b"x", None)}
    assert [call.result() for call in [*calls, late]] == [value] * 100
    assert cache("count", "hundred") == 1
    assert cache("once", "hundred") == value
    assert figures(cache, "apps.cache_app.gated")["hits"] >= 1


def test_an_error_reaches_all_and_is_not_kept(cache: Services, pool: ThreadPoolExecutor) -> None:
    calls = start(cache, pool, 20, "failing", "failing")
    cache("open_gate", "failing")
    for call in calls:
        error = call.exception()
        assert isinstance(error, RemoteError)
        assert (error.kind, error.text) == ("LookupError", "('nothing', 'failing')")
    assert cache("count", "failing") == 1
    with pytest.raises(RemoteError, match="nothing"):
        cache("once", "failing", "failing")
    assert cache("count", "failing") == 2


def test_an_error_that_cannot_be_made_again_says_what_it_was(
    cache: Services, pool: ThreadPoolExecutor
) -> None:
    calls = start(cache, pool, 3, "own", "failing")
    cache("open_gate", "own")
    errors = [call.exception() for call in calls]
    kinds = sorted(error.kind for error in errors if isinstance(error, RemoteError))
    assert kinds == ["ComputationError", "ComputationError", "OwnError"]
    assert all("own 7" in str(error) for error in errors)


def test_a_worker_that_is_killed_while_it_computes_has_a_successor(
    cache: Services, pool: ThreadPoolExecutor
) -> None:
    calls = start(cache, pool, 12, "killed", "gated")
    killed = cache("pid", "killed")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: answered(cache, "count", "killed") == 2, 20, "another one computes")
    assert cache("pid", "killed") != killed
    cache("open_gate", "killed")
    ended = [call.exception() or call.result() for call in calls]
    good = [value for value in ended if isinstance(value, dict)]
    assert good  # those of the other workers
    assert cache("count", "killed") == 2


def test_a_caller_that_is_cancelled_has_a_successor(cache: Services) -> None:
    ended = cache("given_up", "given up")
    assert ended == ["CancelledError", "CancelledError", "dict", "dict"]
    assert cache("count", "given up") == 2


def test_one_waits_no_longer_than_its_timeout(cache: Services, pool: ThreadPoolExecutor) -> None:
    calls = start(cache, pool, 1, "slow", "gated")
    wait_until(lambda: cache("count", "slow") == 1, 20, "it computes")
    for how in ("once", "in_thread"):
        keywords = {"namespace": "apps.cache_app.gated", "timeout": 0.05}
        with pytest.raises(RemoteError, match="has not ended in time") as error:
            cache(how, "slow", **keywords)
        assert error.value.kind == "TimeoutError"
    cache("open_gate", "slow")
    assert calls[0].result()["name"] == "slow"


def test_what_is_too_large_to_be_kept_reaches_all(
    cache: Services, pool: ThreadPoolExecutor
) -> None:
    calls = start(cache, pool, 5, "large", "large")
    cache("open_gate", "large")
    assert {call.result() for call in calls} == {b"x" * 3_000_000}
    assert cache("count", "large") == 1
    assert figures(cache, "apps.cache_app.large")["entries"] == 0


def test_what_is_cleared_while_it_is_computed_is_not_kept(
    cache: Services, pool: ThreadPoolExecutor
) -> None:
    calls = start(cache, pool, 4, "cleared", "gated")
    cache("clear", "apps.cache_app.gated")
    cache("open_gate", "cleared")
    assert {call.result()["name"] for call in calls} == {"cleared"}
    assert cache("once", "cleared")["name"] == "cleared"
    assert cache("count", "cleared") == 2


def test_results_expire(cache: Services) -> None:
    cache("once", "ttl", "plain", ttl=0.05)

    def computed_again() -> bool:
        cache("in_loop", "ttl", ttl=0.05)
        return int(cache("count", "ttl")) > 1

    wait_until(computed_again, 10, "it has expired")
    cache("once", "swept", "plain", ttl=0.01, namespace="swept")
    wait_until(lambda: figures(cache, "swept")["entries"] == 0, 10, "it is removed")


def test_what_was_used_least_recently_is_evicted(cache: Services) -> None:
    cache("clear")
    before = cache("stats")["evictions"]
    cache("fill", list(range(9)), 200_000)
    assert cache("kept", [0]) == [0]
    cache("fill", [9], 200_000)
    stats = cache("stats")
    assert stats["evictions"] == before + 1
    assert stats["entries"] == 9
    assert 9 * 200_000 < stats["bytes"] <= stats["max_bytes"] == LIMIT
    assert cache("kept", list(range(10))) == [0, *range(2, 10)]
    assert cache("clear", "fill") == 10
    assert cache("stats")["bytes"] == 0


def test_a_plain_call_does_not_wait_for_a_coroutine_of_its_loop(cache: Services) -> None:
    assert cache("plain_beside_async", "beside") == ["alone", {
        "name": "beside", "parts": (1, b"x", None),
    }]  # fmt: skip


def test_a_plain_function_is_computed_once_in_all_ways(cache: Services) -> None:
    for how in ("in_loop", "in_thread", "once"):
        assert cache(how, "ways", "plain") == ["ways", 1.0]
    assert cache("count", "ways") == 1


def test_the_decorator(cache: Services) -> None:
    twice, count, keyed, factorial = cache("decorators")
    assert (twice, count) == ([6, 6, 9], 2)
    assert keyed == ["a1", "a1", "b2"]
    assert factorial == 120
    with pytest.raises(RemoteError, match="asks for its own result"):
        cache("ask_itself")


def test_a_result_that_cannot_travel_is_an_error_for_all(cache: Services) -> None:
    for _ in range(2):
        with pytest.raises(RemoteError, match="result: a set cannot travel") as error:
            cache("in_loop", "set", "untravelled")
        assert error.value.kind == "TypeError"


def test_the_names_of_the_original(cache: Services) -> None:
    assert cache("original_names") == [[{"embedding": [1.0]}] * 2, 1, True, True]


def test_a_reload_keeps_what_is_there_and_the_limit(cache: Services, control: str) -> None:
    cache("in_loop", "reloaded")
    done = hornbeam("reload", "--control", control)
    assert done.returncode == 0, done.stdout
    assert cache("in_loop", "reloaded") == ["reloaded", 1.0]
    assert cache("count", "reloaded") == 1
    done = hornbeam("reload", "--control", control, "--cache-max-bytes", "1000")
    assert "cache_max_bytes: cannot be changed by a reload" in done.stdout + done.stderr
