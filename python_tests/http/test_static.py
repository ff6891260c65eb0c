"""Static files, from the outside: what is served, to whom, in which parts, and what never is.

One server with an application behind its folders, and one with TLS that has nothing but files.
"""

from __future__ import annotations

import email
import gzip
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from harness import ROOT, Hornbeam, memory, open_files, wait_until
from http_client import H2, Raw, tls_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_http import Incomplete, RawClient, Response

from hornbeam.server import arguments

MIB = 1024 * 1024
SMALL = bytes(range(256)) * 40
LARGE = bytes(range(251)) * 4000
SECRET = b"nobody may read this"
HTML = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")


def write(path: Path, content: bytes) -> Path:
    """A file that was not changed just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (784111777, 784111777))
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("static")
    site = top / "site"
    write(top / "secret.txt", SECRET)
    write(top / "outside" / "secret.txt", SECRET)
    write(site / "index.html", b"<h1>front</h1>")
    write(site / "small.bin", SMALL)
    write(site / "large.bin", LARGE)
    write(site / "empty.txt", b"")
    write(site / "a b;c.txt", b"a name with signs")
    write(site / "%2e%2e" / "odd.txt", b"a folder with an odd name")
    write(site / "docs" / "index.html", b"<h1>docs</h1>")
    write(site / "docs" / "page.txt", b"page")
    write(site / "bare" / "file.txt", b"in a folder without an index")
    write(site / "js" / "app.55e7cbb9ba48.js", b"let x")
    write(site / ".env", SECRET)
    write(site / ".well-known" / "security.txt", b"Contact: us")
    write(site / ".git" / "config", SECRET)
    write(site / "text.txt", b"compress me " * 1000)
    for name, start in {"": b"plain ", ".br": b"br ", ".zst": b"zst "}.items():
        write(site / f"packed.css{name}", start * 100)
    write(site / "packed.css.gz", gzip.compress(b"plain " * 100))
    (site / "in.txt").symlink_to("docs/page.txt")
    (site / "absolute.txt").symlink_to(site / "docs" / "page.txt")
    (site / "out.txt").symlink_to("../secret.txt")
    (site / "out").symlink_to(top / "outside")
    (site / "loop").symlink_to("loop")
    (site / "docs" / "up").symlink_to("..")
    (site / "small.bin.gz").symlink_to("../secret.txt")
    os.mkfifo(site / "fifo")
    return site


@pytest.fixture(scope="module")
def server(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hornbeam]:
    (site.parent / "current").symlink_to(site)
    static = [
        f"/={site}",
        f"/only={site.parent / 'current'}",
        f"/spa={site};fallback=index.html;cache_control=public, max-age=60",
        f"/wide={site};well_known=on;index=;precompressed=off;fallthrough=on;immutable=",
    ]
    log = tmp_path_factory.mktemp("log") / "access.json"
    with Hornbeam(
        "http_echo:app", static=static, compress=True, max_client_requests=8, send_timeout=3000,
        mount="host.test=http_echo:app", access_log="json", access_log_file=str(log),
        access_log_fields=["path", "status", "bytes"],
    ) as server:  # fmt: skip
        yield server


@pytest.fixture
def client(server: Hornbeam) -> Iterator[RawClient]:
    with RawClient(server.connect()) as client:
        yield client


def fields(answer: Response) -> dict[str, str]:
    """Without those of every response."""
    return {k: v for k, v in answer.headers if k not in ("date", "server")}


def test_a_file_and_what_is_said_of_it(client: RawClient) -> None:
    answer = client.get("/small.bin")
    assert (answer.status, answer.body) == (200, SMALL)
    said = {
        "content-type": "application/octet-stream",
        "accept-ranges": "bytes",
        "etag": '"2EBC9761-2800"'.replace("2EBC9761", f"{784111777:X}"),
        "last-modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "cache-control": "no-cache",
        "content-length": "10240",
    }
    assert fields(answer) == said
    head = client.get("/small.bin", method="HEAD")
    assert (head.status, head.body, fields(head)) == (200, b"", said)
    assert client.get("/large.bin").body == LARGE
    assert fields(client.get("/large.bin", method="HEAD"))["content-length"] == str(len(LARGE))
    empty = client.get("/empty.txt")
    assert (empty.status, empty.body) == (200, b"")
    assert fields(empty)["content-type"] == "text/plain; charset=utf-8"
    assert client.get("/a%20b;c.txt?v=1").body == b"a name with signs"
    assert client.get("/%252e%252e/odd.txt").body == b"a folder with an odd name"


def test_two_that_are_pipelined(client: RawClient) -> None:
    for name in (b"large.bin", b"small.bin", b"large.bin"):
        client.send(b"GET /" + name + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    assert [len(client.response().body) for _ in range(3)] == [len(LARGE), len(SMALL), len(LARGE)]


def test_preconditions(client: RawClient) -> None:
    """RFC 9110, 13; test/hornbeam_static_tests.erl has their order."""
    etag = fields(client.get("/large.bin"))["etag"]
    for name, value, status in [
        ("if-none-match", etag, 304),
        ("if-none-match", f'"x", W/{etag}', 304),
        ("if-none-match", '"x"', 200),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 304),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("if-match", '"x"', 412),
        ("if-match", etag, 200),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:36 GMT", 412),
    ]:
        for method in ("GET", "HEAD"):
            answer = client.get("/large.bin", method=method, headers=[(name, value)])
            assert (name, value, answer.status) == (name, value, status)
            if status == 304:
                assert "content-length" not in fields(answer)
                assert fields(answer)["etag"] == etag
                assert fields(answer)["cache-control"] == "no-cache"


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(0, len(SMALL) + 50), st.integers(0, 2000)).map(
            lambda pair: (pair[0], pair[0] + pair[1])
        ),
        min_size=1, max_size=4,
    ),
    st.sampled_from(["/small.bin", "/large.bin"]),
)  # fmt: skip
def test_ranges_are_slices(client: RawClient, ranges: list[tuple[int, int]], path: str) -> None:
    whole = SMALL if path == "/small.bin" else LARGE
    wanted = ",".join(f"{first}-{last}" for first, last in ranges)
    answer = client.get(path, headers=[("range", f"bytes={wanted}")])
    slices = [whole[first : last + 1] for first, last in ranges if first < len(whole)]
    if not slices:
        assert answer.status == 416
        assert fields(answer)["content-range"] == f"bytes */{len(whole)}"
    elif sum(map(len, slices)) > len(whole) and len(slices) > 1:
        assert (answer.status, answer.body) == (200, whole)
    else:
        assert answer.status == 206
        assert parts(answer) == slices


def parts(answer: Response) -> list[bytes]:
    """The bodies of a 206."""
    kind = fields(answer)["content-type"]
    if not kind.startswith("multipart/byteranges"):
        return [answer.body]
    message = email.message_from_bytes(f"content-type: {kind}\r\n".encode() + answer.body)
    found = message.get_payload()
    assert isinstance(found, list)
    boundary = f"--{message.get_boundary()}".encode()
    pieces = answer.body.split(b"\r\n" + boundary)[1:-1]
    assert len(pieces) == len(found)
    bodies = [piece.split(b"\r\n\r\n", 1)[1] for piece in pieces]
    for part, body in zip(found, bodies, strict=True):
        first, last = part["content-range"].split()[1].split("/")[0].split("-")
        assert int(last) - int(first) + 1 == len(body)
    return bodies


def test_other_ranges(client: RawClient) -> None:
    def ranged(value: str, *more: tuple[str, str], method: str = "GET") -> Response:
        return client.get("/large.bin", method=method, headers=[("range", value), *more])

    assert ranged("bytes=-5").body == LARGE[-5:]
    assert ranged("bytes=1003990-").body == LARGE[1003990:]
    assert ranged("bytes=0-0", method="HEAD").status == 200
    for ignored in ("bytes=5-2", "lines=1-2", "bytes=x", "bytes=" + ",".join(["0-0"] * 17)):
        assert (ranged(ignored).status, len(ranged(ignored).body)) == (200, len(LARGE))
    overlapping = ranged("bytes=0-,1-,2-")
    assert (overlapping.status, overlapping.body) == (200, LARGE)
    etag = fields(ranged("bytes=0-1"))["etag"]
    assert ranged("bytes=0-1", ("if-range", etag)).status == 206
    assert ranged("bytes=0-1", ("if-range", '"old"')).status == 200
    assert ranged("bytes=0-1", ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")).status == 206
    assert ranged("bytes=0-1", ("if-none-match", etag)).status == 304


CORPUS = [
    "/../secret.txt", "/docs/../../secret.txt", "/docs/../small.bin", "/./small.bin",
    "//small.bin", "/docs//page.txt", "/%2e%2e/secret.txt", "/%2e%2e%2fsecret.txt",
    "/..%2fsecret.txt", "/.%2e/secret.txt", "/%2E%2E/secret.txt", "/..%5csecret.txt",
    "/..\\secret.txt", "/docs%2fpage.txt", "/docs%5cpage.txt", "/docs\\page.txt",
    "/%252e%252e%252fsecret.txt", "/%252e%252e/secret.txt", "/%c0%ae%c0%ae/secret.txt",
    "/%c0%afsecret.txt", "/%e0%80%ae%e0%80%ae/secret.txt", "/%u002e%u002e/secret.txt",
    "/..;/secret.txt", "/..%00/secret.txt", "/small.bin%00", "/small.bin%00.txt",
    "/small.bin%0a", "/small.bin/", "/small.bin/x", "/%ff", "/%", "/%zz",
    "/.env", "/%2eenv", "/.git/config", "/docs/.hidden", "/.well-known/security.txt",
    "/out.txt", "/out/secret.txt", "/out/", "/out", "/loop", "/docs/up/out.txt",
    "/docs/up/../secret.txt", "/fifo", "/bare", "/bare/", "/etc/passwd", "/" + "a" * 300,
]  # fmt: skip


def test_what_is_not_there_in_any_writing(server: Hornbeam) -> None:
    """On a folder of its own it is not found; elsewhere it is the application's, as it is."""
    for target in CORPUS:
        with RawClient(server.connect()) as client:
            answer = client.get("/only" + target)
            assert (target, answer.status) in ((target, 404), (target, 400))
            assert SECRET not in answer.body
        with RawClient(server.connect()) as client:
            answer = client.get(target)
            assert SECRET not in answer.body
            assert answer.status == 400 or json.loads(answer.body)["method"] == "GET", target
    with RawClient(server.connect()) as client:
        for target in ("/in.txt", "/absolute.txt", "/docs/up/docs/page.txt"):
            assert client.get("/only" + target).body == b"page"
        assert client.get("/wide/.well-known/security.txt").body == b"Contact: us"
        assert json.loads(client.get("/wide/.env").body)["path"] == "/wide/.env"


