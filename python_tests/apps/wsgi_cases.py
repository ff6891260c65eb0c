"""WSGI applications, each a function of its own, all of them behind wsgiref's validator (`app`).

The path says which; what an application cannot say to its client is in `told`, for another request.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import hornbeam_erlang

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
PLAIN = [("Content-Type", "text/plain; charset=utf-8")]
FILE = Path(tempfile.gettempdir()) / f"wsgi-cases-{os.getpid()}.bin"
FILE.write_bytes(bytes(range(256)) * 2000)

told: list[str] = []
released = threading.Event()


class Closing:
    """An iterable that tells of its end."""

    def __init__(self, name: str, parts: Iterable[bytes]) -> None:
        self.name = name
        self.parts = iter(parts)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self.parts)

    def close(self) -> None:
        told.append(f"closed {self.name}")


def environ(environ: Environ, start: Start) -> Iterable[bytes]:
    """What it was given."""
    plain = {key: value for key, value in environ.items() if isinstance(value, (str, bool, tuple))}
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(plain).encode()]


def last_told(_environ: Environ, start: Start) -> Iterable[bytes]:
    """What is in `told`."""
    start("200 OK", PLAIN)
    return [",".join(told).encode() or b"-"]


def body(environ: Environ, start: Start) -> Iterable[bytes]:
    """The request's body, read as the query says; its lines or pieces are counted."""
    stream, how = environ["wsgi.input"], environ["QUERY_STRING"]
    if how == "lines":
        parts = list(stream)
    elif how == "readlines":
        parts = stream.readlines()
    elif how == "readline":
        parts = list(iter(lambda: stream.readline(10), b""))
    elif how == "all":
        parts = [stream.read(-1)]
    else:
        parts = list(iter(lambda: stream.read(1000), b""))
    start("200 OK", [*PLAIN, ("X-Parts", str(len(parts)))])
    return [b"".join(parts)]


def unread(_environ: Environ, start: Start) -> Iterable[bytes]:
    """Leaves the body where it is."""
    start("200 OK", PLAIN)
    return [b"unread"]


def lazy(_environ: Environ, start: Start) -> Iterator[bytes]:
    """A generator, whose start_response comes with its first part."""
    start("200 OK", PLAIN)
    yield b""
    yield b"one "
    yield b"two"


def write(_environ: Environ, start: Start) -> Iterable[bytes]:
    """The write callable, and an iterable after it."""
    send = start("200 OK", PLAIN)
    send(b"written, ")
    send(b"")
    return [b"", b"returned"]


def replaced(_environ: Environ, start: Start) -> Iterable[bytes]:
    """A head that is replaced before anything was sent."""
    start("200 OK", [*PLAIN, ("X-First", "1")])
    try:
        raise LookupError("too early")
    except LookupError:
        start("500 Oh", PLAIN, sys.exc_info())
    return [b"replaced"]


def too_late(_environ: Environ, start: Start) -> Iterator[bytes]:
    """An exception after the beginning."""
    start("200 OK", [*PLAIN, ("Content-Length", "100")])
    yield b"begun"
    try:
        raise LookupError("too late to tell")
    except LookupError:
        start("500 Oh", PLAIN, sys.exc_info())


def twice(_environ: Environ, start: Start) -> Iterable[bytes]:
    """A second start_response."""
    start("200 OK", PLAIN)
    start("200 OK", PLAIN)
    return [b"never"]


def silent(_environ: Environ, _start: Start) -> Iterable[bytes]:
    """No start_response."""
    return []


def raises(_environ: Environ, _start: Start) -> Iterable[bytes]:
    """An exception."""
    raise LookupError("raised in the application")


def exits(_environ: Environ, _start: Start) -> Iterable[bytes]:
    """What must not end the thread."""
    raise SystemExit(3)


def text(_environ: Environ, start: Start) -> Iterable[Any]:
    """A body that is not bytes."""
    start("200 OK", PLAIN)
    return ["text"]


def status(environ: Environ, start: Start) -> Iterable[bytes]:
    """Whatever status the query has."""
    start(environ["QUERY_STRING"].replace("+", " "), PLAIN)
    return [b"body"]


def fields(_environ: Environ, start: Start) -> Iterable[bytes]:
    """What an application has to say, and what it has not."""
    start("200 OK", [
        *PLAIN, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "gr\xfc\xdfe"),
        ("Connection", "keep-alive"), ("Transfer-Encoding", "chunked"),
    ])  # fmt: skip
    return [b"fields"]


def injected(_environ: Environ, start: Start) -> Iterable[bytes]:
    """A value that would be a field of its own."""
    start("200 OK", [*PLAIN, ("X-Bad", "a\r\nX-Evil: 1")])
    return [b"never"]


