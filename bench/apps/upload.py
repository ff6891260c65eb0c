"""Starlette takes a multipart upload, for the benchmarks."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def upload(request: Request) -> PlainTextResponse:
    """Answers with the size of the file."""
    async with request.form() as form:
        file = form["file"]
        assert not isinstance(file, str)
        return PlainTextResponse(str(file.size))


async def root(_request: Request) -> PlainTextResponse:
    """Something small, for the warm-up."""
    return PlainTextResponse("ok")


app = Starlette(routes=[Route("/", root), Route("/upload", upload, methods=["POST"])])
