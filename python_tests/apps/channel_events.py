"""Topics that keep their messages, and their server-sent events: what test_history.py and
test_events.py of python_tests/realtime ask.

The application beside them broadcasts as it is told: /send?topic=..&from=1&to=3 sends the event "n"
with {"n": 1}, {"n": 2}, {"n": 3}; and serves a page with an EventSource.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from hornbeam_erlang.channels import (
    Channel,
    Channels,
    History,
    Refused,
    Request,
    abroadcast,
    ahistory,
)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

five = Channel("five:*", history=5)
many = Channel("many:*", history=100_000)
brief = Channel("brief:*", history=History(1000, seconds=1))
plain = Channel("plain:*")
private = Channel("private:*", history=5)
hidden = Channel("hidden:*", history=5)
filtered = Channel("filtered:*", history=20)
present = Channel("present:*", history=5, presence=True)
asked: list[str] = []


@five.authorize
@many.authorize
@brief.authorize
@plain.authorize
@filtered.authorize
@present.authorize
def everybody(topic: str, request: Request) -> None:
    asked.append(topic)


@private.authorize
async def whoever_has_the_word(topic: str, request: Request) -> None:
    asked.append(topic)
    if request.query.get("crash"):
        raise RuntimeError("the secret of authorize")
    if request.query.get("word") != "sesame" and request.headers.get("cookie") != "word=sesame":
        raise Refused({"reason": "say the word", "topic": topic})


@filtered.intercept("n")
def odd_ones(event: str, payload: Any, socket: Any) -> Any:
    return {**payload, "seen": True} if payload["n"] % 2 else None


channels = Channels(five, many, brief, plain, private, hidden, filtered, present)

PAGE = b"""<!doctype html><meta charset="utf-8"><title>events</title>
<p id="log"></p><p id="opened">0</p><p id="missed"></p>
<script>
const topic = new URLSearchParams(location.search).get("topic");
const source = new EventSource("/events/" + encodeURIComponent(topic));
const put = (id, text) => { document.getElementById(id).textContent = text };
const seen = [];
let opened = 0;
source.onopen = () => put("opened", ++opened);
source.addEventListener("n", message => {
  seen.push(JSON.parse(message.data).n);
  put("log", seen.join(" "));
});
source.addEventListener("hb_missed", message => put("missed", message.data));
</script>
"""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    query = dict(parse_qsl(scope["query_string"].decode()))
    kind = b"application/json"
    if scope["path"] == "/send":
        size, pause = int(query.get("size", 0)), float(query.get("pause", 0))
        for n in range(int(query["from"]), int(query["to"]) + 1):
            payload = {"n": n, "at": time.time(), **({"pad": "x" * size} if size else {})}
            await abroadcast(query["topic"], query.get("event", "n"), payload)
            if pause:
                await asyncio.sleep(pause)
        body = b"true"
    elif scope["path"] == "/text":
        await abroadcast(query["topic"], query["event"], json.loads(query["payload"]))
        body = b"true"
    elif scope["path"] == "/bytes":
        await abroadcast(query["topic"], "bytes", b"\x00\xff")
        body = b"true"
    elif scope["path"] == "/history":
        whole, kept = await ahistory(query["topic"], query.get("last_id", ""), int(query["limit"]))
        body = json.dumps([whole, [[m.id, m.event, m.payload["n"]] for m in kept]]).encode()
    elif scope["path"] == "/asked":
        body = json.dumps(asked).encode()
    else:
        kind, body = b"text/html", PAGE
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
