"""What the tests of traces ask of an application: what it was told, what it passes on."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from hornbeam_erlang import (
    aio,
    batched,
    call,
    cast,
    node,
    register_hook,
    rpc_call,
    rpc_cast,
    service,
    trace_ids,
    traceparent,
)
from hornbeam_worker import logs

logger = logging.getLogger("traces_app")
logger.setLevel(logging.INFO)
logger.addHandler(logs.handler())


class Seen:
    """The service "seen": of which trace it is a part. Handles the hook "seen" as well."""

    def __init__(self) -> None:
        register_hook("seen", self.hook)

    def thread(self) -> str | None:
        return traceparent()

    async def loop(self) -> str | None:
        return traceparent()

    @batched(max_size=1)
    def batch(self, items: list[None]) -> list[str | None]:
        logger.info("in the batch")
        return [traceparent() for _ in items]

    @batched(max_size=1)
    async def async_batch(self, items: list[None]) -> list[str | None]:
        return [traceparent() for _ in items]

    def nested(self) -> Any:
        logger.info("in the service")
        return service("seen").thread()

    def hook(self, _action: str, *_args: Any, **_kwargs: Any) -> str | None:
        return traceparent()


def plain_task() -> str | None:
    logger.info("in the task")
    return traceparent()


async def async_task() -> str | None:
    return traceparent()


async def passed_on() -> dict[str, Any]:
    tasks = [await aio.spawn(f"traces_app:{name}") for name in ("plain_task", "async_task")]
    seen = aio.service("seen")
    return {
        "thread": await seen.thread(),
        "loop": await seen.loop(),
        "nested": await seen.nested(),
        "batch": await seen.batch(None),
        "async_batch": await seen.async_batch(None),
        "hook": await aio.execute("seen", "look"),
        "plain_task": await aio.await_task(tasks[0], timeout=60),
        "async_task": await aio.await_task(tasks[1], timeout=60),
    }


async def in_erlang() -> dict[str, Any]:
    """What functions are told that run in Erlang: each answers with its process' traces."""
    current = ("hornbeam_trace_context", "current")
    here = node()
    await aio.cast("log_error", "in a cast")
    await aio.rpc_cast(here, "logger", "error", ["in an rpc_cast"])
    cast("log_error", "in a plain cast")
    rpc_cast(here, "logger", "error", ["in a plain rpc_cast"])
    return {
        "call": await aio.call("current"),
        "plain_call": call("current"),
        "thread_call": await asyncio.to_thread(call, "current"),
        "rpc_call": await aio.rpc_call(here, *current, []),
        "plain_rpc_call": rpc_call(here, *current),
    }


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    path = scope["path"]
    if path == "/fail":
        raise RuntimeError("on demand")
    if path == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(3):
            more = {"body": b"%d" % number, "more_body": number < 2}
            await send({"type": "http.response.body", **more})
        return
    if path == "/many":
        for number in range(100):
            logger.warning("line %d", number)
    if path == "/journal":
        try:
            raise LookupError("gone")
        except LookupError:
            logger.exception("two\nlines")
    if path == "/log":
        logger.info("in the request")
    told = {
        "fields": [
            [name.decode(), value.decode()]
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate", b"sentry-trace")
        ],
        "ids": trace_ids(),
        "current": traceparent(),
        "passed_on": await passed_on() if path == "/passed-on" else None,
        "erlang": await in_erlang() if path == "/erlang" else None,
    }
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    logger.info("in a thread")
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps([environ["HTTP_TRACEPARENT"], trace_ids(), traceparent()]).encode()]
