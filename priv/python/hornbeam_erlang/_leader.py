"""The election of a leader among all who campaign for a name: `leader`.

On `_locks`: to lead is to hold a lock. What a leader does runs in a task or a thread of its own,
which is told when its term is over: a task by being cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any, Final, TypeVar

from hornbeam_erlang import _lock_requests as requests
from hornbeam_erlang._client import acall, call
from hornbeam_erlang._errors import ClusterError, LockLostError, NoClusterError
from hornbeam_erlang._locks import Lock, Token

__all__ = ["Leader", "leader"]

_T = TypeVar("_T")

# Seconds between two tries while the cluster cannot be asked.
_AGAIN: Final = 0.5
_LOGGER: Final = logging.getLogger("hornbeam")

Callback = Callable[..., Any]


class Leader:
    """A campaign; made by `leader`."""

    def __init__(
        self, asked: requests.Asked, on_gain: Callback | None, on_loss: Callback | None
    ) -> None:
        self._asked = asked
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._token: Token | None = None
        self._terms = 0
        self._changed: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: _Thread | None = None

    @property
    def token(self) -> Token | None:
        """The one that this leads with; None if it does not lead."""
        token = self._thread.token if self._thread is not None else self._token
        return None if token is None or token.lost else token

    @property
    def is_leader(self) -> bool:
        """Whether this leads, so far as this process has heard."""
        return self.token is not None

    def current(self) -> tuple[int, str] | None:
        """Who leads, as this node has heard: the token and the name of the node."""
        return _first(call(*requests.holders(self._asked)))

    async def acurrent(self) -> tuple[int, str] | None:
        """As `current`, to await."""
        return _first(await acall(*requests.holders(self._asked)))

    # Awaited

    async def __aenter__(self) -> Leader:
        self._enter()
        with _unless_no_cluster():
            await acall(*requests.holders(self._asked))
        self._changed = asyncio.Event()
        self._task = asyncio.ensure_future(self._campaign())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            await _ended(task)
            failed = None if task.cancelled() else task.exception()
            if failed is not None and error is None:
                raise failed

    async def gained(self) -> Token:
        """Waits until this leads, or returns at once; raises what a callback has raised."""
        while (token := self.token) is None:
            await self._next()
        return token

    async def __aiter__(self) -> AsyncIterator[Token]:
        """The tokens of the terms to come, and of the one that is: one for each term."""
        seen = 0
        while True:
            if self._terms > seen and (token := self.token) is not None:
                seen = self._terms
                yield token
            else:
                await self._next()

    async def _next(self) -> None:
        if self._task is None or self._changed is None:
            raise RuntimeError("this campaign is not entered with `async with`")
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({changed, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if self._task is not None and self._task.done():
            self._task.result()
            raise RuntimeError("this campaign has ended")

    async def _campaign(self) -> None:
        try:
            while not (await self._term(self._lead))[0]:
                pass
        except Exception:
            _LOGGER.exception("the campaign for %r has ended", self._asked.name)
            raise
        finally:
            self._tell(None)

    async def _lead(self, token: Token) -> None:
        self._terms += 1
        self._tell(token)
        try:
            await _called(self._on_gain, token)
            await asyncio.Event().wait()
        finally:
            self._tell(None)
            await _called(self._on_loss)

    def _tell(self, token: Token | None) -> None:
        self._token = token
        if self._changed is not None:
            self._changed.set()
            self._changed = asyncio.Event()

    async def _term(self, body: Callable[[Token], Awaitable[_T]]) -> tuple[bool, _T | None]:
        """One term: waits for it, and runs `body` until that ends (True, its value), or the term
        (False); then the body is cancelled, and has ended."""
        lock = Lock(self._asked)
        try:
            token = await lock.__aenter__()
        except NoClusterError:
            raise
        except (ClusterError, ConnectionError):
            await asyncio.sleep(_AGAIN)
            return False, None
        running = asyncio.ensure_future(body(token))
        lost = asyncio.ensure_future(token.until_lost())
        try:
            await asyncio.wait({running, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            try:
                await _ended(running)
            finally:
                with contextlib.suppress(LockLostError):
                    await lock.__aexit__(None, None, None)
        return (False, None) if running.cancelled() else (True, running.result())

    # In threads

    def __enter__(self) -> Leader:
        self._enter()
        with _unless_no_cluster():
            call(*requests.holders(self._asked))
        self._thread = _Thread(self._asked, self._on_gain, self._on_loss)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
            if thread.error is not None and error is None:
                raise thread.error

    def wait(self, timeout: float | None = None) -> Token | None:
        """Waits in this thread until this leads, up to `timeout` seconds; its token, or None."""
        if self._thread is None:
            raise RuntimeError("this campaign is not entered with `with`")
        with self._thread.changed:
            self._thread.changed.wait_for(lambda: self.token is not None, timeout)
        return self.token

    # A decorator

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that campaigns, calls `function(token)`, or `function()` if it takes nothing,
        as the leader, and returns what that returns. A coroutine function is cancelled when
        leadership is lost, and called anew in the next term; a plain one is not, and looks at
        `token.lost`: LockLostError at its end."""
        takes_token = bool(inspect.signature(function).parameters)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run() -> Any:
                def body(token: Token) -> Awaitable[Any]:
                    made: Awaitable[Any] = function(token) if takes_token else function()
                    return made

                while True:
                    ended, value = await self._term(body)
                    if ended:
                        return value

            return run

        @functools.wraps(function)
        def run_in_thread() -> Any:
            with Lock(self._asked) as token:
                return function(token) if takes_token else function()

        return run_in_thread

    def _enter(self) -> None:
        if self._task is not None or self._thread is not None:
            raise RuntimeError("this campaign is entered already")


