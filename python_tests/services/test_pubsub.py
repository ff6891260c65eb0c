"""Publish and subscribe, through real workers."""

from __future__ import annotations

import pytest
from harness import wait_until

from services.conftest import RemoteError, Services, Start


def test_a_message_reaches_every_subscriber_with_a_value_of_its_own(services: Services) -> None:
    # Each has the topic and a pattern, of which only the topic matches.
    assert services("own/many_subscribers", 100, "news") == [100, True, 100]
    assert services.left() == (0, 0)


def test_both_subscriptions_count_and_the_message_comes_once(services: Services) -> None:
    assert services("own/many_subscribers", 10, "many:1") == [20, True, 10]


def test_nobody_there(services: Services) -> None:
    assert services("loop/publish", "nobody", 1) == 0


@pytest.mark.parametrize("way", ["loop", "thread", "aio"])
def test_a_message_reaches_other_workers(start: Start, way: str) -> None:
    services = start(workers=2, max_concurrency=1)
    services("own/hold_subscription", "other")
    services("own/hold_subscription", "oth*")
    assert services(f"{way}/publish", "other", 1) == 2


def test_a_full_queue_drops_the_oldest_and_counts(services: Services) -> None:
    assert services("own/overflow", 3, 10) == [[7, 8, 9], 7, None]


def test_a_worker_that_stands_still_fills_no_memory(services: Services) -> None:
    received, dropped, last = services("own/stopped_worker", 20_000)
    assert 10_000 < received < 20_000
    assert received + dropped == 20_000
    assert last is True


def test_a_subscription_ends_with_its_task(services: Services) -> None:
    services("own/hold_subscription", "task")
    assert services("loop/publish", "task", 1) == 1
    services("own/end_task", "task")
    wait_until(lambda: services("loop/publish", "task", 1) == 0, 5, "it has ended")


def test_iterating_ends_when_the_subscription_is_closed(services: Services) -> None:
    assert services("own/subscription_ends", "closed") == [[1], 0]


def test_polling_in_the_loops_thread(services: Services) -> None:
    nothing, reached, message, left, after = services("own/poll_in_loop", "poll")
    assert (nothing, reached, message) == (None, 1, ("poll", ("m", 1)))
    assert (left, after) == ([True, False], 0)


def test_polling_in_a_thread_that_ends(services: Services) -> None:
    assert services("own/poll_in_thread", "thread") == [None, ("thread:x", b"bytes")]
    wait_until(lambda: services.left() == (0, 0), 5, "its subscriptions have ended")


@pytest.mark.parametrize("way", ["loop", "aio"])
def test_a_request_that_subscribes_and_ends_leaves_nothing(services: Services, way: str) -> None:
    services(f"{way}/subscribe", "left-behind")
    wait_until(lambda: services("loop/publish", "left-behind", 1) == 0, 5, "it has ended")
    assert services.left() == (0, 0)


def test_one_cannot_publish_to_a_pattern(services: Services) -> None:
    with pytest.raises(RemoteError, match="is a pattern") as error:
        services("loop/publish", "user:*", 1)
    assert error.value.kind == "ValueError"


def test_a_pattern_is_bounded(services: Services) -> None:
    with pytest.raises(RemoteError, match="128 before the") as error:
        services("loop/subscribe", "x" * 129 + "*")
    assert error.value.kind == "ValueError"


def test_a_subscription_can_be_entered_once(services: Services) -> None:
    with pytest.raises(RemoteError, match="entered once"):
        services("own/twice_entered")
    assert services.left() == (0, 0)
