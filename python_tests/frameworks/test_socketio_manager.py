"""The client managers of hornbeam_erlang.socketio between workers, with python-socketio's own
client and with the JavaScript client (docs/socketio.md)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from harness import ROOT, Hornbeam, wait_until

JAVASCRIPT = ROOT / "python_tests" / "javascript"
# Clients that are made until there is one in each worker: with three workers 40 all miss one once
# in ten million runs.
MOST_CLIENTS = 40


class Client:
    """One of python-socketio's, which knows its worker and keeps what is said."""

    def __init__(self) -> None:
        self.sio = socketio.AsyncClient(reconnection=False)
        self.said: list[Any] = []
        self.sid = ""
        self.worker = 0
        self.sio.on("said", self._on_said)
        self.sio.on("question", self._on_question)

    async def _on_said(self, *data: Any) -> None:
        self.said.append(data[0] if len(data) == 1 else data)

    async def _on_question(self, data: Any) -> Any:
        return {"asked": data, "by": self.sid}

    async def open(self, server: Hornbeam, transport: str, room: str = "lobby") -> Client:
        url = f"http://localhost:{server.address[1]}"
        await self.sio.connect(url, auth={"room": room}, transports=transport.split(","))
        answer = await self.sio.call("who", timeout=20)
        self.sid, self.worker = answer["sid"], answer["pid"]
        return self

    async def call(self, event: str, *data: Any) -> Any:
        return await self.sio.call(event, data, timeout=20)

    async def close(self) -> None:
        await self.sio.eio.disconnect(abort=True)
        if self.sio.eio.http:
            await self.sio.eio.http.close()


class Clients:
    """Clients that are closed at the end."""

    def __init__(self, server: Hornbeam, transport: str = "websocket") -> None:
        self.server = server
        self.transport = transport
        self.all: list[Client] = []

    async def one(self, room: str = "lobby") -> Client:
        client = Client()
        self.all.append(client)
        return await client.open(self.server, self.transport, room)

    async def in_each(self, workers: int, room: str = "lobby") -> list[Client]:
        """Two in the first worker that has them, one in each of the others."""
        found: dict[int, list[Client]] = {}
        for _ in range(MOST_CLIENTS):
            client = await self.one(room)
            found.setdefault(client.worker, []).append(client)
            if len(found) == workers and any(len(clients) > 1 for clients in found.values()):
                break
        assert len(found) == workers, {worker: len(found[worker]) for worker in found}
        return [client for clients in found.values() for client in clients]

    async def __aenter__(self) -> Clients:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.all:
            await client.close()


async def until(condition: Callable[[], Any], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not in 20 s: {what}")


async def all_hear(clients: list[Client], data: Any) -> None:
    await until(lambda: all(data in client.said for client in clients), f"all have heard {data}")


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 60))


def apart(clients: list[Client]) -> tuple[Client, Client]:
    """Two in different workers."""
    first = clients[0]
    return first, next(client for client in clients if client.worker != first.worker)


@pytest.fixture(scope="module", params=[2, 3])
def server(request: pytest.FixtureRequest) -> Iterator[Hornbeam]:
    """WebSocket needs no affinity; where clients poll each belongs to a worker by its cookie."""
    with Hornbeam(
        "socketio_rooms:app", workers=request.param, affinity="cookie", shutdown_timeout=1000
    ) as server:
        server.wait_for_output("serving")
        yield server


@pytest.fixture(params=["websocket", "polling", "polling,websocket"])
def transport(request: pytest.FixtureRequest) -> str:
    """The last is what clients do by default: a session that polls changes over."""
    return str(request.param)


Test = Callable[[Clients, list[Client]], Awaitable[None]]


def with_clients(server: Hornbeam, transport: str, room: str, test: Test) -> None:
    async def tested() -> None:
        async with Clients(server, transport) as clients:
            await test(clients, await clients.in_each(len(server.workers()), room))

    run(tested())


DATA = [{"text": "über"}, [1, 2.5, None], "text", b"\x00\xff", {"deep": [b"\x01", {"b": b""}]}]


