"""Real clients: curl, nghttp, h2load, httpx; in clear text and over TLS."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import Authority
from harness import Hornbeam
from http_client import tls_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module", params=["clear", "tls"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Hornbeam]:
    options: dict[str, Any] = {}
    if request.param == "tls":
        cert, key = authority.issue("localhost")
        options = {"ssl": True, "certfile": str(cert), "keyfile": str(key)}
    with Hornbeam("http_messages:app", workers=2, max_frame_rate=1_000_000, **options) as server:
        yield server


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def curl(server: Hornbeam, authority: Authority, *arguments: str) -> str:
    return run("curl", "-sS", "--max-time", "30", "--cacert", str(authority.cert), *arguments)


def versions(server: Hornbeam) -> dict[str, str]:
    """curl's flags, and the version that it then speaks."""
    two = "--http2" if server.url.startswith("https") else "--http2-prior-knowledge"
    return {"--http1.0": "1.0", "--http1.1": "1.1", two: "2"}


def test_curl(server: Hornbeam, authority: Authority, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"x" * 2_000_000)
    for flag, version in versions(server).items():
        said = curl(
            server,
            authority,
            flag,
            "-w",
            " %{http_code} %{http_version}",
            f"{server.url}/ordered?4",
        )
        # The version that curl reports is the server's: 1.1 for an HTTP/1.0 request (9110, 6.2)
        assert said == f"4 200 {'1.1' if version == '1.0' else version}"
        said = curl(server, authority, flag, "--data-binary", f"@{upload}", f"{server.url}/length")
        assert said == "2000000"
        if version != "1.0":
            said = curl(server, authority, flag, "-T", "-", f"{server.url}/length")
            assert said == "0"
        said = curl(server, authority, flag, f"{server.url}/stream?40")
        assert len(said) == 40 * 65_536
        said = curl(server, authority, flag, "-I", f"{server.url}/big?text/plain&100")
        assert "content-length: 100" in said
        said = curl(server, authority, flag, "--compressed", f"{server.url}/big?text/plain&100")
        assert said == "a" * 100
    hints = curl(server, authority, "-i", f"{server.url}/early_hint")
    assert len(re.findall(r"^HTTP/\S+ 103", hints, re.MULTILINE)) == 2
    reused = curl(
        server, authority, "-w", "%{num_connects}", *[f"{server.url}/ordered?4"] * 3, "--http1.1"
    )
    assert reused == "414040"


def test_nghttp(server: Hornbeam) -> None:
    said = run("nghttp", "-v", f"{server.url}/ordered?4", f"{server.url}/early_hint")
    assert said.count(":status: 200") == 2
    assert said.count(":status: 103") == 2
    said = run("nghttp", "-v", "-H", "te: trailers", f"{server.url}/trailers")
    assert "x-sum: 42" in said
    assert "error_code=NO_ERROR" in said


def test_h2load(server: Hornbeam) -> None:
    said = run("h2load", "-n", "4000", "-c", "8", "-m", "10", f"{server.url}/ordered?5")
    assert "4000 succeeded, 0 failed, 0 errored, 0 timeout" in said
    assert "status codes: 4000 2xx" in said
    said = run("h2load", "-n", "2000", "-c", "8", "--h1", f"{server.url}/ordered?5")
    assert "2000 succeeded, 0 failed, 0 errored" in said


def test_h2load_with_bodies(server: Hornbeam, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 200_000)
    said = run("h2load", "-n", "200", "-c", "4", "-m", "5", "-d", str(body), f"{server.url}/length")
    assert "status codes: 200 2xx" in said
    said = run("h2load", "-n", "100", "-c", "4", "-m", "5", f"{server.url}/stream?10")
    assert "100 succeeded, 0 failed" in said


@pytest.mark.parametrize("http2", [False, True])
def test_httpx(server: Hornbeam, authority: Authority, http2: bool) -> None:
    context = tls_context(str(authority.cert))
    with httpx.Client(
        base_url=server.url, http1=not http2, http2=http2, verify=context, timeout=20
    ) as client:
        answer = client.get("/ordered?4")
        assert answer.text == "4"
        assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert client.post("/length", content=b"x" * 1_000_000).text == "1000000"
        with client.stream("GET", "/stream?40") as stream:
            assert sum(len(chunk) for chunk in stream.iter_bytes()) == 40 * 65_536
        assert client.head("/big?text/plain&100").headers["content-length"] == "100"
        # And no more; over HTTP/2 httpx never gives back the window that the rest uses up.
        with client.stream("GET", "/stream?40") as stream:
            next(stream.iter_bytes())
        assert client.get("/ordered?4").text == "4"
