"""One behaviour per path, for the messages beyond start and body."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

TEXT = (b"content-type", b"text/plain")


async def start(send: Send, status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> None:
    pairs = [TEXT, *headers]
    await send({"type": "http.response.start", "status": status, "headers": pairs, **more})


async def body(send: Send, data: bytes = b"", more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def early_status(_scope: Scope, _receive: Receive, send: Send) -> None:
    link = (b"link", b"</a.css>; rel=preload")
    await send({"type": "http.response.start", "status": 103, "headers": [link]})
    await send({"type": "http.response.start", "status": 102, "headers": []})
    await start(send)
    await body(send, b"after")


async def early_hint(_scope: Scope, _receive: Receive, send: Send) -> None:
    links = [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]
    await send({"type": "http.response.early_hint", "links": links})
    await send({"type": "http.response.early_hint", "links": links[:1]})
    await start(send)
    await body(send, b"after")


async def early_hint_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send)
    await send({"type": "http.response.early_hint", "links": [b"</a.css>"]})


async def early_switching(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 101)


async def trailers(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 200, (b"trailer", b"x-sum"), trailers=True)
    await body(send, b"hello ", True)
    await body(send, b"world")
    more = {"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]}
    await send({**more, "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-end", b"yes")]})


async def trailers_missing(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 200, trailers=True)
    await body(send, b"hello")


async def trailers_unannounced(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"hello", True)
    await send({"type": "http.response.trailers", "headers": []})


async def trailers_with_length(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"5"), trailers=True)
    await body(send, b"hello")
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"42")]})


def file_of(scope: Scope) -> str:
    return bytes(scope["query_string"]).decode()


async def file(scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send)
    await send({"type": "http.response.pathsend", "path": file_of(scope)})


async def file_with_length(scope: Scope, _receive: Receive, send: Send) -> None:
    size = os.stat(file_of(scope)).st_size  # noqa: PTH116
    await start(send, 200, (b"content-length", b"%d" % size))
    await send({"type": "http.response.pathsend", "path": file_of(scope)})


async def file_with_wrong_length(scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 200, (b"content-length", b"1"))
    await send({"type": "http.response.pathsend", "path": file_of(scope)})


async def file_after_body(scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"a", True)
    await send({"type": "http.response.pathsend", "path": file_of(scope)})


async def file_twice(scope: Scope, _receive: Receive, send: Send) -> None:
    await file(scope, _receive, send)
    await send({"type": "http.response.pathsend", "path": file_of(scope)})
    await body(send, b"ignored")


async def stream(scope: Scope, _receive: Receive, send: Send) -> None:
    """As many pieces of 64 KiB as the query says; says in `sent` how many it got rid of."""
    global sent, gone
    sent = 0
    await start(send)
    try:
        for _ in range(int(scope["query_string"])):
            await body(send, b"x" * 65_536, True)
            sent += 1
        await body(send)
    except OSError:
        gone += 1
        raise


async def wait(_scope: Scope, receive: Receive, send: Send) -> None:
    """Waits for the disconnect."""
    global gone
    await start(send)
    await body(send, b"waiting", True)
    while (await receive())["type"] != "http.disconnect":
        pass
    gone += 1


async def never(_scope: Scope, receive: Receive, _send: Send) -> None:
    """Never answers; counts when it is told that nobody waits any more."""
    global gone
    while (await receive())["type"] != "http.disconnect":
        pass
    gone += 1


async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
    """Takes one piece of the body whenever `/take` was asked for; counts them in `taken`."""
    global taken
    taken = 0
    while True:
        await steps.acquire()
        message = await receive()
        taken += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await start(send)
    await body(send, b"%d" % taken)


async def take(_scope: Scope, _receive: Receive, send: Send) -> None:
    steps.release()
    await start(send)
    await body(send)


async def facts(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send)
    await body(send, b"%d %d %d" % (sent, gone, taken))


async def length(_scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await start(send)
    await body(send, b"%d" % size)


async def pieces(_scope: Scope, receive: Receive, send: Send) -> None:
    """How many messages the body has come in, and how many bytes."""
    messages = size = 0
    while True:
        message = await receive()
        messages += 1
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await start(send)
    await body(send, b"%d %d" % (messages, size))


async def later(scope: Scope, _receive: Receive, send: Send) -> None:
    """A response that is begun at once and complete after so many milliseconds."""
    await start(send)
    await body(send, b"now and ", True)
    await asyncio.sleep(int(scope["query_string"]) / 1000)
    await body(send, b"later")


async def crowd(_scope: Scope, _receive: Receive, send: Send) -> None:
    """How many requests for this were in progress at once at most."""
    global running, most
    running += 1
    most = max(most, running)
    await asyncio.sleep(0.02)
    running -= 1
    await start(send)
    await body(send, b"%d" % most)


async def no_body(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answers without asking for the body."""
    await start(send, 401)
    await body(send, b"no")


async def close(_scope: Scope, _receive: Receive, send: Send) -> None:
    await start(send, 200, (b"connection", b"close"))
    await body(send, b"bye")


async def ordered(scope: Scope, _receive: Receive, send: Send) -> None:
    """The later the request, the sooner the application has answered it."""
    number = int(scope["query_string"])
    await asyncio.sleep((5 - number) * 0.05)
    await start(send)
    await body(send, b"%d" % number)


async def big(scope: Scope, _receive: Receive, send: Send) -> None:
    """Compressible text of a type and a length: ?text/plain&2000."""
    kind, size = bytes(scope["query_string"]).split(b"&")[:2]
    headers = [(b"content-type", kind)]
    if scope["query_string"].endswith(b"&etag"):
        headers.append((b"etag", b'"a"'))
    if scope["query_string"].endswith(b"&coded"):
        headers.append((b"content-encoding", b"br"))
    if scope["query_string"].endswith(b"&pieces"):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(4):
            await body(send, b"abcd" * (int(size) // 16), True)
        await body(send)
        return
    headers.append((b"content-length", size))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await body(send, b"a" * int(size))


sent = gone = taken = running = most = 0
steps = asyncio.Semaphore(0)
_PATHS = {
    function.__name__: function
    for function in (
        early_status, early_hint, early_hint_late, early_switching, trailers, trailers_missing,
        trailers_unannounced, trailers_with_length, file, file_with_length, file_with_wrong_length,
        file_after_body, file_twice, stream, wait, never, slowly, take, facts, length, no_body,
        close, ordered, big, pieces, later, crowd,
    )
}  # fmt: skip


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        raise RuntimeError(scope["type"])
    await _PATHS[scope["path"].strip("/")](scope, receive, send)
