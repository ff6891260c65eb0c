"""The HTTP scope (ASGI 3.0, HTTP & WebSocket message format 2.5, "HTTP connection scope")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness import Hornbeam
from raw_http import RawClient, request


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("core_http:app") as running:
        yield running


def seen(server: Hornbeam, target: str, **arguments: Any) -> dict[str, Any]:
    """What the application saw of a request whose path begins with /scope."""
    with RawClient(server.connect()) as client:
        import json

        return dict(json.loads(client.get(target, **arguments).body))


def test_every_key_and_its_type(server: Hornbeam) -> None:
    answer = seen(server, "/scope?a=1")
    scope = answer["scope"]
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (scope["type"], scope["http_version"], scope["method"]) == ("http", "1.1", "GET")
    assert (scope["scheme"], scope["root_path"]) == ("http", "")
    assert answer["types"] == {
        "type": "str",
        "asgi": "dict",
        "http_version": "str",
        "method": "str",
        "scheme": "str",
        "path": "str",
        "raw_path": "bytes",
        "query_string": "bytes",
        "root_path": "str",
        "headers": "list",
        "client": "tuple",
        "server": "tuple",
        "state": "dict",
        "extensions": "dict",
    }


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        ("/scope", "/scope", "/scope", ""),
        ("/scope?", "/scope", "/scope", ""),
        ("/scope?a=1&b=%20+c?d", "/scope", "/scope", "a=1&b=%20+c?d"),
        ("/scope/a%20b", "/scope/a b", "/scope/a%20b", ""),
        ("/scope/a+b", "/scope/a+b", "/scope/a+b", ""),
        ("/scope/%C3%A4/%e2%82%ac", "/scope/ä/€", "/scope/%C3%A4/%e2%82%ac", ""),
        ("/scope/a%2Fb", "/scope/a/b", "/scope/a%2Fb", ""),
        ("/scope/%3Fx%23y", "/scope/?x#y", "/scope/%3Fx%23y", ""),
        ("/scope/100%", "/scope/100%", "/scope/100%", ""),
        ("/scope/%zz%4", "/scope/%zz%4", "/scope/%zz%4", ""),
        ("/scope/%2520", "/scope/%20", "/scope/%2520", ""),
        ("/scope/%ff", "/scope/\ufffd", "/scope/%ff", ""),
        ("/scope//double/", "/scope//double/", "/scope//double/", ""),
        ("/scope/./..", "/scope/./..", "/scope/./..", ""),
    ],
)
def test_paths(server: Hornbeam, target: str, path: str, raw_path: str, query: str) -> None:
    scope = seen(server, target)["scope"]
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)


def test_a_long_path(server: Hornbeam) -> None:
    path = "/scope/" + "a%20" * 500
    scope = seen(server, path)["scope"]
    assert scope["path"] == path.replace("%20", " ")
    assert scope["raw_path"] == path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_methods(server: Hornbeam, method: str) -> None:
    assert seen(server, "/scope", method=method)["scope"]["method"] == method


def test_http_1_0(server: Hornbeam) -> None:
    assert seen(server, "/scope", version="1.0")["scope"]["http_version"] == "1.0"


def test_headers_are_lower_case_pairs_of_bytes_in_the_client_s_order(server: Hornbeam) -> None:
    """ASGI, HTTP connection scope: the original order, repeats as repeated pairs."""
    answer = seen(
        server,
        "/scope",
        headers=[
            ("X-Custom", "Some Value"),
            ("Accept", "text/html"),
            ("accept", "text/plain"),
            ("Cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-latin", "\xe4"),
        ],
    )
    pairs = [tuple(pair) for pair in answer["scope"]["headers"]]
    assert [pair for pair in pairs if pair[0] != "host"] == [
        ("x-custom", "Some Value"),
        ("accept", "text/html"),
        ("accept", "text/plain"),
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("x-latin", "\xe4"),
    ]
    assert ("host", "test") in pairs
    assert answer["pairs"] == ["tuple"]


def test_many_and_long_headers(server: Hornbeam) -> None:
    headers = [(f"x-header-{number}", "v" * (number * 20)) for number in range(60)]
    answer = seen(server, "/scope", headers=headers)
    got = {name: value for name, value in answer["scope"]["headers"] if name != "host"}
    assert got == dict(headers)


def test_client_and_server(server: Hornbeam) -> None:
    with server.connect() as connection:
        own = connection.getsockname()
        client = RawClient(connection)
        scope = httpx.Response(200, content=client.get("/scope").body).json()["scope"]
    assert scope["client"] == list(own)
    assert scope["server"] == list(server.address)


def test_state_is_a_shallow_copy_of_the_lifespans(server: Hornbeam) -> None:
    first = httpx.get(f"{server.url}/state/first").json()
    second = httpx.get(f"{server.url}/state/second").json()
    assert first == {"keys": ["lock", "shared"], "shared": ["from lifespan"]}
    assert second == {"keys": ["lock", "shared"], "shared": ["from lifespan", "/state/first"]}


def test_root_path() -> None:
    with Hornbeam("core_http:app", root_path="/published/at") as server:
        scope = seen(server, "/scope/%41?q")["scope"]
    assert scope["root_path"] == "/published/at"
    assert scope["path"] == "/published/at/scope/A"
    assert scope["raw_path"] == "/published/at/scope/%41"
    assert scope["query_string"] == "q"


def test_mounts() -> None:
    with Hornbeam("core_http:app", mount=["/api=core_http:app", "/api/v2=core_http:app"]) as server:
        root = seen(server, "/scope/x")["scope"]
        api = seen(server, "/api/scope/x")["scope"]
        longest = seen(server, "/api/v2/scope")["scope"]
        with RawClient(server.connect()) as client:
            # /apix is not below /api: the root application gets it, and knows no such path.
            client.send(request("/apix/scope"))
            assert client.response().status == 500
    assert (root["root_path"], root["path"]) == ("", "/scope/x")
    assert (api["root_path"], api["path"]) == ("/api", "/api/scope/x")
    assert api["raw_path"] == "/api/scope/x"
    assert (longest["root_path"], longest["path"]) == ("/api/v2", "/api/v2/scope")
