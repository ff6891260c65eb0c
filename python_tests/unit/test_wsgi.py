"""hornbeam_worker.wsgi without a server: environ, the body as a stream, heads, files, cycles."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornbeam_worker import frames
from hornbeam_worker.asgi.errors import ClientDisconnected
from hornbeam_worker.frames import Measured
from hornbeam_worker.host import Host
from hornbeam_worker.wsgi import files
from hornbeam_worker.wsgi.crew import Crew
from hornbeam_worker.wsgi.cycle import Cycle
from hornbeam_worker.wsgi.environ import Environ, build, key
from hornbeam_worker.wsgi.errors import Errors
from hornbeam_worker.wsgi.files import FileWrapper
from hornbeam_worker.wsgi.head import pairs, status_code
from hornbeam_worker.wsgi.input import Body, stream

STREAM, WINDOW, PIECE = 7, 1000, 250
TEXT = [("Content-Type", "text/plain")]
Start = Callable[..., Callable[[bytes], None]]


def scope(**changes: Any) -> bytes:
    """The bytes of hornbeam_scope."""
    parts: dict[str, Any] = {
        "method": "GET", "path": None, "raw_path": b"/a", "query": b"", "version": "1.1",
        "scheme": "http", "root": "", "client": ("192.0.2.1", 1234), "server": ("127.0.0.1", 80),
        "fields": [], "extra": None,
    }  # fmt: skip
    packed: bytes = msgpack.packb(list((parts | changes).values()))
    return packed


# The environ


def test_environ() -> None:
    fields = [(b"host", b"example.org"), (b"content-type", b"a/b"), (b"content-length", b"3")]
    found = build(scope(method="POST", query=b"a=%41", fields=fields), {"wsgi.run_once": False})
    assert found == {
        "wsgi.run_once": False, "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": "/a",
        "QUERY_STRING": "a=%41", "RAW_URI": "/a?a=%41", "REQUEST_URI": "/a?a=%41",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http", "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "1234", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "80",
        "HTTP_HOST": "example.org", "CONTENT_TYPE": "a/b", "CONTENT_LENGTH": "3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("raw_path", "path", "root", "script_name", "path_info"),
    [
        (b"/a/b", None, "", "", "/a/b"),
        (b"/a/b", None, "/a", "/a", "/b"),
        (b"/a", None, "/a", "/a", ""),
        (b"/a/", None, "/a", "/a", "/"),
        (b"/%e4%c3%a4%2Fb", "?", "", "", "/\xe4\xc3\xa4/b"),
        (b"/gr%C3%BC/b", "/gr\xfc/b", "/gr\xfc", "/gr\xc3\xbc", "/b"),
        (b"//b", None, "", "", "//b"),
        (b"*", None, "", "", ""),
    ],
)
def test_paths(raw_path: bytes, path: str, root: str, script_name: str, path_info: str) -> None:
    found = build(scope(raw_path=raw_path, path=path, root=root), {})
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == (script_name, path_info)
    assert found["RAW_URI"] == raw_path.decode("latin-1")


def test_fields_are_joined_and_names_with_an_underscore_left_out() -> None:
    fields = [
        (b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"a=1"), (b"cookie", b"b=2"),
        (b"x-user", b"\xe4"), (b"x_user", b"evil"), (b"content_length", b"9"),
        (b"content-type", b"a/b"), (b"content-type", b"c/d"),
    ]  # fmt: skip
    found = build(scope(fields=fields), {})
    assert found["HTTP_ACCEPT"] == "a,b"
    assert found["HTTP_COOKIE"] == "a=1; b=2"
    assert found["HTTP_X_USER"] == "\xe4"
    assert found["CONTENT_TYPE"] == "a/b"
    assert "CONTENT_LENGTH" not in found
    assert (key(b"x_user"), key(b"x-user")) == (None, "HTTP_X_USER")


@pytest.mark.parametrize(
    ("host", "scheme", "expected"),
    [
        (b"example.org:8000", "http", ("example.org", "8000")),
        (b"example.org", "https", ("example.org", "443")),
        (b"[::1]", "http", ("[::1]", "80")),
        (b"", "http", ("localhost", "80")),
    ],
)
def test_a_unix_socket_has_the_name_that_the_client_says(
    host: bytes, scheme: str, expected: tuple[str, str]
) -> None:
    fields = [(b"host", host)] if host else []
    packed = scope(client=None, server=("/run/a.sock", None), scheme=scheme, fields=fields)
    found = build(packed, {})
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == expected
    assert (found["REMOTE_ADDR"], "REMOTE_PORT" in found) == ("", False)


def test_tls_and_other_versions() -> None:
    found = build(scope(version="2", scheme="https", extra={"tls": {"tls_version": 772}}), {})
    assert (found["SERVER_PROTOCOL"], found["wsgi.url_scheme"]) == ("HTTP/2.0", "https")
    assert found["hornbeam.tls"] == {"tls_version": 772}


# The body


class FakeRequest:
    """What a body needs of its cycle: each wait brings the next of the pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.body: Body | None = None
        self.demands: list[int] = []

    def demand(self, count: int) -> None:
        self.demands.append(count)

    def wait(self, ready: Callable[[], object]) -> None:
        assert self.body is not None
        while not ready():
            piece = self.pieces.pop(0) if self.pieces else None
            self.body.add(piece is None, piece or b"")


