"""The template of a route where the scope has something that no framework has put there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from hornbeam_worker import routes
from hornbeam_worker.routes import Routes


@pytest.mark.parametrize(
    "strange",
    [
        {"route": object(), "fastapi": 3, "root_path": ""},
        {"route": object()},
        {"route": object(), "root_path": []},
        {"route": {"path": "/x"}, "root_path": "", "router": 1},
        {"endpoint": None, "root_path": None},
    ],
)
def test_it_costs_the_template_and_never_the_request(strange: dict[str, Any]) -> None:
    _spent, route = Routes("").asgi({"type": "http", "path": "/x", **strange}, perf_counter_ns())
    assert route == b"\0"


def test_a_template_is_text_of_bounded_length() -> None:
    _spent, route = Routes("/api").asgi({"http.route": "x\udcff" + "é" * 300}, perf_counter_ns())
    assert route[0] == len(route) - 1 <= 255
    assert route[1:].decode() == "/api/x?" + "é" * 124


class Route:
    """As frameworks have them: with a template, without a hash."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, template: str) -> None:
        self.path_format = template


def test_one_route_in_several_places() -> None:
    """Included twice, or mounted twice: what was found last is not said of the other place."""
    routes = Routes("")
    route = Route("/own")

    def found(root: str, prefix: str | None) -> str:
        context = None if prefix is None else included[prefix]
        scope = {"type": "http", "path": root, "root_path": root, "route": route}
        fastapi = {"effective_route_context": context}
        return routes.asgi({**scope, "fastapi": fastapi}, perf_counter_ns())[1][1:].decode()

    included = {prefix: Route(f"{prefix}/own") for prefix in ("/a", "/b")}
    for context in included.values():
        context.original_route = route  # type: ignore[attr-defined]
    for _ in range(3):
        assert found("", None) == "/own"
        assert found("", "/a") == "/a/own"
        assert found("", "/b") == "/b/own"


def test_a_time_is_in_nanoseconds() -> None:
    route = Route("/x")
    routes = Routes("")
    for _ in range(2):
        scope = {"type": "http", "path": "/x", "root_path": "", "route": route}
        spent, found = routes.asgi(scope, perf_counter_ns() - (1 << 60))
        assert spent >= 1 << 60
        assert found == b"\2/x"


def called(app: Callable[..., Any], path: str) -> str:
    """The template of a request to a WSGI application."""
    environ: dict[str, Any] = {"PATH_INFO": path}
    setup_testing_defaults(environ)
    list(app(environ, lambda *_: lambda _: None))
    return Routes("").wsgi(environ, perf_counter_ns())[1][1:].decode()


def told(app: Callable[..., Any], path: str, kind: str = "http") -> str:
    """The template of a request to an ASGI application, or of a WebSocket, as it is answered."""
    answers: list[bytes] = []
    scope: dict[str, Any] = {
        "type": kind, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": path, "raw_path": path.encode(), "state": {},
        "query_string": b"", "root_path": "", "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "subprotocols": [],
        "extensions": {},
    }  # fmt: skip
    if kind == "websocket":
        del scope["method"]
    first = {"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}
    messages = [first, {"type": "websocket.disconnect", "code": 1000, "reason": ""}]

    async def receive() -> Any:
        return messages.pop(0) if messages else await asyncio.get_running_loop().create_future()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] in ("http.response.start", "websocket.accept", "websocket.close"):
            answers.append(Routes("").asgi(scope, perf_counter_ns())[1])

    async def run() -> None:
        loop = asyncio.get_running_loop()
        started, over = loop.create_future(), loop.create_future()
        lifespan: list[Any] = [{"type": "lifespan.startup"}]

        async def receive_life() -> Any:
            return lifespan.pop() if lifespan else await over

        async def send_life(_message: dict[str, Any]) -> None:
            if not started.done():
                started.set_result(None)

        life = loop.create_task(app({"type": "lifespan"}, receive_life, send_life))
        await asyncio.wait((started, life), return_when=asyncio.FIRST_COMPLETED)
        await app(scope, receive, send)
        over.set_result({"type": "lifespan.shutdown"})
        await asyncio.wait((life,))

    asyncio.run(run())
    return answers[0][1:].decode()


def test_pyramid() -> None:
    """`request.matched_route`, of which an event tells."""
    from pyramid.config import Configurator
    from pyramid.response import Response

    with Configurator() as config:
        config.add_route("hello", "/hello/{name}")
        config.add_view(lambda _request: Response("hello"), route_name="hello")
        app = config.make_wsgi_app()
    routes.watch(app)
    assert called(app, "/hello/me") == "/hello/{name}"
    assert called(app, "/nowhere") == ""


def test_falcon() -> None:
    """`req.uri_template`, seen by a component of its middleware."""
    import falcon
    import falcon.asgi

    class Hello:
        def on_get(self, _req: Any, resp: Any, name: str) -> None:
            resp.text = name

    class HelloThere:
        async def on_get(self, _req: Any, resp: Any, name: str) -> None:
            resp.text = name

        async def on_websocket(self, _req: Any, ws: Any, name: str) -> None:
            await ws.accept()
            await ws.close()

    app = falcon.App()
    app.add_route("/hello/{name}", Hello())
    routes.watch(app)
    assert called(app, "/hello/me") == "/hello/{name}"
    assert called(app, "/nowhere") == ""
    there = falcon.asgi.App()
    there.add_route("/there/{name}", HelloThere())
    routes.watch(there)
    assert told(there, "/there/me") == "/there/{name}"
    assert told(there, "/there/me", "websocket") == "/there/{name}"


def test_sanic() -> None:
    """`request.uri_template`, told by its signal http.routing.after."""
    import sanic
    from sanic.response import text

    app = sanic.Sanic("routes_of_a_test", configure_logging=False)

    @app.get("/hello/<name:str>")
    async def hello(_request: Any, name: str) -> Any:
        return text(name)

    @app.websocket("/there/<name:str>")  # type: ignore[untyped-decorator]
    async def there(_request: Any, _ws: Any, name: str) -> None:
        return None

    routes.watch(app)
    assert told(app, "/hello/me") == "/hello/<name:str>"
    assert told(app, "/there/me", "websocket") == "/there/<name:str>"


def test_what_cannot_be_watched_runs_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Here an application that refuses signals."""
    import sanic

    class Closed(sanic.Sanic):  # type: ignore[type-arg]
        def add_signal(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("not now")

    routes.watch(Closed("closed_of_a_test", configure_logging=False))
    assert "Sanic" in caplog.text
