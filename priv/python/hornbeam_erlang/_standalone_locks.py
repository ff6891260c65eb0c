"""Locks, semaphores and elections in the stand-in: what `hornbeam_cluster_leases` does for a
cluster, in this process alone. Leases end when a test says so. Called by: `_standalone`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import threading
from typing import Any

from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._hub import Mailbox

__all__ = ["Locks"]

Name = tuple[str, str]
Answer = concurrent.futures.Future[Any]


class _Claim:
    """Who wants a name: `token` once it is held, `lost` when it is held no longer."""

    def __init__(self, name: Name, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.token: int | None = None
        self.lost = False
        self.answer: Answer = concurrent.futures.Future()
        self.watchers: list[Mailbox] = []


class Locks:
    """Who holds what, and who waits, in the order of asking. Thread-safe; only `wait` blocks."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._lock = threading.RLock()
        self._tokens = itertools.count(1)
        self._claims: dict[int, _Claim] = {}

    def wait(
        self, kind: str, name: str, limit: int, _ttl: int, timeout: int | None, number: int
    ) -> Any:
        """The token of a new claim, or ABSENT when it was given up meanwhile."""
        answer = self._ask((kind, name), limit, timeout, number)
        try:
            return answer.result(None if timeout is None else timeout / 1000)
        except concurrent.futures.TimeoutError:
            raise self._late(number) from None

    async def await_(
        self, kind: str, name: str, limit: int, _ttl: int, timeout: int | None, number: int
    ) -> Any:
        """As `wait`, without blocking the loop."""
        answer = asyncio.wrap_future(self._ask((kind, name), limit, timeout, number))
        try:
            return await asyncio.wait_for(answer, None if timeout is None else timeout / 1000)
        except asyncio.TimeoutError:
            raise self._late(number) from None

    def _ask(self, name: Name, limit: int, timeout: int | None, number: int) -> Answer:
        with self._lock:
            claim = self._claims[number] = _Claim(name, limit)
            self._grant(name)
            if timeout == 0 and claim.token is None:
                raise self._late(number)
            return claim.answer

    def _late(self, number: int) -> TimeoutError:
        self.on_lock_leave(number)
        return TimeoutError("it was not free in time")

    def watch(self, number: int) -> Mailbox:
        """Gets whether the claim was lost, when it is over."""
        mailbox = Mailbox(1)
        with self._lock:
            claim = self._claims.get(number)
            if claim is None or claim.lost:
                _tell(mailbox, claim is not None)
            else:
                claim.watchers.append(mailbox)
        return mailbox

    def on_lock_release(self, number: int) -> bool:
        with self._lock:
            claim = self._claims.get(number)
            self.on_lock_leave(number)
            return claim is not None and not claim.lost

    def on_lock_leave(self, number: int) -> None:
        with self._lock:
            claim = self._claims.pop(number, None)
            if claim is None:
                return
            for mailbox in claim.watchers:
                _tell(mailbox, False)
            _answer(claim, ABSENT)
            self._grant(claim.name)

    def on_lock_holders(self, kind: str, name: str) -> tuple[list[tuple[int, str]], int]:
        with self._lock:
            held = [claim.token for claim in self._held((kind, name)) if claim.token is not None]
            wanted = [c for c in self._claims.values() if c.name == (kind, name)]
            waiting = sum(claim.token is None for claim in wanted)
            return [(token, self._node) for token in sorted(held)], waiting

    def lose(self, name: str) -> None:
        """The leases of those who hold this name, of any kind, have ended."""
        with self._lock:
            held = [c for c in self._claims.values() if c.name[1] == name and c.token is not None]
            for claim in held:
                claim.lost = True
                watchers, claim.watchers = claim.watchers, []
                for mailbox in watchers:
                    _tell(mailbox, True)
            for of in {claim.name for claim in held}:
                self._grant(of)

    def _held(self, name: Name) -> list[_Claim]:
        claims = self._claims.values()
        return [c for c in claims if c.name == name and c.token is not None and not c.lost]

    def _grant(self, name: Name) -> None:
        waiting = [c for c in self._claims.values() if c.name == name and c.token is None]
        for claim in waiting:
            if len(self._held(name)) >= claim.limit:
                return
            claim.token = next(self._tokens)
            _answer(claim, claim.token)


def _answer(claim: _Claim, value: Any) -> None:
    if not claim.answer.done() and claim.answer.set_running_or_notify_cancel():
        claim.answer.set_result(value)


def _tell(mailbox: Mailbox, lost: bool) -> None:
    from hornbeam_worker import values  # needs msgpack, which an import of this package does not

    mailbox.put("", values.pack(lost))