def test_over_http2_as_well(server: Hornbeam) -> None:
    with H2(server) as client:
        for target in ("/%2e%2e/secret.txt", "/out.txt", "/.env", "/fifo", "/docs%2fpage.txt"):
            answer = client.answer(client.request("/only" + target))
            assert (target, answer.status) == (target, 404)
        answer = client.answer(client.request("/large.bin"))
        assert (answer.status, answer.body) == (200, LARGE)
        assert client.answer(client.request("/small.bin")).body == SMALL
        ask = [("range", "bytes=1-2,70000-140000,-3")]
        answer = client.answer(client.request("/large.bin", extra=ask))
        assert answer.status == 206
        assert len(answer.body) == int(answer.header(b"content-length") or 0)
        for piece in (LARGE[1:3], LARGE[70000:140001], LARGE[-3:]):
            assert b"\r\n\r\n" + piece + b"\r\n--" in answer.body
        before = open_files(server.beam())
        streams = [client.request("/large.bin") for _ in range(7)]
        assert all(client.answer(stream).body == LARGE for stream in streams)
        assert open_files(server.beam()) <= before + 1


def test_folders(client: RawClient) -> None:
    assert client.get("/only/").body == b"<h1>front</h1>"
    assert client.get("/only/docs/").body == b"<h1>docs</h1>"
    for target, location in [
        ("/only", "./only/"), ("/only/docs?a=1", "./docs/?a=1"), ("/only/d%6fcs", "./d%6fcs/"),
    ]:  # fmt: skip
        answer = client.get(target)
        assert (answer.status, answer.value("location")) == (301, location)
    assert b"file.txt" not in client.get("/only/bare/").body
    assert json.loads(client.get("/wide/docs/").body)["path"] == "/wide/docs/"
    assert json.loads(client.get("//evil.test/docs").body)["path"] == "//evil.test/docs"