def longer(_environ: Environ, start: Start) -> Iterable[bytes]:
    """More than content-length says."""
    start("200 OK", [*PLAIN, ("Content-Length", "5")])
    return Closing("longer", [b"12345", b"67890"])


def shorter(_environ: Environ, start: Start) -> Iterable[bytes]:
    """Less than content-length says."""
    start("200 OK", [*PLAIN, ("Content-Length", "50")])
    return Closing("shorter", [b"12345", b"67890"])


def sized(_environ: Environ, start: Start) -> Iterable[bytes]:
    """As much as content-length says, in parts."""
    start("200 OK", [*PLAIN, ("Content-Length", "10")])
    return Closing("sized", [b"12345", b"67890"])


def large(_environ: Environ, start: Start) -> Iterable[bytes]:
    """One part that is larger than a window."""
    start("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes(range(256)) * 8192]


def endless(_environ: Environ, start: Start) -> Iterable[bytes]:
    """A generator without an end, which counts what it was asked for."""
    start("200 OK", [("Content-Type", "application/octet-stream")])

    def parts() -> Iterator[bytes]:
        for number in range(1_000_000):
            told[:] = [str(number)]
            yield b"x" * 65_536

    return Closing("endless", parts())


def waits(_environ: Environ, start: Start) -> Iterable[bytes]:
    """Hangs until `release` is asked."""
    told.append("waits")
    released.wait(60)
    start("200 OK", PLAIN)
    return [b"waited"]


def release(_environ: Environ, start: Start) -> Iterable[bytes]:
    """Lets those go on that hang."""
    released.set()
    start("200 OK", PLAIN)
    return [b"released"]


def together(_environ: Environ, start: Start) -> Iterable[bytes]:
    """Answers when as many are here as there are threads."""
    start("200 OK", PLAIN)
    return [str(BARRIER.wait(20)).encode()]


def file(environ: Environ, start: Start) -> Iterable[bytes]:
    """A file by wsgi.file_wrapper: whole, from its middle, one that has no name."""
    how = environ["QUERY_STRING"]
    start("200 OK", [("Content-Type", "application/octet-stream")])
    opened = FILE.open("rb")
    if how == "rest":
        opened.seek(500_000)
    elif how == "unnamed":
        unnamed = tempfile.TemporaryFile()  # noqa: SIM115
        unnamed.write(opened.read())
        unnamed.seek(0)
        return environ["wsgi.file_wrapper"](unnamed)  # type: ignore[no-any-return]
    wrapper = environ["wsgi.file_wrapper"](opened, 4096)
    close = wrapper.close

    def closed() -> None:
        told.append(f"closed file {how}")
        close()

    wrapper.close = closed
    return wrapper  # type: ignore[no-any-return]


def hints(environ: Environ, start: Start) -> Iterable[bytes]:
    """Early hints."""
    environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload; as=style")])
    start("200 OK", PLAIN)
    return [b"hinted"]


def errors(environ: Environ, start: Start) -> Iterable[bytes]:
    """wsgi.errors, with and without flush."""
    stream = environ["wsgi.errors"]
    stream.write("one of the ")
    stream.writelines(["application's\n"])
    stream.flush()
    print("left behind by", environ["PATH_INFO"], file=stream)
    start("200 OK", PLAIN)
    return [b"told"]


def erlang(_environ: Environ, start: Start) -> Iterable[bytes]:
    """The shared state, from this thread."""
    started = time.monotonic()
    for _ in range(200):
        hornbeam_erlang.state_incr("wsgi")
    took = time.monotonic() - started
    start("200 OK", [*PLAIN, ("X-Micros", str(int(took * 5000)))])
    return [str(hornbeam_erlang.state_get("wsgi")).encode()]


BARRIER = threading.Barrier(4)
CASES = {
    "environ": environ, "told": last_told, "body": body, "unread": unread, "lazy": lazy,
    "write": write, "replaced": replaced, "too_late": too_late, "twice": twice, "silent": silent,
    "raises": raises, "exits": exits, "text": text, "status": status, "fields": fields,
    "injected": injected, "longer": longer, "shorter": shorter, "sized": sized, "large": large,
    "endless": endless, "waits": waits, "release": release, "together": together, "file": file,
    "hints": hints, "errors": errors, "erlang": erlang,
}  # fmt: skip


def raw(environ: Environ, start: Start) -> Iterable[bytes]:
    """The case that the path names."""
    name = environ["PATH_INFO"].split("/")[1]
    found = CASES.get(name)
    if found is None:
        start("404 Not Found", PLAIN)
        return [b"no such case"]
    return found(environ, start)


def app(environ: Environ, start: Start) -> Iterable[bytes]:
    """The same behind the validator, whose complaints are in the log."""
    return checked(environ, start)


checked: Callable[[Environ, Start], Iterable[bytes]] = validator(raw)
