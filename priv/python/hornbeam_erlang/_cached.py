"""Results that are computed once for equal calls, in the whole node or the whole cluster.

One who asks gets the value that is stored; or is told to compute, and then says what came of it; or
waits for another one who computes, in whichever worker, and gets that one's value or error. Erlang
keeps the values and knows who computes (`hornbeam_cache`); what is here asks, computes and tells.

Who was told to compute and does not say what came of it (it is cancelled, its process ends) has a
successor among those who wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from hornbeam_erlang import _client as client
from hornbeam_erlang import _requests as requests
from hornbeam_erlang._backend import ABSENT
from hornbeam_erlang._digest import checked_namespace, digest, name_of
from hornbeam_erlang._errors import ComputationError
from hornbeam_erlang._failures import describe, original
from hornbeam_erlang._services import Method, value_of

__all__ = ["awaited", "cache_stats", "cached", "cached_inference", "call_of", "clear_cache"]

_F = TypeVar("_F", bound=Callable[..., Any])

# Modes of hornbeam_service_cache: who waits, and what it holds up.
_THREAD: Final = 0
_COROUTINE: Final = 1
_BLOCKED: Final = 2
# Added to these: the cluster's other nodes take part.
_SHARED: Final = 4

_tokens = itertools.count(1)


# What each thread or task computes now, for whom asks itself. No context variable: a task that is
# begun meanwhile would have it, too.
_computing: Final[dict[tuple[int, int], list[tuple[str, bytes]]]] = {}


def _self() -> tuple[int, int]:
    """The task that runs, or the thread without one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)


class _Asked:
    """One call: what it asks for, and what it is told by."""

    __slots__ = ("get", "key", "token", "ttl")

    def __init__(
        self,
        namespace: str,
        digest: bytes,
        mode: int,
        ttl: float | None,
        timeout: float | None,
        shared: bool,
    ) -> None:
        self.token = next(_tokens)
        self.key = (namespace, digest)
        self.ttl = requests.ttl_ms(ttl)
        mode += _SHARED if shared else 0
        self.get = requests.cache_get(namespace, digest, self.token, mode, timeout)
        if _computing and self.key in _computing.get(_self(), ()):
            raise RuntimeError(f"{namespace}: what is computed asks for its own result")

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Whoever does not hear the answer has left."""
        try:
            yield
        except ComputationError as error:
            there = original(error)
            if there is error:
                raise
            raise there from error
        except BaseException:
            self.leave()
            raise

    @contextlib.contextmanager
    def leading(self) -> Iterator[None]:
        """While this call computes."""
        try:
            with self.computing():
                yield
        except Exception:
            raise
        except BaseException:
            self.leave()
            raise

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """While this task or thread computes."""
        me = _self()
        mine = _computing.setdefault(me, [])
        mine.append(self.key)
        try:
            yield
        finally:
            mine.remove(self.key)
            if not mine:
                _computing.pop(me, None)

    def in_thread(self, function: Callable[[Any], Any], input: Any) -> Any:
        """Computes where no loop is held up."""
        with self.computing():
            return function(input)

    def leave(self) -> None:
        with contextlib.suppress(ConnectionError):
            client.post(*requests.cache_leave(self.token))

    def put(self, result: Any) -> requests.Request:
        from hornbeam_worker import values  # needs msgpack, which an import of this does not

        return requests.cache_put(self.token, values.pack_argument("result", result), self.ttl)

    def fail(self, error: Exception) -> requests.Request:
        return requests.cache_fail(self.token, describe(error))


def _get(asked: _Asked, compute: Callable[[], Any]) -> Any:
    with asked.asking():
        value = client.call(*asked.get)
    if value is not ABSENT:
        return value
    with asked.leading():
        try:
            result = compute()
            client.call(*asked.put(result))
        except Exception as error:
            with contextlib.suppress(ConnectionError):
                client.call(*asked.fail(error))
            raise
    return result


async def _aget(asked: _Asked, compute: Callable[[], Any]) -> Any:
    with asked.asking():
        value = await client.acall(*asked.get)
    if value is not ABSENT:
        return value
    with asked.leading():
        try:
            result = await compute()
            client.post(*asked.put(result))
        except Exception as error:
            with contextlib.suppress(ConnectionError):
                client.post(*asked.fail(error))
            raise
    return result


def _mode() -> int:
    """Of a call that waits in its thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _THREAD
    return _BLOCKED


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  (which function it is, not whether)
    )