def test_methods(client: RawClient) -> None:
    answer = client.get("/only/small.bin", method="POST", body=b"x" * 100)
    assert (answer.status, answer.value("allow")) == (405, "GET, HEAD")
    for target in ("/small.bin", "/wide/small.bin"):
        said = json.loads(client.get(target, method="POST", body=b"text").body)
        assert (said["method"], said["body"]) == ("POST", "text")


def test_the_application_gets_what_is_not_there(client: RawClient) -> None:
    assert json.loads(client.get("/nothing?q=1").body)["path"] == "/nothing"
    assert client.get("/only/nothing").status == 404
    assert client.get("/only/nothing", method="HEAD").status == 404
    assert json.loads(client.get("/onlyx").body)["path"] == "/onlyx"


def test_a_mount_of_a_host_has_all_of_it(client: RawClient) -> None:
    client.send(b"GET /only/small.bin HTTP/1.1\r\nhost: host.test\r\n\r\n")
    assert json.loads(client.response().body)["path"] == "/only/small.bin"


def test_the_fallback_is_for_pages(client: RawClient) -> None:
    answer = client.get("/spa/users/7", headers=[HTML])
    assert (answer.status, answer.body) == (200, b"<h1>front</h1>")
    assert fields(answer)["cache-control"] == "public, max-age=60"
    assert fields(answer)["content-type"] == "text/html; charset=utf-8"
    assert client.get("/spa/users.55e7cbb9ba48.js", headers=[("accept", "*/*")]).status == 404
    assert client.get("/spa/users/7", headers=[("accept", "text/html;q=0")]).status == 404
    assert client.get("/spa/.env", headers=[HTML]).status == 404
    assert client.get("/spa/users/7", method="POST", headers=[HTML]).status == 405


