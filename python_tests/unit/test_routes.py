"""The template of a route where the scope has something that no framework has put there."""

from __future__ import annotations

from time import perf_counter_ns
from typing import Any

import pytest

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
    assert route == b""


def test_a_template_is_text_of_bounded_length() -> None:
    _spent, route = Routes("/api").asgi({"http.route": "x\udcff" + "é" * 300}, perf_counter_ns())
    assert len(route) <= 255
    assert route.decode() == "/api/x?" + "é" * 124


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
        return routes.asgi({**scope, "fastapi": fastapi}, perf_counter_ns())[1].decode()

    included = {prefix: Route(f"{prefix}/own") for prefix in ("/a", "/b")}
    for context in included.values():
        context.original_route = route  # type: ignore[attr-defined]
    for _ in range(3):
        assert found("", None) == "/own"
        assert found("", "/a") == "/a/own"
        assert found("", "/b") == "/b/own"


def test_a_time_that_is_too_long_for_its_field() -> None:
    route = Route("/x")
    routes = Routes("")
    for _ in range(2):
        scope = {"type": "http", "path": "/x", "root_path": "", "route": route}
        spent, found = routes.asgi(scope, perf_counter_ns() - (1 << 60))
        assert (spent, found) == (0xFFFFFFFF, b"/x")
