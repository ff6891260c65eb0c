"""An application that says who has imported it, and does on import what PRELOAD_TEST names."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import hornbeam_erlang
from hornbeam_erlang import metrics, register_hook

IMPORTED_IN = os.getpid()
DOES = os.environ.get("PRELOAD_TEST", "")
print(f"imported in {IMPORTED_IN}")

counted = metrics.counter("preload_asked", "Requests.")
counted.inc()


def handler(action: str) -> list[Any]:
    return [action, IMPORTED_IN, os.getpid()]


if "no hook" not in DOES:
    register_hook("preload.hook", handler)

if "state" in DOES:
    hornbeam_erlang.state_set("key", 1)
if "raises" in DOES:
    raise LookupError("not this one")
if "exits" in DOES:
    os._exit(9)
if "hangs" in DOES:
    time.sleep(3600)
if "threads" in DOES:
    threading.Thread(target=time.sleep, args=(3600,), name="of-the-import", daemon=True).start()
if "sockets" in DOES:
    opened = socket.create_server(("127.0.0.1", 0))


def files() -> list[str]:
    folder = Path("/proc/self/fd")
    return sorted(os.readlink(link) for link in folder.iterdir() if link.is_symlink())  # noqa: PTH115


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        print(f"startup in {os.getpid()}")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print(f"shutdown in {os.getpid()}")
        await send({"type": "lifespan.shutdown.complete"})
        return
    counted.inc()
    said: Any
    if scope["path"] == "/exit":
        os._exit(5)
    elif scope["path"] == "/hook":
        said = await hornbeam_erlang.aio.execute("preload.hook", "act")
    elif scope["path"] == "/files":
        said = files()
    else:
        said = [os.getpid(), os.getppid(), IMPORTED_IN, random.random(), sys.argv]
    body = repr(said).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [repr([os.getpid(), os.getppid(), IMPORTED_IN]).encode()]
