"""What keeps sessions in memory, with two workers and its own clients (docs/affinity.md).

MCP's client is imported where it is used: each process that collects tests would need half a second
for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
import socketio
from harness import Hornbeam

ROUNDS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[Hornbeam]:
    """A client that keeps no cookie belongs to the worker of its address."""
    with Hornbeam(
        "framework_sticky:app", workers=2, affinity=["cookie", "client"], shutdown_timeout=1000
    ) as server:
        yield server


def rounds(*coroutines: Coroutine[Any, Any, None]) -> None:
    async def all_in_time() -> None:
        for coroutine in coroutines:
            await asyncio.wait_for(coroutine, 30)

    asyncio.run(all_in_time())


def test_mcp(server: Hornbeam) -> None:
    from mcp import ClientSession
    from mcp.client.sse import sse_client

    async def talk(number: int) -> None:
        """The stream is a GET, each message a POST on another connection."""
        async with (
            sse_client(f"{server.url}/sse") as (reading, writing),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            result = await session.call_tool("add", {"a": number, "b": 1})
            assert getattr(result.content[0], "text", None) == str(number + 1)

    rounds(*(talk(number) for number in range(ROUNDS)))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("transports", [["polling"], ["polling", "websocket"]])
def test_socketio(server: Hornbeam, transports: list[str], host: str) -> None:
    """aiohttp keeps no cookies of hosts that are addresses."""

    async def talk(number: int) -> None:
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(f"http://{host}:{server.address[1]}", transports=transports)
        try:
            for text in ("a", f"b{number}"):
                assert await client.call("echo", text, timeout=20) == text
            assert client.transport() == transports[-1]
        finally:
            # A poll that is on its way would be waited for.
            await client.eio.disconnect(abort=True)
            if client.eio.http:
                await client.eio.http.close()

    rounds(*(talk(number) for number in range(ROUNDS)))
