"""Scenes of faults: full load of GETs on workers that are killed, stopped, grow, are reloaded.

Four scenes share the time. In each, every GET must be answered with 200, and afterwards no stream,
process, port or descriptor may be left over, nor memory:

kill     a random worker gets SIGKILL each second; a POST in flight on it gets 502, all others 200
stop     a random worker gets SIGSTOP, is found by its heartbeat and replaced, then the next
memory   workers reach max_worker_memory all the time: every GET and POST gets 200
reload   ten reloads in a row: every GET and POST gets 200
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from harness import Hornbeam, wait_until
from traffic import Gauges, Tally, ask_again_and_again, gauges, metrics, settled

GETS, POSTS = 12, 4
GET = b"GET / HTTP/1.1\r\nhost: chaos\r\n\r\n"
GROW = b"GET /grow?kib=400 HTTP/1.1\r\nhost: chaos\r\n\r\n"
POST = b"POST /sleep?s=0.05 HTTP/1.1\r\nhost: chaos\r\ncontent-length: 2\r\n\r\nhi"


@contextlib.asynccontextmanager
async def load(server: Hornbeam, tally: Tally, get: bytes = GET) -> AsyncIterator[None]:
    """Clients that ask until the block ends."""
    stop = asyncio.Event()
    clients = [
        *(ask_again_and_again(server, "GET", get, tally, stop) for _ in range(GETS)),
        *(ask_again_and_again(server, "POST", POST, tally, stop) for _ in range(POSTS)),
    ]
    tasks = [asyncio.create_task(client) for client in clients]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def until_true(condition: Callable[..., bool]) -> None:
    """Looks often, for a minute at most."""
    await asyncio.to_thread(wait_until, condition, 60, "the next event of the scene")


def reloads(server: Hornbeam) -> int:
    """How many have ended."""
    return server.output.count("server default reloaded")


async def warmed(server: Hornbeam) -> Gauges:
    """The gauges once every part of the server has worked."""
    async with load(server, Tally()):
        await asyncio.sleep(0.5)
    await asyncio.sleep(0.5)
    return gauges(server)


async def signalled(server: Hornbeam, seconds: float, number: signal.Signals) -> Tally:
    """kill and stop: a random worker at a time, the next when there are three again."""
    tally, until = Tally(), time.monotonic() + seconds
    async with load(server, tally):
        while time.monotonic() < until:
            await asyncio.sleep(1 if number == signal.SIGKILL else 0.2)
            victim = random.choice(server.workers())
            os.kill(victim, number)
            tally.add("victims", number.name)
            if number == signal.SIGSTOP:
                await until_true(lambda victim=victim: victim not in server.workers())
    return tally


async def grown(server: Hornbeam, seconds: float, _number: object) -> Tally:
    """memory: each GET keeps 400 KiB."""
    tally = Tally()
    async with load(server, tally, GROW):
        await asyncio.sleep(seconds)
    retired = metrics(server)['hornbeam_worker_retirements_total{mount="/"}']
    tally.add("retired", "at least one" if retired >= 1 else "none")
    return tally


async def reloaded(server: Hornbeam, _seconds: float, _number: object) -> Tally:
    """reload: ten times."""
    tally = Tally()
    async with load(server, tally):
        before = reloads(server)
        for done in range(10):
            os.kill(server.beam(), signal.SIGHUP)
            goal = before + done + 1
            await until_true(lambda goal=goal: reloads(server) == goal)
    return tally


Scene = Callable[[Hornbeam, float, signal.Signals], Awaitable[Tally]]
SCENES: dict[str, tuple[Scene, signal.Signals, tuple[str, ...], dict[str, Any]]] = {
    "kill": (signalled, signal.SIGKILL, ("200", "502"), {}),
    "stop": (signalled, signal.SIGSTOP, ("200", "502"), {"worker_heartbeat": 1500}),
    "memory": (grown, signal.SIGCONT, ("200",), {"max_worker_memory": 80_000_000}),
    "reload": (reloaded, signal.SIGHUP, ("200",), {}),
}


async def play(name: str, seconds: float) -> list[str]:
    """One scene on a server of its own; what went wrong."""
    scene, number, posts, options = SCENES[name]
    with Hornbeam("ops_app:app", workers=3, metrics_bind="127.0.0.1:0", **options) as server:
        before = await warmed(server)
        tally = await scene(server, seconds, number)
        wrong = [f"GET: {end} x {n}" for end, n in tally.other_than("GET", "200").items()]
        wrong += [f"POST: {end} x {n}" for end, n in tally.other_than("POST", *posts).items()]
        wrong += [end for end in tally.ends.get("retired", ()) if end == "none"]
        wrong += await settled(server, before)
        if re.search(r"crash|CRASH|unexpectedly", server.output):
            wrong.append("a crash in the log:\n" + server.output[-4000:])
    print(f"{name:7} {tally}")
    return [f"{name}: {problem}" for problem in wrong]


def main() -> None:
    """Plays the scenes; exit status 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for all scenes together")
    parser.add_argument("--scene", choices=SCENES, action="append")
    options = parser.parse_args()
    names = options.scene or list(SCENES)
    wrong = [
        problem
        for name in names
        for problem in asyncio.run(play(name, options.seconds / len(names)))
    ]
    print("\n".join(wrong) or "nothing was lost and nothing is left over")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
