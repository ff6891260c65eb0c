"""Uploads reach the application in large pieces, whatever they come over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from harness import Hornbeam

SIZE = 20 << 20
# Of 16 KiB each, as large as a frame of HTTP/2 and a record of TLS are. On a quiet machine there
# are 200 to 300; as Erlang reads by itself, over HTTP/1, there were 7,500 to 10,000.
MOST = 1300


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("upload") / "body"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


@pytest.fixture(scope="module", params=["clear", "tls", "unix"])
def command(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """What of curl's command line says where the server is."""
    folder = tmp_path_factory.mktemp("server")
    options: dict[str, Any] = {}
    if request.param == "tls":
        cert, key = Authority(folder / "certificates").create().issue("localhost")
        options = {"ssl": True, "certfile": str(cert), "keyfile": str(key)}
    if request.param == "unix":
        options = {"bind": f"unix:{folder}/socket"}
    with Hornbeam("http_messages:app", **options) as server:
        if request.param == "unix":
            yield ["http://a/pieces", "--unix-socket", f"{folder}/socket"]
        else:
            yield ["-k", f"{server.url}/pieces"]


@pytest.mark.parametrize("how", ["length", "chunked", "http2"])
def test_an_upload_comes_in_large_pieces(command: list[str], how: str, body: Path) -> None:
    two = "--http2" if command[-1].startswith("https") else "--http2-prior-knowledge"
    flags = {
        "length": ["--http1.1"],
        "chunked": ["--http1.1", "-H", "Transfer-Encoding: chunked"],
        "http2": [two],
    }[how]
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-T", str(body), *flags, *command],
        capture_output=True, text=True, timeout=40, check=True,
    )  # fmt: skip
    messages, size = map(int, done.stdout.split())
    assert size == SIZE
    assert messages < MOST
