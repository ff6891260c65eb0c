"""1xx, early hints, trailers, files by path: over HTTP/1.1, HTTP/1.0 and HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from harness import Hornbeam, open_files, wait_until
from http_client import H2, Answer, Raw, exchange

LINK = b"</a.css>; rel=preload"


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    with Hornbeam("http_messages:app") as server:
        yield server


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "large file.bin"
    path.write_bytes(bytes(range(256)) * 12_345)
    return path


def get(server: Hornbeam, version: str, path: str, method: str = "GET", **fields: str) -> Answer:
    """One request over a version of HTTP."""
    if version == "2":
        with H2(server) as client:
            extra = [(name.lower(), value) for name, value in fields.items()]
            return client.answer(client.request(path, method=method, extra=extra))
    lines = [f"{method} {path} HTTP/{version}", "Host: a"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    with Raw(server) as connection:
        connection.send("\r\n".join([*lines, "", ""]).encode())
        return connection.answer(method)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_status_1xx_before_the_response(server: Hornbeam, version: str) -> None:
    answer = get(server, version, "/early_status")
    assert [(status, dict(headers)) for status, headers in answer.informational] == [
        (103, {b"link": LINK}),
        (102, {}),
    ]
    assert (answer.status, answer.body, answer.complete) == (200, b"after", True)


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_early_hints(server: Hornbeam, version: str) -> None:
    answer = get(server, version, "/early_hint")
    assert [status for status, _ in answer.informational] == [103, 103]
    # On HTTP/1.1 each link is a field of its own, as the application gave it; HTTP/2 joins them.
    links = [
        b", ".join(value for name, value in headers if name == b"link")
        for _, headers in answer.informational
    ]
    assert links == [b", ".join([LINK, b"</b.js>; rel=preload"]), LINK]
    assert answer.body == b"after"


def test_no_1xx_for_http_1_0(server: Hornbeam) -> None:
    """RFC 9110, 15.2."""
    for path in ("/early_status", "/early_hint"):
        response = exchange(server, b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
        assert response.startswith(b"HTTP/1.1 200 ")


def test_early_hints_after_the_start_and_101_are_mistakes(server: Hornbeam) -> None:
    for path in ("/early_hint_late", "/early_switching"):
        assert get(server, "1.1", path).status == 500
    server.wait_for_output("unexpected ASGI message 'http.response.early_hint' after")
    server.wait_for_output("an HTTP status from 200 to 999 is needed, not 101")


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_trailers(server: Hornbeam, version: str) -> None:
    answer = get(server, version, "/trailers", TE="trailers")
    assert answer.body == b"hello world"
    assert answer.complete
    assert answer.trailers == [(b"x-end", b"yes"), (b"x-sum", b"42")] or dict(answer.trailers) == {
        b"x-sum": b"42",
        b"x-end": b"yes",
    }


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
def test_no_trailers_for_who_does_not_take_them(server: Hornbeam, version: str) -> None:
    for path in ("/trailers", "/trailers_with_length"):
        answer = get(server, version, path)
        assert answer.body in (b"hello world", b"hello")
        assert answer.complete
        assert answer.trailers == []


def test_trailers_after_a_body_of_known_length(server: Hornbeam) -> None:
    """HTTP/1.1 has room for them only after chunks (RFC 9112, 7.1.2); HTTP/2 always."""
    with Raw(server) as connection:
        for _ in range(2):  # the connection stays in step
            connection.send(
                b"GET /trailers_with_length HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n"
            )
            answer = connection.answer()
            assert (answer.body, answer.trailers) == (b"hello", [])
    answer = get(server, "2", "/trailers_with_length", TE="trailers")
    assert (answer.body, answer.trailers) == (b"hello", [(b"x-sum", b"42")])


def test_head_has_no_trailers(server: Hornbeam) -> None:
    for version in ("1.1", "2"):
        answer = get(server, version, "/trailers", "HEAD", TE="trailers")
        assert (answer.status, answer.body, answer.trailers) == (200, b"", [])
        assert answer.complete


def test_announced_trailers_that_never_come_cut_the_response(server: Hornbeam) -> None:
    answer = get(server, "1.1", "/trailers_missing", TE="trailers")
    assert answer.body == b"hello"
    assert not answer.complete
    assert get(server, "2", "/trailers_missing", TE="trailers").reset is not None
    server.wait_for_output("returned without completing its response: GET /trailers_missing")


def test_unannounced_trailers_are_a_mistake(server: Hornbeam) -> None:
    assert not get(server, "1.1", "/trailers_unannounced", TE="trailers").complete
    server.wait_for_output("unexpected ASGI message 'http.response.trailers' while")


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
@pytest.mark.parametrize("path", ["/file", "/file_with_length", "/file_twice"])
def test_a_file(server: Hornbeam, large: Path, version: str, path: str) -> None:
    scope = f"{path}?{large}".replace(" ", "%20")
    link = large.parent / "link"
    if not link.exists():
        link.symlink_to(large)
    answer = get(server, version, f"{path}?{link}")
    assert answer.status == 200, scope
    assert answer.header(b"content-length") == b"%d" % large.stat().st_size
    assert answer.body == large.read_bytes()
    assert answer.complete


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_head_of_a_file(server: Hornbeam, large: Path, version: str) -> None:
    path = f"/file?{large.parent}/link"
    get(server, version, path)
    answer = get(server, version, path, "HEAD")
    assert answer.status == 200
    assert answer.header(b"content-length") == b"%d" % large.stat().st_size
    assert answer.body == b""


def test_an_empty_file(server: Hornbeam, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    for version in ("1.1", "2"):
        answer = get(server, version, f"/file?{empty}")
        assert (answer.status, answer.body, answer.complete) == (200, b"", True)


def test_what_is_no_file_is_a_mistake(server: Hornbeam, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere", "/dev/zero", "relative"):
        assert get(server, "1.1", f"/file?{path}").status == 500
    server.wait_for_output("http.response.pathsend needs an absolute path")
    server.wait_for_output("not a file that can be read")


def test_a_file_and_a_wrong_length(server: Hornbeam, large: Path) -> None:
    path = f"/file_with_wrong_length?{large.parent}/link"
    assert get(server, "1.1", path).status == 500


def test_a_file_after_a_body_is_a_mistake(server: Hornbeam, large: Path) -> None:
    answer = get(server, "1.1", f"/file_after_body?{large.parent}/link")
    assert not answer.complete
    server.wait_for_output("unexpected ASGI message 'http.response.pathsend' while")


def test_files_do_not_pass_through_python(server: Hornbeam, tmp_path: Path) -> None:
    """1 GiB, all holes: Python reads none of it."""
    huge = tmp_path / "huge"
    with huge.open("wb") as sink:
        sink.truncate(1 << 30)
    worker = server.workers()[0]
    before = read_by(worker)
    with httpx.stream("GET", f"{server.url}/file?{huge}") as response:
        size = sum(len(chunk) for chunk in response.iter_raw(1 << 20))
    assert size == 1 << 30
    assert read_by(worker) - before < 1 << 20


def read_by(pid: int) -> int:
    """Bytes that a process has read with read(2) and the like."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar:")).split()[1])


def test_files_are_closed(server: Hornbeam, large: Path) -> None:
    beam = server.beam()
    before = open_files(beam)
    with httpx.Client() as client:
        for _ in range(20):
            client.get(f"{server.url}/file?{large.parent}/link")
    wait_until(lambda: open_files(beam) <= before + 1, 5, "its files are closed")


def test_a_file_of_which_a_client_takes_little(server: Hornbeam, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    with huge.open("wb") as sink:
        sink.truncate(1 << 28)
    beam = server.beam()
    before = open_files(beam)
    with Raw(server) as connection:
        connection.send(b"GET /file?%s HTTP/1.1\r\nHost: a\r\n\r\n" % str(huge).encode())
        assert connection.sock.recv(1000)
    wait_until(lambda: open_files(beam) <= before, 10, "its files are closed")


def test_the_extensions_are_what_there_is(server: Hornbeam) -> None:
    with Hornbeam("http_echo:app") as echo:
        assert httpx.get(echo.url).json()["extensions"] == {
            "http.response.early_hint": {},
            "http.response.pathsend": {},
            "http.response.trailers": {},
        }
