"""hornbeam_worker.asgi.http with a fake transport: flow control and the order of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from hornbeam_worker import frames
from hornbeam_worker.asgi.http import HTTPCycle
from hornbeam_worker.host import Host
from hornbeam_worker.loader import load

Application = Callable[[Any, Any, Any], Awaitable[None]]
STREAM, WINDOW, PIECE = 7, 1000, 250


class FakeServer:
    """What a cycle needs of its server; `sent`: the frames, as type and what follows the head."""

    full = False

    def __init__(self, app: Application) -> None:
        self.app = app
        self.window, self.piece = WINDOW, PIECE
        self.prefetch = 20  # a quarter of it is "first"
        self.measure = None
        self.loop = asyncio.get_running_loop()
        self.transport = self
        self.sent: list[tuple[int, bytes]] = []
        self.ended: list[int] = []

    def is_newest(self, frame: bytearray) -> bool:
        return False

    def send(self, *parts: bytes | bytearray | memoryview) -> None:
        data = b"".join(parts)
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        assert int.from_bytes(data[5:9], "big") == STREAM
        self.sent.append((data[4], data[9:]))

    def finished(self, stream: int) -> None:
        self.ended.append(stream)

    def body_sent(self) -> int:
        heads = {frames.RESPONSE: 8, frames.DATA: 1}
        return sum(len(data) - heads[kind] for kind, data in self.sent if kind in heads)


def started(app: Application, flags: int = 1, body: bytes = b"") -> tuple[FakeServer, HTTPCycle]:
    server = FakeServer(app)
    cycle = HTTPCycle(cast(Host, server), STREAM, {"type": "http"}, flags, body)
    cycle.task = server.loop.create_task(cycle.run())
    return server, cycle


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def ended(cycle: HTTPCycle) -> None:
    assert cycle.task is not None
    await asyncio.wait_for(cycle.task, 5)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


def test_send_waits_for_credit() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        for _ in range(20):
            await send({"type": "http.response.body", "body": b"x" * 200, "more_body": True})
        await send({"type": "http.response.body"})

    async def test() -> None:
        server, cycle = started(app)
        await settle()
        assert server.body_sent() == WINDOW
        cycle.on_credit(400)
        await settle()
        assert server.body_sent() == WINDOW + 400
        while not server.ended:
            cycle.on_credit(200)
            await settle()
        assert server.body_sent() == 4000
        assert server.sent[-1] == (frames.DATA, b"\x01")

    run(test)


def test_a_body_larger_than_the_window_goes_in_pieces() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x" * 2100})

    async def test() -> None:
        server, cycle = started(app)
        await settle()
        assert server.body_sent() <= WINDOW
        while not server.ended:
            cycle.on_credit(PIECE)
            await settle()
        assert server.body_sent() == 2100
        assert max(len(data) for _, data in server.sent) <= PIECE + 20

    run(test)


def test_a_disconnect_wakes_a_send_that_waits() -> None:
    seen: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 200, "more_body": True})
        except OSError as error:
            seen.append(error)

    async def test() -> None:
        server, cycle = started(app)
        await settle()
        cycle.on_disconnect()
        await ended(cycle)
        assert len(seen) == 1
        assert server.ended == [STREAM]

    run(test)


def test_what_is_consumed_is_asked_for_again() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        sizes = [len((await receive())["body"]) for _ in range(3)]
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": repr(sizes).encode()})

    async def test() -> None:
        server, cycle = started(app, flags=0, body=b"first")
        await settle()
        assert server.sent[-1] == (frames.DEMAND, b"\x00" + (5).to_bytes(4, "big"))
        cycle.on_body(False, b"sec")
        cycle.on_body(False, b"ond")
        await settle()
        cycle.on_body(True, b"")
        await ended(cycle)
        assert server.sent[-1][1].endswith(b"[5, 6, 0]")

    run(test)


@pytest.mark.parametrize(("part", "reason"), [(0, 2), (1, 2), (2, 3)])
def test_a_return_in_the_middle_is_an_abort(part: int, reason: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if part > 0:
            await send({"type": "http.response.start", "status": 200})
        if part > 1:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async def test() -> None:
        server, cycle = started(app)
        await ended(cycle)
        assert server.sent[-1] == (frames.ABORT, bytes([1, reason]))

    run(test)


def test_load_finds_attributes_of_attributes() -> None:
    assert load("os:path.join").app is __import__("os").path.join
