"""The channels of python_tests/realtime: each event is one behaviour.

And an ASGI application beside them, which broadcasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from hornbeam_erlang import aio
from hornbeam_erlang.channels import (
    Channel,
    Channels,
    Connected,
    Refused,
    Request,
    Socket,
    abroadcast,
    abroadcast_from,
    adisconnect,
    apush,
    areply,
    broadcast,
)

room = Channel("room:*")
plain = Channel("plain")


def connect(request: Request) -> Connected:
    """?token=.. says who it is; ?refuse and ?crash are others."""
    if "refuse" in request.query:
        raise Refused({"reason": "bad token", "given": request.query["refuse"]})
    if "crash" in request.query:
        raise RuntimeError("the secret of connect")
    user = request.query.get("token", "nobody")
    return Connected({"user": user}, id=f"user:{user}")


@room.on_join
async def join(topic: str, params: Any, socket: Socket) -> Any:
    """Tells what it knows."""
    if topic == "room:forbidden":
        raise Refused({"reason": "forbidden"})
    if topic == "room:broken":
        raise RuntimeError("the secret of join")
    if topic == "room:exit":
        os._exit(9)
    if topic == "room:slow":
        await _file(params["file"])
    response = {"pid": os.getpid(), "params": params, "user": socket.assigns["user"]}
    return response, socket.assign(
        n=0, name=params.get("name") if isinstance(params, dict) else None
    )


async def _file(path: str) -> None:
    """Waits for a file, after it has made another that says that it waits."""
    _touch(path + ".waits")
    while True:
        if _exists(path):
            return
        await asyncio.sleep(0.01)


def _touch(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).touch()


def _exists(path: str) -> bool:
    return Path(path).exists()


@room.on_leave
def leave(topic: str, reason: str, socket: Socket) -> None:
    """Says so, for all workers in one place."""
    print("left", json.dumps([topic, reason]), flush=True)


@room.on("echo")
async def echo(payload: Any, socket: Socket) -> Any:
    """Answers with what it got."""
    return "reply", payload, socket


@room.on("echo_plain")
def echo_plain(payload: Any, socket: Socket) -> Any:
    """The same in a thread."""
    return "reply", payload, socket


@room.on("count")
async def number(payload: Any, socket: Socket) -> Any:
    """Its assigns are kept from one event to the next."""
    n = socket.assigns["n"] + 1
    return "reply", {"n": n, "pid": os.getpid()}, socket.assign(n=n)


@room.on("silent")
async def silent(payload: Any, socket: Socket) -> None:
    """No answer."""


@room.on("wait")
async def wait(payload: Any, socket: Socket) -> Any:
    """Runs until a file is there."""
    await _file(payload["file"])
    return "reply", {"pid": os.getpid()}, socket


@room.on("say")
async def say(payload: Any, socket: Socket) -> None:
    """To all."""
    await abroadcast(socket.topic, "said", payload)


@room.on("say_plain")
def say_plain(payload: Any, socket: Socket) -> None:
    """To all, from a thread."""
    broadcast(socket.topic, "said", payload)


@room.on("say_others")
async def say_others(payload: Any, socket: Socket) -> None:
    """To all others."""
    await abroadcast_from(socket, "said", payload)


@room.on("say_filtered")
async def say_filtered(payload: Any, socket: Socket) -> None:
    """To all, each of whom sees it first."""
    await abroadcast(socket.topic, "filtered", payload)


@room.intercept("filtered")
async def filtered(event: str, payload: Any, socket: Socket) -> Any:
    """Not for those named, and with the name of who gets it."""
    name = socket.assigns["name"]
    return None if name in payload["not"] else {**payload, "for": name}


@room.on("many")
async def many(payload: Any, socket: Socket) -> None:
    """Broadcasts that each receiver's channel wants to see first, to another topic."""
    for n in range(payload["count"]):
        await abroadcast(payload["topic"], "filtered", {"not": [], "n": n})


@room.on("push")
async def pushes(payload: Any, socket: Socket) -> None:
    """Some messages for this client alone."""
    for n in range(payload["count"]):
        await apush(socket, "pushed", {"n": n, "filling": "x" * payload.get("size", 0)})


@room.on("large")
async def large(payload: Any, socket: Socket) -> Any:
    """A large answer."""
    return "reply", "x" * payload["size"], socket


@room.on("later")
async def later(payload: Any, socket: Socket) -> None:
    """Answers when it has returned."""

    async def answer() -> None:
        await asyncio.sleep(0)
        await areply(socket, {"late": payload})

    tasks.add(task := asyncio.create_task(answer()))
    task.add_done_callback(tasks.discard)


tasks: set[asyncio.Task[None]] = set()


@room.on("boom")
async def boom(payload: Any, socket: Socket) -> None:
    """Raises."""
    raise ValueError("the secret of boom")


@room.on("stop")
async def stop(payload: Any, socket: Socket) -> Any:
    """Ends the channel."""
    return "stop", "enough", socket


@room.on("exit")
async def ends(payload: Any, socket: Socket) -> None:
    """Takes the worker with it."""
    os._exit(9)


@room.on("block")
def block(payload: Any, socket: Socket) -> None:
    """Longer than channel_timeout, in a thread."""
    time.sleep(payload["seconds"])


@plain.on_join
def join_plain(topic: str, params: Any, socket: Socket) -> None:
    """Lets everybody in."""


channels = Channels(room, plain, connect=connect)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """GET /broadcast/TOPIC/EVENT, /disconnect/ID, and others; a WebSocket that says where it is."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "of the application"})
        await receive()
    elif scope["type"] == "http":
        body = json.dumps(await answered(scope["path"].split("/")[1:])).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def answered(parts: list[str]) -> Any:
    """What the path asks for."""
    match parts:
        case ["broadcast", topic, event]:
            await abroadcast(topic, event, {"from": "http"})
        case ["fill", topic, size]:
            await abroadcast(topic, "filling", {"x": "x" * int(size)})
        case ["connect", node]:
            return await aio.connect(node)
        case ["disconnect", who]:
            await adisconnect(who)
        case ["publish", topic]:
            return await aio.publish(topic, b"raw")
    return os.getpid()