def call_of(function: Any, input: Any, key: Any, namespace: str | None) -> tuple[str, bytes]:
    """What makes a call equal to others: its namespace, and the digest of its input or key."""
    name = name_of(function) if namespace is None else checked_namespace(namespace)
    return name, digest(input) if key is None else digest(key, b"k")


def cached_inference(
    fn: Callable[[Any], Any],
    input: Any,
    key: Any = None,
    ttl: float | None = None,
    namespace: str | None = None,
    timeout: float | None = None,
    shared: bool = False,
) -> Any:
    """`fn(input)`, computed once for equal inputs in the whole node while its result is kept.

    Of those who ask for the same at once one computes; the others wait and get its result, or the
    same error, which is not kept. Equal: the same namespace ("module.name" of fn, or `namespace`)
    and an equal input (values and buffers, see the docs), or, if it is given, an equal `key`.

    ttl      how many seconds the result is kept at most; it may go before to make room
    timeout  how many seconds to wait for another one's computation, else TimeoutError
    shared   computed once in the whole cluster, if there is one: for what costs more than asking
             another node, and is the same in each version of the application that runs

    The result is what the shared state can hold, else TypeError for all. ValueError for a function
    without a name of its own and no namespace, TypeError for a coroutine function: see `aio`.
    """
    if _is_async(fn):
        raise TypeError("fn is a coroutine function: await aio.cached_inference(fn, ...)")
    asked = _Asked(*call_of(fn, input, key, namespace), _mode(), ttl, timeout, shared)
    return _get(asked, lambda: value_of(fn(input)))


async def awaited(
    fn: Callable[[Any], Any],
    input: Any,
    call: tuple[str, bytes],
    ttl: float | None,
    timeout: float | None,
    shared: bool,
) -> Any:
    """`aio.cached_inference`, of the call that `call_of` has found."""
    asked = _Asked(*call, _COROUTINE, ttl, timeout, shared)

    async def compute() -> Any:
        if _is_async(fn) or isinstance(fn, Method):
            return await fn(input)
        result = await asyncio.to_thread(asked.in_thread, fn, input)
        return await result if inspect.isawaitable(result) else result

    return await _aget(asked, compute)


def cached(
    *,
    ttl: float | None = None,
    namespace: str | None = None,
    key: Callable[..., Any] | None = None,
    timeout: float | None = None,
    shared: bool = False,
) -> Callable[[_F], _F]:
    """Decorates a function, plain or async: equal calls are computed once, as by
    `cached_inference`.

    Equal are calls with equal arguments, written alike (`f(1)` and `f(x=1)` are two), or for which
    `key(*args, **kwargs)` is equal: a method needs one, that leaves out `self`.
    """
    requests.ttl_ms(ttl)

    def decorate(function: _F) -> _F:
        name = name_of(function) if namespace is None else checked_namespace(namespace)

        def asked(mode: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Asked:
            found = (
                digest((args, kwargs), b"a") if key is None else digest(key(*args, **kwargs), b"k")
            )
            return _Asked(name, found, mode, ttl, timeout, shared)

        if _is_async(function):

            @functools.wraps(function)
            async def acall(*args: Any, **kwargs: Any) -> Any:
                return await _aget(
                    asked(_COROUTINE, args, kwargs), lambda: function(*args, **kwargs)
                )

            return acall  # type: ignore[return-value]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return _get(asked(_mode(), args, kwargs), lambda: function(*args, **kwargs))

        return call  # type: ignore[return-value]

    return decorate


def cache_stats(nodes: bool = False) -> dict[str, Any]:
    """The figures of the node since its start: hits, misses (computed), waits (for another one's
    computation), evictions; what there is now: entries, bytes, max_bytes (None for no limit); and
    the same of each namespace in `namespaces`. With `nodes` a dict of these by the nodes of the
    cluster that answer."""
    stats: dict[str, Any] = client.call(*requests.cache_stats(nodes))
    return stats


def clear_cache(namespace: str | None = None) -> int:
    """Forgets all results, or those of a namespace, on all linked nodes; how many. What is being
    computed is given to those who wait for it and not kept."""
    return int(client.call(*requests.cache_clear(namespace)))
