"""The template of the route that a request has taken, as the framework names it; and how long the
application has taken.

Called by the cycles of both protocols as a response begins, where the server wants figures by
route (`Host.measure`). Imported only there.

A template is bounded where a path is not. Where it is found:

- ASGI: `scope["path_template"]` (Litestar), `scope["http.route"]`, `scope["route"]` (Starlette,
  FastAPI: below its mounts and included routers), or what is noted here: Django, Quart, Sanic,
  Falcon. The same of a WebSocket as it is accepted or refused.
- WSGI: `environ["bottle.route"]`, `environ["http.route"]`, or what is noted here: Django, Flask,
  Falcon, Pyramid.

These do not say it there, so as an application of theirs is loaded, `watch` has them note it: a
wrapper around the resolver of Django's handlers; receivers of the signals request_started and
websocket_started of Flask and Quart, of http.routing.after of Sanic; a component of Falcon's
middleware, with the application's own; a subscriber to ContextFound of Pyramid. Of the latter
three only the application itself is found, not what it is wrapped in. A failure in here costs the
template, never the request.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, MutableMapping
from functools import wraps
from time import perf_counter_ns
from typing import Any, Final

from hornbeam_worker.frames import Measured

__all__ = ["Routes", "watch"]

logger = logging.getLogger("hornbeam.routes")

# Where this module notes what it has found.
NOTED: Final = "hornbeam.route"
# Where FastAPI keeps what a route is in the router that includes it.
_CONTEXT: Final = "effective_route_context"
_LONGEST: Final = 255
_KNOWN_MOST: Final = 10_000
# What is said where there is no template.
_NONE: Final = b"\0"

Scope = MutableMapping[str, Any]


# A route, the root_path and FastAPI's context that it was found with; what is said of it.
_Place = tuple[Any, Any, Any, bytes]
_NOWHERE: Final[_Place] = (object(), None, None, _NONE)


class Routes:
    """What one worker says of its requests: `root` is where its application is mounted."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._mounts = _Mounts(len(root))
        # What is said of each template, but for the time.
        self._known: dict[str, bytes] = {}
        # The same by identity (routes have no hash), with what is identified, of each place of
        # a route; and the last one.
        self._places: dict[tuple[int, Any, int], _Place] = {}
        self._route, self._below, self._context, self._said = _NOWHERE
        self._failed = False

    def asgi(self, scope: Scope, began: int) -> Measured:
        """How long the application has taken since `began` (by perf_counter_ns), and the
        template, as a frame has them."""
        # Many requests take the route of the one before, in the same place.
        try:
            if not (
                scope["route"] is self._route
                and scope["root_path"] == self._below
                and ("fastapi" not in scope or scope["fastapi"].get(_CONTEXT) is self._context)
            ):
                self._look(scope)
            text = self._said
        except Exception:  # what an application has put there is something else
            text = self._found(self._asgi_route, scope)
        return perf_counter_ns() - began, text

    def _look(self, scope: Scope) -> None:
        """Has what is said of a scope with a route stand where the next one looks first."""
        route, root, fastapi = scope["route"], scope["root_path"], scope.get("fastapi")
        context = fastapi.get(_CONTEXT) if fastapi else None
        key = (id(route), root, id(context))
        if (place := self._places.get(key)) is None:
            if len(self._places) >= _KNOWN_MOST:  # mounts with parameters
                self._places.clear()
            place = (route, root, context, self._found(self._asgi_route, scope))
            self._places[key] = place
        self._route, self._below, self._context, self._said = place

    def wsgi(self, environ: Scope, began: int) -> Measured:
        """The same of a WSGI request."""
        return perf_counter_ns() - began, self._found(_wsgi_route, environ)

    def _found(self, find: Callable[[Scope], Any], scope: Scope) -> bytes:
        try:
            route = find(scope)
        except Exception:  # of a framework that has changed
            route = None
            if not self._failed:
                self._failed = True
                logger.warning("the template of a route was not found", exc_info=True)
        return self._text(route) if isinstance(route, str) and route else _NONE

    def _text(self, route: str) -> bytes:
        text = self._known.get(route)
        if text is None:
            whole = self._root + (route if route.startswith("/") else f"/{route}")
            cut = whole.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore").encode()
            text = bytes([len(cut)]) + cut
            if len(self._known) < _KNOWN_MOST:
                self._known[route] = text
        return text

    def _asgi_route(self, scope: Scope) -> Any:
        noted = scope.get(NOTED) or scope.get("path_template") or scope.get("http.route")
        if noted is not None:
            return noted
        route = scope.get("route")
        if route is None:
            return self._mounts.by_endpoint(scope) if "endpoint" in scope else None
        return route if isinstance(route, str) else self._mounts.template(scope, route)


class _Mounts:
    """Templates of Starlette's routes, which know their own part of it alone."""

    def __init__(self, start: int) -> None:
        self._start = start  # of what the application itself has added to root_path
        self._above: dict[str, tuple[str, Any, Iterable[Any]]] = {}

    def template(self, scope: Scope, route: Any) -> str | None:
        """Of a route, with all that it is mounted below."""
        prefix, mount, _routes = self._mounted(scope)
        if route is mount:  # nothing below it is a route
            return f"{prefix}/{{path}}"
        own = _own(scope, route)
        return None if own is None else prefix + own

    def by_endpoint(self, scope: Scope) -> str | None:
        """The same where the scope does not have the route itself (Starlette before 1.0)."""
        prefix, mount, routes = self._mounted(scope)
        endpoint = scope["endpoint"]
        if mount is not None and endpoint is mount.app:
            return f"{prefix}/{{path}}"
        found = [route for route in routes if getattr(route, "endpoint", None) is endpoint]
        if len(found) > 1:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            found = [route for route in found if route.path_regex.match(path)]
        return prefix + _format(found[0]) if found else None

    def _mounted(self, scope: Scope) -> tuple[str, Any, Iterable[Any]]:
        """Below which templates of mounts it is, the last of them, the routes there."""
        router = scope.get("router")
        below = scope.get("root_path", "")[self._start :]
        if not below:
            return "", None, getattr(router, "routes", ())
        known = self._above.get(below)
        if known is None:
            known = _descend(below, getattr(router, "routes", ()))
            if len(self._above) >= _KNOWN_MOST:  # mounts with parameters
                self._above.clear()
            self._above[below] = known
        return known


