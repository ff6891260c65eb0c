"""Everything that "module:attribute" may lead to: applications of every kind, factories, others."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what its lifespan has noted."""
    if scope["type"] == "lifespan":
        scope["state"]["begun"] = "begun"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = scope.get("state", {}).get("begun", "nothing").encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


# ASGI 3


def returns_awaitable(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return app(scope, receive, send)


async def optional(scope: Scope = {}, receive: Any = None, send: Any = None) -> None:  # noqa: B006
    await app(scope, receive, send)


def hidden(*arguments: Any, **keywords: Any) -> Any:
    """As a decorator without functools.wraps leaves it."""
    return app(*arguments, **keywords)


@functools.wraps(app)
def decorated(*arguments: Any) -> Any:
    return app(*arguments)


class Instance:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    async def method(self, scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)


class Endpoint:
    """As Starlette's HTTPEndpoint: an instance for each connection, awaited."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._run = app(scope, receive, send)

    def __await__(self) -> Any:
        return self._run.__await__()


instance = Instance()
method = instance.method


async def four(name: str, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


partial = functools.partial(four, "a name")


# ASGI 2


class Double:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await app(self._scope, receive, send)


def double(scope: Scope) -> Double:
    return Double(scope)


def marked(anything: Scope) -> Double:
    return Double(anything)


marked._asgi_double_callable = True  # type: ignore[attr-defined]


# Factories


def create_app() -> Instance:
    return Instance()


def with_defaults(config: str = "", debug: bool = False, more: int = 0) -> Instance:
    return Instance()


class Configured(Instance):
    """As FastAPI: the class is a factory of applications."""

    def __init__(self, debug: bool = False, routes: Any = None, more: Any = None) -> None:
        pass


configured = functools.partial(lambda config: Instance(), "a config")


def makes_double() -> type[Double]:
    return Double


def raises() -> Instance:
    raise LookupError("no such setting")


def exits() -> Instance:
    raise SystemExit(3)


def type_error() -> Instance:
    raise TypeError("raised in the factory")


def needs(config: str) -> Instance:
    return Instance()


def makes_nothing() -> None:
    return None


def makes_a_factory() -> Callable[[], Instance]:
    return create_app


async def async_factory() -> Instance:
    return Instance()


def any_arguments(*arguments: Any) -> Instance:
    """With the option `factory` alone: it could be a decorated application."""
    assert not arguments
    return Instance()


# WSGI


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"WSGI"]


def wsgi_optional(
    environ: dict[str, Any], start_response: Any, more: Any = None
) -> Iterable[bytes]:
    return wsgi(environ, start_response)


class Wsgi:
    """As flask.Flask and Django's WSGIHandler."""

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        return wsgi(environ, start_response)


wsgi_instance = Wsgi()


def makes_wsgi() -> Wsgi:
    return Wsgi()


class NeedsTwo:
    def __init__(self, one: str, two: str) -> None:
        pass


class WsgiClass:
    """An instance is made for each request and iterated over (PEP 3333)."""

    def __init__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        self.answer = wsgi(environ, start_response)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.answer)