def test_what_is_immutable(client: RawClient) -> None:
    said = "public, max-age=31536000, immutable"
    path = "js/app.55e7cbb9ba48.js"
    assert client.get(f"/only/{path}").value("cache-control") == said
    assert client.get(f"/wide/{path}").value("cache-control") == "no-cache"
    wrong = client.get("/spa/users.55e7cbb9ba48.js", headers=[HTML])
    assert (wrong.status, wrong.value("cache-control")) == (200, "public, max-age=60")


def test_packed_ones(client: RawClient) -> None:
    """RFC 9110, 12.5.3."""

    def packed(accepts: str, *more: tuple[str, str]) -> Response:
        headers = [("accept-encoding", accepts)] if accepts else []
        return client.get("/packed.css", headers=[*headers, *more])

    for accepts, coding in [
        ("gzip, deflate, br, zstd", "br"), ("gzip, zstd", "zstd"), ("gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.9", "gzip"), ("br;q=0, *", "zstd"), ("*;q=0", None), ("", None),
        ("identity, br;q=0.5", None), ("GZIP;q=1.0", "gzip"), ("br;q=nonsense", None),
    ]:  # fmt: skip
        answer = packed(accepts)
        assert (accepts, answer.value("content-encoding")) == (accepts, coding)
        assert answer.value("vary") == "accept-encoding"
        assert answer.value("content-type") == "text/css; charset=utf-8"
    assert gzip.decompress(packed("gzip").body) == b"plain " * 100
    tags = {packed(accepts).value("etag") for accepts in ("br", "zstd", "gzip", "")}
    assert len(tags) == 4
    tag = packed("br").value("etag") or ""
    again = packed("br", ("if-none-match", tag))
    assert (again.status, again.value("vary")) == (304, "accept-encoding")
    assert packed("gzip", ("if-none-match", tag)).status == 200
    assert packed("br", ("range", "bytes=1-2")).body == b"r "
    assert client.get("/wide/packed.css", headers=[("accept-encoding", "br")]).body[:5] == b"plain"
    # The link beside it leads out of the folder.
    answer = client.get("/small.bin", headers=[("accept-encoding", "gzip")])
    assert (answer.body, answer.value("vary")) == (SMALL, None)


