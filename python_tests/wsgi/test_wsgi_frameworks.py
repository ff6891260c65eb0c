"""Flask, Django, Bottle and Pyramid, each below a mount of one server, nothing of them changed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam

CONTENT = os.urandom(300_000)
MOUNTS = [
    "/flask=wsgi_flask:app",
    "/django=wsgi_django:app;worker_class=wsgi",  # it queries its database as it is imported
    "/bottle=wsgi_small:bottle_app",
    "/pyramid=wsgi_small:create_pyramid",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    folder: Path = tmp_path_factory.mktemp("files")
    (folder / "data.bin").write_bytes(CONTENT)
    env = {"FRAMEWORK_FILE": str(folder / "data.bin"), "FRAMEWORK_FOLDER": str(folder)}
    with Hornbeam(None, mount=MOUNTS, env=env) as server:
        yield server


@pytest.fixture(params=["http1", "http2"])
def client(server: Hornbeam, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    http2 = request.param == "http2"
    with httpx.Client(base_url=server.url, http1=not http2, http2=http2, timeout=20) as client:
        yield client


# Flask


def test_flask_sessions(client: httpx.Client) -> None:
    assert [client.get("/flask/visits").json() for _ in range(3)] == [1, 2, 3]


def test_flask_uploads(client: httpx.Client) -> None:
    files = {"file": ("a.bin", CONTENT)}
    answer = client.post("/flask/upload", files=files, data={"note": "gr\xfc\xdfe"})
    expected = {
        "name": "a.bin",
        "note": "gr\xfc\xdfe",
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    assert answer.json() == expected


def test_flask_json_and_streams(client: httpx.Client) -> None:
    assert client.post("/flask/json", json={"number": 21}).json() == 42
    chunked = iter([b'{"num', b'ber": 4}'])
    kind = {"Content-Type": "application/json"}
    assert client.post("/flask/json", content=chunked, headers=kind).json() == 8
    assert client.get("/flask/stream?name=x").text == "x 0\nx 1\nx 2\n"


def test_flask_files(client: httpx.Client) -> None:
    answer = client.get("/flask/file")
    assert (answer.content, answer.headers["content-length"]) == (CONTENT, str(len(CONTENT)))
    again = client.get("/flask/file", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get("/flask/file", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert client.head("/flask/file").headers["content-length"] == str(len(CONTENT))


def test_flask_urls_and_errors(client: httpx.Client, server: Hornbeam) -> None:
    assert client.get("/flask/admin/here").text == f"{server.url}/flask/admin/here"
    assert client.get("/flask/address?a=1").json() == [
        "127.0.0.1", "/address?a=1", "/flask", False
    ]  # fmt: skip
    assert client.get("/flask/error").status_code == 500
    server.wait_for_output("LookupError: a mistake in the Flask application")
    assert client.get("/flask/nowhere").status_code == 404
    assert client.delete("/flask/visits").status_code == 405


# Django


def test_django_admin_and_static(client: httpx.Client) -> None:
    page = client.get("/django/admin/", follow_redirects=True)
    assert page.url.path == "/django/admin/login/"
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert token is not None
    form = {"username": "root", "password": "secret", "csrfmiddlewaretoken": token.group(1)}
    inside = client.post(
        "/django/admin/login/?next=/django/admin/auth/user/", data=form, follow_redirects=True
    )
    assert "Select user to change" in inside.text
    (sheet,) = re.findall(r'href="(/django/static/admin/css/base\.css)"', inside.text)
    style = client.get(sheet)
    assert style.status_code == 200
    assert style.headers["content-type"].startswith("text/css")


def test_django_uploads(client: httpx.Client) -> None:
    files = {"small": ("a", b"x" * 10), "large": ("b", b"x" * 3_000_000)}
    assert client.post("/django/upload", files=files).json() == {"small": 10, "large": 3_000_000}


def test_django_transactions(client: httpx.Client) -> None:
    """A row of a request that fails is not there."""
    version = client.get("/django/groups").http_version
    name = f"of {version}"
    assert client.get("/django/add", params={"name": name}).text == "added"
    failed = client.get("/django/add", params={"name": f"not {version}", "fail": "1"})
    assert failed.status_code == 500
    found = client.get("/django/groups").json()
    assert (name in found, f"not {version}" in found) == (True, False)


def test_django_sessions_from_many_threads(server: Hornbeam) -> None:
    def visit(_number: int) -> list[int]:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            return [client.get("/django/visits").json() for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(visit, range(4))) == [[1, 2, 3]] * 4


def test_django_middleware_streams_and_files(client: httpx.Client) -> None:
    answer = client.get("/django/stream")
    assert answer.text == "0\n1\n2\n3\n4\n"
    assert answer.headers["x-stamp"] == "GET /django/stream"
    answer = client.get("/django/file")
    assert (answer.content, answer.headers["content-length"]) == (CONTENT, str(len(CONTENT)))


# Bottle, Pyramid


def test_bottle(client: httpx.Client) -> None:
    assert client.get("/bottle/hello/a?q=b").json() == {"hello": "a", "query": "b"}
    assert client.post("/bottle/upload", files={"file": ("a", CONTENT)}).text == "300000"
    assert client.get("/bottle/nowhere").status_code == 404


def test_pyramid(client: httpx.Client, server: Hornbeam) -> None:
    answer = client.get("/pyramid/hello/a")
    assert answer.text == f"hello a at {server.url}/pyramid/hello/a"
    assert client.get("/pyramid/nowhere").status_code == 404
