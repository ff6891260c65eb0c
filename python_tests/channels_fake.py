"""A server of channels that a test speaks for: every frame of a client in a queue, and answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response


class FakeServer:
    def __init__(self) -> None:
        self.url = ""
        self.paths: list[str] = []
        self.sockets: list[ServerConnection] = []
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        self.refusal: str | None = None
        self._server: Server | None = None

    async def read(self, event: str | None = None) -> Any:
        """The next message, or the next one of an event."""
        while True:
            frame = await asyncio.wait_for(self.frames.get(), 10)
            if event is None or frame[3] == event:
                return frame

    async def send(self, *message: Any) -> None:
        await self.sockets[-1].send(json.dumps(message))

    async def send_bytes(self, frame: bytes) -> None:
        await self.sockets[-1].send(frame)

    async def reply(self, to: list[Any], status: str = "ok", response: Any = None) -> None:
        payload = {"status": status, "response": response or {}}
        await self.send(to[0], to[1], to[2], "hb_reply", payload)

    async def accept(self, **more: Any) -> list[Any]:
        """Answers the next join; gives its message."""
        join: list[Any] = await self.read("hb_join")
        await self.reply(join, **more)
        return join

    def drop(self) -> None:
        self.sockets[-1].transport.abort()

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        with contextlib.suppress(ConnectionClosed):
            async for frame in socket:
                self.frames.put_nowait(json.loads(frame) if isinstance(frame, str) else frame)

    def _look(self, socket: ServerConnection, request: Request) -> Response | None:
        self.paths.append(request.path)
        if self.refusal is None:
            return None
        return socket.respond(HTTPStatus.FORBIDDEN, self.refusal)


@contextlib.asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    async with serve(
        fake._serve, "127.0.0.1", 0, process_request=fake._look, ping_interval=None, close_timeout=1
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"ws://127.0.0.1:{port}/socket"
        yield fake


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    """Waits for a condition in the loop that makes it true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)