def test_a_room_hears_what_is_said_in_any_worker(server: Hornbeam, transport: str) -> None:
    async def test(clients: Clients, room: list[Client]) -> None:
        outside = await clients.one("another")
        for speaker in room:
            for data in DATA:
                await speaker.call("say", "room", [speaker.sid, data])
        for client in room:
            others = [other for other in room if other is not client]
            expected: list[Any] = [[other.sid, data] for other in others for data in DATA]
            await until(lambda: len(client.said) >= len(expected), "all of it has come")  # noqa: B023
            # In order from each, once, and nothing of one's own.
            assert sorted(client.said, key=lambda said: said[0]) == sorted(
                expected, key=lambda said: said[0]
            )
        assert outside.said == []
        await outside.call("everybody", "all")
        await all_hear([*room, outside], "all")

    with_clients(server, transport, "room", test)


def test_a_callback_comes_back_from_another_worker(server: Hornbeam, transport: str) -> None:
    async def test(_clients: Clients, room: list[Client]) -> None:
        one, other = apart(room)
        for asker, asked in [(one, other), (other, one)]:
            for question in ("why?", b"\x07"):
                answer = await asker.call("ask", asked.sid, question)
                assert answer == {"asked": question, "by": asked.sid}

    with_clients(server, transport, "room", test)


def test_a_client_of_another_worker_is_disconnected(server: Hornbeam, transport: str) -> None:
    async def test(_clients: Clients, room: list[Client]) -> None:
        one, other = apart(room)
        await one.call("kick", other.sid)
        await until(lambda: not other.sio.connected, "it is disconnected")
        assert one.sio.connected
        await one.call("everybody", "still")
        await all_hear([client for client in room if client is not other], "still")
        assert "still" not in other.said

    with_clients(server, transport, "room", test)


def test_rooms_of_a_client_of_another_worker(server: Hornbeam) -> None:
    async def test(_clients: Clients, room: list[Client]) -> None:
        one, other = apart(room)
        rest = [client for client in room if client not in (one, other)]
        await one.call("move", other.sid, None, "new")
        # What a worker publishes arrives in its order.
        await one.call("say", "new", 1)
        await all_hear([other], 1)
        await one.call("move", other.sid, "new", None)
        await one.call("say", "new", 2)
        await one.call("say", "room", 3)
        await all_hear([other, *rest], 3)
        assert other.said == [1, 3]
        await one.call("close", "room")
        await one.call("say", "room", 4)
        await one.call("everybody", 5)
        await all_hear(room, 5)
        assert not any(4 in client.said for client in room)

    with_clients(server, "websocket", "room", test)


def test_emitters_without_a_server(server: Hornbeam) -> None:
    """A background task, and what Erlang publishes: a map, or JSON."""

    async def test(_clients: Clients, room: list[Client]) -> None:
        one = room[0]
        await one.call("later", "room", {"task": b"done"})
        await all_hear(room, {"task": b"done"})
        message = {"method": "emit", "event": "said", "data": "by Erlang", "room": "room"}
        workers = len(server.workers())
        said: Any
        for said in (message | {"namespace": "/"}, json.dumps(message | {"namespace": "/"})):
            before = [len(client.said) for client in room]
            assert await one.call("publish", "socketio", said) == workers
            await until(
                lambda: all(len(c.said) == n + 1 for c, n in zip(room, before, strict=True)),  # noqa: B023
                "all have heard it once",
            )
            assert {client.said[-1] for client in room} == {"by Erlang"}

    with_clients(server, "websocket", "room", test)


def test_what_is_no_message_harms_nobody(server: Hornbeam) -> None:
    async def test(_clients: Clients, room: list[Client]) -> None:
        # A pickle, which is never read; JSON that is no message; what is no JSON.
        for bad in (b"\x80\x04}\x94.", "17", "[]", "{", {"method": "emit"}, {"method": "no"}, 5):
            await room[0].call("publish", "socketio", bad)
        await room[0].call("everybody", "on")
        await all_hear(room, "on")

    with_clients(server, "websocket", "room", test)


def test_a_worker_dies_and_the_others_go_on() -> None:
    async def tested(server: Hornbeam) -> None:
        async with Clients(server) as clients:
            room = await clients.in_each(2, "room")
            one, other = apart(room)
            asked = asyncio.create_task(one.call("ask", other.sid, "in vain"))
            left = [client for client in room if client.worker != other.worker]
            os.kill(other.worker, signal.SIGKILL)
            await until(lambda: not other.sio.connected, "its clients are disconnected")
            for number in range(20):
                await one.call("everybody", number)
            await all_hear(left, 19)
            assert all(client.said == list(range(20)) for client in left)
            # Its successor's clients are among the others as soon as they are connected.
            new = await clients.one("room")
            while new.worker == one.worker:
                new = await clients.one("room")
            await new.call("everybody", "new")
            await one.call("everybody", "old")
            for data in ("new", "old"):
                await all_hear([*left, new], data)
            asked.cancel()

    with Hornbeam("socketio_rooms:app", workers=2, shutdown_timeout=1000) as server:
        run(tested(server))


