"""The frameworks that people use: routes, bodies, streams, background tasks, files, errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, wait_until

FRAMEWORKS = ["starlette", "fastapi", "quart", "django", "litestar"]
CONTENT = os.urandom(300_000)


@pytest.fixture(scope="module", params=FRAMEWORKS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hornbeam]:
    path: Path = tmp_path_factory.mktemp("files") / "data.bin"
    path.write_bytes(CONTENT)
    app = f"framework_{request.param}:app"
    with Hornbeam(app, env={"FRAMEWORK_FILE": str(path)}) as server:
        yield server


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(server: Hornbeam, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    http2: bool = request.param
    with httpx.Client(base_url=server.url, http1=not http2, http2=http2, timeout=20) as client:
        yield client


def test_routes(client: httpx.Client) -> None:
    answer = client.get("/items/7", params={"q": "a b"})
    said = answer.json()
    assert (said["id"], said["q"], said["started"]) == (7, "a b", "yes")
    assert said["url"].startswith(str(client.base_url).rstrip("/") + "/items/7?q=a")
    assert client.get("/nowhere").status_code == 404
    assert client.post("/items/7").status_code in (405, 200)


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_bodies(client: httpx.Client, size: int) -> None:
    answer = client.post("/body", content=b"x" * size)
    assert (answer.status_code, answer.json()) == (201, {"size": size})


def test_streamed_bodies(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    assert client.post("/upload", content=pieces()).json() == {"size": 200_000}


def test_streams(client: httpx.Client) -> None:
    with client.stream("GET", "/stream") as answer:
        assert b"".join(answer.iter_raw()) == b"0\n1\n2\n3\n4\n"
        assert "content-length" not in answer.headers


def test_background_tasks(client: httpx.Client) -> None:
    name = os.urandom(4).hex()
    assert client.get("/background", params={"name": name}).text == "later"
    wait_until(lambda: name in client.get("/finished").json(), 10, "the task has run")


def test_files(client: httpx.Client) -> None:
    answer = client.get("/file")
    assert answer.content == CONTENT
    assert answer.headers["content-length"] == str(len(CONTENT))
    head = client.head("/file")
    assert head.content == b""


def test_errors(client: httpx.Client, server: Hornbeam) -> None:
    assert client.get("/error").status_code == 500
    assert client.get("/refused").status_code == 418
    assert client.get("/items/1").status_code == 200
    # The others log it themselves, or not at all.
    if server.command[2] in ("framework_starlette:app", "framework_fastapi:app"):
        server.wait_for_output("a mistake in the application")


def test_cookies(client: httpx.Client) -> None:
    cookies = client.get("/cookies").headers.get_list("set-cookie")
    assert [cookie.split("=")[0] for cookie in cookies] == ["a", "b"]