def body_of(pieces: list[bytes], expects: bool = False) -> tuple[FakeRequest, Any]:
    request = FakeRequest(pieces[1:])
    request.body = Body(request, pieces[0], expects, 400)
    return request, stream(request.body, b"")


Reads = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(-1, 50)),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("readline"), st.integers(-1, 20)),
        st.tuples(st.just("readlines"), st.integers(0, 30)),
        st.tuples(st.just("__next__"), st.none()),
    ),
    max_size=8,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\0", b"\n"))), Reads)
def test_any_reads_are_those_of_a_file(pieces: list[bytes], reads: list[tuple[str, Any]]) -> None:
    pieces = [b"", *pieces]
    request, found = body_of(pieces)
    expected = io.BytesIO(b"".join(pieces))
    for method, argument in reads:
        arguments = [] if argument is None else [argument]
        if method == "readlines":  # how many beyond the hint is a file's own to say
            lines = found.readlines(*arguments)
            assert lines == [expected.readline() for _ in lines]
            continue

        def ask(file: Any, method: str = method, arguments: list[Any] = arguments) -> Any:
            try:
                return getattr(file, method)(*arguments)
            except StopIteration:
                return "the end"

        assert ask(found) == ask(expected)
    assert found.read() == expected.read()
    assert sum(request.demands) <= len(expected.getvalue())


def test_what_is_read_is_reported_and_a_client_that_waits_is_asked() -> None:
    request, found = body_of([b"", b"x" * 99, b"x" * 101, b"x" * 10], expects=True)
    assert len(found.read()) == 210
    assert request.demands == [0, 200]


# Heads


def test_statuses() -> None:
    assert [status_code(text) for text in ("200 OK", "404", "599 Any words")] == [200, 404, 599]
    for text in ("", "OK", "20 OK", "2000", "200OK", "100 Continue", "\u0662\u0660\u0660 OK"):
        with pytest.raises(ValueError, match="status"):
            status_code(text)
    with pytest.raises(TypeError, match="a status is a str, not bytes"):
        status_code(cast(str, b"200 OK"))


def test_fields() -> None:
    given = [("Content-Length", " 12 "), ("X-A", "\xe4"), ("Connection", "close"), ("TE", "x")]
    assert pairs(given) == ([(b"content-length", b" 12 "), (b"x-a", b"\xe4")], 12)
    assert pairs([]) == ([], None)
    for wrong, error in [(("a", 1), TypeError), (("a", "\u20ac"), ValueError),
                         (("content-length", "-1"), ValueError)]:  # fmt: skip
        with pytest.raises(error):
            pairs(cast(list[tuple[str, str]], [wrong]))