def _descend(below: str, routes: Iterable[Any]) -> tuple[str, Any, Iterable[Any]]:
    prefix, mount = "", None
    while below:
        for route in routes:
            if getattr(route, "app", None) is None or not hasattr(route, "path_regex"):
                continue
            match = None if hasattr(route, "endpoint") else route.path_regex.match(f"{below}/")
            if match is not None and (rest := "/" + match.group("path")) != below:
                prefix += _format(route).removesuffix("/{path}")
                mount, routes, below = route, getattr(route, "routes", ()), rest.rstrip("/")
                break
        else:
            break
    return prefix, mount, routes


def _own(scope: Scope, route: Any) -> str | None:
    """A route's own template: FastAPI keeps that of an included router beside the route."""
    fastapi = scope.get("fastapi")
    if isinstance(fastapi, dict):
        context = fastapi.get(_CONTEXT)
        if context is not None and getattr(context, "original_route", None) is route:
            return _format(context) or None
    return _format(route) or None


def _format(route: Any) -> str:
    found = getattr(route, "path_format", None) or getattr(route, "path", None)
    return found if isinstance(found, str) else ""


def _wsgi_route(environ: Scope) -> Any:
    noted = environ.get(NOTED) or environ.get("http.route")
    if noted is not None:
        return noted
    return getattr(environ.get("bottle.route"), "rule", None)


def watch(app: object) -> None:
    """Has frameworks note the routes, if the application has brought them."""
    if "django.core.handlers.base" in sys.modules:
        _watch_django()
    if "flask.signals" in sys.modules:
        _watch_flask()
    if "quart.signals" in sys.modules:
        _watch_quart()
    for module, name, watcher in (
        ("sanic.app", "Sanic", _watch_sanic),
        ("falcon.app", "App", _watch_falcon),
        ("pyramid.router", "Router", _watch_pyramid),
    ):
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(app, kind):
            try:
                watcher(app)
            except Exception:  # of a framework that has changed
                logger.warning(
                    "the templates of %s's routes will not be found", name, exc_info=True
                )


def _watch_django() -> None:
    from django.core.handlers.base import BaseHandler

    resolve = getattr(BaseHandler, "resolve_request", None)
    if resolve is None or hasattr(resolve, "__wrapped__"):
        return

    @wraps(resolve)
    def noting(self: Any, request: Any) -> Any:
        found = resolve(self, request)
        scope = getattr(request, "scope", None)
        target = getattr(request, "environ", None) if scope is None else scope
        if target is not None:
            target[NOTED] = f"/{found.route.lstrip('^/')}"
        return found

    BaseHandler.resolve_request = noting


def _watch_flask() -> None:
    from flask import request
    from flask.signals import request_started

    def noting(_sender: Any, **_more: Any) -> None:
        if request.url_rule is not None:
            request.environ[NOTED] = request.url_rule.rule

    request_started.connect(noting, weak=False)


def _watch_quart() -> None:
    from quart import request, websocket
    from quart.signals import request_started, websocket_started

    async def noting_websocket(_sender: Any, **_more: Any) -> None:
        if websocket.url_rule is not None:
            websocket.scope[NOTED] = websocket.url_rule.rule  # type: ignore[typeddict-unknown-key]

    websocket_started.connect(noting_websocket, weak=False)

    async def noting(_sender: Any, **_more: Any) -> None:
        if request.url_rule is not None:
            request.scope[NOTED] = request.url_rule.rule  # type: ignore[typeddict-unknown-key]

    request_started.connect(noting, weak=False)


def _watch_sanic(app: Any) -> None:
    async def noting(request: Any, **_more: Any) -> None:
        request.scope[NOTED] = request.uri_template

    app.add_signal(noting, "http.routing.after")


def _watch_falcon(app: Any) -> None:
    asgi = getattr(sys.modules.get("falcon.asgi"), "App", ())
    app.add_middleware(_FalconASGI() if isinstance(app, asgi) else _FalconWSGI())


class _FalconWSGI:
    """A component of Falcon's middleware: called when a route is found."""

    def process_resource(self, req: Any, _resp: Any, _resource: Any, _params: Any) -> None:
        req.env[NOTED] = req.uri_template


class _FalconASGI:
    """The same for Falcon's ASGI applications."""

    async def process_resource(self, req: Any, _resp: Any, _resource: Any, _params: Any) -> None:
        req.scope[NOTED] = req.uri_template

    async def process_resource_ws(self, req: Any, _ws: Any, _resource: Any, _params: Any) -> None:
        req.scope[NOTED] = req.uri_template


def _watch_pyramid(app: Any) -> None:
    from pyramid.config import Configurator
    from pyramid.events import ContextFound

    def noting(event: Any) -> None:
        if event.request.matched_route is not None:
            event.request.environ[NOTED] = event.request.matched_route.pattern

    Configurator(registry=app.registry, autocommit=True).add_subscriber(noting, ContextFound)