def test_a_reload_under_clients() -> None:
    """While old workers keep their WebSockets, old and new ones hear each other."""

    async def tested(server: Hornbeam) -> None:
        async with Clients(server) as clients:
            old = await clients.in_each(2, "room")
            workers = {client.worker for client in old}
            os.kill(server.pid, signal.SIGHUP)
            new = await clients.one("room")
            while new.worker in workers:
                new = await clients.one("room")
            assert all(client.sio.connected for client in old)
            await new.call("everybody", "new")
            await old[0].call("say", "room", "old")
            await all_hear([*old, new], "new")
            await all_hear([*old[1:], new], "old")
            answer = await new.call("ask", old[0].sid, "why?")
            assert answer == {"asked": "why?", "by": old[0].sid}

    with Hornbeam("socketio_rooms:app", workers=2, shutdown_timeout=1000) as server:
        run(tested(server))


def test_threads_by_wsgi() -> None:
    async def tested(server: Hornbeam) -> None:
        async with Clients(server, "polling") as clients:
            room = await clients.in_each(2)
            one, other = apart(room)
            await one.call("say", "lobby", {"b": b"\x01"})
            await all_hear(room, {"b": b"\x01"})
            answer = await one.call("ask", other.sid, "why?")
            assert answer == {"asked": "why?", "by": other.sid}
            await one.call("kick", other.sid)
            await until(lambda: not other.sio.connected, "it is disconnected")

    with Hornbeam(
        "socketio_threads:app", workers=2, affinity="cookie", threads=40, shutdown_timeout=1000
    ) as server:
        run(tested(server))


# The JavaScript client


class Node:
    """A script with JavaScript clients: it prints what happens, one JSON text a line."""

    def __init__(self, server: Hornbeam, transport: str, folder: Path) -> None:
        self.output = folder / "output"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                ["node", JAVASCRIPT / "clients.js", server.url, transport],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def events(self) -> list[dict[str, Any]]:
        lines = self.output.read_text().splitlines()
        assert all(line.startswith("{") for line in lines), lines
        return [json.loads(line) for line in lines]

    def find(self, **wanted: Any) -> list[dict[str, Any]]:
        return [e for e in self.events() if all(e.get(key) == wanted[key] for key in wanted)]

    def say(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def __enter__(self) -> Node:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            assert self.process.wait(20) == 0
        finally:
            self.process.kill()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(
    not (JAVASCRIPT / "node_modules" / "socket.io-client").exists(),
    reason="socket.io-client is not installed: make setup",
)
def test_the_javascript_client(server: Hornbeam, transport: str, tmp_path: Path) -> None:
    with Node(server, transport, tmp_path) as node:
        workers = len(server.workers())
        for number in range(MOST_CLIENTS):
            node.say(do="open", client=number)
            wait_until(lambda: node.find(is_="open", client=number), 20, "it is connected")  # noqa: B023
            found = {event["pid"]: event for event in node.find(is_="open")}
            if len(found) == workers:
                break
        assert len(found) == workers
        one, *others = found.values()
        node.say(do="emit", client=one["client"], event="say", data=["lobby", {"text": "hello"}])
        for other in others:
            said = {"is_": "said", "client": other["client"], "data": {"text": "hello"}}
            wait_until(lambda: node.find(**said), 20, "it has heard")  # noqa: B023
            asked = [other["sid"], "why?"]
            node.say(do="call", client=one["client"], event="ask", data=asked)
            answer = {"asked": "why?", "by": other["client"]}
            wait_until(lambda: node.find(is_="answer", data=answer), 20, "it has answered")  # noqa: B023
        assert not node.find(is_="said", client=one["client"])
        node.say(do="call", client=one["client"], event="kick", data=[others[0]["sid"]])
        gone = {"is_": "gone", "client": others[0]["client"], "why": "io server disconnect"}
        wait_until(lambda: node.find(**gone), 20, "it is disconnected")
        assert httpx.get(server.url).status_code == 404
