"""A FastAPI application that nothing but `opentelemetry-instrument` traces, and sentry-sdk, for the
tests of both in a worker."""

from __future__ import annotations

import logging
import os
from typing import Any

import sentry_sdk
from fastapi import FastAPI

from hornbeam_erlang import aio, traceparent
from hornbeam_worker import logs

logger = logging.getLogger("traces_fastapi")
logger.setLevel(logging.INFO)
logger.addHandler(logs.handler())

if dsn := os.environ.get("TRACES_SENTRY_DSN"):
    sentry_sdk.init(dsn=dsn, traces_sample_rate=1.0)

app = FastAPI()


@app.get("/items/{number}")
async def item(number: int) -> dict[str, Any]:
    logger.info("item %d", number)
    return {"number": number, "traceparent": traceparent()}


@app.get("/service")
async def service() -> dict[str, Any]:
    return {"here": traceparent(), "there": await aio.service("seen").spans()}


@app.get("/fail")
async def fail() -> None:
    raise RuntimeError("on demand")


class Seen:
    """A service that has spans of its own."""

    def spans(self) -> str | None:
        from opentelemetry import trace

        with trace.get_tracer("seen").start_as_current_span("in the service"):
            return traceparent()
