"""A client of server-sent events: a raw connection over HTTP/1.1, and what comes on it read as the
HTML standard says (9.2)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import h11
from harness import Hornbeam


class Event(NamedTuple):
    """One event; `id` is the last one that was said before it or with it."""

    event: str
    data: str
    id: str | None

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Parser:
    """From bytes to events, comments and the time before a reconnection."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self.retry: int | None = None
        self.comments = 0
        self._rest = b""
        self._fields: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> list[Event]:
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n")
        return [event for line in lines for event in self._line(line.decode().removesuffix("\r"))]

    def _line(self, line: str) -> list[Event]:
        if line == "":
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments += 1
        elif name == "id":
            self.last_id = value
        elif name == "retry":
            self.retry = int(value)
        else:
            self._fields.append((name, value))
        return []

    def _dispatch(self) -> list[Event]:
        fields, self._fields = self._fields, []
        data = [value for name, value in fields if name == "data"]
        assert {name for name, _ in fields} <= {"event", "data"}, fields
        if not data:
            return []
        return [Event(dict(fields).get("event", "message"), "\n".join(data), self.last_id)]


class Stream:
    """One open stream; `status` other than 200: `body` is its answer."""

    def __init__(self, server: Hornbeam, path: str, *, method: str = "GET", **headers: str) -> None:
        self.socket = server.connect(20)
        self.parser = Parser()
        self.waiting: list[Event] = []
        self.before: list[Event] = []
        self.ended = False
        self.body = b""
        self._http = h11.Connection(h11.CLIENT)
        fields = [
            ("Host", "test"),
            *((name.replace("_", "-"), value) for name, value in headers.items()),
        ]
        request = h11.Request(method=method, target=path, headers=fields)
        self.socket.sendall(
            (self._http.send(request) or b"") + (self._http.send(h11.EndOfMessage()) or b"")
        )
        head = self._http_event()
        assert isinstance(head, h11.Response), head
        self.status = head.status_code
        self.headers = {name.decode(): value.decode() for name, value in head.headers}
        if self.status != 200 or method == "HEAD":
            while not self.ended:
                self._step()

    def next(self) -> Event:
        """The next event; EOFError at the end."""
        while not self.waiting:
            if self.ended:
                raise EOFError
            self._step()
        return self.waiting.pop(0)

    def until(self, condition: Callable[[Event], bool]) -> Event:
        """The first one of which the condition is true; those before are in `before`."""
        self.before = []
        while not condition(event := self.next()):
            self.before.append(event)
        return event

    def numbers(self, last: int) -> list[int]:
        """The numbers of the events "n" that come, up to this one."""
        found = self.until(lambda event: event.event == "n" and event.json["n"] == last)
        return [event.json["n"] for event in [*self.before, found] if event.event == "n"]

    def opened(self) -> None:
        """Waits for what comes at the beginning."""
        while self.parser.retry is None:
            self._step()

    def comment(self) -> None:
        """Waits for the next comment."""
        before = self.parser.comments
        while self.parser.comments == before:
            self._step()

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self) -> None:
        event = self._http_event()
        if isinstance(event, h11.Data):
            self.body += bytes(event.data)
            if self.status == 200:
                self.waiting += self.parser.feed(bytes(event.data))
        else:
            assert isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)), event
            self.ended = True

    def _http_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(self.socket.recv(65_536))
        return event