def test_nothing_is_compressed_on_the_way(client: RawClient) -> None:
    accepts = [("accept-encoding", "gzip")]
    answer = client.get("/text.txt", headers=accepts)
    assert (answer.body[:11], answer.value("content-encoding")) == (b"compress me", None)
    assert client.get("/text.txt", headers=[*accepts, ("range", "bytes=0-7")]).body == b"compress"
    answer = client.get("/" + "x" * 2000, headers=accepts)
    assert answer.value("content-encoding") == "gzip"


def test_a_file_that_changes_is_seen(site: Path, client: RawClient) -> None:
    path = write(site / "changing.txt", b"one")
    first = client.get("/changing.txt")
    assert first.body == b"one"
    (site / "new.txt").write_bytes(b"two, longer")
    (site / "new.txt").rename(path)
    wait_until(lambda: client.get("/changing.txt").body == b"two, longer", 10, "it has changed")
    etag = first.value("etag") or ""
    assert client.get("/changing.txt", headers=[("if-none-match", etag)]).status == 200
    path.unlink()
    path.symlink_to("../secret.txt")
    wait_until(lambda: client.get("/changing.txt").status == 200, 10, "the application answers")
    wait_until(lambda: b"two" not in client.get("/changing.txt").body, 10, "it has gone")
    assert SECRET not in client.get("/changing.txt").body


def sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_file_that_is_cut_while_it_is_sent(site: Path, server: Hornbeam) -> None:
    """The client sees that there should have been more."""
    path = sparse(site / "cut.bin", 64 * MIB)
    with RawClient(server.connect()) as client:
        client.send(b"GET /cut.bin HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read(12) == b"HTTP/1.1 200"
        os.truncate(path, MIB)
        with pytest.raises((Incomplete, ConnectionResetError)):
            client.read(64 * MIB)
    sparse(path, 64 * MIB)
    with H2(server) as client2:
        stream = client2.request("/cut.bin")
        while stream not in client2.answers:
            client2.step()
        os.truncate(path, 0)
        assert not client2.answer(stream).complete


def test_slow_clients_cost_no_memory_and_leave_nothing(site: Path, server: Hornbeam) -> None:
    """What they do not take costs a file that is open, until send_timeout."""
    sparse(site / "huge.bin", 1024 * MIB)
    beam = server.beam()
    files, before = open_files(beam), memory(beam)
    slow = []
    for _ in range(4):
        sock = server.connect()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(b"GET /huge.bin HTTP/1.1\r\nhost: a\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"
        assert sum(len(sock.recv(65536)) for _ in range(20)) > 0
        slow.append(sock)
    with H2(server) as client:
        client.acknowledge = False
        stream = client.request("/huge.bin")
        while stream not in client.answers:
            client.step()
        assert memory(beam) - before < 32 * MIB
        wait_until(lambda: open_files(beam) <= files + 1, 30, "all but a connection are closed")
    for sock in slow:
        sock.close()


def test_what_is_logged(server: Hornbeam, client: RawClient) -> None:
    client.get("/only/small.bin?logged")
    log = next(Path(flag.split("=")[1]) for flag in server.command if "access-log-file" in flag)
    client.get("/only/nothing/logged")
    wait_until(lambda: "/nothing/logged" in log.read_text(), 10, "the line is written")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["path"], line["status"], line["bytes"]) for line in lines][-2:] == [
        ("/only/small.bin", 200, 10240),
        ("/only/nothing/logged", 404, 9),
    ]


