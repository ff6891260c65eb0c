"""An ASGI application whose paths are behaviours, for the tests of HTTP: /NAME runs `NAME`.

What a behaviour notices when nobody is there to be told goes into `reports`; GET /report shows it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Behaviour = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("core_http")
reports: dict[str, Any] = {}
behaviours: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    behaviours[function.__name__] = function
    return function


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    name = scope["path"].removeprefix(scope["root_path"]).split("/")[1]
    await behaviours[name](scope, receive, send)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    scope["state"]["shared"] = ["from lifespan"]
    scope["state"]["lock"] = threading.Lock()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode()))


async def answer(send: Send, body: bytes, status: int = 200, headers: Any = ()) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: Any) -> None:
    text = json.dumps(value, default=lambda part: part.decode("latin-1"))
    await answer(send, text.encode(), headers=[(b"content-type", b"application/json")])


@behaviour
async def report(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_json(send, reports)


# The scope


@behaviour
async def scope(scope: Scope, receive: Receive, send: Send) -> None:
    shown = {key: value for key, value in scope.items() if key != "state"}
    types = {key: type(value).__name__ for key, value in scope.items()}
    pairs = {type(pair).__name__ for pair in scope["headers"]}
    await answer_json(send, {"scope": shown, "types": types, "pairs": sorted(pairs)})


@behaviour
async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """A shallow copy: what is put into it is this request's, what is in it is everybody's."""
    seen = {"keys": sorted(scope["state"]), "shared": list(scope["state"]["shared"])}
    scope["state"]["mine"] = 1
    scope["state"]["shared"].append(scope["path"])
    with scope["state"]["lock"]:
        await answer_json(send, seen)


# Bodies of requests


@behaviour
async def events(scope: Scope, receive: Receive, send: Send) -> None:
    """Each event of the body: its size and more_body."""
    seen = []
    while True:
        event = await receive()
        seen.append([event["type"], len(event.get("body", b"")), event.get("more_body")])
        if not event.get("more_body"):
            break
    await answer_json(send, seen)


@behaviour
async def digest(scope: Scope, receive: Receive, send: Send) -> None:
    size, largest, sha = 0, 0, hashlib.sha256()
    more = True
    while more:
        event = await receive()
        size += len(event["body"])
        largest = max(largest, len(event["body"]))
        sha.update(event["body"])
        more = event["more_body"]
    await answer_json(send, {"size": size, "largest": largest, "sha256": sha.hexdigest()})


@behaviour
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends every piece back as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        event = await receive()
        more = event["more_body"]
        await send({"type": "http.response.body", "body": event["body"], "more_body": more})


@behaviour
async def unread(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"not read")


@behaviour
async def ask_first(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses without asking for the body when the query says so."""
    if query(scope).get("refuse"):
        await answer(send, b"refused", 417)
        return
    await digest(scope, receive, send)


# Responses


@behaviour
async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"hello")


@behaviour
async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    """`count` pieces of `size` bytes; `length` adds a content-length that is right."""
    options = query(scope)
    count, size = int(options.get("count", 3)), int(options.get("size", 5))
    headers = [(b"content-length", b"%d" % (count * size))] if "length" in options else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(count):
        body = bytes([65 + number % 26]) * size
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body"})


@behaviour
async def status(scope: Scope, receive: Receive, send: Send) -> None:
    """/status/CODE: with a body and its length; `parts` sends it in two."""
    code, options = int(scope["path"].split("/")[2]), query(scope)
    headers = [(b"content-length", b"4")] if "length" in options else []
    await send({"type": "http.response.start", "status": code, "headers": headers})
    if "parts" in options:
        await send({"type": "http.response.body", "body": b"bo", "more_body": True})
        await send({"type": "http.response.body", "body": b"dy"})
    else:
        await send({"type": "http.response.body", "body": b"body"})


