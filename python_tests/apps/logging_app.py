"""Logs as the variable LOGGING says that an application should configure it, and raises."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

from hornbeam_worker import logs

HOW = os.environ.get("LOGGING", "")
FILE = os.environ.get("LOGGING_FILE", "")
PLAIN = "%(levelname)s|%(name)s|%(message)s"

if HOW == "basic":
    logging.basicConfig(level=logging.DEBUG, format=PLAIN, stream=sys.stdout)
elif HOW == "file":
    logging.basicConfig(level=logging.INFO, format=PLAIN, filename=FILE)
elif HOW == "force":
    logging.basicConfig(level=logging.ERROR)
    logging.basicConfig(level=logging.INFO, format=PLAIN, force=True)
elif HOW == "dict":  # disables the loggers that are there
    console = {"class": "logging.StreamHandler", "formatter": "plain"}
    logging.config.dictConfig(
        {
            "version": 1,
            "formatters": {"plain": {"format": PLAIN}},
            "handlers": {"console": console},
            "root": {"level": "INFO", "handlers": ["console"]},
        }
    )
elif HOW == "own":
    own = logging.getLogger("logging_app")
    own.setLevel(logging.INFO)
    own.addHandler(logging.StreamHandler())
    own.handlers[0].setFormatter(logging.Formatter(PLAIN))
elif HOW == "server":
    logging.getLogger().addHandler(logs.handler())
    logging.getLogger().setLevel(logging.INFO)

logger = logging.getLogger("logging_app")
logger.debug("debug at import")
logger.info("info at import")
logger.warning("warning at import")
RAISED_TWICE = LookupError("the same object")


class Boom(Exception):
    """What it raises."""


def double(number: int) -> int:
    """For a spawned process."""
    return 2 * number


def _logged(text: str) -> None:
    try:
        raise Boom(text)
    except Boom:
        logger.exception("the application's handler")
        raise


def _same_object() -> None:
    try:
        raise RAISED_TWICE
    except LookupError as error:
        if not hasattr(RAISED_TWICE, "was_logged"):
            RAISED_TWICE.was_logged = True  # type: ignore[attr-defined]
            logger.exception("the application's handler", exc_info=error)
        raise


def _terminated() -> str:
    """How a forked child ends that is sent SIGTERM."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    os.read(reading, 1)
    os.kill(child, signal.SIGTERM)
    return str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _spawned() -> str:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return repr(pool.map(double, [21]))


async def _answer(path: str) -> str:
    if path == "/logged":
        _logged("logged by a handler")
    if path == "/raised":
        raise Boom("raised only")
    if path == "/chained":
        try:
            _logged("the cause")
        except Boom as error:
            raise RuntimeError("the consequence") from error
    if path == "/same":
        _same_object()
    if path == "/thread":
        thread = threading.Thread(target=logger.error, args=["in a thread"])
        thread.start()
        thread.join()
    if path == "/child" and os.fork() == 0:
        logger.error("in a forked child")
        os._exit(0)
    if path == "/terminated":
        return _terminated()
    if path == "/spawn":
        return await asyncio.to_thread(_spawned)
    return f"{sys.argv}"


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answers with what there is to see."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = (await _answer(scope["path"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    end = os.environ.get("SHUTDOWN", "")
    if end == "raises":
        raise RuntimeError("raised at the end")
    if end == "interrupted":
        raise KeyboardInterrupt
    if end == "hangs":
        os.close(os.open(FILE, os.O_CREAT))
        await asyncio.Event().wait()
    await send({"type": "lifespan.shutdown.complete"})
