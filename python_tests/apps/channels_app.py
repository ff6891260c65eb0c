"""Channels in every form that Python has for them; the part of a topic or an event says which."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hornbeam_channels
from hornbeam_erlang.channels import (
    Channel,
    Channels,
    Connected,
    Refused,
    Reply,
    Request,
    Socket,
    Stop,
    areply,
    broadcast,
    push,
    reply,
)
from hornbeam_erlang.presence import Presence

JOINS: dict[str, Callable[[Socket], Any]] = {
    "nothing": lambda socket: None,
    "dict": lambda socket: {"a": 1},
    "socket": lambda socket: socket.assign("n", 1),
    "both": lambda socket: ({"a": 1}, socket.assign(n=1)),
    "ok": lambda socket: ("ok", {"a": 1}, socket.assign(n=1)),
    "error": lambda socket: ("error", {"reason": "no", "n": 1}),
    "text": lambda socket: ("error", "no"),
    "wrong": lambda socket: 1,
}
EVENTS: dict[str, Callable[[Socket], Any]] = {
    "nothing": lambda socket: None,
    "dict": lambda socket: {"a": 1},
    "socket": lambda socket: socket.assign(n=1),
    "both": lambda socket: ({"a": 1}, socket.assign(n=1)),
    "Reply": lambda socket: Reply({"a": 1}, "error", socket.assign(n=1)),
    "bytes": lambda socket: Reply(b"\x00\xff"),
    "Stop": lambda socket: Stop("bye", {"a": 1}),
    "reply": lambda socket: ("reply", {"a": 1}, socket.assign(n=1)),
    "noreply": lambda socket: ("noreply", socket.assign(n=1)),
    "stop": lambda socket: ("stop", "bye", socket),
    "wrong": lambda socket: ("reply", {"a": 1}),
}

plain = Channel("plain:*")
loop = Channel("loop:*")
parts = Channel("parts:*:*")
room = Channel("room:*", presence=True)
barrier = threading.Barrier(2)


@plain.on_join
def plain_join(topic: str, params: Any, socket: Socket) -> Any:
    return JOINS[topic.split(":")[1]](socket)


@loop.on_join
async def loop_join(topic: str, params: Any, socket: Socket) -> Any:
    await asyncio.sleep(0)
    return JOINS[topic.split(":")[1]](socket)


@parts.on_join
def parts_join(topic: str, topic_params: Any, params: Any, socket: Socket) -> Any:
    return ("ok", {"topic": topic, "parts": topic_params, "params": params}, socket)


def _add_events() -> None:
    for name, form in EVENTS.items():

        def plain_event(payload: Any, socket: Socket, form: Any = form) -> Any:
            return form(socket)

        async def loop_event(payload: Any, socket: Socket, form: Any = form) -> Any:
            await asyncio.sleep(0)
            return form(socket)

        plain.on(name)(plain_event)
        loop.on(name)(loop_event)


_add_events()
for each in (plain, loop):
    each.on("assigns")(lambda payload, socket: dict(socket.assigns))


@plain.on("meet")
def meet(payload: Any, socket: Socket) -> Any:
    """Two that wait for each other, each in a thread."""
    barrier.wait(20)
    return {"thread": threading.get_ident()}


@room.on_join
async def room_join(topic: str, params: Any, socket: Socket) -> Any:
    if params.get("name") is None:
        raise Refused("a name is needed")
    await Presence(topic).atrack(socket, params["name"], {"pid": os.getpid()})
    response = {"pid": os.getpid(), "id": socket.id, "user": socket.assigns["user"]}
    return response, socket.assign(name=params["name"], count=0, moves=0)


@room.on_leave
def room_leave(topic: str, reason: str, socket: Socket) -> None:
    print(f"LEFT {topic} {socket.assigns['name']} {reason}", flush=True)


@room.on_rejoin
async def room_rejoin(topic: str, socket: Socket) -> Socket:
    return socket.assign(moves=socket.assigns["moves"] + 1)


@room.on("count")
def count(payload: Any, socket: Socket) -> Any:
    after = socket.assign(count=socket.assigns["count"] + 1)
    return {"pid": os.getpid(), **after.assigns}, after


def _tell(file: str) -> None:
    Path(file).write_text(str(os.getpid()))


@room.on("hang")
async def hang(payload: Any, socket: Socket) -> None:
    _tell(payload["file"])
    await asyncio.sleep(600)


@room.on("raise")
def fail(payload: Any, socket: Socket) -> None:
    raise ValueError(f"the secret of {socket.topic}")


@room.on("araise")
async def afail(payload: Any, socket: Socket) -> None:
    raise ValueError(f"the other secret of {socket.topic}")


@room.on("refuse")
async def refuse(payload: Any, socket: Socket) -> None:
    raise Refused({"reason": "not now", "n": payload["n"]})


@room.on("later")
def later(payload: Any, socket: Socket) -> None:
    """Answers and pushes when the handler has long returned, from a thread."""

    def work() -> None:
        time.sleep(0.01)
        push(socket, "before", payload)
        reply(socket, {"late": True}, "ok")

    threading.Thread(target=work, daemon=True).start()


@room.on("alater")
async def alater(payload: Any, socket: Socket) -> None:
    _tasks.append(asyncio.create_task(areply(socket, {"late": True}, "error")))


_tasks: list[asyncio.Task[bool]] = []


@room.on("say")
def say(payload: Any, socket: Socket) -> None:
    broadcast(socket.topic, "said", {**payload, "by": socket.assigns["name"]})


@room.intercept("said")
async def said(event: str, payload: Any, socket: Socket) -> Any:
    """Nobody hears himself; each hears how often he was spoken to."""
    if payload["by"] == socket.assigns["name"]:
        return None
    heard = socket.assigns.get("heard", 0) + 1
    return {**payload, "heard": heard}, socket.assign(heard=heard)


@room.on("large")
def large(payload: Any, socket: Socket) -> Any:
    """A broadcast of so many bytes, and a text of so many, which nobody gets."""
    size = payload["size"]
    return {"errors": [_broadcast(bytes(size)), _broadcast("x" * (size - 2))]}


def _broadcast(sent: bytes | str) -> str:
    try:
        broadcast("room:nobody", "large", sent)
    except ValueError as error:
        return str(error)
    return ""


@room.on("status")
def status(payload: Any, socket: Socket) -> Any:
    Presence(socket.topic).update(socket, socket.assigns["name"], payload)
    return Presence(socket.topic).get(socket.assigns["name"])


@room.on("hide")
async def hide(payload: Any, socket: Socket) -> Any:
    presence, name = Presence(socket.topic), socket.assigns["name"]
    was = [await presence.auntrack(socket, name), await presence.auntrack(socket, name)]
    return {"was": was, "list": await presence.alist()}


@room.on("hidden")
def hidden(payload: Any, socket: Socket) -> None:
    """What is not tracked cannot be updated."""
    Presence("room:other").update(socket, "nobody", {})


@room.on("state")
async def state(payload: Any, socket: Socket) -> Any:
    return {"there": await Presence(socket.topic).apush_state(socket)}


@room.authorize
async def authorize(topic: str, request: Request) -> bool:
    if request.query.get("user") is None:
        raise Refused("who are you?")
    return request.headers.get("x-key") == "good" and topic == "room:open"


# As the original has it
old = hornbeam_channels.channel("old:*")


@old.on_join
def old_join(topic: Any, topic_params: Any, params: Any, socket: Any) -> Any:
    if not params.get("username"):
        return ("error", {"reason": "username required"})
    socket = socket.assign("username", params["username"])
    return ("ok", {"message": f"Welcome to {topic_params['old_id']}!"}, socket)


@old.on("new_msg")
def old_message(payload: Any, socket: Any) -> Any:
    message = {"username": socket.assigns["username"], "body": payload["body"]}
    hornbeam_channels.broadcast_from(socket, "new_msg", message)
    return ("reply", {"status": "ok"}, socket)


async def connect(request: Request) -> Connected:
    if request.query.get("user") == "nobody":
        raise Refused("nobody may not")
    user = request.query.get("user", "")
    return Connected({"user": user}, id=f"user:{user}")


channels = Channels(plain, loop, parts, room, old, connect=connect)
one_of_them = plain
a_list = [plain, loop]
twice = [Channel("room:*"), Channel("room:*")]
no_channel = object()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Broadcasts what a request says."""
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "http":
        broadcast(scope["path"].removeprefix("/"), "posted", {"pid": os.getpid()})
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """The same, of another kind."""
    broadcast(environ["PATH_INFO"].removeprefix("/"), "posted", {"pid": os.getpid()})
    start_response("204 No Content", [])
    return [b""]