@behaviour
async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """/length/DECLARED/PIECE[/PIECE...]: says one length and sends pieces of others."""
    declared, *pieces = scope["path"].split("/")[2:]
    headers = [(b"content-length", declared.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for left, size in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
        body = b"x" * int(size)
        await send({"type": "http.response.body", "body": body, "more_body": left > 0})


@behaviour
async def header(scope: Scope, receive: Receive, send: Send) -> None:
    """A header of the query's name and value, whatever bytes they are."""
    fields = dict(part.partition(b"=")[::2] for part in scope["query_string"].split(b"&"))
    name, value = unquote_to_bytes(fields[b"name"]), unquote_to_bytes(fields[b"value"])
    await answer(send, b"sent", headers=[(name, value)])


@behaviour
async def order(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [
        (b"X-Zero", b"0"),
        (b"set-cookie", b"a=1; Path=/"),
        (b"vary", b"accept"),
        (b"set-cookie", b"b=2, with a comma"),
        (b"x-one", b"1"),
        (b"vary", b"origin"),
        (b"set-cookie", b"c=3"),
        (b"content-type", b"text/plain"),
    ]
    if "parts" in query(scope):
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"or", "more_body": True})
        await send({"type": "http.response.body", "body": b"der"})
    else:
        await answer(send, b"order", headers=headers)


@behaviour
async def kinds(scope: Scope, receive: Receive, send: Send) -> None:
    """Headers as a generator of lists, the body as a bytearray and a memoryview."""
    headers = ([name, value] for name, value in [(b"x-a", b"1"), (b"x-b", b"2")])
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytearray(b"one "), "more_body": True})
    await send({"type": "http.response.body", "body": memoryview(b"two")})


# The end of a request


async def told(receive: Receive, times: int) -> list[str]:
    """What `receive` says, so many times; it must not wait."""
    return [(await asyncio.wait_for(receive(), 10))["type"] for _ in range(times)]


@behaviour
async def after_response(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await answer(send, b"complete")
    await send({"type": "http.response.body", "body": b"ignored"})
    await send({"type": "http.response.start", "status": 500})
    reports["after_response"] = await told(receive, 3)


@behaviour
async def wait_for_leaver(scope: Scope, receive: Receive, send: Send) -> None:
    """Does not answer; waits until the client has gone."""
    first = await receive()
    reports["leaver_waits"] = first["type"]
    kinds = await told(receive, 3)
    try:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        error = "none"
    except OSError as raised:
        error = "OSError" if type(raised) is not OSError else "exactly OSError"
    reports["leaver"] = [kinds, error]


@behaviour
async def stream_to_leaver(scope: Scope, receive: Receive, send: Send) -> None:
    """Streams until the client has gone. `how`: catch the error, or let it out."""
    how = query(scope)["how"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
    except OSError:
        if how == "raise":
            reports["stream_raised"] = await told(receive, 2)
            raise
        if how == "other":
            reports["stream_other"] = await told(receive, 2)
            raise ValueError("from the disconnect") from None
        reports["stream_caught"] = await told(receive, 2)


@behaviour
async def ticks(scope: Scope, receive: Receive, send: Send) -> None:
    """Small pieces, and a task that waits for the disconnect, as Starlette does."""
    left = asyncio.Event()

    async def listen() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    listener = asyncio.create_task(listen())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    number = 0
    with contextlib.suppress(OSError):
        while not left.is_set():
            number += 1
            await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
            await asyncio.sleep(0.01)
    await listener
    reports["ticks"] = number


# Misuse


@behaviour
async def body_first(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.body", "body": b"too early"})


@behaviour
async def second_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.start", "status": 200, "headers": []})


@behaviour
async def second_start_in_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await send({"type": "http.response.start", "status": 200, "headers": []})


@behaviour
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@behaviour
async def returns_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


@behaviour
async def returns_in_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})


@behaviour
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("raised before the start")


@behaviour
async def raises_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise LookupError("raised after the start")


@behaviour
async def raises_in_body(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"10")] if "length" in query(scope) else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise LookupError("raised in the body")


@behaviour
async def raises_after_end(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"complete")
    raise LookupError("raised after the end")


@behaviour
async def unknown_message(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.nonsense"})


@behaviour
async def bad_status(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": "200", "headers": []})


@behaviour
async def bad_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": "text"})


@behaviour
async def bad_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"", headers=[("x-text", "1")])


@behaviour
async def cancels_itself(scope: Scope, receive: Receive, send: Send) -> None:
    raise asyncio.CancelledError


# Output


@behaviour
async def prints(scope: Scope, receive: Receive, send: Send) -> None:
    print("printed by the application, ünïcode")
    await answer(send, b"printed")


@behaviour
async def logs(scope: Scope, receive: Receive, send: Send) -> None:
    logger.debug("a debug record")
    logger.info("an info record of %s", "a coroutine")
    await asyncio.to_thread(logger.warning, "a warning of a thread")
    try:
        raise LookupError("logged")
    except LookupError:
        logger.exception("a record with a traceback")
    await answer(send, b"logged")