class _Thread:
    """A campaign in a thread."""

    def __init__(
        self, asked: requests.Asked, on_gain: Callback | None, on_loss: Callback | None
    ) -> None:
        self.token: Token | None = None
        self.error: Exception | None = None
        self.changed = threading.Condition()
        self._asked = asked
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._stopping = threading.Event()
        self._lock: Lock | None = None
        name = f"hornbeam-leader-{asked.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a term ends with `on_loss`."""
        self._stopping.set()
        with self.changed:
            lock, token = self._lock, self.token
        if token is not None:
            token.stop_waiting()
        elif lock is not None:
            lock.stop_waiting()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._term()
        except Exception as error:
            _LOGGER.exception("the campaign for %r has ended", self._asked.name)
            self.error = error

    def _term(self) -> None:
        lock = Lock(self._asked)
        with self.changed:
            self._lock = lock
        try:
            token = lock.__enter__()
        except TimeoutError:
            return
        except (ClusterError, ConnectionError):
            self._stopping.wait(_AGAIN)
            return
        try:
            self._tell(token)
            try:
                if self._on_gain is not None:
                    self._on_gain(token)
                if not self._stopping.is_set():
                    token.wait_lost()
            finally:
                self._tell(None)
                if self._on_loss is not None:
                    self._on_loss()
        finally:
            with contextlib.suppress(LockLostError):
                lock.__exit__(None, None, None)

    def _tell(self, token: Token | None) -> None:
        with self.changed:
            self.token = token
            self.changed.notify_all()


@contextlib.contextmanager
def _unless_no_cluster() -> Iterator[None]:
    """That there is no cluster is said at once; a cluster that cannot answer yet, not at all."""
    try:
        yield
    except NoClusterError:
        raise
    except (ClusterError, ConnectionError):
        pass


async def _called(function: Callback | None, *args: Any) -> None:
    if function is not None:
        value = function(*args)
        if inspect.isawaitable(value):
            await value


async def _ended(task: asyncio.Future[Any]) -> None:
    """Cancels it, and waits until it has ended, also when this is cancelled meanwhile."""
    task.cancel()
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await _ended(task)
        raise


def _first(found: Any) -> tuple[int, str] | None:
    held, _ = found
    return (held[0][0], held[0][1]) if held else None


def leader(
    name: str,
    *,
    ttl: float = 10,
    on_gain: Callback | None = None,
    on_loss: Callback | None = None,
) -> Leader:
    """Campaigns for a name: of all who do, on all nodes, one leads; when it ends, or is cut off,
    another one does. In one of these ways:

        async with leader("mail", on_gain=started, on_loss=stopped) as me:
            ...                              # meanwhile: me.is_leader, me.token
            token = await me.gained()
            async for token in me: ...       # once for each term

        @leader("mail")
        async def send(token): ...               # await send(): runs on the leader only

    The first is `with` in threads, where `me.wait(timeout)` waits. on_gain(token) and on_loss() may
    be coroutine functions in an `async with`; a coroutine of on_gain that runs still is cancelled
    when leadership is lost, before on_loss. Errors of the cluster are tried again; what a callback
    raises ends the campaign, is logged, and raised at the end of the block.

    ttl  after so many seconds somebody else leads, where nobody is left to say that the leader is
         gone

    NoClusterError without a cluster.
    """
    return Leader(requests.Asked("leader", name, 1, ttl, None), on_gain, on_loss)
