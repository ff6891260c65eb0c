"""Metrics of routes: the templates of every framework, and where the time of a request has gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam, wait_until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from websocket_http2 import Http2
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

ROUTES = "hornbeam_route_duration_seconds"
OPEN_FOR = "hornbeam_websocket_open_seconds"
OPEN = {"accept": "application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain;q=0.5"}
MOUNTS = [
    "/starlette=framework_starlette:app",
    "/quart=framework_quart:app",
    "/django=framework_django:app",
    "/litestar=framework_litestar:app",
    "/flask=wsgi_flask:app",
    "/wsgi=wsgi_django:app;worker_class=wsgi",
    "/bottle=wsgi_small:bottle_app",
]
# What is asked for, and by which template, method and class of status it is counted.
ASKED = {
    "/items/7": ("GET", "/items/{number}", "2xx"),
    "/items/8": ("GET", "/items/{number}", "2xx"),
    "/nowhere": ("GET", "", "4xx"),
    "/fail": ("GET", "/fail", "5xx"),
    "/stream": ("GET", "/stream", "2xx"),
    "/nested/deep/3": ("GET", "/nested/deep/{number}", "2xx"),
    "/below/t1/more/leaf/1": ("GET", "/below/{tenant}/more/leaf/{n}", "2xx"),
    "/below/t2/more/leaf/1/x": ("GET", "/below/{tenant}/more/leaf/{n}/{m}", "2xx"),
    "/starlette/items/7": ("GET", "/starlette/items/{number}", "2xx"),
    "/quart/items/7": ("GET", "/quart/items/<int:number>", "2xx"),
    "/django/items/7": ("GET", "/django/items/<int:number>", "2xx"),
    "/litestar/items/7": ("GET", "/litestar/items/{number}", "2xx"),
    "/flask/visits": ("GET", "/flask/visits", "2xx"),
    "/wsgi/groups": ("GET", "/wsgi/groups", "2xx"),
    "/bottle/hello/me": ("GET", "/bottle/hello/<name>", "2xx"),
}
# WebSockets: what is asked for, the template, and how the handshake is answered.
CONNECTED = [
    ("/nested/rooms/a", "/nested/rooms/{name}", "1xx"),
    ("/nested/rooms/b", "/nested/rooms/{name}", "1xx"),
    ("/nested/rooms/closed", "/nested/rooms/{name}", "4xx"),
    ("/nested/rooms/broken", "/nested/rooms/{name}", "5xx"),
    ("/below/t1/more/listen/1", "/below/{tenant}/more/listen/{n}", "1xx"),
    ("/starlette/rooms/a", "/starlette/rooms/{name}", "1xx"),
    ("/quart/rooms/a", "/quart/rooms/<name>", "1xx"),
    ("/litestar/rooms/a", "/litestar/rooms/{name}", "1xx"),
    ("/nested/nothing", "", "4xx"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "data.bin").write_bytes(b"x" * 1000)
    env = {"FRAMEWORK_FILE": str(folder / "data.bin"), "FRAMEWORK_FOLDER": str(folder)}
    with Hornbeam(
        "metrics_fastapi:app",
        mount=MOUNTS,
        env=env,
        metrics_bind="127.0.0.1:0",
        metrics_max_routes=18,
    ) as server:
        yield server


def base(server: Hornbeam) -> str:
    return server.wait_for_output(r"metrics on (http://\S+)").group(1)


def counts(server: Hornbeam, of: str = ROUTES) -> dict[tuple[str, str, str], float]:
    """Requests by method, route and class of status."""
    families = text_families(httpx.get(base(server) + "/metrics", timeout=60).text)
    return {
        (labels.get("method", ""), labels.get("route", ""), labels.get("status", "")): value
        for family in families
        if family.name == of
        for name, labels, value, *_ in family.samples
        if name == f"{of}_count"
    }


def test_each_framework_names_its_routes(server: Hornbeam) -> None:
    expected: dict[tuple[str, str, str], float] = {}
    for path, key in ASKED.items():
        httpx.get(server.url + path, timeout=60)
        expected[key] = expected.get(key, 0) + 1
    wait_until(lambda: sum(counts(server).values()) == len(ASKED), 60, "all are counted")
    assert counts(server) == expected


def test_websockets_have_routes_too(server: Hornbeam) -> None:
    """The answer to the handshake, and how long those were open that have ended."""
    before, ended = counts(server), counts(server, OPEN_FOR)
    expected: dict[tuple[str, str, str], float] = {}
    open_for: dict[tuple[str, str, str], float] = {}
    for path, route, status in CONNECTED:
        key = ("GET", route, status)
        expected[key] = expected.get(key, 0) + 1
        try:
            with connect(server.url.replace("http", "ws") + path, open_timeout=60):
                open_for[("", route, "")] = open_for.get(("", route, ""), 0) + 1
        except InvalidStatus as refused:
            assert status == f"{refused.response.status_code // 100}xx"
        else:
            assert status == "1xx"
    with Http2(server) as client:
        client.open("/nested/rooms/a")
    expected["CONNECT", "/nested/rooms/{name}", "2xx"] = 1
    open_for["", "/nested/rooms/{name}", ""] += 1

    def more(before: dict[tuple[str, str, str], float], of: str) -> dict[Any, float]:
        now = counts(server, of)
        return {key: n - before.get(key, 0) for key, n in now.items() if n != before.get(key, 0)}

    wait_until(lambda: more(before, ROUTES) == expected, 60, "the handshakes are counted")
    wait_until(lambda: more(ended, OPEN_FOR) == open_for, 60, "those that have ended are")


def parts(server: Hornbeam) -> dict[str, float]:
    """Seconds by where they have gone."""
    return {
        sample.labels["part"]: sample.value
        for family in text_families(httpx.get(base(server) + "/metrics", timeout=60).text)
        if family.name == "hornbeam_request_part_seconds"
        for sample in family.samples
    }


def test_the_parts_of_the_time(server: Hornbeam) -> None:
    """What the application has slept is Python's, in one piece and while a response goes on."""
    before = parts(server)
    assert set(before) == {"queue", "python", "server"}
    httpx.get(server.url + "/sleep", timeout=60)
    wait_until(lambda: parts(server)["python"] - before["python"] > 0.15, 60, "a rest before")

    def streamed() -> bool:  # what of it counts begins when the server has the response's head
        before = parts(server)
        httpx.get(server.url + "/stream?rest=0.2", timeout=60)
        return parts(server)["python"] - before["python"] > 0.15

    wait_until(streamed, 60, "a rest in between")


def test_more_routes_than_are_wanted_are_one(server: Hornbeam) -> None:
    """metrics_max_routes is 18, and so many templates there are already."""
    for path in ("/docs", "/openapi.json", "/redoc", "/flask/address"):
        httpx.get(server.url + path, timeout=60)
    wait_until(lambda: any(key[1] == "other" for key in counts(server)), 60, "others are counted")
    assert len({route for _, route, _ in counts(server)} - {"", "other"}) == 18


def test_open_metrics(server: Hornbeam) -> None:
    answer = httpx.get(base(server) + "/metrics", headers=OPEN, timeout=60)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in open_families(answer.text)}  # type: ignore[no-untyped-call]
    assert families["hornbeam_requests"].type == "counter"
    assert families[ROUTES].type == "histogram"
    plain = httpx.get(base(server) + "/metrics", timeout=60)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {family.name for family in text_families(plain.text)} == set(families)
