"""What a framework takes by itself: the benchmark's FastAPI route, called without any server.

    .venv/bin/python bench/floor.py    # [--rounds 7]

µs of CPU time for each call, in a task of its own on uvloop; the median of the rounds. No server
that runs the application in one thread can answer more requests than one in that time.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import statistics
import sys
import time
from typing import Any

import uvloop
from servers import APPS

CALLS = 20_000
AT_ONCE = 50
SCOPE = {
    "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
    "method": "GET", "scheme": "http", "path": "/", "raw_path": b"/", "query_string": b"",
    "root_path": "", "headers": [(b"host", b"127.0.0.1:8000")], "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 8000), "state": {}, "extensions": {},
}  # fmt: skip


async def receive() -> dict[str, Any]:
    """No body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: dict[str, Any]) -> None:
    """Nobody reads it."""


async def calls(app: Any, count: int) -> None:
    """As many, some at a time."""
    for _ in range(count // AT_ONCE):
        tasks = [asyncio.ensure_future(app({**SCOPE}, receive, send)) for _ in range(AT_ONCE)]
        await asyncio.gather(*tasks)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    sys.path.insert(0, str(APPS))
    app = importlib.import_module("fast").app

    loop = uvloop.new_event_loop()
    loop.run_until_complete(calls(app, CALLS // 10))
    found = []
    for _ in range(rounds):
        before = time.process_time()
        loop.run_until_complete(calls(app, CALLS))
        found.append((time.process_time() - before) / CALLS * 1e6)
    loop.close()
    print(f"{statistics.median(found):.1f} us ({min(found):.1f} to {max(found):.1f})")


if __name__ == "__main__":
    main()