# A server that has nothing but files, over TLS.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates")).create()


@pytest.fixture(scope="module")
def files_alone(site: Path, authority: Authority) -> Iterator[Hornbeam]:
    cert, key = authority.issue("localhost")
    with Hornbeam(
        None, static=f"/={site}", ssl=True, certfile=str(cert), keyfile=str(key),
        control=str(site.parent / "control"), cwd=site.parent, pythonpath=str(site.parent),
    ) as server:  # fmt: skip
        yield server


def test_files_alone_over_tls(files_alone: Hornbeam, authority: Authority) -> None:
    assert files_alone.workers() == []
    assert "(0 workers, Erlang/OTP" in files_alone.output
    context = tls_context(str(authority.cert), "http/1.1")
    with context.wrap_socket(files_alone.connect(), server_hostname="localhost") as sock:
        client = RawClient(sock)
        assert client.get("/large.bin").body == LARGE
        several = client.get("/large.bin", headers=[("range", "bytes=0-9,500000-600000,-1")])
        assert parts(several) == [LARGE[:10], LARGE[500000:600001], LARGE[-1:]]
        assert client.get("/small.bin").body == SMALL
        assert client.get("/nothing").status == 404
        assert client.get("/small.bin", method="DELETE").status == 405
    context = tls_context(str(authority.cert), "h2")
    with H2(
        files_alone, context.wrap_socket(files_alone.connect(), server_hostname="localhost")
    ) as http2:
        assert http2.answer(http2.request("/large.bin")).body == LARGE


def test_a_reload_changes_folders(files_alone: Hornbeam, authority: Authority, site: Path) -> None:
    context = tls_context(str(authority.cert), "http/1.1")
    with context.wrap_socket(files_alone.connect(), server_hostname="localhost") as sock:
        client = RawClient(sock)
        assert client.get("/docs/page.txt").value("cache-control") == "no-cache"
        flags = [f"--static=/={site};cache_control=max-age=5", f"--static=/two={site / 'docs'}"]
        command = [str(ROOT / "bin" / "hornbeam"), "reload", "--control"]
        done = subprocess.run(
            [*command, str(site.parent / "control"), *flags], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert client.get("/docs/page.txt").value("cache-control") == "max-age=5"
        assert client.get("/two/page.txt").body == b"page"


def test_http1_by_h11(server: Hornbeam) -> None:
    """A second opinion on the framing."""
    with Raw(server) as client:
        client.send(b"GET /large.bin HTTP/1.1\r\nhost: a\r\nrange: bytes=0-4,9-9\r\n\r\n")
        assert client.answer().status == 206
        client.send(b"GET /small.bin HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.answer().body == SMALL


def test_from_python() -> None:
    given = arguments("app:app", None, None, {"static": {"/a": "one", "/b": "two;index="}})
    assert given[-2:] == ["--static=/a=one", "--static=/b=two;index="]


def test_the_example() -> None:
    """examples/static_site, as its file says."""
    folder = ROOT / "examples" / "static_site"
    with (
        Hornbeam(None, cwd=folder, pythonpath=str(folder)) as server,
        RawClient(server.connect()) as client,
    ):
        page = client.get("/users/7", headers=[HTML])
        assert (page.status, page.body) == (200, (folder / "dist/index.html").read_bytes())
        script = client.get("/assets/site-Dk3fP9xQ.js")
        assert script.value("cache-control") == "public, max-age=31536000, immutable"
        assert client.get("/assets/none.js", headers=[HTML]).status == 404
        assert json.loads(client.get("/api/hello").body) == {"path": "/api/hello"}
