"""The channel layer and the cache of hornbeam_erlang.django, on the stand-in."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterator
from typing import Any

import pytest

from hornbeam_erlang import state_get, state_set
from hornbeam_erlang.testing import standalone

pytest.importorskip("channels")
django_conf = pytest.importorskip("django.conf")
if not django_conf.settings.configured:
    django_conf.settings.configure()

from channels.exceptions import ChannelFull  # noqa: E402

from hornbeam_erlang import django  # noqa: E402


@pytest.fixture(autouse=True)
def stand_in() -> Iterator[Any]:
    with standalone() as made:
        yield made


def cache(location: str = "", **params: Any) -> Any:
    return django.Cache(location, params)


def test_a_message_is_received_once_in_order() -> None:
    async def run() -> None:
        layer = django.ChannelLayer()
        for number in range(3):
            await layer.send("work", {"type": "n", "n": number, "raw": b"\0"})
        for number in range(3):
            got = await layer.receive("work")
            assert got == {"type": "n", "n": number, "raw": b"\0"}

    asyncio.run(run())


def test_capacity_and_patterns() -> None:
    async def run() -> None:
        layer = django.ChannelLayer(capacity=3, channel_capacity={"tiny.*": 1})
        for channel, capacity in (("work", 3), ("tiny.one", 1)):
            for _ in range(capacity):
                await layer.send(channel, {"type": "n"})
            with pytest.raises(ChannelFull):
                await layer.send(channel, {"type": "n"})

    asyncio.run(run())


def test_a_cancelled_receive_loses_nothing() -> None:
    async def run() -> None:
        layer = django.ChannelLayer()
        channel = await layer.new_channel()
        for number in range(20):
            waiting = asyncio.create_task(layer.receive(channel))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            await layer.send(channel, {"type": "n", "n": number})
            waiting.cancel()
            ended: Any = (await asyncio.gather(waiting, return_exceptions=True))[0]
            got = ended if isinstance(ended, dict) else await layer.receive(channel)
            assert got["n"] == number

    asyncio.run(run())


def test_a_channel_of_another_process() -> None:
    async def run() -> None:
        theirs = await django.ChannelLayer().new_channel()
        with pytest.raises(AssertionError, match="another process"):
            await django.ChannelLayer().receive(theirs)

    asyncio.run(run())


def test_groups_and_flush() -> None:
    async def run() -> None:
        layer, other = django.ChannelLayer(), django.ChannelLayer(prefix="other")
        one, two = await layer.new_channel(), await layer.new_channel("special")
        assert one.startswith("specific.") and two.startswith("special.") and one != two
        for channel in (one, two):
            await layer.group_add("room", channel)
        await layer.group_send("room", {"type": "hello"})
        assert await layer.receive(one) == await layer.receive(two) == {"type": "hello"}
        await layer.group_discard("room", two)
        await layer.group_send("room", {"type": "again"})
        await other.group_send("room", {"type": "not here"})
        assert await layer.receive(one) == {"type": "again"}
        await layer.group_send("room", {"type": "flushed"})
        await layer.flush()
        for channel in (one, two):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(layer.receive(channel), 0.05)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["", "a b", "x" * 100, "a!b!c"])
def test_names(name: str) -> None:
    async def run() -> None:
        with pytest.raises(TypeError):
            await django.ChannelLayer().send(name, {"type": "n"})

    asyncio.run(run())


@pytest.mark.parametrize("wrong", [{"capacity": 0}, {"expiry": 0}, {"channel_capacity": {"a": -1}}])
def test_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        django.ChannelLayer(**wrong)


@pytest.mark.parametrize(
    "value",
    [0, 1.5, "text", b"bytes", True, None, [1, {2}], ("pickle", b"no"), datetime.date(2026, 1, 2)],
)
def test_values(value: Any) -> None:
    kept = cache()
    kept.set("k", value)
    got = kept.get("k", "missing")
    assert (got, type(got)) == (value, type(value))
    assert kept.get_many(["k", "none"]) == {"k": value}
    assert asyncio.run(kept.aget("k")) == value


def test_timeouts(stand_in: Any) -> None:
    kept = cache()
    kept.set("forever", 1, None)
    kept.set("while", 1, 10)
    for timeout in (0, -1):
        kept.set("gone", 1)
        kept.set("gone", 1, timeout)
        assert not kept.has_key("gone") and kept.add("gone", 1, timeout)
        assert not kept.has_key("gone")
    assert kept.touch("forever", 10) and not kept.touch("missing", 10)
    assert kept.touch("while", 1000)
    stand_in.advance(20)
    assert kept.get_many(["forever", "while"]) == {"while": 1}
    assert kept.touch("while", 0) and not kept.has_key("while")


def test_incr_keeps_the_time_and_makes_nothing(stand_in: Any) -> None:
    kept = cache()
    with pytest.raises(ValueError, match="not found"):
        kept.incr("n")
    kept.set("n", 1, 10)
    assert (kept.incr("n", 4), kept.decr("n"), asyncio.run(kept.aincr("n"))) == (5, 4, 5)
    stand_in.advance(11)
    assert kept.get("n") is None


def test_clear_leaves_what_is_not_its_own() -> None:
    kept, other = cache("one"), cache("two")
    state_set("mine", 1)
    for each in (kept, other):
        each.set("k", 1, version=2)
    kept.clear()
    assert (kept.get("k", version=2), other.get("k", version=2), state_get("mine")) == (None, 1, 1)


def test_names_of_the_module() -> None:
    assert {"Cache", "ChannelLayer", "TaskBackend"} == set(django.__all__)
    with pytest.raises(AttributeError, match="Nothing"):
        _ = django.Nothing
