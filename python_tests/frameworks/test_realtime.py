"""Applications that talk over WebSockets all the time, with their own clients: messages that are
larger than the window, after small ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from typing import Any, TypeVar

import httpx
import pytest
import socketio
from gql import Client, gql
from gql.transport.aiohttp_websockets import AIOHTTPWebsocketsTransport
from harness import Hornbeam

# Around the window of 262,144 bytes.
SIZES = [1, 262_143, 300_000, 5, 262_144, 1_000_000, 65_536, 300_000, 1]

T = TypeVar("T")


def run(awaitable: Awaitable[T]) -> T:
    async def in_time() -> T:
        return await asyncio.wait_for(awaitable, 60)

    return asyncio.run(in_time())


def test_socketio() -> None:
    async def talk(url: str) -> None:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(url, transports=["websocket"])
            for size in SIZES:
                assert await client.call("attachment", size, timeout=20) == b"x" * size
                assert await client.call("echo", "z" * size, timeout=20) == "z" * size

            async def question(data: bytes) -> int:
                return len(data)

            client.client.on("question", question)
            for size in SIZES:
                assert await client.call("ask", size, timeout=30) == size

    with Hornbeam("framework_socketio:app") as server:
        run(talk(server.url))


def test_socketio_that_begins_with_polling() -> None:
    async def talk(url: str) -> None:
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(url)
            for _ in range(16):
                assert len(await client.call("attachment", 300_000, timeout=20)) == 300_000
            assert client.client.transport() == "websocket"

    with Hornbeam("framework_socketio:app") as server:
        run(talk(server.url))


@pytest.mark.parametrize("protocol", ["graphql-transport-ws", "graphql-ws"])
def test_graphql(protocol: str) -> None:
    async def talk(url: str) -> None:
        transport = AIOHTTPWebsocketsTransport(url.replace("http", "ws"), subprotocols=[protocol])
        async with Client(transport=transport) as session:
            for size in SIZES if protocol == "graphql-transport-ws" else []:
                query = gql("query ($size: Int!) { text(size: $size) }")
                query.variable_values = {"size": size}
                assert (await session.execute(query))["text"] == "q" * size
            texts = gql("subscription ($sizes: [Int!]!) { texts(sizes: $sizes) }")
            texts.variable_values = {"sizes": SIZES}
            seen = [len(result["texts"]) async for result in session.subscribe(texts)]
            assert seen == SIZES

    with Hornbeam("framework_strawberry:app") as server:
        run(talk(server.url))


def test_nicegui() -> None:
    async def talk(url: str) -> list[str]:
        async with httpx.AsyncClient() as browser:
            page = (await browser.get(url)).text
        found = re.search(r"'client_id': '(.+?)'", page)
        assert found is not None
        query = {
            "client_id": found.group(1), "tab_id": "tab", "document_id": "document",
            "next_message_id": "0", "implicit_handshake": "true",
        }  # fmt: skip
        seen: list[str] = []
        done = asyncio.Event()
        client = socketio.AsyncClient()

        async def update(elements: dict[str, Any]) -> None:
            for element in elements.values():
                if isinstance(element, dict) and "text" in element:
                    seen.append(element["text"])
                    if element["text"] == "done":
                        done.set()

        client.on("update", update)
        await client.connect(
            f"{url}?{httpx.QueryParams(query)}",
            socketio_path="/_nicegui_ws/socket.io",
            transports=["websocket"],
        )
        await done.wait()
        await client.disconnect()
        return seen

    with Hornbeam("framework_nicegui:app") as server:
        assert [len(text) for text in run(talk(server.url))][-3:] == [5, 400_000, 4]
