"""Rate limits over workers and over nodes: a dependency for FastAPI, a decorator for any function.

    limit = RateLimit("100/minute", "1000/hour")
    @app.get("/", dependencies=[Depends(limit)])

    @rate_limit("5/minute")
    def login(request): ...

    hit = limit.hit("user:7")       # or await limit.ahit(...): hit.allowed, hit.remaining, hit.wait

Each request is one operation on the shared state (`hornbeam_service_rates`). Imports of a framework
only what the application has imported. Reference: docs/rate-limits.md.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn, TypeVar

from hornbeam_erlang import _rates as rates
from hornbeam_erlang._client import acall, call
from hornbeam_erlang._rates import Hit

__all__ = ["Hit", "RateLimit", "RateLimitExceeded", "rate_limit"]

_FIELDS: Final = ("draft-6", "draft-8", "x")
_KEYS: Final = ("client", "all")
# Closed until later: RFC 6455's registry, 1013.
_TRY_AGAIN_LATER: Final = 1013

Key = str | Callable[..., Any]
Function = TypeVar("Function", bound=Callable[..., Any])


class RateLimitExceeded(RuntimeError):
    """A function was called too often, where no framework is there to answer with 429.

    hit  what there is to know: `hit.wait` seconds
    """

    def __init__(self, hit: Hit) -> None:
        super().__init__(_text(hit))
        self.hit = hit

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.hit,)


class RateLimit:
    """So many requests in a time, for each key.

    limits  "100/minute", "10/5 seconds", "5 per hour"; several: a request must pass all of them
    key     whose requests are counted together: "client" (the address, of IPv6 the first 64 bits),
            "header:NAME" (the client where the field is missing), "all", or a function of the
            request (of the call's arguments, where there is no request) that returns a str
    name    what counts together; without one each endpoint, each decorated function does for itself
    burst   how many may come at once; as many as the window has, without it
    cost    what one request counts as
    fields  what responses tell the client: any of "draft-6" (RateLimit-Limit, -Remaining, -Reset,
            -Policy), "draft-8" (RateLimit, RateLimit-Policy), "x" (X-RateLimit-*)
    scope   over what it counts: "node" (exact there), "cluster" (all nodes, which tell each other:
            costs nothing more, and may let too much through for a moment), "exact" (all nodes, by
            their replicated state: each request costs a round trip)
    on_failure  what becomes of a request that "exact" cannot count, without a majority: "node"
            (this node counts it), "open" (it passes), "closed" (it does not), "raise" (a
            ClusterError)
    """

    def __init__(
        self,
        *limits: str,
        key: Key = "client",
        name: str | None = None,
        burst: int | None = None,
        cost: int = 1,
        fields: Iterable[str] = ("draft-6",),
        scope: str = "node",
        on_failure: str = "node",
    ) -> None:
        self.windows = rates.parse(limits, burst)
        self.name = name
        self._cost = cost
        self._fields = tuple(fields)
        self._key = key
        self._scope = scope
        self._on_failure = on_failure
        for given, values in ((scope, rates.SCOPES), (on_failure, rates.FAILURES)):
            if given not in values:
                raise ValueError(f"{given!r} is none of {', '.join(values)}")
        if unknown := set(self._fields) - set(_FIELDS):
            raise ValueError(f"fields may be {', '.join(_FIELDS)}, not {sorted(unknown)}")
        if len({"draft-6", "draft-8"} & set(self._fields)) == 2:
            raise ValueError("draft-6 and draft-8 use RateLimit-Policy differently: choose one")
        if not callable(key) and key not in _KEYS and not key.startswith("header:"):
            raise ValueError(f"key may be client, all, header:NAME or a function, not {key!r}")
        rates.hit_request(b"", cost, self.windows)

    # By hand

    def hit(self, key: str, cost: int | None = None) -> Hit:
        """Counts a request of this key, if it passes. A cost of 0 only looks. ValueError for a cost
        that could never pass."""
        answer = call(*self._request(key, cost, self.name or ""))
        return rates.verdict(answer, self.windows)

    async def ahit(self, key: str, cost: int | None = None) -> Hit:
        """As `hit`, without blocking the loop."""
        return await self._ahit(key, cost, self.name or "")

    def reset(self, key: str) -> None:
        """The windows of this key are whole again."""
        row = rates.row_of(self.name or "", self.windows, key)
        call(*rates.reset_request(row, self._scope))

    async def _ahit(self, key: str, cost: int | None, name: str) -> Hit:
        return rates.verdict(await acall(*self._request(key, cost, name)), self.windows)

    def _request(self, key: str, cost: int | None, name: str) -> tuple[int, list[Any]]:
        if type(key) is not str:
            raise TypeError(f"the key of a rate limit is a str, not {key!r}")
        row = rates.row_of(name, self.windows, key)
        cost = self._cost if cost is None else cost
        return rates.hit_request(row, cost, self.windows, self._scope, self._on_failure)

    # A dependency

    async def __call__(self, connection: Any, response: Any) -> Hit:
        """What FastAPI's `Depends` calls: lets the request through, or answers 429."""
        key = self._key_of(connection, (connection,), {})
        if inspect.isawaitable(key):
            key = await key
        hit = await self._ahit(key, None, self.name or _endpoint(connection))
        if not hit.allowed:
            self._raise_starlette(connection, hit)
        response.headers.update(self.response_fields(hit))
        return hit

    def __getattr__(self, name: str) -> Any:
        """What FastAPI reads to know that it gives the connection and the response: classes that
        this module does not import before somebody asks."""
        if name != "__signature__":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        try:
            from starlette.requests import HTTPConnection
            from starlette.responses import Response
        except ImportError:
            raise AttributeError(name) from None
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature(
            [
                inspect.Parameter("connection", kind, annotation=HTTPConnection),
                inspect.Parameter("response", kind, annotation=Response),
            ]
        )

    # A decorator

    def limited(self, function: Function) -> Function:
        """Limits the calls of a function: of an endpoint of Starlette, FastAPI, Flask or Django,
        which then answers 429, or of any other, which then raises RateLimitExceeded."""
        name = self.name or _path_of(function)

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            request = _request_of(args, kwargs)
            key = self._key_of(request, args, kwargs)
            hit = await self._ahit(await key if inspect.isawaitable(key) else key, None, name)
            if not hit.allowed:
                return self._refuse(request, hit)
            return self._tell(await function(*args, **kwargs), request, hit)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            request = _request_of(args, kwargs)
            key = self._key_of(request, args, kwargs)
            if inspect.iscoroutine(key):
                key.close()
                raise TypeError("the key of a plain function's rate limit must be a plain function")
            answer = call(*self._request(key, None, name))
            hit = rates.verdict(answer, self.windows)
            if not hit.allowed:
                return self._refuse(request, hit)
            return self._tell(function(*args, **kwargs), request, hit)

        chosen: Any = awaited if inspect.iscoroutinefunction(function) else called
        return chosen  # type: ignore[no-any-return]

    # Whose request it is

    def _key_of(self, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if callable(self._key):
            return self._key(*args, **kwargs) if request is None else self._key(request)
        if self._key == "all":
            return ""
        if request is None:
            raise TypeError(
                "a rate limit does not see whose call this is: give the function a parameter with "
                'the request, or say key="all" or key=a function of the arguments'
            )
        if self._key.startswith("header:"):
            value = _field(request, self._key.removeprefix("header:").lower())
            if value:
                return f"header {value}"
        return f"client {rates.client_of(_address(request))}"

    # What it is told

    def response_fields(self, hit: Hit) -> dict[str, str]:
        """The fields of a response to this request; of a refused one Retry-After, too."""
        return rates.fields_of(hit, self.windows, self._fields)

    def _tell(self, response: Any, request: Any, hit: Hit) -> Any:
        fields = self.response_fields(hit)
        if _is_flask(request):
            flask = sys.modules["flask"]

            @flask.after_this_request  # type: ignore[untyped-decorator]
            def told(made: Any) -> Any:
                made.headers.update(fields)
                return made

        elif hasattr(response, "headers") and hasattr(response, "status_code"):
            for field, value in fields.items():
                response.headers[field] = value
        return response

    def _refuse(self, request: Any, hit: Hit) -> Any:
        if _is_flask(request):
            flask = sys.modules["flask"]
            answer = flask.jsonify(detail=_text(hit))
            answer.status_code = 429
            answer.headers.update(self.response_fields(hit))
            return flask.abort(answer)
        if hasattr(request, "META"):
            from django.http import JsonResponse

            body = {"detail": _text(hit)}
            return JsonResponse(body, status=429, headers=self.response_fields(hit))
        if _is_starlette(request):
            self._raise_starlette(request, hit)
        raise RateLimitExceeded(hit)

    def _raise_starlette(self, connection: Any, hit: Hit) -> NoReturn:
        from starlette.exceptions import HTTPException, WebSocketException

        if connection.scope["type"] == "websocket":
            raise WebSocketException(_TRY_AGAIN_LATER, _text(hit))
        raise HTTPException(429, _text(hit), headers=self.response_fields(hit))


def rate_limit(
    *limits: str,
    key: Key = "client",
    name: str | None = None,
    burst: int | None = None,
    cost: int = 1,
    fields: Iterable[str] = ("draft-6",),
    scope: str = "node",
    on_failure: str = "node",
) -> Callable[[Function], Function]:
    """A decorator that limits the calls of a function; the arguments are those of `RateLimit`."""
    return RateLimit(
        *limits,
        key=key,
        name=name,
        burst=burst,
        cost=cost,
        fields=fields,
        scope=scope,
        on_failure=on_failure,
    ).limited


def _text(hit: Hit) -> str:
    return f"Too many requests: try again in {math.ceil(hit.wait)} s"


def _path_of(function: Any) -> str:
    """Where a function is defined: the same in every worker."""
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"


def _endpoint(connection: Any) -> str:
    """Not the path, of which a client makes as many as it likes."""
    endpoint = connection.scope.get("endpoint")
    return "" if endpoint is None else _path_of(endpoint)


def _request_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The request among the arguments: of Django, of an ASGI framework; else Flask's, or none."""
    for value in _values(args, kwargs):
        if isinstance(getattr(value, "META", None), dict):
            return value
        if isinstance(getattr(value, "scope", None), dict):
            return value
    flask = sys.modules.get("flask")
    return flask.request if flask is not None and flask.has_request_context() else None


def _values(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    yield from args
    yield from kwargs.values()


def _is_starlette(request: Any) -> bool:
    module = sys.modules.get("starlette.requests")
    return module is not None and isinstance(request, module.HTTPConnection)


def _is_flask(request: Any) -> bool:
    flask = sys.modules.get("flask")
    return flask is not None and isinstance(request, flask.Request)


def _address(request: Any) -> str | None:
    if not hasattr(request, "META") and hasattr(request, "scope"):
        host = (request.scope.get("client") or [None])[0]
    else:
        host = _environ(request).get("REMOTE_ADDR")
    return None if host is None else str(host)


def _field(request: Any, name: str) -> str | None:
    if not hasattr(request, "META") and hasattr(request, "scope"):
        fields = request.scope.get("headers", ())
        found = [value for field, value in fields if field == name.encode("latin-1")]
        return found[0].decode("latin-1") if found else None
    value = _environ(request).get("HTTP_" + name.upper().replace("-", "_"))
    return None if value is None else str(value)


def _environ(request: Any) -> dict[str, Any]:
    environ: dict[str, Any] = request.META if hasattr(request, "META") else request.environ
    return environ