# Files


def test_which_files_the_server_can_send(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with path.open("rb") as file:
        assert files.whole(file) == (bytes(path), 5)
        file.read(1)
        assert files.whole(file) is None
        file.seek(0)
        path.rename(tmp_path / "elsewhere")
        path.write_bytes(b"another file")
        assert files.whole(file) is None
        assert list(FileWrapper(file, 2)) == [b"12", b"34", b"5"]
    assert files.whole(file) is None
    assert files.whole(io.BytesIO(b"1")) is None
    assert not hasattr(FileWrapper(object()), "close")


# The log


def test_errors(caplog: pytest.LogCaptureFixture) -> None:
    errors = Errors()
    assert errors.write("one") == 3
    errors.writelines([" two", "\n"])
    assert not caplog.records
    errors.flush()
    errors.flush()
    errors.write("x" * 70_000)
    assert [len(record.getMessage()) for record in caplog.records] == [7, 70_000]
    with pytest.raises(TypeError):
        errors.write(cast(str, b"bytes"))


# Cycles


class FakeServer:
    """What a cycle needs of its server; `sent`: the frames, as type and what follows the head."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self.window, self.piece, self.prefetch = WINDOW, PIECE, 400
        self.measure: Callable[[Any, int], Measured] | None = None
        self.transport = self
        self.sent: list[tuple[int, bytes]] = []
        self.news = threading.Condition()
        self.credited: Cycle | None = None  # what it sends counts as taken at once

    def send_threadsafe(self, *parts: bytes | memoryview) -> None:
        data = b"".join(parts)
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        with self.news:
            self.sent.append((data[4], data[9:]))
            self.news.notify_all()
        if self.credited is not None:
            self.credited.on_frame(frames.CREDIT, len(data).to_bytes(4, "big"))

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.sent]

    def body(self) -> bytes:
        found = b""
        for kind, data in self.sent:
            if kind == frames.RESPONSE:
                found += data[7 + int.from_bytes(data[3:7], "big") :]
            elif kind == frames.DATA:
                found += data[1:]
        return found

    def lasts(self) -> int:
        """How many frames say that they are the last."""
        return sum(data[0] for _, data in self.sent)


class FakePlace:
    """What a thread lends."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.common: Environ = {}

    def began(self, environ: Environ) -> None:
        pass

    def ended(self) -> None:
        pass


def request(server: FakeServer, method: str = "GET") -> Cycle:
    packed = scope(method=method)
    payload = b"\1" + len(packed).to_bytes(4, "big") + packed
    return Cycle(cast(Host, server), STREAM, payload)


def run(app: Callable[[Environ, Start], Iterable[bytes]], method: str = "GET") -> FakeServer:
    server = FakeServer(app)
    server.credited = request(server, method)
    server.credited.run(FakePlace())
    assert server.lasts() == 1
    return server


@pytest.mark.parametrize(
    ("parts", "length", "kinds", "body"),
    [
        ([b"all"], None, [frames.RESPONSE], b"all"),
        ([b"x" * 1000], None, [frames.RESPONSE], b"x" * 1000),
        ([b"x" * 1001], None, [frames.RESPONSE, *[frames.DATA] * 4], b"x" * 1001),
        ([], None, [frames.RESPONSE], b""),
        ([b""], None, [frames.RESPONSE], b""),
        ([b"one", b"two"], None, [frames.RESPONSE, frames.DATA, frames.DATA], b"onetwo"),
        ([b"", b"one", b"two"], 6, [frames.RESPONSE, frames.DATA], b"onetwo"),
        ([b"one", b""], 3, [frames.RESPONSE], b"one"),
        ([b"one", b"two"], 5, [frames.RESPONSE, frames.DATA], b"onetw"),
        ([b"one", b"two"], 2, [frames.RESPONSE], b"on"),
        ([b"one", b"two"], 7, [frames.RESPONSE, frames.DATA, frames.ABORT], b"onetwo"),
    ],
)
def test_responses(parts: list[bytes], length: int | None, kinds: list[int], body: bytes) -> None:
    fields = TEXT if length is None else [*TEXT, ("Content-Length", str(length))]

    def app(_environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", fields)
        return parts if len(parts) == 1 else iter(parts)

    server = run(app)
    assert (server.kinds(), server.body()) == (kinds, body)


def test_head_may_say_a_length_and_have_no_body() -> None:
    def app(_environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [*TEXT, ("Content-Length", "9")])
        return iter(())

    assert run(app, "HEAD").kinds() == [frames.RESPONSE]


def test_write_waits_for_credit_and_a_client_that_goes_ends_it() -> None:
    closed = threading.Event()

    class Parts:
        def __iter__(self) -> Iterable[bytes]:
            while True:
                yield b"x" * 300

        def close(self) -> None:
            closed.set()

    def app(_environ: Environ, start: Start) -> Any:
        start("200 OK", TEXT)
        return Parts()

    server = FakeServer(app)
    cycle = request(server)
    thread = threading.Thread(target=cycle.run, args=(FakePlace(),))
    thread.start()

    def sent(size: int) -> bool:
        with server.news:
            return server.news.wait_for(lambda: len(server.body()) >= size, 10)

    assert sent(1000)
    cycle.on_frame(frames.CREDIT, (900).to_bytes(4, "big"))
    assert sent(1900)
    assert len(server.body()) < 1900 + WINDOW + PIECE
    assert not cycle.is_over()
    cycle.on_frame(frames.DISCONNECT, b"\0")
    thread.join(10)
    assert closed.is_set()
    assert (server.kinds()[-1], server.lasts()) == (frames.ABORT, 1)


def test_one_that_was_given_up_before_it_began_does_not_begin() -> None:
    server = FakeServer(lambda *_: pytest.fail("it was called"))
    cycle = request(server)
    cycle.on_disconnect()
    cycle.run(FakePlace())
    assert server.kinds() == [frames.ABORT]


def test_disconnected_is_raised_from_write() -> None:
    server = FakeServer(lambda *_: ())
    cycle = request(server)
    write = cycle.start_response("200 OK", TEXT)
    cycle.on_disconnect()
    with pytest.raises(ClientDisconnected):
        write(b"x")


# The crew


class FakeCycle:
    """A request that goes on until it is told to end."""

    def __init__(self) -> None:
        self.over = False
        self.end = threading.Event()

    def is_over(self) -> bool:
        return self.over

    def run(self, _place: object) -> None:
        self.end.wait(10)


def test_a_crew_hangs_when_all_its_requests_were_given_up_and_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[int] = []
    server = FakeServer(lambda *_: ())
    crew = Crew(
        cast(Host, server),
        2,
        multiprocess=False,
        request_ids=False,
        traces=False,
        finished=ended.append,
    )
    crew.start()
    cycles = [FakeCycle(), FakeCycle(), FakeCycle()]
    for number, cycle in enumerate(cycles):
        crew.run(number, cast(Cycle, cycle))
    while not all(member.cycle for member in crew._members):
        pass
    looks = [crew.look(), crew.look()]
    cycles[0].over = True
    looks += [crew.look(), crew.look()]
    cycles[1].over = True
    looks += [crew.look(), crew.look(), crew.look()]
    assert looks == [False, False, False, False, False, True, True]
    (record,) = caplog.records
    assert "all threads of this worker (threads: 2) hang" in record.getMessage()
    assert record.getMessage().count("self.end.wait(10)") == 2
    cycles[0].end.set()
    while ended != [0]:
        pass
    assert not crew.look()
    for cycle in cycles[1:]:
        cycle.end.set()
