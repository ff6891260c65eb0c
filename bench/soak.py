"""`make soak`: everything at once for ten minutes, with kills and reloads; nothing may be left.

Plain GETs, uploads, server-sent events, WebSockets that echo, WebSockets that are published to, and
counters in the shared state; a worker is killed every 7 seconds, all are reloaded every 11. What
such an event explains is counted and allowed: a POST gets 502, a stream is cut, a WebSocket gets
1011 or 1012. All else is an error; the counter holds every increment that was answered; every gauge
is back at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from harness import Hornbeam
from traffic import Tally, ask_again_and_again, exchange, gauges, settled
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

GET = b"GET / HTTP/1.1\r\nhost: soak\r\n\r\n"
UPLOAD = b"POST /upload HTTP/1.1\r\nhost: soak\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000
COUNT = b"POST /count HTTP/1.1\r\nhost: soak\r\n\r\n"
PUBLISH = b"POST /publish HTTP/1.1\r\nhost: soak\r\n\r\n"
EVENTS = b"GET /events HTTP/1.1\r\nhost: soak\r\n\r\n"


async def streams(server: Hornbeam, tally: Tally, stop: asyncio.Event) -> None:
    """Reads a little of a stream without an end, then leaves."""
    while not stop.is_set():
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(EVENTS)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            for _ in range(random.randrange(1, 20)):
                await asyncio.wait_for(reader.readuntil(b"\n\n"), 60)
            tally.add("stream", head[9:12].decode())
        except (asyncio.IncompleteReadError, ConnectionError):
            tally.add("stream", "cut")
        except TimeoutError:
            tally.add("stream", "silent")
        writer.close()


async def websockets(server: Hornbeam, path: str, tally: Tally, stop: asyncio.Event) -> None:
    """Echoes, or messages published to a topic, a few at a time."""
    url = server.url.replace("http", "ws") + path
    while not stop.is_set():
        try:
            async with connect(url, open_timeout=60) as ws:
                for _ in range(50):
                    if path == "/":
                        await ws.send("hello")
                    if not await message(ws, stop):
                        break
            tally.add("ws " + path, "whole")
        except ConnectionClosed as closed:
            tally.add("ws " + path, str(closed.rcvd.code if closed.rcvd else "vanished"))
        except InvalidStatus as refused:
            tally.add("ws " + path, str(refused.response.status_code))
        except TimeoutError:
            tally.add("ws " + path, "silent")
        except OSError as error:
            tally.add("ws " + path, type(error).__name__)


async def message(ws: ClientConnection, stop: asyncio.Event) -> bool:
    """Whether one came before the end of the run, when nobody publishes any more."""
    received, ended = asyncio.ensure_future(ws.recv()), asyncio.ensure_future(stop.wait())
    done, _ = await asyncio.wait([received, ended], timeout=60, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if received in done:
        received.result()  # or ConnectionClosed
        return True
    received.cancel()
    if not done:
        raise TimeoutError
    return False


async def every(seconds: float, stop: asyncio.Event, event: Any) -> None:
    """Calls `event` now and then."""
    waiting = asyncio.ensure_future(stop.wait())
    while not (await asyncio.wait([waiting], timeout=seconds))[0]:
        event()


def kill_one(server: Hornbeam, tally: Tally) -> None:
    """SIGKILL to a random worker."""
    os.kill(random.choice(server.workers()), signal.SIGKILL)
    tally.add("events", "kill")


def reload_all(server: Hornbeam, tally: Tally) -> None:
    """SIGHUP."""
    os.kill(server.beam(), signal.SIGHUP)
    tally.add("events", "reload")


async def counter(server: Hornbeam) -> int:
    """What the shared counter holds; this counts once more."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(COUNT.replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await reader.read()
    writer.close()
    return int(answer.rpartition(b"\r\n\r\n")[2])


Clients = list[Coroutine[Any, Any, None]]
LOAD = {"GET": (GET, 6), "upload": (UPLOAD, 2), "count": (COUNT, 2), "publish": (PUBLISH, 1)}


def clients(server: Hornbeam, tally: Tally, stop: asyncio.Event) -> Clients:
    """All of the load."""
    plain = [
        ask_again_and_again(server, kind, request, tally, stop)
        for kind, (request, number) in LOAD.items()
        for _ in range(number)
    ]
    sockets = [websockets(server, path, tally, stop) for path in ("/", "/topic") * 3]
    return [*plain, *(streams(server, tally, stop) for _ in range(3)), *sockets]


ALLOWED = {
    "GET": {"200"},
    "upload": {"200", "502"},
    "count": {"200", "502"},
    "publish": {"200", "502"},
    "stream": {"200", "cut"},
    "ws /": {"whole", "1011", "1012", "502"},
    "ws /topic": {"whole", "1011", "1012", "502"},
}


async def soak(seconds: float) -> list[str]:
    """The run; what went wrong."""
    with Hornbeam(
        "ops_app:app", workers=3, metrics_bind="127.0.0.1:0", graceful_timeout=4000
    ) as server:
        await exchange(server, GET, None)
        await run(server, 1.0, Tally())  # so that every part has worked once
        assert await settled(server, gauges(server)) == []
        await asyncio.sleep(6)
        before, tally = gauges(server), Tally()
        first = await counter(server)
        await run(server, seconds, tally)
        wrong = [
            f"{kind}: {end} x {n}"
            for kind, ends in ALLOWED.items()
            for end, n in tally.other_than(kind, *ends).items()
        ]
        answered = tally.ends["count"]["200"]
        sent, counted = sum(tally.ends["count"].values()), await counter(server) - first - 1
        if not answered <= counted <= sent:
            wrong.append(f"counted {counted} of {answered} answered and {sent} sent")
        wrong += await settled(server, before, 60)
    print(tally)
    return wrong


async def run(server: Hornbeam, seconds: float, tally: Tally) -> None:
    """Load, kills and reloads for a time."""
    stop = asyncio.Event()
    events = [
        every(7, stop, lambda: kill_one(server, tally)),
        every(11, stop, lambda: reload_all(server, tally)),
    ]
    tasks = [asyncio.create_task(c) for c in [*clients(server, tally, stop), *events]]
    await asyncio.sleep(seconds)
    stop.set()
    await asyncio.gather(*tasks)


def main() -> None:
    """Runs; exit status 1 when anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    wrong = asyncio.run(soak(parser.parse_args().seconds))
    print("\n".join(wrong) or "no error that nothing explains, and nothing is left over")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
