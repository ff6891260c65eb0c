"""Locks of a cluster, as a client of the application sees them.

POST /take/KIND/NAME?ttl&timeout&limit   takes it, keeps it until /give; the token and the process
POST /give/NAME                          gives it back: "given", or "LockLostError"
GET  /held                               what this process holds: name to [token, lost]
POST /fight/NAME?rounds&threads&folder   takes it so often, and looks whether anybody else has it
GET  /leader                             the campaign of this process for "chief"
POST /places?folder&limit&rounds         how many were inside a semaphore at once
Errors are the name of their class, with status 503.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from hornbeam_erlang import (
    InDoubtError,
    Leader,
    Lock,
    NoQuorumError,
    Token,
    leader,
    lock,
    semaphore,
)

Holding = tuple[Lock, Token]
held: dict[str, Holding] = {}
campaign: dict[str, Leader] = {}
said: list[list[Any]] = []
# A lease that no busy machine outlasts, s.
LONG = 600

KINDS: dict[str, Callable[..., Lock]] = {"lock": lock, "semaphore": semaphore}


@contextmanager
def alone(folder: Path, token: int) -> Any:
    """FileExistsError when somebody else is here."""
    here = folder / "here"
    os.close(os.open(here, os.O_CREAT | os.O_EXCL))
    with (folder / "tokens").open("a") as tokens:
        tokens.write(f"{token}\n")
    yield
    here.unlink()


async def take(kind: str, name: str, ttl: float, timeout: float | None, **limit: int) -> Any:
    one = KINDS[kind](name, ttl=ttl, timeout=timeout, **limit)
    token = await one.__aenter__()
    held[name] = one, token
    return {"token": token.number, "pid": os.getpid()}


async def give(name: str) -> Any:
    one, _ = held.pop(name)
    await one.__aexit__(None, None, None)
    return "given"


async def fight(name: str, rounds: int, threads: int, folder: str) -> Any:
    async def once() -> None:
        while True:
            with suppress(NoQuorumError, InDoubtError):
                async with lock(name, ttl=LONG) as token:
                    with alone(Path(folder), token):
                        await asyncio.sleep(0)
                    return
            await asyncio.sleep(0.1)

    def once_in_thread() -> None:
        while True:
            with (
                suppress(NoQuorumError, InDoubtError),
                lock(name, ttl=LONG) as token,
                alone(Path(folder), token),
            ):
                return
            time.sleep(0.1)

    await asyncio.gather(
        *(once() for _ in range(rounds)),
        *(asyncio.to_thread(once_in_thread) for _ in range(threads)),
    )
    return rounds + threads


async def places(folder: str, limit: int, rounds: int) -> Any:
    def inside(number: int) -> int:
        while True:
            with (
                suppress(NoQuorumError, InDoubtError),
                semaphore("places", limit=limit, ttl=LONG),
            ):
                mine = Path(folder) / f"place-{os.getpid()}-{number}"
                mine.touch()
                found = len(list(Path(folder).glob("place-*")))
                mine.unlink()
                return found
            time.sleep(0.1)

    return max(await asyncio.gather(*(asyncio.to_thread(inside, n) for n in range(rounds))))


async def answer(path: list[str], query: dict[str, Any]) -> Any:
    match path:
        case ["take", kind, name]:
            return await take(kind, name, query.pop("ttl", 5), query.pop("timeout", None), **query)
        case ["give", name]:
            return await give(name)
        case ["held"]:
            return {name: [token.number, token.lost] for name, (_, token) in held.items()}
        case ["fight", name]:
            return await fight(name, **query)
        case ["places"]:
            return await places(**query)
        case ["leader"]:
            me = campaign["chief"]
            return {"leads": me.is_leader, "current": await me.acurrent(), "said": said}
    raise LookupError(path)


@asynccontextmanager
async def campaigning() -> Any:
    if "CAMPAIGN" not in os.environ:
        yield
        return
    gained = lambda token: said.append(["gained", int(token)])  # noqa: E731
    lost = lambda: said.append(["lost"])  # noqa: E731
    async with leader("chief", ttl=2, on_gain=gained, on_loss=lost) as me:
        campaign["chief"] = me
        yield


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        async with campaigning():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    query = {
        name: text if name == "folder" else json.loads(text)
        for name, text in parse_qsl(scope["query_string"].decode())
    }
    status, value = 200, None
    try:
        value = await answer(scope["path"].strip("/").split("/"), query)
    except Exception as error:
        status, value = 503, type(error).__name__
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})
