"""Topics for WebSocket connections: what is published goes to the client without Python.

    from hornbeam_erlang.websocket import subscribe

    @app.websocket("/rooms/{room}")
    async def chat(websocket: WebSocket, room: str):
        await websocket.accept()
        await subscribe(websocket, f"room:{room}")
        async for text in websocket.iter_text():
            publish(f"room:{room}", text)

A str that is published arrives as a text message, bytes as a binary one. A topic that ends with "*"
is a pattern.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

__all__ = ["subscribe", "unsubscribe"]

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

_EXTENSION = "hornbeam.websocket.pubsub"


async def subscribe(websocket: Any, topic: str) -> None:
    """From when this returns the client gets what is published to the topic.

    `websocket` is an accepted WebSocket of Starlette or FastAPI, or the `send` of a plain ASGI
    application. Raises RuntimeError before the accept and outside Hornbeam, ValueError for a topic
    without or with more than 1,024 bytes.
    """
    await _send_of(websocket)({"type": "hornbeam.websocket.subscribe", "topic": topic})


async def unsubscribe(websocket: Any, topic: str) -> None:
    """Ends a subscription; nothing happens where there is none."""
    await _send_of(websocket)({"type": "hornbeam.websocket.unsubscribe", "topic": topic})


def _send_of(websocket: Any) -> Send:
    scope = getattr(websocket, "scope", None)
    if scope is not None and _EXTENSION not in scope.get("extensions", {}):
        raise RuntimeError("this WebSocket is not served by Hornbeam")
    # Starlette's own send() lets only the messages of the specification pass.
    send: Send = getattr(websocket, "_send", websocket)
    if not callable(send):
        raise TypeError(f"a WebSocket or an ASGI send is needed, not {websocket!r}")
    return send
