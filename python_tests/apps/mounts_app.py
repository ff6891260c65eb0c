"""What the tests of mounts ask: which application this is, who runs it; one that takes its time."""

from __future__ import annotations

import asyncio
import grp
import json
import os
from pathlib import Path
from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo(receive, send)
    else:
        facts = {"which": os.environ.get("WHICH", "root"), "pid": os.getpid()}
        path = scope["path"].removeprefix(scope["root_path"])
        if path == "/slow":
            await asyncio.sleep(float(scope["query_string"]))
        elif path == "/scope":
            facts |= {"root_path": scope["root_path"], "path": scope["path"]}
        elif path == "/who":
            facts |= who()
        await respond(send, json.dumps(facts).encode())


async def lifespan(receive: Any, send: Any) -> None:
    await receive()
    await asyncio.sleep(float(os.environ.get("STARTS_IN", "0")))
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def echo(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text") or ""})


async def respond(send: Any, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def who() -> dict[str, Any]:
    """Of this process: real, effective and saved ids, open files, whether root can be had back."""
    try:
        os.setuid(0)
    except PermissionError:
        regained = False
    else:
        regained = True
    return {
        "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
        "group": grp.getgrgid(os.getgid()).gr_name, "regained": regained,
        "home": os.environ.get("HOME"), "user": os.environ.get("USER"),
        "set": os.environ.get("SET"), "files": files(),
    }  # fmt: skip


def files() -> list[str]:
    """What is open beyond stdin, stdout and stderr."""
    names = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # of this loop itself
            continue
        if int(entry.name) > 2:
            names.append(target)
    return names
