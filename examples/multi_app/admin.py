"""Starlette for one host."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{os.environ['ADMIN_NAME']} at {request.url.hostname}\n")


app = Starlette(routes=[Route("/", home)])
