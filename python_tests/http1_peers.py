"""What three HTTP/1 parsers see in the same bytes: Hornbeam's own, h11 and httptools.

Each reader turns a stream into events: a Head and a Body for each request that it takes, and at
last an End that says why there are no more. Where parsers may say the same in other words (the
spaces around a value, the form of a target) the events are made alike; nothing else is changed.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

import h11
import httptools
import msgpack
from harness import ROOT

MAX_HEAD = 65_536


class Head(NamedTuple):
    """A request's head. `offset` is where it begins, where the parser says so."""

    method: bytes
    path: bytes
    query: bytes
    version: str
    fields: tuple[tuple[bytes, bytes], ...]


class Body(NamedTuple):
    """A request's body, complete."""

    data: bytes


class End(NamedTuple):
    """Why there are no further events: refused, more (the bytes are over), close, switch."""

    kind: str
    status: int = 0


Event = Head | Body | End


class Seen(NamedTuple):
    """All that a parser says of a stream; `offsets` (of ours): where each event's bytes begin."""

    events: list[Event]
    offsets: list[int]


def _parts(target: bytes) -> tuple[bytes, bytes]:
    """Path and query of a target; of an absolute one what follows the authority."""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        at = next((i for i, c in enumerate(rest) if c in b"/?"), len(rest))
        target = rest[at:]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, _, query = target.partition(b"?")
    return path, query


def _fields(pairs: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    alike = [(bytes(name).lower(), bytes(value).strip(b" \t")) for name, value in pairs]
    # h11 gives the coding in lower case.
    return tuple((n, v.lower() if n == b"transfer-encoding" else v) for n, v in alike)


class Hornbeam1:
    """src/http1's head and body parsers, in an Erlang VM of their own."""

    def __init__(self, folder: Path) -> None:
        source = ROOT / "python_tests" / "http" / "http1_parse.erl"
        include = str(ROOT / "src")
        compiler = ["erlc", "+nowarn_missing_spec", "-I", include, "-o", str(folder), str(source)]
        subprocess.run(compiler, check=True)
        ebin = ROOT / "_build" / "default" / "lib" / "hornbeam" / "ebin"
        self._process = subprocess.Popen(
            ["erl", "-noinput", "-pa", folder, ebin, "-s", "http1_parse", "main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "ERL_FLAGS": ""},
        )

    def close(self) -> None:
        """Ends the VM."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def read(self, stream: bytes) -> Seen:
        """What it sees."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(struct.pack(">I", len(stream)) + stream)
        self._process.stdin.flush()
        (size,) = struct.unpack(">I", self._process.stdout.read(4))
        events: list[Event] = []
        offsets: list[int] = []
        for kind, *rest in msgpack.unpackb(self._process.stdout.read(size)):
            if kind == "head":
                offset, method, path, query, version, fields, _persistent = rest
                pairs = _fields([(name, value) for name, value in fields])
                events.append(Head(method.encode(), path, query, version[-3:], pairs))
                offsets.append(offset)
            elif kind == "body":
                offsets.append(rest[0])
                events.append(Body(rest[1]))
            elif kind == "refused":
                events.append(End("refused", rest[0]))
                offsets.append(rest[1])
            else:
                events.append(End(kind))
                offsets.append(len(stream))
        return Seen(events, offsets)


def read_h11(stream: bytes) -> Seen:
    """What h11 sees, as a server that answers each request with 200."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2 * MAX_HEAD)
    events: list[Event] = []
    method, body = b"", b""
    try:
        connection.receive_data(stream)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                events.append(End("more"))
            elif event is h11.PAUSED:
                events.append(End("switch"))
            elif isinstance(event, h11.Request):
                path, query = _parts(event.target)
                pairs = _fields(list(event.headers))
                events.append(Head(event.method, path, query, event.http_version.decode(), pairs))
                method, body = event.method, b""
                continue
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
                continue
            elif isinstance(event, h11.EndOfMessage):
                events.append(Body(body))
                if method == b"CONNECT":
                    events.append(End("switch"))
                    break
                connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.DONE and connection.their_state is h11.DONE:
                    connection.start_next_cycle()
                    continue
                events.append(End("close"))
            break
    except h11.RemoteProtocolError as error:
        events.append(End("refused", error.error_status_hint))
    return Seen(events, [])


class _Callbacks:
    """What httptools calls while it parses."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.events: list[Event] = []
        self.closed = False
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body = b""

    def on_message_begin(self) -> None:
        self._url, self._fields, self._body = b"", [], b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        if not self.closed:
            path, query = _parts(self._url)
            method, version = self.parser.get_method(), self.parser.get_http_version()
            self.events.append(Head(method, path, query, version, _fields(self._fields)))
            self._fields = []

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if not self.closed:
            self.events.append(Body(self._body))
            self.closed = not self.parser.should_keep_alive()


def read_httptools(stream: bytes) -> Seen:
    """What httptools (llhttp) sees, with its defaults."""
    callbacks = _Callbacks()
    end = End("more")
    try:
        callbacks.parser.feed_data(stream)
    except httptools.HttpParserUpgrade:
        end = End("switch")
    except httptools.HttpParserError:
        end = End("refused")
    callbacks.events.append(End("close") if callbacks.closed else end)
    return Seen(callbacks.events, [])
