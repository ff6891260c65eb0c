"""Services: objects that live in processes of their own, once or a few times, however many workers
there are (option `services`).

One handle serves code that awaits and code that blocks, since a call says by what is done with it
which of the two it is: `await call`, `async for value in call`, `call.result()`, `for value in
call`. A method that returned its value in a thread and an awaitable in a loop would be two things
under one name, and a generator's name does not say that it is one.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Generator
from functools import partial
from typing import Any, Final

from hornbeam_erlang import _deadline
from hornbeam_erlang._backend import END, NOTHING, ServiceFeed, ServiceRequest
from hornbeam_erlang._client import backend
from hornbeam_erlang._hub import ready

__all__ = ["TIMEOUT", "Call", "Method", "Service", "Values", "check_timeout", "service", "value_of"]

# Where no timeout is given, in seconds.
TIMEOUT: Final = 60.0


def service(name: str, *, timeout: float | None = TIMEOUT) -> Service:
    """A handle of a service, whose methods are called as if they were its own.

        embeddings = service("embeddings")
        vectors = await embeddings.encode(texts)
        async for token in service("llm").generate(prompt): ...

    and in a thread

        vectors = embeddings.encode(texts).result()
        for token in service("llm").generate(prompt): ...

    `timeout`, in seconds: how long a call waits for its value, and a stream for each of its values;
    None: as long as it takes. A service that calls another one waits no longer than its own caller.

    Calls raise ServiceError for what the method raised, with the traceback of the service as text;
    TimeoutError; ServiceOverloadedError when the service's queue is full; ServiceUnavailableError
    when its process ended during the call; NoSuchServiceError; TypeError for what cannot travel,
    ValueError for what is too long. Nothing is called before the call is awaited, iterated over, or
    asked for its result.
    """
    if type(name) is not str:
        raise TypeError(f"name must be a str, not {name!r}")
    return Service(name, check_timeout(timeout))


def check_timeout(timeout: float | None) -> float | None:
    """A time limit in seconds, or None."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")
    return timeout


class Service:
    """A handle; see `service`. Every attribute without an underscore in front is a method of the
    service."""

    __slots__ = ("_name", "_timeout")

    def __init__(self, name: str, timeout: float | None) -> None:
        self._name = name
        self._timeout = timeout

    def __getattr__(self, method: str) -> Method:
        if method.startswith("_"):
            raise AttributeError(f"{method!r} is no method of a service: it begins with _")
        return Method(self._name, method, self._timeout)

    def __repr__(self) -> str:
        return f"service({self._name!r})"


class Method:
    """A method of a handle. It has a name, as functions have, by which results are kept
    (`cached_inference`)."""

    def __init__(self, service: str, method: str, timeout: float | None) -> None:
        self.__module__ = "service"
        self.__qualname__ = f"{service}.{method}"
        self._call = partial(Call, service, method, timeout)

    def __call__(self, *args: Any, **kwargs: Any) -> Call:
        return self._call(*args, **kwargs)

    def __repr__(self) -> str:
        return f"service.{self.__qualname__}"


class Call:
    """A call, begun by what is done with it: awaited, iterated over, asked for its result."""

    __slots__ = ("_used", "args", "kwargs", "method", "service", "timeout")

    def __init__(
        self, service: str, method: str, timeout: float | None, /, *args: Any, **kwargs: Any
    ) -> None:
        self._used = False
        self.service = service
        self.method = method
        self.timeout = timeout
        self.args = args
        self.kwargs = kwargs

    def __await__(self) -> Generator[Any, None, Any]:
        request = self._request()
        return backend().aservice_call(request).__await__()

    def result(self) -> Any:
        """The value; blocks the thread. In the event loop's thread it blocks the loop."""
        return backend().service_call(self._request())

    def __aiter__(self) -> Values:
        return Values(backend().service_stream(self._request()))

    def __iter__(self) -> Values:
        return Values(backend().service_stream(self._request()))

    def __del__(self) -> None:
        if not getattr(self, "_used", True):
            text = f"{self!r} was never awaited, iterated over or asked for its result"
            warnings.warn(text, RuntimeWarning, stacklevel=2)

    def __repr__(self) -> str:
        return f"service({self.service!r}).{self.method}(...)"

    def _request(self) -> ServiceRequest:
        self._used = True
        left = _deadline.limit_ms(self.timeout, repr(self))
        return ServiceRequest(self.service, self.method, self.args, self.kwargs, left)


def value_of(result: Any) -> Any:
    """What a function has returned: of a call of a service its value."""
    return result.result() if isinstance(result, Call) else result


class Values:
    """The values of a stream. It ends, and the service's generator with it, with its last value,
    by `close` or `aclose`, and when nobody has it any more: after a `break`, or when the task that
    iterates is cancelled."""

    __slots__ = ("_feed",)

    def __init__(self, feed: ServiceFeed) -> None:
        self._feed = feed

    def __aiter__(self) -> Values:
        return self

    def __iter__(self) -> Values:
        return self

    async def __anext__(self) -> Any:
        try:
            while (value := self._feed.take()) is NOTHING:
                await ready(self._feed.mailbox)
        except BaseException:
            self.close()
            raise
        if value is END:
            raise StopAsyncIteration
        return value

    def __next__(self) -> Any:
        try:
            while (value := self._feed.take()) is NOTHING:
                backend().wait(self._feed.mailbox, None)
        except BaseException:
            self.close()
            raise
        if value is END:
            raise StopIteration
        return value

    def close(self) -> None:
        """Wants no more values; may be called again."""
        self._feed.close()

    async def aclose(self) -> None:
        """As `close`, for contextlib.aclosing."""
        self.close()

    def __del__(self) -> None:
        self.close()
