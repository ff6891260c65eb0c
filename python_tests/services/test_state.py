"""The shared state, through real workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from harness import Hornbeam, wait_until

from services.conftest import RemoteError, Services, Start

WAYS = ["loop", "thread", "aio"]


@pytest.mark.parametrize("way", WAYS)
def test_the_basic_operations(services: Services, way: str) -> None:
    key = f"basic:{way}"
    assert services(f"{way}/state_get", key) is None
    assert services(f"{way}/state_get", key, 7) == 7
    services(f"{way}/state_set", key, [1, None])
    assert services(f"{way}/state_get", key) == [1, None]
    assert services(f"{way}/state_pop", key) == [1, None]
    assert services(f"{way}/state_pop", key, "gone") == "gone"
    assert services(f"{way}/state_incr", key) == 1
    assert services(f"{way}/state_incr", key, 10) == 11
    assert services(f"{way}/state_decr", key, 5) == 6
    assert services(f"{way}/state_get_multi", [key, "missing"]) == {key: 6, "missing": None}
    assert services(f"{way}/state_keys", key) == [key]
    assert services(f"{way}/state_items", key) == [(key, 6)]
    assert services(f"{way}/state_delete", key) is True
    assert services(f"{way}/state_delete", key) is False


def test_a_stored_none_is_not_a_missing_key(services: Services) -> None:
    services("loop/state_set", "none", None)
    assert services("loop/state_get", "none", "default") is None
    assert services("loop/state_cas", "none", None, 1) is True
    assert services("loop/state_cas", "missing", None, 1) is False


def test_keys_are_compared_exactly(services: Services) -> None:
    keys = [1, 1.0, True, "1", b"1", (1,), [1], {}, {"a": 1}, {"a": 1, "b": 2}, None, 2**80]
    assert services("own/keys_round_trip", keys) == list(range(len(keys)))


def test_add_stores_only_what_is_absent(services: Services) -> None:
    assert services("loop/state_add", "add", 1) is True
    assert services("loop/state_add", "add", 2) is False
    assert services("loop/state_get", "add") == 1


def test_add_takes_the_place_of_what_has_expired(services: Services) -> None:
    assert services("loop/state_add", "lock", 1, ttl=0.05) is True
    wait_until(lambda: services("loop/state_add", "lock", 2), 5, "the lock has expired")
    assert services("loop/state_get", "lock") == 2


def test_cas_compares_value_and_type(services: Services) -> None:
    services("loop/state_set", "cas", {"a": [1]})
    assert services("loop/state_cas", "cas", {"a": [1.0]}, 2) is False
    assert services("loop/state_cas", "cas", {"a": [1]}, float("nan")) is True
    assert services("loop/state_cas", "cas", float("nan"), "end") is True
    assert services("loop/state_get", "cas") == "end"


def test_cas_keeps_the_time_of_expiry(services: Services) -> None:
    services("loop/state_set", "cas-ttl", 1, ttl=2)
    assert services("loop/state_cas", "cas-ttl", 1, 2) is True
    wait_until(lambda: services("loop/state_get", "cas-ttl") is None, 20, "it has expired")


def test_a_counter_with_a_ttl_starts_afresh(services: Services) -> None:
    assert services("loop/state_incr", "window", ttl=0.1) == 1
    wait_until(lambda: services("loop/state_get", "window") is None, 5, "it has expired")
    assert services("loop/state_incr", "window", ttl=10) == 1
    assert services("loop/state_incr", "window", ttl=10) == 2


def test_floats_are_numbers(services: Services) -> None:
    assert services("loop/state_incr", "float", 0.5) == 0.5
    assert services("loop/state_incr", "float", 1) == 1.5
    assert services("loop/state_incr", "big", 2**100) == 2**100
    assert services("loop/state_incr", "big", 1) == 2**100 + 1


@pytest.mark.parametrize("value", ["text", [1], None, True, b"1"])
def test_what_is_no_number_cannot_be_incremented(services: Services, value: Any) -> None:
    services("loop/state_set", "no number", value)
    with pytest.raises(RemoteError, match="not a number") as error:
        services("loop/state_incr", "no number")
    assert error.value.kind == "TypeError"
    assert services("loop/state_get", "no number") == value


def test_a_sum_out_of_range_is_an_error(services: Services) -> None:
    services("loop/state_set", "range", 1e308)
    with pytest.raises(RemoteError, match="out of the range"):
        services("loop/state_incr", "range", 1e308)
    services("loop/state_set", "range", float("inf"))
    with pytest.raises(RemoteError, match="out of the range"):
        services("loop/state_incr", "range", 1.0)


@pytest.mark.parametrize(
    ("delta", "kind"), [("1", "TypeError"), (True, "TypeError"), (float("nan"), "ValueError")]
)
def test_a_delta_is_a_finite_number(services: Services, delta: Any, kind: str) -> None:
    with pytest.raises(RemoteError, match="delta must be") as error:
        services("loop/state_incr", "delta", delta)
    assert error.value.kind == kind


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_a_ttl_is_more_than_0(services: Services, ttl: float) -> None:
    with pytest.raises(RemoteError, match="ttl must be more than 0") as error:
        services("loop/state_set", "ttl", 1, ttl)
    assert error.value.kind == "ValueError"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("value", "value['users'][1]: a set cannot travel"),
        ("key", "key[1]: a set cannot travel"),
        ("aio", "value[0]: an object cannot travel"),
        ("message", "message['x']: a bytearray cannot travel"),
    ],
)
def test_what_cannot_travel_is_named_and_not_stored(
    services: Services, name: str, text: str
) -> None:
    with pytest.raises(RemoteError) as error:
        services("own/set_things", name)
    assert error.value.kind == "TypeError"
    assert error.value.text.startswith(text)
    assert services("loop/state_get", "bad") is None


def test_erlang_reads_what_python_stores(services: Services) -> None:
    services("loop/state_set", "both", {"a": (1, b"b", None)})
    assert services("loop/call", "get", "both") == {"a": (1, b"b", None)}
    assert (
        services("loop/call", "kind", {"a": (b"b", None)}) == '#{<<"a">> => {{bytes,<<"b">>},none}}'
    )


def test_increments_of_all_workers_threads_and_coroutines_are_exact(start: Start) -> None:
    workers, threads, coroutines, each = 4, 8, 50, 3
    services = start(workers=workers, max_concurrency=1)
    with ThreadPoolExecutor(workers) as pool:
        calls = [
            pool.submit(services, "own/count_in_all_ways", "exact", threads, coroutines, each)
            for _ in range(workers)
        ]
        for call in calls:
            call.result()
    assert services("loop/state_get", "exact") == workers * threads * (coroutines + 1) * each


@pytest.mark.parametrize(
    ("name", "arguments"), [("state_add", ["won", 1]), ("state_cas", ["old", 1, 2])]
)
def test_exactly_one_wins(start: Start, name: str, arguments: list[Any]) -> None:
    services = start(workers=4, max_concurrency=1)
    services("loop/state_set", "old", 1)
    with ThreadPoolExecutor(4) as pool:
        wins = list(pool.map(lambda _: services("own/race", name, arguments, 30), range(4)))
    assert sum(wins) == 1


def test_the_entries_written_longest_ago_are_evicted(start: Start) -> None:
    services = start(state_max_entries=10)
    for number in range(30):
        services("loop/state_set", number, number)
    services("loop/state_incr", 20)  # no write in this sense
    services("loop/state_set", 21, "again")
    services("loop/state_set", "new", 1)
    assert services("loop/state_get", 20) is None
    assert services("loop/state_get", 21) == "again"
    assert len(services("loop/state_keys")) == 10


def test_the_bytes_are_limited(start: Start) -> None:
    services = start(state_max_bytes=10_000)
    for number in range(100):
        services("loop/state_set", number, "x" * 1000)
    assert services("loop/state_keys")
    assert len(services("loop/state_keys")) * 1000 <= 10_000
    with pytest.raises(RemoteError, match="state_max_bytes") as error:
        services("loop/state_set", "large", "x" * 10_000)
    assert error.value.kind == "ValueError"
    assert services("loop/state_get", 99) == "x" * 1000


def test_a_limit_must_be_a_number() -> None:
    from harness import StartError

    with pytest.raises(StartError, match="state_max_entries"):
        Hornbeam("services_app:app", state_max_entries="many").start()
