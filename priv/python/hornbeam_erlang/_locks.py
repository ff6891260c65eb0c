"""Locks and semaphores over all nodes of the cluster: `lock`, `semaphore`.

A lock is a lease that Erlang renews as long as this process lives (hornbeam_cluster_locks). When it
cannot be renewed, it is lost, which the token tells. docs/locks.md says what holds when nodes fail.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, NamedTuple

from hornbeam_erlang import _lock_requests as requests
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._client import acall, backend, call, post
from hornbeam_erlang._errors import ClusterError, LockLostError
from hornbeam_erlang._hub import Mailbox, ready
from hornbeam_erlang._requests import Request

__all__ = ["Holders", "Lock", "Token", "lock", "semaphore"]


class Holders(NamedTuple):
    """Who has a lock, as this node has heard.

    holders  pairs of a token and the name of its node, the oldest first
    waiting  how many wait for it
    """

    holders: list[tuple[int, str]]
    waiting: int


class Token(int):
    """What a lock is held with: a number that is larger than those of all who held it before.

    It is an int; `number` is a plain one, as the state and publish take it.
    """

    _mailbox: Mailbox
    _lost: bool | None

    @classmethod
    def _of(cls, number: int, mailbox: Mailbox) -> Token:
        token = cls(number)
        token._mailbox = mailbox
        token._lost = None
        return token

    @property
    def number(self) -> int:
        return int(self)

    @property
    def lost(self) -> bool:
        """Whether it was lost, so far as this process has heard: another one may have the lock."""
        if self._lost is None and self._mailbox.ready():
            told = self._mailbox.take()
            self._lost = told is None or bool(told[1])
            # Whoever waits for it still finds it.
            self._mailbox.close()
        return bool(self._lost)

    def wait_lost(self, timeout: float | None = None) -> bool:
        """Waits in this thread until it is lost, or given back, or `timeout` seconds have passed;
        whether it is lost. In the event loop's thread this blocks the loop."""
        if self._lost is None:
            backend().wait(self._mailbox, timeout)
        return self.lost

    async def until_lost(self) -> bool:
        """Waits until it is lost, or given back; whether it is lost."""
        if self._lost is None:
            await ready(self._mailbox)
        return self.lost

    def stop_waiting(self) -> None:
        """Whoever waits for its loss does so no longer; it counts as lost."""
        self._mailbox.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return int, (int(self),)


class Lock:
    """A lock, or a place in a semaphore, for the length of a `with` or `async with`: made by `lock`
    and `semaphore`. It can be entered again when it was left."""

    __slots__ = ("_asked", "_entered", "_number", "_token")

    def __init__(self, asked: requests.Asked) -> None:
        self._asked = asked
        self._entered = False
        self._number = 0
        self._token: Token | None = None

    def holders(self) -> Holders:
        """Who has it."""
        return _holders(call(*requests.holders(self._asked)))

    async def aholders(self) -> Holders:
        """As `holders`, to await."""
        return _holders(await acall(*requests.holders(self._asked)))

    def __enter__(self) -> Token:
        request = self._ask()
        try:
            found = call(*request)
            return self._held(found)
        except BaseException:
            self._give_up()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            kept = call(*requests.release(self._number))
        except (ClusterError, ConnectionError):
            kept = False
        finally:
            token = self._left()
        if error is None and kept is False:
            raise LockLostError(self._asked.name, int(token))

    async def __aenter__(self) -> Token:
        request = self._ask()
        try:
            found = await acall(*request)
            return self._held(found)
        except BaseException:
            self._give_up()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            kept = await acall(*requests.release(self._number))
        except (ClusterError, ConnectionError):
            kept = False
        finally:
            token = self._left()
        if error is None and kept is False:
            raise LockLostError(self._asked.name, int(token))

    def _ask(self) -> Request:
        if self._entered:
            raise RuntimeError("this lock is entered already: make another one for each use")
        self._entered = True
        self._number, request = self._asked.acquire()
        return request

    def _held(self, found: Any) -> Token:
        if found is ABSENT:
            raise TimeoutError("nobody waits for it any more")
        self._token = Token._of(found, backend().expect(*requests.lost(self._number)))
        return self._token

    def _left(self) -> Token:
        token, self._token, self._entered = self._token, None, False
        if token is None:
            raise RuntimeError("this lock is not entered")
        return token

    def _give_up(self) -> None:
        self._entered = False
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """Erlang forgets the claim, however far it is: who waits for it gets a TimeoutError."""
        with contextlib.suppress(ConnectionError):
            post(*requests.leave(self._number))


def _holders(found: Any) -> Holders:
    held, waiting = found
    return Holders([(token, node) for token, node in held], waiting)


def lock(name: str, *, ttl: float = 10, timeout: float | None = None) -> Lock:
    """A lock of the whole cluster: of all who enter it one is in the block, in the order of asking.

        async with lock("report:7", ttl=10, timeout=5) as token:
            await write(report, token)

    It serves `async with`, and `with` in threads. It is given back at the end of the block, and
    when this process or its node ends: at once, or after `ttl` seconds where nobody is left to say
    so. Meanwhile it is renewed. Where that fails for nearly `ttl` seconds it is lost: `token.lost`,
    `await token.until_lost()`, and LockLostError at the end of the block, if nothing else is raised
    there.

    ttl      1 second to a day; with less than 6 the cluster may have no time to find a new leader
    timeout  how many seconds to wait for it, else TimeoutError; 0: not at all; None: no limit

    The token is larger than those of all who had the lock before. NoQuorumError when fewer than a
    majority of the cluster's members can be reached, InDoubtError when the cluster does not answer
    (it is not held then), NoClusterError without a cluster.
    """
    return Lock(requests.Asked("lock", name, 1, ttl, timeout))


def semaphore(name: str, *, limit: int, ttl: float = 10, timeout: float | None = None) -> Lock:
    """As `lock`, for up to `limit` at once, on all nodes together. While some ask with another
    limit than others, each gets its place when fewer than its own limit have one."""
    return Lock(requests.Asked("semaphore", name, limit, ttl, timeout))
