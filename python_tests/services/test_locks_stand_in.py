"""Locks, semaphores and elections in the stand-in: what a unit test of an application sees. With a
cluster: python_tests/cluster/test_locks.py."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hornbeam_erlang import (
    Lock,
    LockLostError,
    Token,
    aio,
    leader,
    lock,
    semaphore,
    state_set,
)
from hornbeam_erlang._lock_requests import Asked
from hornbeam_erlang.testing import Standalone

pytest_plugins = ["hornbeam_erlang.pytest_plugin"]


async def waiters(of: Lock, number: int) -> None:
    while (await of.aholders()).waiting != number:  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_one_at_a_time(hornbeam_standalone: Standalone) -> None:
    inside, most, tokens = 0, 0, []

    async def use(_: int) -> None:
        nonlocal inside, most
        async with lock("x") as token:
            inside += 1
            most = max(most, inside)
            tokens.append(int(token))
            await asyncio.sleep(0)
            inside -= 1

    async def main() -> None:
        await asyncio.gather(*map(use, range(5)))

    asyncio.run(main())
    assert most == 1
    assert tokens == sorted(set(tokens))


def test_in_threads(hornbeam_standalone: Standalone) -> None:
    inside, most = [], 0

    def use() -> None:
        nonlocal most
        with lock("x"):
            inside.append(1)
            most = max(most, len(inside))
            inside.pop()

    threads = [threading.Thread(target=use) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_semaphore_has_places(hornbeam_standalone: Standalone) -> None:
    with semaphore("x", limit=2) as one, semaphore("x", limit=2, timeout=0) as two:
        assert two > one
        with pytest.raises(TimeoutError), semaphore("x", limit=2, timeout=0):
            pass
        # A name of another kind is another name; a larger limit has room.
        with lock("x", timeout=0), semaphore("x", limit=3, timeout=0):
            pass
        assert [token for token, _ in semaphore("x", limit=2).holders().holders] == [one, two]
    assert semaphore("x", limit=2).holders() == ([], 0)


def test_who_waits_too_long_gives_up_its_place(hornbeam_standalone: Standalone) -> None:
    with lock("x"):
        with pytest.raises(TimeoutError, match="it was not free in time"), lock("x", timeout=0.01):
            pass
        assert lock("x").holders().waiting == 0

    async def main() -> None:
        async with lock("x"):
            with pytest.raises(TimeoutError):
                async with lock("x", timeout=0.01):
                    pass
            waiting = asyncio.ensure_future(lock("x").__aenter__())
            await waiters(lock("x"), 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await lock("x").aholders()).waiting == 0

    asyncio.run(main())


def test_the_token_tells_that_it_is_lost(hornbeam_standalone: Standalone) -> None:
    async def main() -> list[Any]:
        told: list[Any] = []
        with pytest.raises(LockLostError, match="'x' was lost") as raised:
            async with lock("x") as token:
                told.append(token.lost)
                hornbeam_standalone.lose("x")
                told += [await token.until_lost(), token.lost, token.wait_lost()]
        assert raised.value.token == token
        assert pickle.loads(pickle.dumps(raised.value)).name == "x"
        return told

    assert asyncio.run(main()) == [False, True, True, True]
    # What the block raises is not hidden.
    with pytest.raises(KeyError), lock("x"):
        hornbeam_standalone.lose("x")
        raise KeyError
    with lock("x") as token:
        pass
    assert not token.lost
    assert token.wait_lost() is False


def test_a_token_is_an_int(hornbeam_standalone: Standalone) -> None:
    with lock("x") as token:
        assert isinstance(token, Token)
        assert isinstance(token, int)
        assert type(token.number) is int
        assert pickle.loads(pickle.dumps(token)) == token
        state_set("token", token.number)


def test_a_lock_is_entered_once_at_a_time(hornbeam_standalone: Standalone) -> None:
    one = lock("x")
    with one, pytest.raises(RuntimeError, match="entered already"), one:
        pass
    with one:
        pass
    assert aio.lock is lock


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: lock(""), ValueError),
        (lambda: lock("ü" * 257), ValueError),
        (lambda: lock(b"x"), TypeError),  # type: ignore[arg-type]
        (lambda: lock("x", ttl=0.9), ValueError),
        (lambda: lock("x", ttl=86401), ValueError),
        (lambda: lock("x", ttl="1"), TypeError),  # type: ignore[arg-type]
        (lambda: lock("x", timeout=-1), ValueError),
        (lambda: lock("x", timeout=float("inf")), ValueError),
        (lambda: semaphore("x", limit=0), ValueError),
        (lambda: semaphore("x", limit=True), TypeError),
        (lambda: leader("x", ttl=float("nan")), ValueError),
    ],
)
def test_wrong_arguments(make: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


def test_one_leads(hornbeam_standalone: Standalone) -> None:
    said: list[str] = []

    def campaign(name: str) -> Any:
        async def gained(_: Token) -> None:
            said.append(f"{name} gains")
            try:
                await asyncio.Event().wait()
            finally:
                said.append(f"{name} is cancelled")

        return leader("x", on_gain=gained, on_loss=lambda: said.append(f"{name} loses"))

    campaigns = Lock(Asked("leader", "x", 1, 10, None))

    async def main() -> None:
        async with campaign("a") as a:
            first = await a.gained()
            async with campaign("b") as b:
                assert (a.is_leader, b.is_leader, b.token) == (True, False, None)
                assert await b.acurrent() == (first, "nonode@nohost")
                await waiters(campaigns, 1)
                hornbeam_standalone.lose("x")
                assert await b.gained() > first
                assert not a.is_leader
                await waiters(campaigns, 1)
            again = await a.gained()
            assert again > first
        assert a.token is None

    asyncio.run(main())
    # Who has lost hears of it while the next one does.
    assert sorted(said[:4]) == ["a gains", "a is cancelled", "a loses", "b gains"]
    assert said[4:] == ["b is cancelled", "b loses", "a gains", "a is cancelled", "a loses"]
    assert leader("x").current() is None


def test_terms_one_by_one(hornbeam_standalone: Standalone) -> None:
    async def main() -> list[int]:
        tokens = []
        async with leader("x") as me:
            async for token in me:
                tokens.append(int(token))
                if len(tokens) == 3:
                    break
                hornbeam_standalone.lose("x")
        return tokens

    assert len(set(asyncio.run(main()))) == 3


def test_a_function_of_the_leader(hornbeam_standalone: Standalone) -> None:
    terms: list[int] = []

    @leader("x")
    async def work(token: Token) -> str:
        terms.append(int(token))
        if len(terms) < 3:
            hornbeam_standalone.lose("x")
            await asyncio.Event().wait()
        return "done"

    assert asyncio.run(work()) == "done"
    assert len(set(terms)) == 3

    @leader("x")
    def once(token: Token) -> int:
        return int(token)

    assert once() > max(terms)

    @leader("x")
    async def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(broken())
    assert leader("x").current() is None


def test_what_a_callback_raises(hornbeam_standalone: Standalone) -> None:
    def wrong(_: Token) -> None:
        raise KeyError("x")

    async def main() -> None:
        async with leader("x", on_gain=wrong) as me:
            with pytest.raises(KeyError):
                await me.gained()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
    with pytest.raises(KeyError), leader("x", on_gain=wrong) as me:
        while leader("x").current() or me.is_leader:
            pass


def test_a_leader_in_threads(hornbeam_standalone: Standalone) -> None:
    said: list[str] = []
    with leader(
        "x", on_gain=lambda _: said.append("gain"), on_loss=lambda: said.append("loss")
    ) as a:
        first = a.wait()
        assert first is not None
        with leader("x") as b:
            assert b.wait(0.01) is None
        hornbeam_standalone.lose("x")
        first.wait_lost()
        while (second := a.wait()) == first:
            pass
        assert second is not None
        assert second > first
    assert said == ["gain", "loss", "gain", "loss"]
    assert leader("x").current() is None
    with pytest.raises(RuntimeError, match="not entered"):
        a.wait()


def test_who_is_cancelled_leads_no_longer(hornbeam_standalone: Standalone) -> None:
    ended: list[bool] = []
    begun = asyncio.Event()

    @leader("x")
    async def work(_: Token) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(leader("x").current() is not None)

    async def main() -> None:
        task = asyncio.ensure_future(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # It had stopped before the next one could lead.
    assert ended == [True]
    assert leader("x").current() is None
