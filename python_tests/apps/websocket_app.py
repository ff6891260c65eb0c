"""The applications of python_tests/websocket: plain ASGI, one behaviour per path."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# What GET /seen tells: by the query string of a WebSocket, what its application noted.
seen: dict[str, list[Any]] = {}
# Set by GET /release.
released = asyncio.Event()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Dispatches by the path."""
    if scope["type"] == "websocket":
        await ROUTES[scope["path"].split("/")[1]](scope, receive, send)
    elif scope["type"] == "http":
        if scope["path"] == "/release":
            released.set()
        await http(send)


async def http(send: Send) -> None:
    """The worker's process id, and what was noted."""
    body = json.dumps({"pid": os.getpid(), "seen": seen}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def note(scope: Scope, what: Any) -> None:
    """Keeps it under the query string."""
    seen.setdefault(scope["query_string"].decode(), []).append(what)


async def accept(receive: Receive, send: Send, **extra: Any) -> None:
    """The usual beginning."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", **extra})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every message back and notes the disconnect."""
    await accept(receive, send)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            note(scope, [message["code"], message.get("reason")])
            return
        await send({**message, "type": "websocket.send"})


async def tell_scope(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends its scope as JSON."""
    await accept(receive, send)
    known = {key: value for key, value in scope.items() if key != "state"}
    await send({"type": "websocket.send", "text": json.dumps(known, default=bytes.decode)})
    await receive()


async def negotiate(_scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts with a subprotocol and headers of its own."""
    headers = [(b"x-one", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
    await accept(receive, send, subprotocol="chat.v2", headers=headers)
    await receive()


async def refuse(_scope: Scope, receive: Receive, send: Send) -> None:
    """Closes before it accepts."""
    await receive()
    await send({"type": "websocket.close"})


async def deny(_scope: Scope, receive: Receive, send: Send) -> None:
    """A denial response in pieces."""
    await receive()
    headers = [(b"x-why", b"no ticket")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"no ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"ticket"})


async def goodbye(scope: Scope, receive: Receive, send: Send) -> None:
    """Closes with a code and a reason; notes what send and receive say afterwards."""
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4321, "reason": "enough, \u00e7a suffit"})
    try:
        await send({"type": "websocket.send", "text": "too late"})
    except OSError:
        note(scope, "OSError")
    note(scope, [(await receive())["type"], (await receive())["type"]])


async def push(_scope: Scope, receive: Receive, send: Send) -> None:
    """Speaks first, and again without being asked."""
    await accept(receive, send)
    for number in range(3):
        await send({"type": "websocket.send", "text": f"tick {number}"})
        await asyncio.sleep(0.01)
    await receive()


async def crash(_scope: Scope, receive: Receive, send: Send) -> None:
    """Raises when the first message has come."""
    await accept(receive, send)
    await receive()
    raise LookupError("the application is broken")


async def early(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Returns without an answer."""
    await receive()


async def raises(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Raises before an answer."""
    raise LookupError("broken from the start")


async def returns(_scope: Scope, receive: Receive, send: Send) -> None:
    """Returns after accepting."""
    await accept(receive, send)


async def hang(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Never answers the handshake."""
    await receive()
    await asyncio.sleep(3600)


async def leave(_scope: Scope, receive: Receive, send: Send) -> None:
    """Ends the whole worker at the first message."""
    await accept(receive, send)
    await receive()
    os._exit(9)


async def misuse(_scope: Scope, receive: Receive, send: Send) -> None:
    """Reports what each wrong use raises."""
    errors: list[str] = []

    async def wrong(**message: Any) -> None:
        try:
            await send(message)
        except Exception as error:
            errors.append(type(error).__name__)
        else:
            errors.append("no error")

    await receive()
    await wrong(type="websocket.send", text="before accept")
    await wrong(type="websocket.accept", headers=[(b"sec-websocket-protocol", b"x")])
    await wrong(type="websocket.accept", subprotocol=7)
    await send({"type": "websocket.accept"})
    await wrong(type="websocket.accept")
    await wrong(type="websocket.send")
    await wrong(type="websocket.send", text="a", bytes=b"b")
    await wrong(type="websocket.send", text=b"bytes")
    await wrong(type="websocket.close", code=1006)
    await wrong(type="websocket.nonsense")
    await wrong(type="websocket.http.response.start", status=200)
    await wrong(type="hornbeam.websocket.subscribe", topic="")
    await wrong(type="hornbeam.websocket.subscribe", topic=b"bytes")
    await send({"type": "websocket.send", "text": json.dumps(errors)})


async def flood(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends 64 KiB at a time until the client has gone; notes when it had to wait, and the end."""
    await accept(receive, send)
    sent = 0
    try:
        while True:
            sending = asyncio.ensure_future(send({"type": "websocket.send", "bytes": b"x" * 65536}))
            if not (await asyncio.wait([sending], timeout=0.5))[0]:
                note(scope, sent)
            await sending
            sent += 1
    except OSError as error:
        note(scope, type(error).__name__)


async def slow(_scope: Scope, receive: Receive, send: Send) -> None:
    """Receives nothing until GET /release; then counts."""
    await accept(receive, send)
    await released.wait()
    count = 0
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("text") == "how many?":
            await send({"type": "websocket.send", "text": str(count)})
        count += 1


async def topics(scope: Scope, receive: Receive, send: Send) -> None:
    """`subscribe X`, `unsubscribe X`: answered with "ok". Notes the disconnect."""
    await accept(receive, send)
    while (message := await receive())["type"] != "websocket.disconnect":
        verb, topic = message["text"].split(" ", 1)
        await send({"type": f"hornbeam.websocket.{verb}", "topic": topic})
        await send({"type": "websocket.send", "text": "ok"})
    note(scope, [message["code"], message.get("reason")])


ROUTES = {
    "echo": echo, "scope": tell_scope, "negotiate": negotiate, "refuse": refuse, "deny": deny,
    "goodbye": goodbye, "push": push, "crash": crash, "early": early, "raises": raises,
    "returns": returns, "hang": hang, "leave": leave, "misuse": misuse, "flood": flood,
    "slow": slow, "topics": topics,
}  # fmt: skip
