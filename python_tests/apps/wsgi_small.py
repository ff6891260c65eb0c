"""Bottle and Pyramid, an application of each."""

from __future__ import annotations

from typing import Any

import bottle
from pyramid.config import Configurator
from pyramid.response import Response

bottle_app = bottle.Bottle()


@bottle_app.get("/hello/<name>")  # type: ignore[untyped-decorator]
def hello(name: str) -> dict[str, str]:
    """JSON."""
    return {"hello": name, "query": bottle.request.query.q}


@bottle_app.post("/upload")  # type: ignore[untyped-decorator]
def upload() -> str:
    """A form's file."""
    return str(len(bottle.request.files.file.file.read()))


def greet(request: Any) -> Response:
    """A view of Pyramid's."""
    return Response(f"hello {request.matchdict['name']} at {request.path_url}")


def create_pyramid() -> Any:
    """A factory."""
    with Configurator() as config:
        config.add_route("hello", "/hello/{name}")
        config.add_view(greet, route_name="hello")
        return config.make_wsgi_app()
