"""An application that stops in a debugger, or is only traced; that blocks; that counts its runs.

The debugger's terminal is two named pipes in the folder CORE_DEBUGGER; /terminal takes the worker's
own, as breakpoint() does.
"""

from __future__ import annotations

import os
import pdb
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("CORE_DEBUGGER", "."))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        with (FOLDER / "runs").open("a") as runs:
            runs.write(scope["path"] + "\n")
        await HANDLERS[scope["path"]]()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})


def debugger() -> pdb.Pdb:
    return pdb.Pdb(stdin=(FOLDER / "in").open(), stdout=(FOLDER / "out").open("w"))


async def stop() -> None:
    debugger().set_trace()


async def stop_and_block() -> None:
    debugger().set_trace()
    time.sleep(3600)  # noqa: ASYNC251


async def stop_in_thread() -> None:
    """The loop waits for a thread that stands in the debugger."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(debugger().set_trace).result()


async def post_mortem() -> None:
    try:
        raise LookupError("dead")
    except LookupError as error:
        dead = debugger()
        dead.reset()
        dead.interaction(None, error.__traceback__)


async def traced() -> None:
    """As a coverage tool: a trace function, and no debugger."""
    sys.settrace(lambda *_arguments: None)
    block()


def block() -> None:
    time.sleep(3600)


async def terminal() -> None:
    answer = 41
    breakpoint()
    print("answer", answer)


async def nothing() -> None:
    pass


HANDLERS = {
    "/stop": stop,
    "/stop_and_block": stop_and_block,
    "/stop_in_thread": stop_in_thread,
    "/post_mortem": post_mortem,
    "/traced": traced,
    "/terminal": terminal,
    "/": nothing,
}
