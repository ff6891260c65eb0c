"""Sends the ASGI messages that the request lists: `x-events` is a JSON list of them.

A list item is a message with text for bytes, {"receive": true}, {"raise": true} or
{"return": true}. Who receives once more than the request has parts, in the middle of a response,
waits for the client to leave: here only for RECEIVE_SECONDS, since that client waits, too.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

RECEIVE_SECONDS = 0.05


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    events = json.loads(dict(scope["headers"])[b"x-events"])
    for event in events:
        if event.get("receive"):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), RECEIVE_SECONDS)
        elif event.get("raise"):
            raise RuntimeError("as the request has asked for")
        elif event.get("return"):
            return
        else:
            await send(_message(event))


def _message(event: dict[str, Any]) -> dict[str, Any]:
    message = dict(event)
    if "body" in message:
        message["body"] = message["body"].encode("latin-1") * message.pop("times", 1)
    if "headers" in message:
        message["headers"] = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in message["headers"]
        ]
    if "links" in message:
        message["links"] = [link.encode("latin-1") for link in message["links"]]
    return message
